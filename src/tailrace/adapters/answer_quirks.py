"""How providers' answers differ, whatever their wire: the flags, and what holds where a provider's row says nothing.

- `heal`: kinds of markup that leak into the text and are read for what they stand for (adapters/markup.py).
- `context_window`: how many tokens the model takes in. A host that cuts a longer prompt short, and answers all the
  same, is then found out.
- `circling`: are thoughts broken off that say nearly the same over and over? (Weak models; adapters/breakers.py. The
  very same over and over is broken off everywhere.)
"""

from tailrace.adapters.base import Quirks

ANSWERS: Quirks = {"heal": [], "context_window": 0, "circling": False}
