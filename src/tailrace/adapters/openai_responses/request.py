"""The canonical request in the words of the Responses API: `POST {base_url}/responses`.

Stateless: `store` is false and the whole conversation is sent, with each reasoning item's encrypted content under the
id it came with (https://platform.openai.com/docs/guides/reasoning). Messages and calls go without ids: an id makes
the API look for the reasoning that stood before it, which is not there after a change of model.

A provider's own items go back as they came where their type is an input item of this API. They carry no provider, so
that history has left out those of other providers (`runs.history`); the type tells the wire.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import (
    EMPTY_SCHEMA,
    answer,
    bearer,
    caller_of,
    fit_id,
    is_text,
    look_up,
    parts_of,
    returned,
    text_of,
    tool_choice_of,
)
from tailrace.adapters.effort import effort_of
from tailrace.adapters.openai_responses.quirks import DEFAULTS, MODELS
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
from tailrace.schema.request import Generation, ModelRequest, NamedToolChoice, Tool

PATH = "/responses"
headers = bearer

ROLES = {"user": "user", "agent": "assistant", "system": "developer"}
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
    generation = request.generation
    body: dict[str, Any] = {
        "model": request.model_id,
        "input": _input(request),
        "stream": request.stream,
        "store": False,
        **_reasoning(generation, row),
        **_tools(generation),
    }
    if generation.instructions:
        body["instructions"] = generation.instructions
    if generation.max_output_tokens is not None:
        body["max_output_tokens"] = generation.max_output_tokens
    if generation.temperature is not None:
        body["temperature"] = generation.temperature
    return body


def _reasoning(generation: Generation, row: Quirks) -> dict[str, Any]:
    """An effort, by word or by budget: the wire has no budget, and the nearest effort is its equivalent."""
    effort = effort_of(generation)
    if not row["reasons"]:
        if effort not in (None, "none"):
            field = "reasoning_effort" if generation.reasoning_effort else "thinking_budget"
            raise InvalidRequest("the model does not reason", field=field)
        return {}
    asked: dict[str, Any] = {"include": ["reasoning.encrypted_content"]}
    if effort is not None:
        summary = row["reasoning_summary"] if effort != "none" else ""
        asked["reasoning"] = {"effort": effort, **({"summary": summary} if summary else {})}
    return asked


def _tools(generation: Generation) -> dict[str, Any]:
    choice = tool_choice_of(generation)
    if not generation.tools:
        return {}
    body: dict[str, Any] = {"tools": [_tool(tool) for tool in generation.tools]}
    if isinstance(choice, NamedToolChoice):
        body["tool_choice"] = {"type": "function", "name": choice.name}
    elif choice is not None:
        body["tool_choice"] = choice
    return body


def _tool(tool: Tool) -> dict[str, Any]:
    """`strict` is always said: where it is not, the API takes it to be true and refuses most schemas."""
    said: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description:
        said["description"] = tool.description
    return {**said, "parameters": tool.parameters or EMPTY_SCHEMA, "strict": bool(tool.strict)}


def _input(request: ModelRequest) -> list[dict[str, Any]]:
    calls = {item.call_id: item for item in request.items if isinstance(item, FunctionCallItem)}
    said = (_item(item, request, calls) for item in request.items)
    return [item for item in said if item is not None]


def _item(item: OutputItem, request: ModelRequest, calls: Mapping[str, FunctionCallItem]) -> dict[str, Any] | None:
    match item:
        case MessageItem():
            return _message(item)
        case ReasoningItem():
            return _reasoning_item(item, request)
        case FunctionCallItem():
            return _call(item, request)
        case FunctionCallOutputItem():
            return _output(item, calls.get(item.call_id), request)
        case ProviderItem(provider_type=kind, data=data) if kind in INPUT_ITEMS and isinstance(data, dict):
            return data
        case _:
            return None


def _message(item: MessageItem) -> dict[str, Any] | None:
    part = _assistant_part if item.origin == "agent" else _input_part
    content = [said for said in map(part, parts_of(item)) if said is not None]
    if not content:
        return None
    phase = {"phase": item.phase} if item.phase and item.origin == "agent" else {}
    return {"type": "message", "role": ROLES[item.origin], "content": content, **phase}


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
    return {"type": "reasoning", "id": own_id, "summary": summary, **content, "encrypted_content": data}


def _call(item: FunctionCallItem, request: ModelRequest) -> dict[str, Any]:
    said = {"call_id": _call_id(item.call_id), "name": item.name, **caller_of(item, request)}
    if item.kind == "custom":
        return {"type": "custom_tool_call", **said, "input": item.arguments}
    namespace = {"namespace": item.namespace} if item.namespace else {}
    return {"type": "function_call", **said, **namespace, "arguments": item.arguments or "{}"}


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
