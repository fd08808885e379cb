"""The one way into a run's log: every append passes the grammar, under the lease's epoch, and is folded at once."""

from collections.abc import Sequence

from tailrace.fold.draft import start_of
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.log.base import Log, batches
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import (
    ItemCancelled,
    ItemDone,
    ItemError,
    Payload,
    ProviderEvent,
    StepDone,
    TraceContext,
    type_of,
)
from tailrace.schema.items import OutputItem
from tailrace.schema.response import ErrorInfo, FinishReason

SEQUENCE_ERROR = "STREAM_SEQUENCE_ERROR"
MOST_UNFOLDED = 512


class RunWriter:
    """The writer of one run, for as long as nobody takes a higher epoch.

    What it appends is folded when somebody looks at `state`, many events at a time: nobody does while text grows.
    """

    def __init__(self, log: Log, run_id: str, epoch: int) -> None:
        self.run_id = run_id
        self._state = Reducer()
        self._unfolded: list[Batch] = []
        self.grammar = Grammar()
        self.origin: TraceContext | None = None  # the span that the run began with
        self._log = log
        self.epoch = epoch
        self._due: list[tuple[list[Payload], TraceContext]] = []  # offered, and not taken by the log

    @classmethod
    async def open(cls, log: Log, run_id: str) -> "RunWriter":
        """Take the run (epoch + 1) and fold what is there. Raises Sealed where it has ended."""
        writer = cls(log, run_id, await log.acquire(run_id))
        async for batch in batches(log, run_id):
            writer._take(batch)
        return writer

    async def append(self, payloads: Sequence[Payload], trace: TraceContext) -> None:
        """Append, behind what `offer` has left; durable on return. Raises StaleEpoch and Sealed.

        A payload that breaks the grammar is a bug of an adapter: it is kept whole as a `provider_event`, and the run
        goes on (contract §3).
        """
        await self.settle()
        legal = self._legal(payloads)
        if legal:
            self._keep(await self._log.append(self.run_id, self.epoch, legal, trace))

    def offer(self, payloads: Sequence[Payload], trace: TraceContext) -> bool:
        """Append at once, where the log can do that: for callbacks. False where it is left to `settle`.

        Raises like `append`.
        """
        legal = self._legal(payloads)
        batch = None if self._due else self._log.offer(self.run_id, self.epoch, legal, trace)
        if batch is None:
            self._due.append((legal, trace))
            return False
        self._keep(batch)
        return True

    async def settle(self) -> None:
        """Append what `offer` has left; durable on return. Raises StaleEpoch and Sealed."""
        while self._due:
            legal, trace = self._due.pop(0)
            self._keep(await self._log.append(self.run_id, self.epoch, legal, trace))

    def _legal(self, payloads: Sequence[Payload]) -> list[Payload]:
        legal = list(payloads)
        for at, payload in enumerate(payloads):
            violation = self.grammar.accept(payload)
            if violation is not None:
                legal[at] = _out_of_order(payload, violation)
        return legal

    def _take(self, batch: Batch) -> None:
        for payload in batch.payloads:
            self.grammar.accept(payload)
        self._keep(batch)

    def _keep(self, batch: Batch) -> None:
        if self.origin is None:
            self.origin = batch.trace
        self._unfolded.append(batch)
        if len(self._unfolded) >= MOST_UNFOLDED:
            self._state.fold(self._unfolded)
            self._unfolded.clear()

    @property
    def state(self) -> Reducer:
        """The fold of what is in the log."""
        self._state.fold(self._unfolded)
        self._unfolded.clear()
        return self._state

    @property
    def thread_id(self) -> str:
        """The thread of the run, once it has begun; before, what stands for it."""
        start = self.state.start
        return start.thread_id if start is not None else self.run_id

    def closing(self, finish_reason: FinishReason, cause: ErrorInfo | str) -> list[Payload]:
        """What closes all that is open: items fail with an ErrorInfo, or are cancelled for a reason; then the step."""
        payloads: list[Payload] = []
        for item_id in self.grammar.open_items:
            if isinstance(cause, ErrorInfo):
                payloads.append(ItemError(item_id=item_id, error=cause))
            else:
                payloads.append(ItemCancelled(item_id=item_id, reason=cause))
        step = self.grammar.step
        if step is not None:
            payloads.append(
                StepDone(
                    step=step.step,
                    provider_id=step.provider_id,
                    model_id=step.model_id,
                    finish_reason=finish_reason,
                    usage=self.state.steps[-1].usage,
                )
            )
        return payloads


def _out_of_order(payload: Payload, violation: str) -> ProviderEvent:
    data = {"code": SEQUENCE_ERROR, "message": violation, "event": codec.to_builtins(payload)}
    return ProviderEvent(provider_id="tailrace", name=f"{SEQUENCE_ERROR}:{type_of(payload)}", data=data)


def whole(item: OutputItem) -> list[Payload]:
    """The events of an item that arrives whole."""
    return [start_of(item), ItemDone(item_id=item.id, final_item=item)]
