"""The canonical request in the words of the Responses API: `POST {base_url}/responses`.

Stateless: `store` is false and the whole conversation is sent, with each reasoning item's encrypted content under the
id it came with (https://platform.openai.com/docs/guides/reasoning). Messages and calls go without ids: an id makes
the API look for the reasoning that stood before it, which is not there after a change of model.

A provider's own items go back as they came where their type is an input item of this API. They carry no provider, so
that history has left out those of other providers (`runs.history`); the type tells the wire.

Namespaces, free-text tools and allowed tools are this wire's own words; stop sequences, seeds, penalties and `top_k` it
has none for. The request's parameters: https://platform.openai.com/docs/api-reference/responses/create.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import (
    EMPTY_SCHEMA,
    answer,
    cache_key,
    caller_of,
    fields,
    fit_id,
    fitted,
    is_text,
    json_schema,
    look_up,
    parts_of,
    refuse,
    returned,
    service_tier,
    text_of,
    with_extra,
)
from tailrace.adapters.effort import effort_of
from tailrace.adapters.openai_responses.particular import instructed, without
from tailrace.adapters.openai_responses.quirks import DEFAULTS, MODELS
from tailrace.adapters.schemas import OPENAI, strict_schema
from tailrace.adapters.tools import Offer, ToolNames, offer_of
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    OutputItem,
    Part,
    ProviderItem,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.request import (
    AllowedTools,
    AnyTool,
    AnyToolChoice,
    CustomTool,
    Generation,
    HostedTool,
    ModelRequest,
    NamedToolChoice,
    OutputFormat,
    Tool,
)

NAME = "openai-responses"
PATH = "/responses"
names = ToolNames(limit=64, flat=False)
callees = names.callees

ROLES = {"user": "user", "agent": "assistant", "system": "system"}
REASONING_ID = re.compile(r"rs[a-zA-Z0-9_-]{0,62}")
CALL_ID = re.compile(r".{1,64}", re.DOTALL)

# Output items that the API also takes as input (openai SDK, ResponseInputItemParam).
INPUT_ITEMS = frozenset({
    "apply_patch_call", "code_interpreter_call", "compaction", "computer_call", "file_search_call",
    "image_generation_call", "local_shell_call", "mcp_approval_request", "mcp_call", "mcp_list_tools", "program",
    "program_output", "shell_call", "shell_call_output", "tool_search_call", "tool_search_output", "web_search_call",
})  # fmt: skip


def build(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    """The body. Raises InvalidRequest, naming the field, for what the wire cannot say."""
    row = look_up(request.model_id, DEFAULTS, MODELS, quirks)
    request, generation = fitted(request, row), request.generation
    refuse(generation, "top_k", "stop", "seed", "frequency_penalty", "presence_penalty")
    body: dict[str, Any] = {
        "model": request.model_id,
        "input": _input(request, row),
        "stream": request.stream,
        "store": False,
        **_include(generation, row),
        **_reasoning(generation, row),
        **_tools(generation),
        **_text(generation),
        **fields(
            generation,
            max_output_tokens="max_output_tokens",
            max_tool_calls="max_tool_calls",
            temperature="temperature",
            top_p="top_p",
            top_logprobs="top_logprobs",
            user="user",
        ),
        **service_tier(generation),
        **cache_key(generation),
    }
    if request.stream and row["obfuscation_off"]:
        body["stream_options"] = {"include_obfuscation": False}
    if generation.instructions:
        body["instructions"] = generation.instructions
    if row["cache_key"] == "thread" and request.thread_id:
        body.setdefault("prompt_cache_key", request.thread_id)
    body = with_extra(body, generation, NAME)
    return instructed(without(body, row)) if row["instructions"] == "required" else without(body, row)


def own_headers(request: ModelRequest, quirks: Quirks) -> dict[str, str]:
    """Those that say which conversation the request belongs to."""
    row = look_up(request.model_id, DEFAULTS, MODELS, quirks)
    return dict.fromkeys(row["session_headers"], request.thread_id) if request.thread_id else {}


# --- how to answer ----------------------------------------------------------------------------------------------


def _include(generation: Generation, row: Quirks) -> dict[str, Any]:
    """What the answer is to hold beside what it always does; asked for in the wire's own words, too."""
    wanted = ["reasoning.encrypted_content"] if row["reasons"] else []
    if generation.top_logprobs is not None:
        wanted.append("message.output_text.logprobs")
    return {"include": wanted} if wanted else {}


def _reasoning(generation: Generation, row: Quirks) -> dict[str, Any]:
    """An effort, by word or by budget: the wire has no budget, and the nearest effort is its equivalent."""
    effort, summary = effort_of(generation), generation.reasoning_summary
    if not row["reasons"]:
        if effort not in (None, "none"):
            field = "reasoning_effort" if generation.reasoning_effort else "thinking_budget"
            raise InvalidRequest("the model does not reason", field=field)
        refuse(generation, "reasoning_summary", why="the model does not reason")
        return {}
    if effort not in (None, "none"):
        summary = summary or row["reasoning_summary"]
    asked = {"effort": effort, "summary": summary or None}
    asked = {name: value for name, value in asked.items() if value is not None}
    return {"reasoning": asked} if asked else {}


def _text(generation: Generation) -> dict[str, Any]:
    text = fields(generation, verbosity="verbosity")
    if generation.output_format is not None:
        text["format"] = _format(generation.output_format)
    return {"text": text} if text else {}


def _format(wanted: OutputFormat) -> dict[str, Any]:
    if wanted.type == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", **json_schema(wanted)}


def _tools(generation: Generation) -> dict[str, Any]:
    offer = offer_of(generation, NAME, names)
    if not offer.tools:
        return {}
    choice = {"tool_choice": _choice(offer, offer.choice)} if offer.choice is not None else {}
    return {"tools": _grouped(offer.tools), **choice, **fields(generation, parallel_tool_calls="parallel_tool_calls")}


def _choice(offer: Offer, choice: AnyToolChoice) -> str | dict[str, Any]:
    match choice:
        case AllowedTools(mode=mode):
            return {
                "type": "allowed_tools",
                "mode": mode,
                "tools": [_reference(tool) for tool in offer.allowed(choice)],
            }
        case NamedToolChoice(name=name):
            return _reference(offer.named(name))
        case _:
            return choice


def _reference(tool: AnyTool) -> dict[str, Any]:
    if isinstance(tool, HostedTool):
        return {key: tool.data[key] for key in ("type", "server_label") if key in tool.data}
    return {"type": "custom" if isinstance(tool, CustomTool) else "function", "name": names.of_tool(tool)}


def _grouped(tools: list[AnyTool]) -> list[dict[str, Any]]:
    """The tools in order; those of a namespace together, where its first one stands."""
    said: list[dict[str, Any]] = []
    groups: dict[str, list[dict[str, Any]]] = {}
    for tool in tools:
        namespace = tool.namespace if isinstance(tool, Tool) else None
        if namespace is None:
            said.append(_tool(tool))
            continue
        if namespace not in groups:
            groups[namespace] = []
            said.append({
                "type": "namespace", "name": namespace, "description": f"The tools of {namespace}.",
                "tools": groups[namespace],
            })  # fmt: skip
        groups[namespace].append(_tool(tool))
    return said


def _tool(tool: AnyTool) -> dict[str, Any]:
    match tool:
        case HostedTool(data=data):
            return data
        case CustomTool():
            own = {"description": tool.description, "format": tool.format}
            return {"type": "custom", "name": names.of_tool(tool), **{key: own[key] for key in own if own[key]}}
        case Tool():
            return _function(tool)


def _function(tool: Tool) -> dict[str, Any]:
    """`strict` is always said: where it is not, the API decides by the schema. One that strictness cannot be had for
    is offered without (adapters/schemas.py)."""
    said: dict[str, Any] = {"type": "function", "name": names.of_tool(tool)}
    if tool.description:
        said["description"] = tool.description
    parameters = tool.parameters or EMPTY_SCHEMA
    strict = strict_schema(parameters, OPENAI) if tool.strict else None
    return {**said, "parameters": strict or parameters, "strict": strict is not None}


# --- the conversation -------------------------------------------------------------------------------------------


def _input(request: ModelRequest, row: Quirks) -> list[dict[str, Any]]:
    calls = {item.call_id: item for item in request.items if isinstance(item, FunctionCallItem)}
    items = _adjoined(request.items) if row["strict_pairing"] else request.items
    said = [item for each in items if (item := _item(each, request, row, calls)) is not None]
    return [item for item, led_on in zip(said, _led_on(said), strict=True) if led_on]


def _adjoined(items: list[OutputItem]) -> list[OutputItem]:
    """Each output right behind its call, wherever it stood."""
    outputs = {item.call_id: item for item in items if isinstance(item, FunctionCallOutputItem)}
    said: list[OutputItem] = []
    for item in items:
        if not isinstance(item, FunctionCallOutputItem):
            said.append(item)
        if isinstance(item, FunctionCallItem) and item.call_id in outputs:
            said.append(outputs[item.call_id])
    return said


def _led_on(said: list[dict[str, Any]]) -> list[bool]:
    """For each item: False where it is reasoning that no item of its turn came after, which the API refuses."""
    led: list[bool] = []
    after = False
    for item in reversed(said):
        if item["type"] != "reasoning":
            after = item.get("role", "assistant") == "assistant" and not item["type"].endswith("call_output")
        led.append(after or item["type"] != "reasoning")
    return led[::-1]


def _item(
    item: OutputItem, request: ModelRequest, row: Quirks, calls: Mapping[str, FunctionCallItem]
) -> dict[str, Any] | None:
    match item:
        case MessageItem():
            return _message(item, row)
        case ReasoningItem():
            return _reasoning_item(item, request)
        case FunctionCallItem():
            return _call(item, request)
        case FunctionCallOutputItem():
            return _output(item, calls.get(item.call_id), request)
        case ProviderItem(provider_type=kind, data=data) if kind in INPUT_ITEMS and isinstance(data, dict):
            return {**data, "type": kind}
        case _:
            return None


def _message(item: MessageItem, row: Quirks) -> dict[str, Any] | None:
    part = _assistant_part if item.origin == "agent" else _input_part
    content = [said for said in map(part, parts_of(item)) if said is not None]
    if not content:
        return None
    phase = {"phase": item.phase} if item.phase and item.origin == "agent" else {}
    role = "developer" if item.origin == "system" and row["developer_role"] else ROLES[item.origin]
    return {"type": "message", "role": role, "content": content, **phase}


def _assistant_part(part: Part) -> dict[str, Any] | None:
    """Text and refusals; the API takes no image or file back as the assistant's."""
    if isinstance(part, RefusalPart):
        return {"type": "refusal", "refusal": part.refusal}
    return {"type": "output_text", "text": part.text} if isinstance(part, TextPart) else None


def _input_part(part: Part) -> dict[str, Any]:
    return _INPUT_PARTS[type(part)](part)


def _image(part: ImagePart) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "input_image", "detail": part.detail or "auto"}
    if part.file_id:
        return {**said, "file_id": part.file_id}
    if part.url:
        return {**said, "image_url": part.url}
    raise InvalidRequest("an image needs a url or a file_id", field="input.parts.url")


def _file(part: FilePart) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "input_file"}
    if part.file_id:
        return {**said, "file_id": part.file_id}
    if part.url:
        return {**said, "file_url": part.url}
    if part.data:
        return {**said, "filename": part.filename or "file", "file_data": part.data}
    raise InvalidRequest("a file needs a url, data or a file_id", field="input.parts.data")


_INPUT_PARTS: dict[type, Callable[[Any], dict[str, Any]]] = {
    TextPart: lambda part: {"type": "input_text", "text": part.text},
    RefusalPart: lambda part: {"type": "input_text", "text": part.refusal},
    ImagePart: _image,
    FilePart: _file,
}


def _reasoning_item(item: ReasoningItem, request: ModelRequest) -> dict[str, Any] | None:
    data = returned(item.opaque, "encrypted_content", request)
    if data is None:
        return None
    summary = [{"type": "summary_text", "text": text} for text in item.summary_parts or ()]
    own_text = item.content if not summary else ""  # beside a summary, `content` repeats it
    content = {"content": [{"type": "reasoning_text", "text": own_text}]} if own_text else {}
    own_id = item.correlation_id or item.id  # the provider's, also where the run knows the item by another
    named = {"id": own_id} if REASONING_ID.fullmatch(own_id) else {}  # another would be refused, and none is missed
    return {"type": "reasoning", **named, "summary": summary, **content, "encrypted_content": data}


def _call(item: FunctionCallItem, request: ModelRequest) -> dict[str, Any]:
    said = {"call_id": _call_id(item.call_id), "name": names.of(item.name), **caller_of(item, request)}
    if item.namespace:
        said["namespace"] = item.namespace
    if item.kind == "custom":
        return {"type": "custom_tool_call", **said, "input": item.arguments}
    return {"type": "function_call", **said, "arguments": item.arguments or "{}"}


def _call_id(call_id: str) -> str:
    return fit_id(call_id, CALL_ID, 40)


def _output(item: FunctionCallOutputItem, call: FunctionCallItem | None, request: ModelRequest) -> dict[str, Any]:
    """The output, in the kind and with the caller of its call."""
    parts = answer(item)
    return {
        "type": "custom_tool_call_output" if call and call.kind == "custom" else "function_call_output",
        "call_id": _call_id(item.call_id),
        "output": text_of(parts) if all(map(is_text, parts)) else [_input_part(part) for part in parts],
        **(caller_of(call, request) if call else {}),
    }
