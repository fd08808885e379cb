"""What OpenAI's Responses API refuses (https://platform.openai.com/docs/api-reference/responses/create)."""

from collections.abc import Callable
from typing import Any

from tailrace.testing.wires.base import Json, Memory, is_sealed
from tailrace.testing.wires.rules import Refused, name, objects, only, require, strict, text

_BODY = frozenset({
    "background", "client_metadata", "context_management", "conversation", "include", "input", "instructions",
    "max_output_tokens", "max_tool_calls", "metadata", "model", "parallel_tool_calls", "previous_response_id", "prompt",
    "prompt_cache_key", "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "store", "stream",
    "stream_options", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
})  # fmt: skip
_INCLUDE = frozenset({
    "code_interpreter_call.outputs", "computer_call_output.output.image_url", "file_search_call.results",
    "message.input_image.image_url", "message.output_text.logprobs", "reasoning.encrypted_content",
    "web_search_call.action.sources", "web_search_call.results",
})  # fmt: skip
_MESSAGE = frozenset({"type", "role", "content", "id", "status", "phase"})
_REASONING = frozenset({"type", "id", "summary", "content", "encrypted_content", "status"})
_CALL = frozenset({"type", "id", "call_id", "name", "arguments", "input", "status", "namespace", "caller"})
_OUTPUT = frozenset({"type", "id", "call_id", "output", "status", "caller"})
_KINDS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
_PARTS = {
    "input_text": frozenset({"type", "text"}),
    "input_image": frozenset({"type", "detail", "image_url", "file_id"}),
    "input_file": frozenset({"type", "filename", "file_data", "file_id", "file_url"}),
    "output_text": frozenset({"type", "text", "annotations", "logprobs"}),
    "refusal": frozenset({"type", "refusal"}),
}
_SPOKEN = frozenset({"output_text", "refusal"})
_MOST_ID = 64


def items_of(body: Json) -> list[Json]:
    """The input's items; what has no type is a message."""
    given = body.get("input") or []
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return [item if "type" in item else {**item, "type": "message"} for item in given]


def check(body: Json, memory: Memory) -> None:
    """Raises Refused."""
    only(body, _BODY, "body")
    for wanted in body.get("include") or ():
        require(wanted in _INCLUDE, f"include: {wanted!r} is not supported")
    text(body.get("prompt_cache_key", ""), "prompt_cache_key", most=64)
    only(body.get("reasoning") or {}, {"effort", "summary", "generate_summary", "context"}, "reasoning")
    only(body.get("stream_options") or {}, {"include_obfuscation"}, "stream_options")
    _check_tools(body)
    items = items_of(body)
    require(items, "Missing required parameter: 'input'.")
    for at, item in enumerate(items):
        _CHECKS.get(item["type"], _check_other)(item, f"input[{at}]")
    _check_ids(items)
    if not body.get("previous_response_id"):
        _check_pairs(items)
        _check_reasoning_leads_on(items)


def _check_tools(body: Json) -> None:
    tools = objects(body.get("tools") or [], "tools")
    offered: set[Any] = set()
    for at, tool in enumerate(tools):
        _check_tool(tool, f"tools[{at}]")
        offered |= {tool.get("name"), tool.get("type"), *(each.get("name") for each in tool.get("tools") or ())}
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and "name" in choice:
        require(choice["name"] in offered, f"Tool choice {choice['name']!r} not found in 'tools' parameter.")


def _check_tool(tool: Json, where: str) -> None:
    if tool.get("type") == "namespace":
        for at, inner in enumerate(objects(tool.get("tools"), f"{where}.tools")):
            _check_tool(inner, f"{where}.tools[{at}]")
    elif tool.get("type") == "function":
        only(tool, {"type", "name", "description", "parameters", "strict"}, where)
        name(tool.get("name"), f"{where}.name", 64)
        require(isinstance(tool.get("parameters"), dict), f"{where}.parameters: expected an object")
        if tool.get("strict"):
            strict(tool["parameters"], where)
    elif tool.get("type") == "custom":
        only(tool, {"type", "name", "description", "format"}, where)
        name(tool.get("name"), f"{where}.name", 64)


# --- items -------------------------------------------------------------------------------------------------------


def _check_message(item: Json, where: str) -> None:
    only(item, _MESSAGE, where)
    role = item.get("role")
    require(role in {"user", "assistant", "system", "developer"}, f"{where}.role: {role!r} is not supported")
    content = item.get("content")
    if isinstance(content, str):
        return
    parts = objects(content, f"{where}.content")
    require(parts, f"{where}.content: empty")
    for at, part in enumerate(parts):
        _check_part(part, f"{where}.content[{at}]", spoken=role == "assistant")


def _check_part(part: Json, where: str, *, spoken: bool) -> None:
    kind = str(part.get("type"))
    fitting = kind in _PARTS and (kind in _SPOKEN) == spoken
    require(fitting, f"Invalid value: {kind!r} at {where}.type.")
    only(part, _PARTS[kind], where)
    if kind == "input_image":
        require(part.get("image_url") or part.get("file_id"), f"{where}: an image needs a URL or an id")
    if kind == "input_file":
        found = [part.get(key) for key in ("file_data", "file_id", "file_url")]
        require(any(found), f"{where}: a file needs data, a URL or an id")


def _check_reasoning(item: Json, where: str) -> None:
    only(item, _REASONING, where)
    if "id" in item:
        require(text(item["id"], f"{where}.id", most=_MOST_ID).startswith("rs"), f"{where}.id: must begin with 'rs'")
    for part in objects(item.get("summary"), f"{where}.summary"):
        require(part.get("type") == "summary_text", f"{where}.summary: expected summary_text")
    sealed = item.get("encrypted_content")
    if sealed is not None and not is_sealed(sealed):
        raise Refused(f"The encrypted content of item {item.get('id')} could not be verified.")


def _check_call(item: Json, where: str) -> None:
    only(item, _CALL, where)
    text(item.get("call_id"), f"{where}.call_id", least=1, most=_MOST_ID)
    name(item.get("name"), f"{where}.name", 64)
    text(item.get("input" if item["type"] == "custom_tool_call" else "arguments"), f"{where}.arguments")


def _check_output(item: Json, where: str) -> None:
    only(item, _OUTPUT, where)
    text(item.get("call_id"), f"{where}.call_id", least=1, most=_MOST_ID)
    if not isinstance(item.get("output"), str):
        for at, part in enumerate(objects(item.get("output"), f"{where}.output")):
            _check_part(part, f"{where}.output[{at}]", spoken=False)


def _check_other(item: Json, where: str) -> None:
    """A provider's own item: as it came, with its type."""
    text(item["type"], f"{where}.type", least=1)


_CHECKS: dict[str, Callable[[Json, str], None]] = {
    "message": _check_message,
    "reasoning": _check_reasoning,
    **dict.fromkeys(_KINDS, _check_call),
    **dict.fromkeys(_KINDS.values(), _check_output),
}


# --- the conversation --------------------------------------------------------------------------------------------


def _check_ids(items: list[Json]) -> None:
    seen: set[str] = set()
    for item in items:
        if "id" in item:
            require(item["id"] not in seen, f"Duplicate item found with id {item['id']}.")
            seen.add(item["id"])


def _check_pairs(items: list[Json]) -> None:
    """Each call has one output, after it and of its kind; each output has a call."""
    waiting: dict[str, str] = {}
    seen: set[str] = set()
    for item in items:
        if item["type"] in _KINDS:
            require(item["call_id"] not in seen, f"Duplicate call {item['call_id']}.")
            waiting[item["call_id"]] = _KINDS[item["type"]]
            seen.add(item["call_id"])
        elif item["type"] in _KINDS.values():
            call_id = item["call_id"]
            require(call_id in waiting, f"No tool call found for function call output with call_id {call_id}.")
            require(waiting.pop(call_id) == item["type"], f"The output of {call_id} is not of its call's kind.")
    for call_id in waiting:
        raise Refused(f"No tool output found for function call {call_id}.")


def _check_reasoning_leads_on(items: list[Json]) -> None:
    """Reasoning is followed by what it led to, in its own turn."""
    led_to = False
    for item in reversed(items):
        if item["type"] == "reasoning":
            found = f"Item {item.get('id')!r} of type 'reasoning' was provided without its required following item."
            require(led_to, found)
        else:
            is_output = item["type"] in _KINDS.values()
            led_to = not is_output and item.get("role", "assistant") == "assistant"
