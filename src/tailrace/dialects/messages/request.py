"""A request in Anthropic's words as the canonical one.

What has a common word is said in it. Where the provider speaks this very protocol, what has none goes there as it came
(`Generation.extra`): tools and system blocks with their cache marks, the ways of thinking that are no budget, and the
fields of OWN_WORDS. Of the cache marks inside messages the last one becomes the request's own `cache_control`, which
marks the end of the conversation. Any other provider is not asked what it has no word for: that is refused by name;
cache marks alone, which change no answer, are left out there.
"""

from hashlib import sha256
from typing import Any

from tailrace.dialects.messages.body import Body, Json, Message, OutputConfig, Prompt, Text, ThinkingConfig, convert
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.request import (
    AnyTool,
    AnyToolChoice,
    Generation,
    HostedTool,
    NamedToolChoice,
    OutputFormat,
    ReasoningEffort,
    Tool,
)

WIRE = "anthropic-messages"
LEAST_BUDGET = 1024
LONGEST_USER = 64  # what OpenAI takes; the vendor's own limit is 256, and its own client comes near it

# What only the vendor has words for.
OWN_WORDS = (
    "container", "mcp_servers", "inference_geo", "speed", "compaction", "fallbacks", "fallback_credit_token",
    "billing_policy", "user_profile_id", "workspace_id",
)  # fmt: skip
_USUAL = {"speed": "standard"}  # what comes to the same as nothing said

_TOOL_WORDS = frozenset({"name", "description", "input_schema", "strict", "type"})
# Hints of how a tool is handled: they change no answer.
_TOOL_HINTS = frozenset({"cache_control", "eager_input_streaming", "input_examples"})
_EFFORTS: dict[str, ReasoningEffort] = {"max": "xhigh"}

# Tokens of thinking up to which an effort is meant: the efforts double as budgets do.
_BUDGETS: tuple[tuple[int, ReasoningEffort], ...] = ((2048, "low"), (8192, "medium"), (16384, "high"))


def opening(body: Prompt) -> int:
    """How many of the messages are the system's before anyone has spoken: they are part of the system prompt."""
    return next((at for at, message in enumerate(body.messages) if message.role != "system"), len(body.messages))


def generation_of(body: Body, wire: str, held: Generation | None = None) -> Generation:
    """How the model is asked; `held`: how it was asked in what is kept of the conversation, whose system prompt and
    tools hold on. Raises InvalidRequest with the vendor's name of what cannot be asked of this wire."""
    own = wire == WIRE
    tools = tools_of(body.tools or [], own=own) if held is None else _held_tools(body, held)
    thinking = _thinking(body, own=own)
    extra = {**_extra(body), **_held_extra(held)} if own else _refuse_own_words(body)
    choice = body.tool_choice
    one_only = choice.disable_parallel_tool_use if choice else None
    return Generation(
        instructions=held.instructions if held else _instructions(body),
        tools=tools or None,
        tool_choice=_choice(body, tools),
        parallel_tool_calls=False if one_only else None,
        max_output_tokens=body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        stop=body.stop_sequences or None,
        output_format=None if own else _format(body),
        service_tier={"auto": "auto", "standard_only": "default"}[body.service_tier] if body.service_tier else None,
        user=_user(body, own=own),
        extra={WIRE: extra} if extra else None,
        **thinking,
    )


def _user(body: Body, *, own: bool) -> str | None:
    """An opaque name: elsewhere the digest of one that is too long, which says as much."""
    name = body.metadata.user_id if body.metadata else None
    if name is None or own or len(name) <= LONGEST_USER:
        return name
    return sha256(name.encode()).hexdigest()


# --- the system prompt -------------------------------------------------------------------------------------------


def _instructions(body: Prompt) -> str | None:
    return "\n\n".join(block.text for block in _system(body) if block.text.strip()) or None


def _system(body: Prompt) -> list[Text]:
    system = body.system or []
    blocks = [Text(text=system)] if isinstance(system, str) else list(system)
    for at, message in enumerate(body.messages[: opening(body)]):
        blocks += _texts(message, f"messages.{at}.content")
    return blocks


def _texts(message: Message, place: str) -> list[Text]:
    if isinstance(message.content, str):
        return [Text(text=message.content)]
    return [convert(block, Text, f"{place}.{at}") for at, block in enumerate(message.content)]


# --- tools -------------------------------------------------------------------------------------------------------


def tools_of(tools: list[Json], *, own: bool) -> list[AnyTool]:
    """The tools on offer. Raises InvalidRequest."""
    read = [_tool(tool, f"tools.{at}", own=own) for at, tool in enumerate(tools)]
    names = [tool.get("name") for tool in tools if tool.get("name")]
    if len(set(names)) < len(names):
        raise InvalidRequest("Tool names must be unique", field="tools")
    return read


def _tool(tool: Json, place: str, *, own: bool) -> AnyTool:
    if tool.get("type") not in {None, "custom"}:
        if not own:
            raise InvalidRequest(f"this provider has no tool of type {tool['type']!r}", field=f"{place}.type")
        return HostedTool(wire=WIRE, data=tool)
    for name, kind in (("name", str), ("input_schema", dict)):
        if not isinstance(tool.get(name), kind) or not tool[name]:
            raise InvalidRequest("Field required", field=f"{place}.{name}")
    unsaid = sorted(name for name in set(tool) - _TOOL_WORDS - _TOOL_HINTS if _says_something(name, tool[name]))
    if unsaid and not own:
        raise InvalidRequest("Extra inputs are not permitted", field=f"{place}.{unsaid[0]}")
    said = {"name": tool["name"], "description": tool.get("description"), "parameters": tool["input_schema"]}
    return convert({**said, "strict": tool.get("strict")}, Tool, place)


def _says_something(name: str, value: Any) -> bool:
    return bool(value) and not (name == "allowed_callers" and value == ["direct"])


def _held_tools(body: Body, held: Generation) -> list[AnyTool]:
    for name in ("system", "tools"):
        if getattr(body, name) is not None:
            raise InvalidRequest("the thread has it already: leave it out to continue", field=name)
    return held.tools or []


def _held_extra(held: Generation | None) -> Json:
    """The blocks of what is kept, where they went to the vendor as they came."""
    extra = (held.extra or {}).get(WIRE, {}) if held is not None else {}
    return {name: extra[name] for name in ("system", "tools") if name in extra}


def _choice(body: Body, tools: list[AnyTool]) -> AnyToolChoice | None:
    choice = body.tool_choice
    if choice is None:
        return None
    if choice.type != "tool":
        return "required" if choice.type == "any" else choice.type
    if choice.name not in {tool.data.get("name") if isinstance(tool, HostedTool) else tool.name for tool in tools}:
        raise InvalidRequest(f"no tool {choice.name!r} is offered", field="tool_choice.name")
    return NamedToolChoice(name=choice.name or "")


# --- thinking ----------------------------------------------------------------------------------------------------


def _thinking(body: Body, *, own: bool) -> Json:
    """The budget, where the wire has budgets; elsewhere an effort. Adaptive is up to the model: nothing is said there,
    unless the effort is named. No thinking is what is meant by nothing."""
    asked = body.thinking or ThinkingConfig(type="disabled")
    budget = _budget(asked, body.max_tokens)
    effort = _config(body).effort
    if own:
        if asked.display or budget is None:
            budget = 0 if body.thinking is not None and asked.type == "disabled" else None
        return {} if budget is None else {"thinking_budget": budget}
    if effort is not None:
        return {"reasoning_effort": _EFFORTS.get(effort, effort)}
    if budget is None:
        return {}
    return {"reasoning_effort": next((word for most, word in _BUDGETS if budget <= most), "xhigh")}


def _budget(asked: ThinkingConfig, max_tokens: int) -> int | None:
    budget = asked.budget_tokens
    if asked.type != "enabled":
        return None
    if budget is None:
        raise InvalidRequest("Field required", field="thinking.budget_tokens")
    if budget < LEAST_BUDGET:
        message = f"Input should be greater than or equal to {LEAST_BUDGET}"
        raise InvalidRequest(message, field="thinking.budget_tokens")
    if budget >= max_tokens:
        raise InvalidRequest("must be greater than `thinking.budget_tokens`", field="max_tokens")
    return budget


def _config(body: Prompt) -> OutputConfig:
    return convert(body.output_config or {}, OutputConfig, "output_config")


def _format(body: Body) -> OutputFormat | None:
    asked = _config(body).format or body.output_format
    return OutputFormat(type="json_schema", name="output", schema=asked.schema, strict=True) if asked else None


# --- what only the vendor has words for --------------------------------------------------------------------------


def _refuse_own_words(body: Body) -> Json:
    for name in OWN_WORDS:
        value = getattr(body, name)
        if value and value != _USUAL.get(name):
            raise InvalidRequest("this provider has no word for it", field=name)
    unknown = sorted(set(body.output_config or ()) - {"effort", "format"})
    if unknown:
        raise InvalidRequest("this provider has no word for it", field=f"output_config.{unknown[0]}")
    return {}


def _extra(body: Body) -> Json:
    """The vendor's own words, for the vendor."""
    extra: Json = {name: getattr(body, name) for name in OWN_WORDS if getattr(body, name)}
    config = dict(body.output_config or {})
    if body.output_format is not None and "format" not in config:
        config["format"] = {"type": "json_schema", "schema": body.output_format.schema}
    if config:
        extra["output_config"] = config
    if body.thinking is not None and (body.thinking.display or body.thinking.type in {"adaptive", "between_tools"}):
        asked = codec.to_builtins(body.thinking)
        extra["thinking"] = {name: value for name, value in asked.items() if value is not None}
    if any(set(tool) - _TOOL_WORDS for tool in body.tools or ()):
        extra["tools"] = body.tools
    system = _system(body)
    if any(block.cache_control for block in system):
        extra["system"] = [_system_block(block) for block in system if block.text.strip()]
    mark = body.cache_control or _last_mark(body.messages)
    if mark:
        extra["cache_control"] = mark
    return extra


def _system_block(block: Text) -> Json:
    mark = {"cache_control": block.cache_control} if block.cache_control else {}
    return {"type": "text", "text": block.text, **mark}


def _last_mark(messages: list[Message]) -> Json | None:
    blocks = (block for message in reversed(messages) for block in _marked(message.content))
    return next(blocks, None)


def _marked(content: Any) -> list[Json]:
    """The cache marks of these blocks and of what is inside them, the last first."""
    found: list[Json] = []
    for block in reversed(content if isinstance(content, list) else []):
        if isinstance(block, dict):
            own = block.get("cache_control")
            found += [own] if isinstance(own, dict) else []
            found += _marked(block.get("content"))
    return found
