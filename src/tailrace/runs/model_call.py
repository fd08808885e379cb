"""One model call: request out, events in, with retries while nobody has seen anything."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

from msgspec.structs import replace

from tailrace.adapters.base import DecodeContext, Decoder
from tailrace.adapters.pricing import Pricing
from tailrace.adapters.wires import WIRES
from tailrace.runs.writer import RunWriter
from tailrace.schema.errors import ProviderError
from tailrace.schema.events import Payload, TraceContext
from tailrace.schema.request import ModelRequest
from tailrace.upstream.http import Reply, Timeouts, Upstream
from tailrace.upstream.prepare import prepare
from tailrace.upstream.prices import price_of
from tailrace.upstream.registry import Provider
from tailrace.upstream.retry import RetryPolicy
from tailrace.upstream.traffic import Traffic, Turn


@dataclass(frozen=True, slots=True)
class ModelCaller:
    """Calls models. `environ` holds the providers' keys, which go into headers and nowhere else (design rule 9)."""

    upstream: Upstream
    timeouts: Timeouts
    retries: RetryPolicy
    environ: Mapping[str, str] = field(repr=False)
    traffic: Traffic

    async def call(
        self, provider: Provider, request: ModelRequest, step: int, writer: RunWriter, trace: TraceContext
    ) -> None:
        """Carry out step `step`, whose `step_start` is in the log, up to its `step_done`. Raises ProviderError.

        Retries share one budget of attempts and time, and happen only while nothing visible has reached the log.
        """
        turn = self.traffic.turn(provider, writer.thread_id)
        clock = asyncio.get_running_loop().time
        began, seen = clock(), len(writer.state.item_ids)
        for attempt in count(1):
            try:
                await self._attempt(provider, request, step, turn, writer, trace)
                return
            except ProviderError as error:
                elapsed = clock() - began
                delay = self.retries.delay(
                    error, attempt=attempt, elapsed_s=elapsed, random=random.random, elsewhere=turn.elsewhere(error)
                )
                if delay is None or len(writer.state.item_ids) > seen:
                    raise
                await asyncio.sleep(delay)

    async def _attempt(
        self,
        provider: Provider,
        request: ModelRequest,
        step: int,
        turn: Turn,
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
        price = price_of(provider.prices, request.model_id)
        pricing = Pricing(price, request.generation.service_tier) if price else None
        async with turn.key(self.timeouts.first_event_s) as key:
            call = await prepare(provider, request, key, self.environ)
            call = replace(call, headers={**call.headers, "traceparent": trace.traceparent})
            async with self.upstream.open(call, self.timeouts, turn.heard) as reply:
                await _pump(decoder, pricing, reply, writer, trace)
            if decoder.error is not None:
                raise decoder.error


async def _pump(
    decoder: Decoder, pricing: Pricing | None, reply: Reply, writer: RunWriter, trace: TraceContext
) -> None:
    """Each network read becomes one append, so that cost per event falls as load rises (design, "How a run goes").

    It does so in the callback that brings it, where the log can take it there and then: to have this task woken costs
    as much as the decoding. The task goes on where something is left to wait for.
    """

    def take(data: bytes) -> bool:
        payloads: list[Payload] = decoder.feed(data) if data else decoder.close()
        if not payloads:
            return not decoder.done
        reply.progress()
        if pricing is not None:
            payloads = pricing.priced(payloads)
        return writer.offer(payloads, trace) and not decoder.done

    more = True
    while more and not decoder.done:
        more = await reply.feed(take)
        await writer.settle()
    reply.is_complete = decoder.error is None
