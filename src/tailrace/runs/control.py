"""What others do to runs, from whichever process: begin one, give it outputs, call it off.

Each opens the run's log anew, so that the writer before is fenced off (design rule 4); whoever drives the run notices
(`Log.superseded`). No process needs to know which other one that is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple
from weakref import WeakValueDictionary

from tailrace.fold.folds import Folds
from tailrace.fold.reducer import Reducer
from tailrace.log.base import Log, pages
from tailrace.runs.answers import Answers, check
from tailrace.runs.drive import opening
from tailrace.runs.endings import abort, answer, fail
from tailrace.runs.reopen import reopen
from tailrace.runs.writer import RunWriter
from tailrace.schema.errors import Conflict, InvalidRequest, NotFound, NotReady, Sealed, StaleEpoch
from tailrace.schema.events import ApprovalResolved, Payload, TraceContext
from tailrace.schema.items import FunctionCallOutputItem
from tailrace.schema.request import RunRequest
from tailrace.schema.response import ENDED, ErrorInfo, Resolution, Response
from tailrace.store.base import Store, StoredRun

ATTEMPTS = 5
CANCELLED = "cancelled by the user"
UNANSWERED = ErrorInfo(code="limit", message="the client sent no tool outputs within the time that the server allows")

# Has a run driven, from where its log is: by this process, or by whoever claims it.
Start = Callable[[RunRequest, RunWriter, TraceContext], Awaitable[None]]


# Has a run driven that may have been lost; nothing happens to one that somebody drives.
Revive = Callable[[StoredRun], Awaitable[None]]


class ToolOutput(NamedTuple):
    """One result of a tool that the client ran."""

    call_id: str
    output: str
    success: bool


class Control:
    """Begins, answers and ends runs through their logs."""

    def __init__(self, log: Log, store: Store, folds: Folds, answers: Answers, start: Start, revive: Revive) -> None:
        self._log = log
        self._folds = folds
        self._store = store
        self._answers = answers
        self._start = start
        self._revive = revive
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def begin(self, run: StoredRun, trace: TraceContext) -> None:
        """Put a new run's first events in the log, then have it driven. Raises NotReady."""
        async with self._alone(run.request.run_id):
            try:
                writer = await RunWriter.open(self._log, self._folds, run.request.run_id)
            except Sealed:
                return  # called off before it began
            if writer.origin is not None:
                return  # begun already, by who looks for lost runs
            await writer.append(opening(run.request, run.response.created_at), trace)
            await self._start(run.request, writer, trace)

    async def revive(self, run: StoredRun) -> None:
        """See to it that somebody drives the run. Raises NotReady."""
        async with self._alone(run.request.run_id):
            await self._revive(run)

    async def outputs(self, stored: StoredRun, outputs: Sequence[ToolOutput], trace: TraceContext) -> None:
        """Take tool outputs from the client; the run goes on when all are there.

        What was taken before is taken again, and changes nothing: a client that had no answer may ask anew. Raises
        Conflict where the run does not wait for any, InvalidRequest for a `call_id` it does not wait for.
        """
        async with self._alone(stored.request.run_id):
            await _insist(lambda: self._answer(stored, outputs, trace))

    async def _answer(self, stored: StoredRun, outputs: Sequence[ToolOutput], trace: TraceContext) -> None:
        run = stored.request
        if await self._taken(run.run_id, outputs):
            await self._revive(stored)
            return
        writer = await self._open(run.run_id)
        waiting = {call.call_id for call in writer.state.awaited}
        for index, output in enumerate(outputs):
            if output.call_id not in waiting:
                message = f"the run does not wait for an output of call {output.call_id!r}"
                raise InvalidRequest(message, field=f"outputs[{index}].call_id")
            waiting.discard(output.call_id)
        events = [
            event
            for output in outputs
            for event in answer(writer, output.call_id, output.output, success=output.success, origin="user")
        ]
        await writer.append(events, trace)
        if writer.state.status != "requires_action":
            await self._start(run, writer, trace)

    async def resolve(
        self, stored: StoredRun, decisions: Mapping[str, Resolution], trace: TraceContext | None = None
    ) -> None:
        """Decide about approvals, by their ids; the run goes on when it waits for nothing more.

        The same decision again changes nothing. Raises NotFound for an approval that the run never asked for, Conflict
        where it was decided otherwise, or the run has ended, InvalidRequest for an answer that does not fit its
        question.
        """
        async with self._alone(stored.request.run_id):
            await _insist(lambda: self._resolve(stored, decisions, trace))

    async def _resolve(
        self, stored: StoredRun, decisions: Mapping[str, Resolution], trace: TraceContext | None
    ) -> None:
        run = stored.request
        state = await self._read(run.run_id, stored.response)
        undecided = _open_decisions(state, decisions)
        if not undecided:
            await self._revive(stored)
            return
        for approval_id, given in undecided.items():
            check(state.approvals[approval_id], given)
        asking = {approval.approval_id for approval in state.asking} & undecided.keys()
        if asking:  # who runs the call is the log's writer, and stays it: to open the log would stop the call
            if state.status in ENDED:
                raise Conflict(f"run {run.run_id} has ended", run_id=run.run_id)
            for approval_id in asking:
                await self._answers.give(run.run_id, approval_id, undecided[approval_id])
            return
        writer = await self._open(run.run_id)
        events: list[Payload] = [
            ApprovalResolved(approval_id=each, decision=given.decision, by=given.by, reason=given.reason)
            for each, given in _open_decisions(writer.state, decisions).items()
        ]
        span = trace or writer.origin
        if span is None:
            return  # not begun: what is decided about stands in its log
        await writer.append(events, span)
        if writer.state.status != "requires_action":
            await self._start(run, writer, span)

    async def expire(self, stored: StoredRun, now: int) -> None:
        """Decide what a run has waited for in vain, `now` being milliseconds since the epoch."""
        state = await self._read(stored.request.run_id, stored.response)
        late = [
            approval.approval_id
            for approval in state.approvals.values()
            if approval.resolution is None and approval.question is None and approval.expires_at <= now
        ]
        if late:
            await self.resolve(stored, dict.fromkeys(late, Resolution(decision="expired", by="clock")))

    async def _read(self, run_id: str, snapshot: Response | None = None) -> Reducer:
        """The run as its log has it now; `snapshot`: what is known of it already."""
        state = Reducer(snapshot)
        async for page in pages(self._log, run_id, state.last_seq):
            state.fold(page)
        return state

    async def _taken(self, run_id: str, outputs: Sequence[ToolOutput]) -> bool:
        """Are these outputs in the log already? Raises Conflict where the run works: to open its log would stop it."""
        state = await self._read(run_id)
        items = [item for item in state.items() if isinstance(item, FunctionCallOutputItem) and item.origin == "user"]
        known = {ToolOutput(item.call_id, item.output, item.success) for item in items}
        if known.issuperset(outputs):
            return True
        if state.status != "requires_action" or state.asking:
            raise Conflict(f"run {run_id} does not wait for outputs", run_id=run_id)
        return False

    async def _open(self, run_id: str) -> RunWriter:
        try:
            return await reopen(self._log, self._store, self._folds, run_id)
        except Sealed as error:
            raise Conflict(f"run {run_id} has ended", run_id=run_id) from error

    async def withdraw(self, run: StoredRun, reason: str, trace: TraceContext) -> None:
        """End the run as aborted, also one that waits for its turn; nothing happens to one that has ended."""
        if run.response.status == "queued":
            async with self._alone(run.request.run_id):
                await _insist(lambda: self._call_off(run, reason, trace))
        await self.stop(run.request.run_id, reason, trace)

    async def _call_off(self, run: StoredRun, reason: str, trace: TraceContext) -> None:
        """Begin a run that nobody has begun, and end it."""
        with suppress(Sealed):
            writer = await reopen(self._log, self._store, self._folds, run.request.run_id)
            if writer.origin is None:
                await writer.append(opening(run.request, run.response.created_at), trace)
                await abort(writer, reason, trace)
            elif writer.state.status not in ENDED:
                await abort(writer, reason, trace)

    async def stop(self, run_id: str, ending: ErrorInfo | str, trace: TraceContext | None = None) -> None:
        """End the run, whether it works or waits: with an error, or, for a plain reason, as aborted.

        Returns when it has ended; nothing happens to one that had ended before.
        """
        async with self._alone(run_id):
            await _insist(lambda: self._end(run_id, ending, trace))

    async def _end(self, run_id: str, ending: ErrorInfo | str, trace: TraceContext | None) -> None:
        try:
            writer = await reopen(self._log, self._store, self._folds, run_id)
        except Sealed:
            return
        if writer.origin is None:
            return  # not begun: who begins it drives it
        if isinstance(ending, ErrorInfo):
            await fail(writer, ending, trace or writer.origin)
        else:
            await abort(writer, ending, trace or writer.origin)

    async def give_up(self, run_id: str) -> None:
        """End a run whose client sent no tool outputs in time."""
        await self.stop(run_id, UNANSWERED)

    def _alone(self, run_id: str) -> asyncio.Lock:
        """One change of a run at a time in this process; between processes the epoch decides."""
        return self._locks.setdefault(run_id, asyncio.Lock())  # there for as long as somebody has it or waits for it


def _open_decisions(state: Reducer, decisions: Mapping[str, Resolution]) -> dict[str, Resolution]:
    """Those that are not in the log. Raises NotFound, Conflict."""
    missing = {}
    for approval_id, given in decisions.items():
        approval = state.approvals.get(approval_id)
        if approval is None:
            raise NotFound(f"the run asked for no approval {approval_id!r}", approval_id=approval_id)
        if approval.resolution is None:
            missing[approval_id] = given
        elif approval.resolution.decision != given.decision:
            decided = approval.resolution
            raise Conflict(
                f"approval {approval_id!r} was decided: {decided.decision}, by {decided.by}", approval_id=approval_id
            )
    return missing


async def _insist(change: Callable[[], Awaitable[None]]) -> None:
    """Make a change to a run, again where somebody else opened its log in the midst of it. Raises NotReady where that
    goes on."""
    for _ in range(ATTEMPTS):
        with suppress(StaleEpoch):
            await change()
            return
    raise NotReady("the run is being changed by others; try again")
