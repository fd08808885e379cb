"""A provider's recorded answer as a run's events, with fixed ids and times, so that the output is reproducible."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tailrace.adapters.base import DecodeContext, Decoder
from tailrace.adapters.errors import names_error
from tailrace.adapters.reading import LEADING
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, ProviderError
from tailrace.schema.events import (
    ItemCancelled,
    ItemDone,
    ItemError,
    ItemStart,
    Payload,
    ResponseDone,
    ResponseError,
    ResponseStart,
    StepDone,
    StepStart,
    UsageUpdate,
)
from tailrace.schema.response import Usage

RUN_ID = "run"


def decode_events(
    decoder: Callable[[DecodeContext], Decoder],
    data: bytes,
    *,
    whole: bool = False,
    chunk: int | None = None,
    context: DecodeContext | None = None,
) -> list[Payload]:
    """All events of the run that `data` would be the one answer of.

    `whole`: it is a non-streaming body. `chunk`: the stream is fed that many bytes at a time. Raises ProviderError
    where the bytes are no answer at all, but an error's body.
    """
    context = replace(context or DecodeContext(provider_id="provider", model_id="model"), response_id=RUN_ID)
    decoding = decoder(context)
    payloads = decoding.whole(data) if whole else list(_fed(decoding, data, chunk))
    if decoding.error is not None and not payloads and _is_error_body(data):
        raise decoding.error
    return [
        ResponseStart(
            response_id=RUN_ID,
            turn_id="turn",
            thread_id="thread",
            model_id=context.model_id,
            provider_id=context.provider_id,
            created_at=0,
        ),
        StepStart(step=context.step, provider_id=context.provider_id, model_id=context.model_id),
        *payloads,
        *_ending(payloads, decoding.error, context),
    ]


def _fed(decoder: Decoder, data: bytes, chunk: int | None) -> Iterator[Payload]:
    size = chunk or max(len(data), 1)
    for start in range(0, len(data), size):
        yield from decoder.feed(data[start : start + size])
    yield from decoder.close()


def _is_error_body(data: bytes) -> bool:
    body = data.lstrip(LEADING)
    if body.startswith(b"<"):
        return True
    try:
        return names_error(codec.decode_any(body))
    except (InvalidJson, RecursionError):
        return False


def _ending(payloads: list[Payload], error: ProviderError | None, context: DecodeContext) -> Iterator[Payload]:
    if error is None:
        done = next(payload for payload in reversed(payloads) if isinstance(payload, StepDone))
        yield ResponseDone(response_id=RUN_ID, status="complete", finish_reason=done.finish_reason, usage=done.usage)
        return
    for item_id in _open_items(payloads):
        yield ItemCancelled(item_id=item_id, reason="interrupted")
    yield StepDone(
        step=context.step,
        provider_id=context.provider_id,
        model_id=context.model_id,
        finish_reason="error",
        usage=_last_usage(payloads),
    )
    yield ResponseError(response_id=RUN_ID, error=error.info())


def _open_items(payloads: list[Payload]) -> list[str]:
    """The items that have begun and not ended, in the order in which they began."""
    ended = {payload.item_id for payload in payloads if isinstance(payload, ItemDone | ItemError | ItemCancelled)}
    begun = [payload.item_id for payload in payloads if isinstance(payload, ItemStart)]
    return [item_id for item_id in begun if item_id not in ended]


def _last_usage(payloads: list[Payload]) -> Usage | None:
    return next((payload.usage for payload in reversed(payloads) if isinstance(payload, UsageUpdate)), None)
