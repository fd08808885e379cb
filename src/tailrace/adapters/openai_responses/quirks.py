"""Who differs how on the Responses wire.

- `reasons`: does the model reason? One that does not refuses `reasoning` and encrypted reasoning.
- `reasoning_summary`: what to ask for beside an effort, so that there is something to read; "" asks for nothing
  (OpenAI gives summaries only to organisations it has verified).
- `developer_role`: the system speaks as `developer` (OpenAI), not as `system` (some copies).
- `strict_pairing`: must a call's output follow it at once? Else those of a turn may follow together.
- `obfuscation_off`: may a stream be asked to leave out its padding? (`stream_options`, which copies do not know.)
- `images`, `reasoning_as_text`: as on every wire (adapters/canonical.py).
- `instructions`: "required" where a request without any is refused.
- `item_ids`: do items go back with the ids they came with? Reasoning does, elsewhere.
- `unsaid`: fields of a request's body that the endpoint refuses, and without which it does what it does anyway.
- `cache_key`: "thread" where the conversation's own id is the cache's key, unless the request names another.
- `session_headers`: headers that say which conversation a request belongs to.
"""

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import CONVERSATION, Rows

DEFAULTS: Quirks = {
    **CONVERSATION,
    "reasons": True,
    "reasoning_summary": "auto",
    "developer_role": True,
    "strict_pairing": False,
    "obfuscation_off": False,
    "instructions": "optional",
    "item_ids": True,
    "unsaid": [],
    "cache_key": "",
    "session_headers": [],
}

MODELS: Rows = ((r"^(ft:)?(gpt-3\.5|gpt-4|chatgpt-|gpt-5(\.\d)?-chat)", {"reasons": False}),)
