"""Who differs how on the Messages wire.

- `thinking`: "budget" (a number of tokens) or "adaptive" (an effort; the budget is refused).
- `thinking_off`: how to ask for no thinking: "omit" (say nothing), "disabled" or "between_tools" (say so), "" where the
  model always thinks.
- `sampling`: may the temperature be anything but 1?
- `forced_tools`: may a call be forced at all? (With thinking it never may.)
- `xhigh`: the word for the greatest effort.
- `max_tokens`: what to allow where nobody says; the wire wants a number.
- `betas`: what the header `anthropic-beta` asks for.
- `images`, `reasoning_as_text`: as on every wire (adapters/canonical.py).

Facts: https://platform.claude.com/docs/en/about-claude/models, the models' migration guides, and the pages on extended
and adaptive thinking, as of November 2026.
"""

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import CONVERSATION, Rows

# What is true of the hosts that copied the wire, and of the Claude models up to 4.5.
DEFAULTS: Quirks = {
    **CONVERSATION,
    "thinking": "budget",
    "thinking_off": "omit",
    "sampling": True,
    "forced_tools": True,
    "xhigh": "xhigh",
    "max_tokens": 32000,
    "betas": [],
}

_ADAPTIVE: Quirks = {"thinking": "adaptive", "sampling": False}

# The last row is for models yet to come: they will be more like the newest than like the oldest.
MODELS: Rows = (
    (r"claude-3-(opus|sonnet|haiku|5)", {"max_tokens": 4096}),
    (r"claude-(3-7|(opus|sonnet|haiku)-4(-[0-5](?!\d)|-20|$))", {}),
    (r"claude-(opus|sonnet)-4-6", {"thinking": "adaptive", "xhigh": "high"}),
    (r"claude-opus-4-", _ADAPTIVE),
    (r"claude-sonnet-5-5", {**_ADAPTIVE, "thinking_off": "between_tools", "forced_tools": False}),
    (r"claude-opus-5-5", {**_ADAPTIVE, "thinking_off": "", "forced_tools": False}),
    (r"claude-(opus|sonnet|haiku)-5", {**_ADAPTIVE, "thinking_off": "disabled"}),
    (r"claude-", {**_ADAPTIVE, "thinking_off": ""}),
)
