"""Sums a conversation up between two steps of a run, in a step of its own: its log shows it, its limits count it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.adapters.summing import Summing, failed
from tailrace.fold.compaction import CompactionPolicy, Plan, planned
from tailrace.runs.model_call import ModelCaller
from tailrace.runs.recovery import Tries
from tailrace.runs.step import FAILED
from tailrace.runs.tracing import Tracing
from tailrace.runs.writer import RunWriter
from tailrace.schema.errors import InvalidRequest, ProviderError
from tailrace.schema.events import ProviderEvent, StepStart, TraceContext
from tailrace.schema.request import ModelRequest
from tailrace.schema.response import Response
from tailrace.upstream.registry import Provider

TOO_LONG = "the conversation is too long for the model"


@dataclass(frozen=True, slots=True)
class Compactor:
    """Makes room where a conversation is too long for its model."""

    caller: ModelCaller
    tracing: Tracing

    async def make_room(
        self, provider: Provider, request: ModelRequest, runs: Sequence[Response], policy: CompactionPolicy,
        writer: RunWriter, trace: TraceContext, overflow: ProviderError | None = None,
    ) -> bool:  # fmt: skip
        """Sum up, where that is due before `request`, the next call of the last of these runs; was there a step?

        `overflow`: so its provider has said of the step that is open; that one ends first. A summary that fails is told
        in the log, and leaves the conversation as it was.
        """
        step = len(writer.state.steps) + 1
        item_id = f"cmp_{writer.run_id.removeprefix('run_')}_{step}"
        window = provider.context_window(request.model_id)
        plan = planned(runs, request, policy, window, item_id, overflowed=overflow is not None)
        if plan is None:
            return False
        if overflow is not None:
            told = ProviderEvent(provider_id="tailrace", name="overflow", data={"error": overflow.info()})
            await writer.append([told, *writer.closing(FAILED, TOO_LONG)], trace)
        with self.tracing.span("compaction", trace, step=step, model=request.model_id) as span:
            await self._sum_up(provider, plan, Summing(item_id, plan.judge), step, writer, span)
        return True

    async def _sum_up(
        self, provider: Provider, plan: Plan, summing: Summing, step: int, writer: RunWriter, trace: TraceContext
    ) -> None:
        asked = plan.request
        start = StepStart(
            step=step, provider_id=asked.provider_id, model_id=asked.model_id, purpose="compaction"
        )  # fmt: skip
        await writer.append([start], trace)
        try:
            await self.caller.call(provider, asked, step, writer, trace, Tries(is_itemised=False), summing.retold)
        except (ProviderError, InvalidRequest) as error:
            await writer.append([failed(error.message), *writer.closing(FAILED, "the summary failed")], trace)
