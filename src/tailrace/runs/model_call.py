"""One model call: request out, events in; and again, as `recovery` decides."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from msgspec.structs import replace

from tailrace.adapters.base import DecodeContext, Decoder
from tailrace.adapters.pricing import Pricing
from tailrace.adapters.wires import WIRES
from tailrace.runs.recovery import RETRIED, Again, GiveUp, Restart, Tries, is_empty, recover, shown_of
from tailrace.runs.step import FAILED
from tailrace.runs.writer import RunWriter
from tailrace.schema.errors import ProviderError
from tailrace.schema.events import Payload, ProviderEvent, TraceContext, UsageUpdate
from tailrace.schema.request import ModelRequest
from tailrace.upstream.http import Call, Timeouts
from tailrace.upstream.prepare import prepare
from tailrace.upstream.prices import price_of
from tailrace.upstream.registry import Provider
from tailrace.upstream.retry import RetryPolicy
from tailrace.upstream.traffic import Traffic, Turn
from tailrace.upstream.transport import Reply, Transport

_LAST_COUNTS_S = 2.5  # how long counts that come behind an answer are waited for
_FACTS = frozenset({ProviderEvent, UsageUpdate})  # about the answer: no progress of it

# What the log is told of an answer, where that is not the answer itself.
Retell = Callable[[Sequence[Payload]], Sequence[Payload]]


@dataclass(frozen=True, slots=True)
class ModelCaller:
    """Calls models. `environ` holds the providers' keys, which go into headers and nowhere else (design rule 9)."""

    upstream: Transport
    timeouts: Timeouts
    retries: RetryPolicy
    environ: Mapping[str, str] = field(repr=False)
    traffic: Traffic

    async def call(
        self,
        provider: Provider,
        request: ModelRequest,
        step: int,
        writer: RunWriter,
        trace: TraceContext,
        tries: Tries,
        retell: Retell = tuple,
    ) -> None:
        """Carry out step `step`, whose `step_start` is in the log, up to its `step_done`. Raises ProviderError.

        That `step_done` says `error` where the step is to be tried again: then something of it was seen, and the caller
        goes on with a new one, with the same `tries`.
        """
        turn, retries = self.traffic.turn(provider, writer.thread_id), provider.patience.retries(self.retries)
        clock = asyncio.get_running_loop().time
        seen = len(writer.state.item_ids)
        while True:
            tries.begin(clock())
            try:
                await self._attempt(provider, request, step, turn, writer, trace, retell)
            except ProviderError as error:
                tries.empty += isinstance(error, _Empty)
                shown, elsewhere = shown_of(writer.state, seen), turn.elsewhere(error)
                remedy = recover(error, shown, tries, clock(), retries, random.random, elsewhere=elsewhere)
                match remedy:
                    case GiveUp() if isinstance(error, _Empty):
                        await writer.append(retell(error.payloads), trace)
                    case GiveUp():
                        raise
                    case Again(delay_s):
                        await asyncio.sleep(delay_s)
                        continue
                    case Restart(delay_s):
                        tries.restarts += 1
                        await writer.append(_restart(error, tries, writer), trace)
                        await asyncio.sleep(delay_s)
                        return
            tries.forget()
            return

    async def prewarm(self, provider: Provider, request: ModelRequest, writer: RunWriter, trace: TraceContext) -> None:
        """A call like `request`, but for its items, is about to be made. What is wrong with it, that call will say."""
        if provider.transport == "websocket":
            key = self.traffic.turn(provider, writer.thread_id).next_key()
            with suppress(ProviderError):
                self.upstream.prewarm(await self._prepared(provider, request, key, trace))

    async def _prepared(self, provider: Provider, request: ModelRequest, key: str | None, trace: TraceContext) -> Call:
        call = await prepare(provider, request, key, self.environ)
        return replace(call, headers={**call.headers, "traceparent": trace.traceparent})

    async def _attempt(
        self,
        provider: Provider,
        request: ModelRequest,
        step: int,
        turn: Turn,
        writer: RunWriter,
        trace: TraceContext,
        retell: Retell,
    ) -> None:
        """One try, with a request of its own: a signature has a date, and a key its turn."""
        context = DecodeContext(
            provider_id=request.provider_id,
            model_id=request.model_id,
            response_id=writer.run_id,
            step=step,
            id_prefix=f"item_{step}_",
            taken_ids=frozenset(writer.state.item_ids),
            callees=WIRES[provider.wire].callees(request.generation),
            quirks=provider.quirks,
        )
        decoder = WIRES[provider.wire].decoder(context)
        price = price_of(provider.prices, request.model_id)
        pricing = Pricing(price, request.generation.service_tier) if price else None
        limits = provider.patience.limits(self.timeouts)
        async with turn.key(self.timeouts.first_event_s) as key:
            call = await self._prepared(provider, request, key, trace)
            async with self.upstream.open(call, limits, turn.heard) as reply:
                await _pump(decoder, pricing, reply, writer, trace, retell)
            if decoder.error is not None:
                raise decoder.error


def _restart(error: ProviderError, tries: Tries, writer: RunWriter) -> list[Payload]:
    """Why, first; then what is open is cancelled where it stands, and the step ends as FAILED."""
    told = ProviderEvent(provider_id="tailrace", name="retry", data={"tries": tries.made, "error": error.info()})
    return [told, *writer.closing(FAILED, RETRIED)]


class _Empty(ProviderError):
    """The answer has ended and there was none; `payloads` say so, and are not in the log."""

    def __init__(self, payloads: list[Payload]) -> None:
        super().__init__("empty_answer", "the provider's answer is empty")
        self.payloads = payloads


async def _pump(
    decoder: Decoder, pricing: Pricing | None, reply: Reply, writer: RunWriter, trace: TraceContext, retell: Retell
) -> None:
    """Each network read becomes one append, so that cost per event falls as load rises (design, "How a run goes").

    It does so in the callback that brings it: to have this task woken costs as much as the decoding. The task goes on
    where something is left to wait for.
    """
    before = writer.grammar.item_count
    shown = False  # is something of the answer in the log?

    def take(data: bytes) -> bool:
        nonlocal shown
        payloads: list[Payload] = decoder.feed(data) if data else decoder.close()
        if decoder.ending and not decoder.done:
            reply.end_within(_LAST_COUNTS_S)
        if not payloads:
            return not decoder.done
        if pricing is not None:
            payloads = pricing.priced(payloads)
        if not shown:
            shown = writer.grammar.item_count > before
            if not shown and is_empty(payloads):
                raise _Empty(payloads)
        if type(payloads[-1]) not in _FACTS or not _FACTS.issuperset(map(type, payloads)) or _is_at_work(writer):
            reply.progress()
        return writer.offer(retell(payloads), trace) and not decoder.done

    more = True
    while more and not decoder.done:
        try:
            more = await reply.feed(take)
        except ProviderError:
            await writer.settle()  # what is done about it depends on what is in the log
            raise
        await writer.settle()
    reply.is_complete = decoder.error is None


def _is_at_work(writer: RunWriter) -> bool:
    """Is a tool of the provider's own at work? It has no other news than facts."""
    return "provider_item" in writer.grammar.open_items.values()
