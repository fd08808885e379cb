"""`POST /v1/chat/completions` (contract §5)."""

from collections.abc import Mapping
from typing import Any

from litestar import Request, post
from litestar.types import ASGIApp

from tailrace.api.services import Injected, Services
from tailrace.api.v1.envelopes import CHAT as ENVELOPE
from tailrace.api.v1.exchange import Asked, exchange
from tailrace.dialects.chat.encode import CHAT
from tailrace.dialects.chat.request import ChatRequest, read
from tailrace.dialects.chat.whole import whole
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.request import RunRequest


@post("/v1/chat/completions", status_code=200)
async def create_completion(request: Request[Any, Any, Any], services: Injected) -> ASGIApp:
    """Answer a conversation, as OpenAI's Chat Completions do; streamed where `stream` is true.

    The run is like any other: stored unless `store` is false, and readable under its id (`chatcmpl-…`) at
    `/api/v2/stream`, in this dialect and in others.
    """
    return await answer(services, await request.body(), request.headers)


async def answer(services: Services, sent: bytes, headers: Mapping[str, str]) -> ASGIApp:
    """The answer to this body under these headers, whose names are in lower case. Raises RequestError."""
    asked = read(sent)
    run = _run(services, asked)
    return await exchange(
        services, Asked(request=run, dialect=CHAT, stream=asked.stream, whole=whole, envelope=ENVELOPE), headers
    )


def _run(services: Services, asked: ChatRequest) -> RunRequest:
    """The canonical request: the client keeps the conversation, runs the tools, and comes back with their outputs.

    Raises InvalidRequest.
    """
    provider, model_id = services.registry.resolve(asked.model, None)
    for wire, fields in (asked.generation.extra or {}).items():
        if wire != provider.wire:
            raise InvalidRequest(f"provider {provider.provider_id!r} has no word for it", field=next(iter(fields)))
    return RunRequest(
        run_id=services.new_id("chatcmpl").replace("_", "-", 1),
        turn_id=services.new_id("turn"),
        thread_id=services.new_id("thread"),
        opens_thread=True,
        provider_id=provider.provider_id,
        model_id=model_id,
        input=asked.input,
        generation=asked.generation,
        metadata=asked.metadata,
        on_disconnect="continue" if asked.store else "cancel",
        on_calls="end",
        protocol="chat",
        asked=codec.to_builtins(asked.echo),
        store=asked.store,
    )
