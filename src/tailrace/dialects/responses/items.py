"""Canonical items in the words of the Responses API (its ItemField; OpenAI API reference, the response object).

Ids are the log's where the provider gave one of the API's own form; others are made of the response's id and the log's,
so that an id names one item of one response, in the length that the API allows (64 characters).
"""

from collections.abc import Callable
from hashlib import sha1
from typing import Any, Literal

from tailrace.dialects.responses.sealed import seal, seal_items
from tailrace.fold.compaction import CREATED_BY, TYPE, compaction_of
from tailrace.schema.items import (
    CancelledItem,
    ErrorItem,
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

Json = dict[str, Any]
ItemStatus = Literal["in_progress", "completed", "incomplete"]

PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco"}
_OWN = ("msg_", "rs_", "fc_", "fco_", "ctc_", "ctco_", "cmp_")
ROLES = {"user": "user", "agent": "assistant", "system": "system"}

# A provider's own items that the API has a type for (openai SDK, ResponseOutputItem); others stay in the native view.
PROVIDER_ITEMS = frozenset({
    "apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "compaction", "computer_call",
    "computer_call_output", "file_search_call", "image_generation_call", "local_shell_call", "local_shell_call_output",
    "mcp_approval_request", "mcp_approval_response", "mcp_call", "mcp_list_tools", "program", "program_output",
    "shell_call", "shell_call_output", "tool_search_call", "tool_search_output", "web_search_call",
})  # fmt: skip


def item_id(log_id: str, item_type: str, response_id: str) -> str:
    """The item's id in this dialect."""
    if log_id.startswith(_OWN):
        return log_id
    digest = sha1(f"{response_id}/{log_id}".encode(), usedforsecurity=False).hexdigest()
    return f"{PREFIXES.get(item_type, 'item')}_{digest}"


def said_item(item: OutputItem, response_id: str, *, sealed: bool, status: ItemStatus = "completed") -> Json | None:
    """The item as it stands in an `output` or in a list of items; None where the API has no word for it.

    `sealed`: with the continuation data of reasoning. What failed or was called off is as incomplete as it came.
    """
    if isinstance(item, ErrorItem | CancelledItem):
        return said_item(item.partial, response_id, sealed=sealed, status="incomplete") if item.partial else None
    write = _WRITERS.get(type(item))
    return write(item, response_id, sealed, status) if write is not None else None


def _message(item: MessageItem, response_id: str, _sealed: bool, status: ItemStatus) -> Json:
    write = output_part if item.origin == "agent" else input_part
    content = [said for part in parts_of(item) if (said := write(part)) is not None]
    said = {
        "id": item_id(item.id, "message", response_id),
        "type": "message",
        "status": status,
        "role": ROLES[item.origin],
        "content": content,
    }
    return {**said, "phase": item.phase} if item.phase else said


def parts_of(item: MessageItem) -> list[Part]:
    """What a message is made of; plain text is one part."""
    return item.parts if item.parts is not None else [TextPart(text=item.content)]


def output_part(part: Part) -> Json | None:
    """A part of what the model said; it says text and refusals only."""
    if isinstance(part, TextPart):
        return text_part(part.text, part.annotations, part.logprobs)
    return refusal_part(part.refusal) if isinstance(part, RefusalPart) else None


def text_part(text: str, annotations: list[Json] | None = None, logprobs: list[Any] | None = None) -> Json:
    """An `output_text`."""
    return {"type": "output_text", "text": text, "annotations": annotations or [], "logprobs": logprobs or []}


def refusal_part(refusal: str) -> Json:
    """A `refusal`."""
    return {"type": "refusal", "refusal": refusal}


def input_part(part: Part) -> Json:
    """A part of what the model is given."""
    match part:
        case TextPart():
            return {"type": "input_text", "text": part.text}
        case RefusalPart():
            return refusal_part(part.refusal)
        case ImagePart():
            place = {"file_id": part.file_id} if part.file_id else {"image_url": part.url}
            return {"type": "input_image", "detail": part.detail or "auto", **place}
        case FilePart():
            known = {
                "file_id": part.file_id,
                "file_url": part.url,
                "file_data": part.data,
                "filename": part.filename,
            }
            return {"type": "input_file", **{name: value for name, value in known.items() if value is not None}}


def _reasoning(item: ReasoningItem, response_id: str, sealed: bool, status: ItemStatus) -> Json:
    summaries = item.summary_parts or []
    own_text = item.content if not summaries else ""  # beside a summary, `content` repeats it
    said: Json = {
        "id": item_id(item.id, "reasoning", response_id),
        "type": "reasoning",
        "status": status,
        "summary": [summary_part(text) for text in summaries],
        "content": [reasoning_part(own_text)] if own_text else [],
    }
    if sealed and item.opaque is not None:
        said["encrypted_content"] = seal(item.opaque, item.correlation_id or item.id)
    return said


def summary_part(text: str) -> Json:
    """A `summary_text`."""
    return {"type": "summary_text", "text": text}


def reasoning_part(text: str) -> Json:
    """A `reasoning_text`."""
    return {"type": "reasoning_text", "text": text}


def _call(item: FunctionCallItem, response_id: str, _sealed: bool, status: ItemStatus) -> Json:
    said = {
        "id": item_id(item.id, "function_call", response_id),
        "type": call_type(item.kind == "custom"),
        "status": status,
        "call_id": item.call_id,
        "name": item.name,
        "input" if item.kind == "custom" else "arguments": item.arguments,
    }
    return {**said, "namespace": item.namespace} if item.namespace else said


def call_type(is_custom: bool) -> str:
    """The item type of a call."""
    return "custom_tool_call" if is_custom else "function_call"


def _output(item: FunctionCallOutputItem, response_id: str, _sealed: bool, status: ItemStatus) -> Json:
    return {
        "id": item_id(item.id, "function_call_output", response_id),
        "type": "function_call_output",
        "status": status if item.success else "incomplete",
        "call_id": item.call_id,
        "output": [input_part(part) for part in item.parts] if item.parts else item.output,
    }


def _provider_item(item: ProviderItem, response_id: str, _sealed: bool, _status: ItemStatus) -> Json | None:
    """As its provider has it; the id is the log's, which is unique in the run. A compaction of ours is sealed, so that
    it comes back as it went."""
    if compaction_of(item) is not None:
        sealed = seal_items([item])
        return {"id": item.id, "type": TYPE, "encrypted_content": sealed, "created_by": CREATED_BY}
    if item.provider_type not in PROVIDER_ITEMS or not isinstance(item.data, dict):
        return None
    return {**item.data, "id": item.id, "type": item.provider_type}


_WRITERS: dict[type, Callable[[Any, str, bool, ItemStatus], Json | None]] = {
    MessageItem: _message,
    ReasoningItem: _reasoning,
    FunctionCallItem: _call,
    FunctionCallOutputItem: _output,
    ProviderItem: _provider_item,
}
