"""A run as one chat completion: what its chunks add up to (https://platform.openai.com/docs/api-reference/chat/object)."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from tailrace.dialects.chat.speech import LISTS, Json, Piece, message_pieces, reasoning_pieces
from tailrace.dialects.chat.words import BETWEEN, Echo, call_of, finish_of, usage_of
from tailrace.schema import codec
from tailrace.schema.items import (
    CancelledItem,
    ErrorItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    OutputItem,
    ReasoningItem,
)
from tailrace.schema.request import RunRequest
from tailrace.schema.response import Response

REASONING = frozenset({"reasoning_content", "reasoning_details"})


def whole(response: Response, request: RunRequest) -> bytes:
    """The completion, as JSON, of a run that has ended well."""
    echo = codec.convert(request.asked or {}, Echo)
    given = {item.id for item in request.input}
    items = [item for item in response.output_items if item.id not in given]
    said = _said(items)
    calls = _calls(items)
    logprobs = said.pop("logprobs", None)
    body: Json = {
        "id": response.id,
        "object": "chat.completion",
        "created": response.created_at // 1000,
        "model": echo.model or response.model_id,
        "choices": [
            {
                "index": 0,
                "message": _message(said, calls, legacy=echo.legacy),
                "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
                "finish_reason": finish_of(
                    response.finish_reason or "stop",
                    calls=_unanswered(items),
                    refused="refusal" in said,
                    legacy=echo.legacy,
                ),
            }
        ],
    }
    if response.usage is not None:
        body["usage"] = usage_of(response.usage)
    return codec.encode(body)


def _message(said: Json, calls: list[Json], *, legacy: bool) -> Json:
    """An answer without a word is empty, and not missing."""
    empty = "" if not calls and said.keys() <= REASONING else None
    message: Json = {"role": "assistant", "content": empty, "refusal": None, **said}
    if calls and legacy:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def _said(items: Iterable[OutputItem]) -> Json:
    """The texts and lists of messages and reasoning, by field."""
    said: dict[str, Any] = {}
    for field, value in _pieces(items):
        if not value:
            continue
        if field in LISTS:
            said[field] = [*said.get(field, ()), *value]
        else:
            said[field] = f"{said[field]}{BETWEEN}{value}" if field in said else value
    return said


def _pieces(items: Iterable[OutputItem]) -> Iterable[Piece]:
    found = [_kept(item) for item in items]
    thoughts = [item for item in found if isinstance(item, ReasoningItem)]
    return chain(
        *(message_pieces(item) for item in found if isinstance(item, MessageItem)),
        *(reasoning_pieces(item, place) for place, item in enumerate(thoughts)),
    )


def _kept(item: OutputItem) -> OutputItem | None:
    """The item as far as it came."""
    return item.partial if isinstance(item, ErrorItem | CancelledItem) else item


def _calls(items: Iterable[OutputItem]) -> list[Json]:
    calls = [item for item in map(_kept, items) if isinstance(item, FunctionCallItem) and item.name and item.call_id]
    return [
        call_of(item.call_id, item.name, item.arguments, custom=item.kind == "custom") for item in calls
    ]  # fmt: skip


def _unanswered(items: Sequence[OutputItem]) -> bool:
    answered = {item.call_id for item in items if isinstance(item, FunctionCallOutputItem)}
    return any(isinstance(item, FunctionCallItem) and item.call_id not in answered for item in items)
