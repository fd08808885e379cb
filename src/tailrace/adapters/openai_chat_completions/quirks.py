"""Who differs how on the chat wire: the flags, and what holds where a provider's row says nothing.

- `max_tokens_field`: the name of the output limit.
- `stream_options`: may a stream be asked for its usage? (Where not, it comes unasked.)
- `reasoning`: "effort" (the field `reasoning_effort`) or "object" (`reasoning: {effort | max_tokens}`).
- `reasoning_off`: fields that mean an effort of `none`; empty where the word itself does.
- `replay_reasoning`: must the assistant's turns bring their reasoning back as `reasoning_content`?
- `tool_choice`: does the host heed it?
- `prompt_cache_key`: may it be said? It is a hint; where the host does not know the field, it is left unsaid.
- `cumulative_reasoning`: may a delta of the reasoning repeat all of it so far (MiniMax)? What is known is taken off.
- `call_id_length`: letters and digits that a call's id must have; 0 for any id.
"""

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import Rows

DEFAULTS: Quirks = {
    "max_tokens_field": "max_tokens",
    "stream_options": True,
    "reasoning": "effort",
    "reasoning_off": {},
    "replay_reasoning": False,
    "tool_choice": True,
    "prompt_cache_key": False,
    "cumulative_reasoning": False,
    "call_id_length": 0,
}

# OpenAI's own models, reached over this wire: those that reason, and the others.
MODELS: Rows = (
    (r"^(o\d|gpt-[5-9])", {"max_tokens_field": "max_completion_tokens", "prompt_cache_key": True}),
    (r"^(ft:)?(gpt-[34]|chatgpt-)", {"prompt_cache_key": True}),
)
