"""Who differs how on the Responses wire.

- `reasons`: does the model reason? One that does not refuses `reasoning` and encrypted reasoning.
- `reasoning_summary`: what to ask for beside an effort, so that there is something to read; "" asks for nothing
  (OpenAI gives summaries only to organisations it has verified).
"""

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import Rows

DEFAULTS: Quirks = {"reasons": True, "reasoning_summary": "auto"}

MODELS: Rows = ((r"^(ft:)?(gpt-3\.5|gpt-4|chatgpt-|gpt-5(\.\d)?-chat)", {"reasons": False}),)
