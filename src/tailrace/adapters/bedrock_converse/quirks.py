"""Which model differs how on Bedrock's Converse wire.

- `thinking`: how thinking is asked for: "" (it cannot be), Claude's "budget" or "adaptive", "nova" (three efforts) or
  "effort" (the model's own field `reasoning_effort`).
- `thinking_off`, `sampling`, `forced_tools`, `xhigh`, `max_tokens`: as in anthropic_messages/quirks.py.
- `top_k`: the path of the model's own field for it; "" where it has none.
- `images`, `reasoning_as_text`: as on every wire (adapters/canonical.py).
- `result_status`: does the model hear of a tool's failure by its status? (Where not, the text says it.)

Facts: https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html,
https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html, November 2026.
"""

from tailrace.adapters.anthropic_messages import quirks as claude
from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import Rows

_OF_CLAUDE: Quirks = {name: value for name, value in claude.DEFAULTS.items() if name != "betas"}  # which is a header

DEFAULTS: Quirks = {**_OF_CLAUDE, "thinking": "", "xhigh": "high", "top_k": "", "result_status": False}

_CLAUDE: Quirks = {**_OF_CLAUDE, "top_k": "top_k", "result_status": True}
_NOVA: Quirks = {"top_k": "inferenceConfig.topK", "result_status": True}

# A model's name has its maker's in front, and perhaps a region's: `us.anthropic.claude-…`.
MODELS: Rows = (
    *((rf"\banthropic\.{pattern}", {**_CLAUDE, **row}) for pattern, row in claude.MODELS),
    (r"\bamazon\.nova-2", {**_NOVA, "thinking": "nova"}),
    (r"\bamazon\.nova", _NOVA),
    (r"\bopenai\.gpt-oss", {"thinking": "effort"}),
    (r"\bmeta\.llama", {"forced_tools": False}),
)
