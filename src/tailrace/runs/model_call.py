"""One model call: request out, events in, with retries while nobody has seen anything."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from tailrace.adapters.base import DecodeContext, Decoder
from tailrace.adapters.wires import WIRES
from tailrace.runs.writer import RunWriter
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest, ProviderError
from tailrace.schema.events import Payload, TraceContext
from tailrace.schema.request import ModelRequest
from tailrace.upstream.auth import SCHEMES, Unsigned
from tailrace.upstream.http import Call, Session, Timeouts
from tailrace.upstream.registry import Provider, key_of
from tailrace.upstream.retry import RetryPolicy
from tailrace.upstream.transport import Reply, Transport


@dataclass(frozen=True, slots=True)
class ModelCaller:
    """Calls models. `environ` holds the providers' keys, which go into headers and nowhere else (design rule 9)."""

    upstream: Transport
    timeouts: Timeouts
    retries: RetryPolicy
    environ: Mapping[str, str]

    async def call(
        self, provider: Provider, request: ModelRequest, step: int, writer: RunWriter, trace: TraceContext
    ) -> None:
        """Carry out step `step`, whose `step_start` is in the log, up to its `step_done`. Raises ProviderError.

        Retries share one budget of attempts and time, and happen only while nothing visible has reached the log.
        """
        call = await self._prepare(provider, request, trace)
        clock = asyncio.get_running_loop().time
        began, seen = clock(), len(writer.state.item_ids)
        for attempt in count(1):
            try:
                await self._attempt(provider, request, step, call, writer, trace)
                return
            except ProviderError as error:
                elapsed = clock() - began
                delay = self.retries.delay(error, attempt=attempt, elapsed_s=elapsed, random=random.random)
                if delay is None or len(writer.state.item_ids) > seen:
                    raise
                await asyncio.sleep(delay)

    async def prewarm(self, provider: Provider, request: ModelRequest, trace: TraceContext) -> None:
        """A call like `request`, but for its items, is about to be made. Raises ProviderError."""
        if provider.transport == "websocket":
            self.upstream.prewarm(await self._to(provider, request, b"", trace))

    async def _prepare(self, provider: Provider, request: ModelRequest, trace: TraceContext) -> Call:
        wire = WIRES[provider.wire]
        try:
            body = wire.build(request, provider.quirks)
        except InvalidRequest as error:
            raise ProviderError("invalid_request", error.message, details=error.details) from error
        return await self._to(provider, request, codec.encode(body), trace)

    async def _to(self, provider: Provider, request: ModelRequest, body: bytes, trace: TraceContext) -> Call:
        """The call, signed. Raises ProviderError."""
        wire = WIRES[provider.wire]
        url = provider.base_url.rstrip("/") + wire.path(request.model_id, True)
        unsigned = Unsigned(url, body, key_of(provider, self.environ), self.environ)
        signed = await SCHEMES[provider.auth or wire.auth](unsigned)
        own = wire.request_headers(request, provider.quirks)
        headers = {**wire.headers, **own, **signed, **provider.headers, "traceparent": trace.traceparent}
        session = _session(provider, request) if provider.transport == "websocket" else None
        return Call(url=url, headers=headers, body=body, stream=True, session=session)

    async def _attempt(
        self,
        provider: Provider,
        request: ModelRequest,
        step: int,
        call: Call,
        writer: RunWriter,
        trace: TraceContext,
    ) -> None:
        context = DecodeContext(
            provider_id=request.provider_id,
            model_id=request.model_id,
            response_id=writer.run_id,
            step=step,
            id_prefix=f"item_{step}_",
            taken_ids=frozenset(writer.state.item_ids),
            callees=WIRES[provider.wire].callees(request.generation),
        )
        decoder = WIRES[provider.wire].decoder(context)
        async with self.upstream.open(call, self.timeouts) as reply:
            await _pump(decoder, reply, writer, trace)
        if decoder.error is not None:
            raise decoder.error


def _session(provider: Provider, request: ModelRequest) -> Session:
    """A client that keeps its conversation itself asks in a new thread each time, but may say what they have in
    common."""
    conversation = request.generation.prompt_cache_key or request.thread_id
    return Session(provider.provider_id, request.model_id, conversation)


async def _pump(decoder: Decoder, reply: Reply, writer: RunWriter, trace: TraceContext) -> None:
    """Each network read becomes one append, so that cost per event falls as load rises (design, "How a run goes").

    It does so in the callback that brings it, where the log can take it there and then: to have this task woken costs
    as much as the decoding. The task goes on where something is left to wait for.
    """

    def take(data: bytes) -> bool:
        payloads: list[Payload] = decoder.feed(data) if data else decoder.close()
        if not payloads:
            return not decoder.done
        reply.progress()
        return writer.offer(payloads, trace) and not decoder.done

    more = True
    while more and not decoder.done:
        more = await reply.feed(take)
        await writer.settle()
    reply.is_complete = decoder.error is None
