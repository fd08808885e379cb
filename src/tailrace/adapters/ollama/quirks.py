"""Who differs how on Ollama's native wire.

- `think`: "switch" (on or off) or "levels" (a word; the model always thinks).
- `max_think`: the word for the greatest effort, where it goes by words.
- `replay_thinking`: do the assistant's turns bring their thinking back?
- `most_tokens`: the greatest output limit that the host takes; 0 for any.
- `images`, `reasoning_as_text`: as on every wire (adapters/canonical.py).

Facts: https://docs.ollama.com/capabilities/thinking, as of November 2026.
"""

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import CONVERSATION, Rows

DEFAULTS: Quirks = {
    **CONVERSATION,
    "think": "switch",
    "max_think": "high",
    "replay_thinking": True,
    "most_tokens": 0,
}

MODELS: Rows = ((r"(^|/)gpt-oss", {"think": "levels"}),)
