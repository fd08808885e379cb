"""Who differs how on the Responses wire.

- `reasons`: does the model reason? One that does not refuses `reasoning` and encrypted reasoning.
- `reasoning_summary`: what to ask for beside an effort, so that there is something to read; "" asks for nothing
  (OpenAI gives summaries only to organisations it has verified).
- `strict_pairing`: must a call's output follow it at once? Else those of a turn may follow together.
- `obfuscation_off`: may a stream be asked to leave out its padding? (`stream_options`, which copies do not know.)
- `images`, `reasoning_as_text`: as on every wire (adapters/canonical.py).
"""

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import CONVERSATION, Rows

DEFAULTS: Quirks = {
    **CONVERSATION,
    "reasons": True,
    "reasoning_summary": "auto",
    "strict_pairing": False,
    "obfuscation_off": False,
}

MODELS: Rows = ((r"^(ft:)?(gpt-3\.5|gpt-4|chatgpt-|gpt-5(\.\d)?-chat)", {"reasons": False}),)
