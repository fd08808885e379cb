"""`POST /v1/messages` and `POST /v1/messages/count_tokens` (contract §5), as Anthropic's API has them.

The headers `anthropic-version` and `anthropic-beta` and the query `beta` are taken and change nothing: what a request
asks for stands in its body. The client keeps the conversation and sends all of it each time, so that each request opens
a thread of ours. Where it asks to `continue` one instead (the vendor's message threads, which its SDK's helpers use),
the run goes on from the stored message that it names. A run is stored, goes on when the client goes away, and is
readable under its id (`msg_…`, the message's id and the header `request-id`) at `/api/v2/stream`, in this dialect and
in others.
"""

from collections.abc import Collection, Mapping
from typing import Any

from litestar import Request, post
from litestar.types import ASGIApp
from msgspec import Struct

from tailrace.api.services import Injected, Services
from tailrace.api.v1.asking import previous_run
from tailrace.api.v1.envelopes import MESSAGES as ENVELOPE
from tailrace.api.v1.exchange import Asked, exchange
from tailrace.dialects.base import Frame
from tailrace.dialects.messages.body import Body, Prompt, read
from tailrace.dialects.messages.conversation import Home, items_of
from tailrace.dialects.messages.count import tokens_of
from tailrace.dialects.messages.encode import MESSAGES, PING
from tailrace.dialects.messages.request import WIRE, generation_of, opening
from tailrace.dialects.messages.whole import WholeMessage
from tailrace.schema import codec
from tailrace.schema.errors import Conflict, InvalidRequest, NotFound
from tailrace.schema.items import FunctionCallItem, OutputItem
from tailrace.schema.request import RunRequest
from tailrace.upstream.registry import Provider

KEEP_ALIVE = Frame(0, "ping", codec.encode(PING)).bare()


class TokenCount(Struct, frozen=True):
    """What a request would cost."""

    input_tokens: int


@post("/v1/messages", status_code=200)
async def create_message(request: Request[Any, Any, Any], services: Injected) -> ASGIApp:
    """Answer a conversation, as Anthropic's Messages do; streamed where `stream` is true."""
    return await answer(services, await request.body(), request.headers)


async def answer(services: Services, sent: bytes, headers: Mapping[str, str]) -> ASGIApp:
    """The answer to this body under these headers, whose names are in lower case. Raises RequestError."""
    body = read(sent, Body)
    run, message = await _run(services, body), WholeMessage()
    asked = Asked(
        request=run,
        dialect=MESSAGES,
        stream=body.stream,
        whole=message.whole,
        watch=message.take,
        envelope=ENVELOPE,
        keep_alive=KEEP_ALIVE,
        headers={"request-id": run.run_id},
    )
    return await exchange(services, asked, headers)


@post("/v1/messages/count_tokens", status_code=200)
async def count_tokens(request: Request[Any, Any, Any], services: Injected) -> TokenCount:
    """What a request would cost in input tokens: an estimate (dialects/messages/count.py says by which rule)."""
    body = read(await request.body(), Prompt)
    provider, model_id = _resolve(services, body.model)
    _items(body, provider, model_id)
    return TokenCount(tokens_of(body))


async def _run(services: Services, body: Body) -> RunRequest:
    """The canonical request: the client runs the tools, and comes back with their outputs.

    Raises NotFound, Conflict, InvalidRequest.
    """
    provider, model_id = _resolve(services, body.model)
    before = await _before(services, body)
    calls: list[str] = []
    if before is not None:
        known = await services.reader.response(before.run_id)
        calls = [item.call_id for item in known.output_items if isinstance(item, FunctionCallItem)]
    return RunRequest(
        run_id=services.new_id("msg"),
        turn_id=services.new_id("turn"),
        thread_id=before.thread_id if before else services.new_id("thread"),
        opens_thread=before is None,
        previous_run_id=before.run_id if before else None,
        provider_id=provider.provider_id,
        model_id=model_id,
        input=_items(body, provider, model_id, calls),
        generation=generation_of(body, provider.wire, before.generation if before else None),
        on_calls="end",
        protocol="messages",
        asked={"model": body.model},
    )


async def _before(services: Services, body: Body) -> RunRequest | None:
    """The run that the request goes on from. Raises NotFound and Conflict, with the codes at which the vendor's SDK
    sends its whole conversation anew."""
    if body.thread is None or body.thread.type == "create":
        return None
    message_id = body.thread.previous_message_id or ""
    try:
        return (await previous_run(services, message_id)).request
    except InvalidRequest as error:
        if error.details.get("code") == "previous_response_not_found":
            raise NotFound(f"no message {message_id!r} is kept", error_code="thread_not_found") from error
        message = f"message {message_id!r} has not ended yet"
        raise Conflict(message, error_code="thread_continue_in_flight") from error


def _items(body: Prompt, provider: Provider, model_id: str, calls: Collection[str] = ()) -> list[OutputItem]:
    first = opening(body)
    home = Home(provider.provider_id, model_id, provider.wire == WIRE)
    return items_of(body.messages[first:], home, first, calls)


def _resolve(services: Services, model: str) -> tuple[Provider, str]:
    """Raises NotFound: a model that nobody has is not found, in this protocol."""
    try:
        return services.registry.resolve(model, None)
    except InvalidRequest as error:
        raise NotFound(f"model: {model}: {error.message}") from error
