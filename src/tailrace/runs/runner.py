"""The runs this process drives, each in a task of its own; a run that waits for its client has none."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog

from tailrace.fold.folds import Folds
from tailrace.log.base import Log
from tailrace.runs.drive import Driver, opening, takeover
from tailrace.runs.endings import fail, finish
from tailrace.runs.reopen import reopen
from tailrace.runs.tracing import Tracing
from tailrace.runs.writer import RunWriter
from tailrace.schema.errors import LogError, NotReady, Sealed
from tailrace.schema.events import TraceContext
from tailrace.schema.request import RunRequest
from tailrace.schema.response import ErrorInfo
from tailrace.store.base import StoredRun

logger = structlog.get_logger()

INTERRUPTED = ErrorInfo(
    code="interrupted", message="the server that drove this run was away for too long; submit it again", retryable=True
)
TOO_LONG = ErrorInfo(code="limit", message="the run took longer than the server allows")
BROKEN = ErrorInfo(code="internal", message="the server failed; its log says more")


class _Driven(NamedTuple):
    """A run being driven, and under which epoch."""

    task: asyncio.Task[bool]
    epoch: int


class Runner:
    """Drives runs. `run_s`: seconds a run may take; `now` gives milliseconds since the epoch.

    Who stops a run, takes it over or ends it opens its log anew (design rule 4): what its task had in flight is then
    either in the log or refused by the epoch, and never half known. `watch` ends the tasks of runs that were so taken.
    """

    def __init__(
        self, log: Log, folds: Folds, driver: Driver, tracing: Tracing, *, run_s: float, now: Callable[[], int]
    ) -> None:
        self._log = log
        self._folds = folds
        self._driver = driver
        self._tracing = tracing
        self._run_s = run_s
        self._now = now
        self._driven: dict[str, _Driven] = {}

    @property
    def live(self) -> Collection[str]:
        """The runs being driven here."""
        return self._driven.keys()

    async def drive(self, run: RunRequest, writer: RunWriter, trace: TraceContext) -> None:
        """Go on with the run from where its log is, as its writer. Returns at once."""
        task = asyncio.create_task(self._run(run, writer, trace), name=f"run {run.run_id}")
        self._driven[run.run_id] = _Driven(task, writer.epoch)

    async def take(self, run: StoredRun) -> None:
        """Go on with a run that no task drives: begin it, go on from its last whole item, or leave one that waits.

        One whose time is up is ended. Raises NotReady and LogError, after which the run is as it was.
        """
        if run.request.run_id in self._driven:
            return
        try:
            writer = await reopen(self._log, self._driver.store, self._folds, run.request.run_id)
        except Sealed:
            return
        if writer.state.start is None:
            trace = self.trace(writer)
            await writer.append(opening(run.request, run.response.created_at), trace)
        elif writer.state.status == "requires_action" and writer.state.unanswered and not writer.state.asking:
            return
        elif self._worked_s(writer) > self._run_s:
            await fail(writer, INTERRUPTED, self.trace(writer))
            return
        else:
            await writer.append(takeover(writer), self.trace(writer))
        await self.drive(run.request, writer, self.trace(writer))

    async def ended(self, run_id: str) -> bool:
        """Returns when no task of this process drives the run: False where it was left in the middle."""
        driven = self._driven.get(run_id)
        if driven is None:
            return True
        await asyncio.wait({driven.task})
        return not driven.task.cancelled() and driven.task.result()

    async def watch(self) -> None:
        """End, until cancelled, the tasks of runs that another writer has taken."""
        while True:
            for run_id in await self._log.superseded():
                driven = self._driven.get(run_id)
                if driven is not None and await self._is_taken(run_id, driven.epoch):
                    driven.task.cancel()

    def leave(self, run_ids: Collection[str]) -> None:
        """Stop driving these; whoever takes them goes on."""
        for run_id in run_ids:
            driven = self._driven.get(run_id)
            if driven is not None:
                driven.task.cancel()

    async def drain(self, within_s: float) -> None:
        """Let what is being driven come to its end within so many seconds, then leave the rest."""
        tasks = {driven.task for driven in self._driven.values()}
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=within_s)
        self.leave(list(self._driven))
        await asyncio.wait(tasks)

    def trace(self, writer: RunWriter) -> TraceContext:
        """For what happens without a request: the span that the run began with."""
        if writer.origin is not None:
            return writer.origin
        with self._tracing.span("recover") as span:
            return span

    def _worked_s(self, writer: RunWriter) -> float:
        """For how many seconds the run has been there, but for those in which it waited for its client."""
        state = writer.state
        now = self._now()
        began = state.start.created_at if state.start is not None else now
        return (now - began - state.waited_until(now)) / 1000

    def _left_s(self, run: RunRequest, writer: RunWriter) -> tuple[float, bool]:
        """For how many seconds the run may go on, and whether its agent says so."""
        max_s = self._driver.agents.policy(run).max_s
        left = max(0.0, max_s - self._worked_s(writer)) if max_s is not None else self._run_s
        return min(left, self._run_s), left < self._run_s

    @asynccontextmanager
    async def _within(self, writer: RunWriter, left_s: float) -> AsyncIterator[None]:
        """Seconds of work; those in which a running call waits for a person are none. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        allowed_s = self._worked_s(writer) + left_s
        timer: asyncio.TimerHandle | None = None
        async with asyncio.timeout(None) as limit:

            def look(again: Callable[..., None]) -> None:  # by its own name it would hold itself, and all else here
                nonlocal timer
                left_s = allowed_s - self._worked_s(writer)
                if left_s > 0:
                    timer = loop.call_later(left_s, again, again)
                else:
                    limit.reschedule(loop.time())

            timer = loop.call_later(left_s, look, look)
            try:
                yield
            finally:
                timer.cancel()

    async def _run(self, run: RunRequest, writer: RunWriter, trace: TraceContext) -> bool:
        """Drive to the end, whatever happens: every run ends within a bounded time (design rule 2).

        False where the log was out of reach: whoever looks for lost runs sees to this one.
        """
        left_s, of_agent = self._left_s(run, writer)
        try:
            async with self._within(writer, left_s):
                await self._driver.drive(run, writer, trace)
            return True
        except TimeoutError:
            ending = None if of_agent else TOO_LONG
        except LogError as error:
            logger.warning("run left", run_id=run.run_id, error=type(error).__name__)
            return await self._is_taken(run.run_id, writer.epoch)
        except NotReady as error:
            logger.warning("run left", run_id=run.run_id, error=error.message)
            return False
        except Exception as error:  # the last resort: a run must end, and its log must say why
            logger.exception("run failed", run_id=run.run_id, error=type(error).__name__)
            ending = BROKEN
        finally:
            self._forget(run.run_id)
        return await self._end(run.run_id, ending)

    async def _is_taken(self, run_id: str, epoch: int) -> bool:
        """Has another writer the run, or is it over? Where not, this one lost it by an outage of the log."""
        try:
            head = await self._log.head(run_id)
        except NotReady:
            return False
        return head is None or head.sealed or head.epoch > epoch

    def _forget(self, run_id: str) -> None:
        driven = self._driven.get(run_id)
        if driven is not None and driven.task is asyncio.current_task():
            del self._driven[run_id]

    async def _end(self, run_id: str, ending: ErrorInfo | None) -> bool:
        """End the run, with an error or by its agent's limit of time, if that can be done; if not, it is found as a
        lost one.

        Under a new epoch: what the writer had in flight when it was interrupted is not known.
        """
        try:
            writer = await RunWriter.open(self._log, self._folds, run_id)
            if ending is None:
                await finish(writer, "limit", self.trace(writer), "time_s")
            else:
                await fail(writer, ending, self.trace(writer))
        except (LogError, NotReady) as error:
            logger.warning("run left", run_id=run_id, error=type(error).__name__)
            return isinstance(error, LogError)
        return True
