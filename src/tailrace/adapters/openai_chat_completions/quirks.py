"""Who differs how on the chat wire: the flags, and what holds where a provider's row says nothing.

The conversation:
- `developer_role`: instructions have the role `developer`, not `system` (OpenAI's models that reason).
- `many_system_messages`: may the system's messages stand anywhere? Where not, those at the head are one, and what the
  system says later the user says.
- `tool_result_name`: a tool's message carries the tool's name (Mistral).
- `assistant_after_tool_result`: the user may not speak right after a tool (Mistral): the assistant says BETWEEN.
- `call_id_length`: exactly so many letters and digits must a call's id have; 0 for any id (Mistral: 9).
- `call_id_limit`: at most so many characters may it have; 0 for no limit (OpenAI: 40).
- `call_filler`: the content of an assistant's message that only calls, where it may not be empty (Kimi, DeepSeek).
- `images`, `reasoning_as_text`: as on every wire (adapters/canonical.py; Mistral: "all").

Reasoning that goes back:
- `replay_reasoning`: "no"; "present", where there is some; "calls", in each turn with calls; "all", in each turn
  (Kimi, DeepSeek refuse a turn without). Never another model's.
- `reasoning_field`: under which name (Groq, OpenRouter, vLLM: `reasoning`).
- `reasoning_filler`: what stands for reasoning that must go back and is not there (Kimi takes no empty one).

How to answer:
- `reasoning`: how thinking is asked for, a key of FORMATS; "none" where there are no words for it (xAI).
- `reasoning_off`: the fields that mean an effort of `none`, where they are not the format's own.
- `efforts`: effort -> the host's word for it, where it has another; "" leaves the effort out.
- `reasoning_beside_tools`: "always"; or thinking is said to be off: "unforced", where a call is forced (Kimi,
  DeepSeek, Qwen); "unchosen", with any choice but `auto`; "never", with tools.
- `max_tokens_field`: the name of the output limit.
- `max_tokens`: what is allowed where nobody says; 0 says nothing (Kimi wants a limit always).
- `sampling`: are temperature, `top_p`, penalties and token probabilities taken? (Not by OpenAI's models that reason.)
- `stream_options`: may a stream be asked for its usage? (Where not, it comes unasked: Cerebras, Venice, Mistral.)
- `store`: does the host know the field? Then it is asked to keep nothing.
- `prompt_cache_key`: may it be said? It is a hint; where the host does not know the field, it is left unsaid.
- `prompt_cache_header`: the header that carries it (xAI: `x-grok-conv-id`).
- `extra_body`: fields of every body (an aggregator's routing, say); a request's own `extra` outweighs them.

Tools:
- `tool_choice`: "named", the choice may be any; "required", a call may be forced, but not which one: then no other is
  offered; "auto", none may be forced; "no", no choice is heeded.
- `strict`: "asked", as each tool says; "all", all tools are strict or none is (Cerebras); "no", it is never said.
- `schemas`: what the schemas of parameters must be: "" anything, or a key of adapters/flavours.py FLAVOURS.

The answer:
- `cumulative_reasoning`: may a delta of reasoning repeat all that came before it? (MiniMax)
- `special_tokens`: the model's own tokens may stand in its text, `<|…|>` with bars of full width, and are
  taken out (DeepSeek).
- `empty_length_is_overflow`: an answer of nothing that ends in `length` means that the context is too long (Ollama).
"""

from typing import Any, NamedTuple

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import CONVERSATION, Rows

BETWEEN = "I have read the results."


class Format(NamedTuple):
    """How a host is asked to think: fields for any thinking and for none, and where an effort or a budget is said.

    `effort` and `budget` are paths of fields; () where there is no such field: then the words for `on` have to do.
    """

    on: dict[str, Any]
    off: dict[str, Any]
    effort: tuple[str, ...] = ()
    budget: tuple[str, ...] = ()


_ENABLED: dict[str, Any] = {"thinking": {"type": "enabled"}}
_DISABLED: dict[str, Any] = {"thinking": {"type": "disabled"}}

FORMATS: dict[str, Format] = {
    "openai": Format({}, {"reasoning_effort": "none"}, effort=("reasoning_effort",)),
    "openrouter": Format(
        {}, {"reasoning": {"effort": "none"}}, effort=("reasoning", "effort"), budget=("reasoning", "max_tokens")
    ),
    "zai": Format(_ENABLED, _DISABLED),
    "kimi": Format(_ENABLED, _DISABLED),
    "deepseek": Format(_ENABLED, _DISABLED, effort=("reasoning_effort",)),
    "qwen": Format({"enable_thinking": True}, {"enable_thinking": False}, budget=("thinking_budget",)),
    "chat-template": Format(
        {"chat_template_kwargs": {"enable_thinking": True}}, {"chat_template_kwargs": {"enable_thinking": False}}
    ),
}

DEFAULTS: Quirks = {
    **CONVERSATION,
    "developer_role": False,
    "many_system_messages": False,
    "tool_result_name": False,
    "assistant_after_tool_result": False,
    "call_id_length": 0,
    "call_id_limit": 0,
    "call_filler": "",
    "replay_reasoning": "no",
    "reasoning_field": "reasoning_content",
    "reasoning_filler": "",
    "reasoning": "openai",
    "reasoning_off": {},
    "efforts": {},
    "reasoning_beside_tools": "always",
    "max_tokens_field": "max_tokens",
    "max_tokens": 0,
    "sampling": True,
    "stream_options": True,
    "store": False,
    "prompt_cache_key": False,
    "prompt_cache_header": "",
    "extra_body": {},
    "tool_choice": "named",
    "strict": "asked",
    "schemas": "",
    "cumulative_reasoning": False,
    "special_tokens": False,
    "empty_length_is_overflow": False,
}

_OPENAI: Quirks = {"many_system_messages": True, "store": True, "prompt_cache_key": True, "call_id_limit": 40}

# OpenAI's own models, reached over this wire: those that reason, and the others.
MODELS: Rows = (
    (r"^gpt-5(\.\d)?-chat", {**_OPENAI, "max_tokens_field": "max_completion_tokens"}),
    (
        r"^(o\d|gpt-[5-9])",
        {**_OPENAI, "max_tokens_field": "max_completion_tokens", "developer_role": True, "sampling": False},
    ),
    (r"^(ft:)?(gpt-[34]|chatgpt-)", _OPENAI),
)
