"""What every wire asks of the canonical request before it says it in its own words.

Two things no wire is told: error and cancelled items (what they leave worth saying, `runs.history` has made a message),
and script items, which are Tailrace's own.
"""

import re
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from tailrace.adapters.base import Quirks
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, InvalidRequest
from tailrace.schema.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    Opaque,
    Part,
    RefusalPart,
    TextPart,
)
from tailrace.schema.request import Generation, ModelRequest, NamedToolChoice, ToolChoice

Rows = tuple[tuple[str, Quirks], ...]  # (what a model's id matches, how it differs), the first match counts

EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}
FAILED = TextPart(text="The tool call failed:")


def look_up(model_id: str, defaults: Quirks, models: Rows, quirks: Quirks) -> Quirks:
    """The wire's defaults, overridden by the model's row, overridden by the provider's quirks."""
    row = next((row for pattern, row in models if re.search(pattern, model_id)), {})
    return {**defaults, **row, **quirks}


def returned(opaque: Opaque | None, kind: str, request: ModelRequest) -> str | None:
    """Continuation data of this `kind`, only where it came from this very provider and model (contract §1)."""
    if opaque is None or opaque.kind != kind:
        return None
    home = (opaque.provider_id, opaque.model_id) == (request.provider_id, request.model_id)
    return opaque.data if home else None


def parts_of(item: MessageItem | FunctionCallOutputItem) -> list[Part]:
    """What the item says, part by part; its plain text where that is all, or where the parts do not repeat it."""
    text = item.content if isinstance(item, MessageItem) else item.output
    parts = item.parts or []
    if text.strip() and not any(isinstance(part, TextPart | RefusalPart) for part in parts):
        return [TextPart(text=text), *parts]
    return list(parts)


def answer(item: FunctionCallOutputItem) -> list[Part]:
    """A tool's answer for wires that have no word for failure: the text says it, so that `success` is not lost."""
    return parts_of(item) if item.success else [FAILED, *parts_of(item)]


def text_of(parts: Sequence[Part]) -> str:
    """The text among these parts, a line each."""
    texts = (part for part in parts if isinstance(part, TextPart | RefusalPart))
    return "\n".join(part.text if isinstance(part, TextPart) else part.refusal for part in texts)


def is_text(part: Part) -> bool:
    """Is this part text, a refusal included?"""
    return isinstance(part, TextPart | RefusalPart)


def split_data_url(url: str, field: str) -> tuple[str, str]:
    """The media type and the base64 text of a data URL (RFC 2397). Raises InvalidRequest for any other form."""
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise InvalidRequest("a data URL must be of the form data:<media type>;base64,<data>", field=field)
    return head.removeprefix("data:").split(";", 1)[0], data


def arguments_of(call: FunctionCallItem) -> dict[str, Any]:
    """A call's arguments as the object that a wire wants: {} for none, and what is no object is said to be none."""
    if call.kind == "custom":
        return {"input": call.arguments}
    if not call.arguments.strip():
        return {}
    try:
        value = codec.decode_any(call.arguments)
    except (InvalidJson, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"malformed_arguments": call.arguments}


def caller_of(call: FunctionCallItem, request: ModelRequest) -> dict[str, Any]:
    """Who called, where it was not the model itself but a program of its: said again with the call."""
    caller = returned(call.opaque, "caller", request)
    return {"caller": codec.decode_any(caller)} if caller is not None else {}


def fit_id(call_id: str, pattern: re.Pattern[str], length: int) -> str:
    """A call's id as a wire takes it: itself where it matches, else up to `length` hex digits that only it gives."""
    return call_id if pattern.fullmatch(call_id) else sha1(call_id.encode(), usedforsecurity=False).hexdigest()[:length]


def tool_choice_of(generation: Generation) -> ToolChoice | None:
    """The choice to send; None where there is nothing to say. Raises InvalidRequest where it cannot be met."""
    choice, offered = generation.tool_choice, [tool.name for tool in generation.tools or ()]
    forced = choice == "required" or isinstance(choice, NamedToolChoice)
    if forced and not offered:
        raise InvalidRequest("tool_choice asks for a call, but no tools are offered", field="tool_choice")
    if isinstance(choice, NamedToolChoice) and choice.name not in offered:
        raise InvalidRequest(f"tool_choice names {choice.name!r}, which is not offered", field="tool_choice")
    return choice if offered else None


def bearer(key: str | None) -> dict[str, str]:
    """The headers of the OpenAI wires."""
    return {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
