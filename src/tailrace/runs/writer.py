"""The one way into a run's log: every append passes the grammar, under the lease's epoch, and is folded at once."""

import asyncio
from collections.abc import Sequence

from tailrace.fold.draft import start_of
from tailrace.fold.folds import Folds
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.log.base import Log, Offered, pages
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import TailraceError
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
MOST_DUE = 512  # events that wait behind an append: whoever brings more has to wait, too


class RunWriter:
    """The writer of one run, for as long as nobody takes a higher epoch.

    What it appends is folded when somebody looks at `state`, many events at a time: nobody does while text grows.
    """

    def __init__(self, log: Log, fold: Reducer, run_id: str, epoch: int) -> None:
        self.run_id = run_id
        self._state = fold
        self._unfolded: list[Batch] = []
        self.grammar = Grammar()
        self.origin: TraceContext | None = None  # the span that the run began with
        self._log = log
        self.epoch = epoch
        self._due: list[tuple[list[Payload], TraceContext]] = []  # offered, and not yet taken by the log
        self._under_way = False  # taken by the log, which has not yet told what became of it
        self._refusal: TailraceError | None = None
        self._landed: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, log: Log, folds: Folds, run_id: str) -> "RunWriter":
        """Take the run (epoch + 1) and fold what is there, into the fold that others of this process may hold as well.
        Raises Sealed where it has ended."""
        epoch = await log.acquire(run_id)
        if epoch == 1:  # nobody has had it before
            return cls(log, folds.begin(run_id), run_id, epoch)
        writer = cls(log, folds.of(run_id), run_id, epoch)
        async for page in pages(log, run_id):
            for batch in page:
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
        """Append without waiting for it, where the log can do that: for callbacks. False where nothing more is to be
        offered before `settle` has returned.

        What comes while an append is under way goes into the next one. Raises like `append`, if that is known by now.
        """
        if self._refusal is not None:
            raise self._refusal
        legal = self._legal(payloads)
        if not self._due and not self._under_way and self._is_taken(legal, trace):
            return True
        if self._due and self._due[-1][1] is trace:
            self._due[-1][0].extend(legal)
        else:
            self._due.append((list(legal), trace))
        return self._under_way and sum(len(due) for due, _ in self._due) < MOST_DUE

    def _is_taken(self, payloads: Sequence[Payload], trace: TraceContext) -> bool:
        """Is it in the log, or on its way?"""
        self._under_way = True  # it may be told at once
        offered: Offered = False
        try:
            offered = self._log.offer(self.run_id, self.epoch, payloads, trace, self._told)
        finally:
            self._under_way = self._under_way and offered is True
        if isinstance(offered, Batch):
            self._keep(offered)
        return offered is not False

    def _told(self, outcome: Batch | TailraceError) -> None:
        """The log has told what became of what was under way."""
        self._under_way = False
        if isinstance(outcome, Batch):
            self._keep(outcome)
        else:
            self._refusal = outcome
        landed, self._landed = self._landed, None
        if landed is not None and not landed.done():  # else who waited has been cancelled
            landed.set_result(None)
        elif self._due and self._refusal is None:
            self._offer_due()

    def _offer_due(self) -> None:
        legal, trace = self._due.pop(0)
        try:
            if not self._is_taken(legal, trace):
                self._due.insert(0, (legal, trace))  # for the next offer, or `settle`, to see to
        except TailraceError as error:
            self._refusal = error

    async def settle(self) -> None:
        """Append what `offer` has left; durable on return. Raises StaleEpoch, Sealed and NotReady."""
        while self._under_way or self._due:
            if self._under_way:
                self._landed = asyncio.get_running_loop().create_future()
                await self._landed
            if self._refusal is not None:
                break
            if self._due and not self._under_way:
                legal, trace = self._due.pop(0)
                self._keep(await self._log.append(self.run_id, self.epoch, legal, trace))
        if self._refusal is not None:
            raise self._refusal

    def _legal(self, payloads: Sequence[Payload]) -> Sequence[Payload]:
        violations = list(map(self.grammar.accept, payloads))
        if not any(violations):  # as always, but for bugs
            return payloads
        return [
            payload if violation is None else _out_of_order(payload, violation)
            for payload, violation in zip(payloads, violations, strict=True)
        ]

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
