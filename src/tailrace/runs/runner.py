"""The runs this process drives: begins them, gives them outputs, calls them off, ends those whose server died."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog

from tailrace.log.base import Log
from tailrace.runs.drive import Driver, abort, answer, fail, opening
from tailrace.runs.tracing import Tracing
from tailrace.runs.writer import RunWriter
from tailrace.schema.errors import Conflict, InvalidRequest, LogError, NotReady, Sealed
from tailrace.schema.events import TraceContext
from tailrace.schema.request import RunRequest
from tailrace.schema.response import ErrorInfo
from tailrace.store.base import StoredRun

logger = structlog.get_logger()

INTERRUPTED = ErrorInfo(
    code="interrupted", message="the server that drove this run stopped in mid-step; submit it again", retryable=True
)
TOO_LONG = ErrorInfo(code="limit", message="the run took longer than the server allows")
UNANSWERED = ErrorInfo(code="limit", message="the client sent no tool outputs within the time that the server allows")
BROKEN = ErrorInfo(code="internal", message="the server failed; its log says more")
CANCELLED = "cancelled by the user"


class ToolOutput(NamedTuple):
    """One result of a tool that the client ran."""

    call_id: str
    output: str
    success: bool


class Runner:
    """Drives runs, each in a task of its own; a run that waits for its client has none.

    Whoever stops a task ends its run by opening the log anew: what the task had in flight is then either in the log or
    refused by the epoch, and never half known.
    """

    def __init__(self, log: Log, driver: Driver, tracing: Tracing, *, run_s: float) -> None:
        self._log = log
        self._driver = driver
        self._tracing = tracing
        self._run_s = run_s
        self._live: dict[str, asyncio.Task[None]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    @property
    def live(self) -> Collection[str]:
        """The runs being driven here."""
        return self._live.keys()

    async def begin(self, run: StoredRun, trace: TraceContext) -> None:
        """Put a new run's first events in the log, then drive it. Raises NotReady."""
        async with self._alone(run.request.run_id):
            if run.request.run_id not in self._live:
                await self._go_on(run, await RunWriter.open(self._log, run.request.run_id), trace)

    async def _go_on(self, run: StoredRun, writer: RunWriter, trace: TraceContext) -> None:
        if writer.state.start is None:
            await writer.append(opening(run.request, run.response.created_at), trace)
        self._drive(run.request, writer, trace)

    async def outputs(self, run: RunRequest, outputs: Sequence[ToolOutput], trace: TraceContext) -> None:
        """Take tool outputs from the client; the run goes on when all are there.

        Raises Conflict where the run does not wait for any, InvalidRequest for a `call_id` it does not wait for.
        """
        async with self._alone(run.run_id):
            writer = await self._parked(run.run_id)
            waiting = {call.call_id for call in writer.state.unanswered}
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
            self._drive(run, writer, trace)

    async def _parked(self, run_id: str) -> RunWriter:
        if run_id in self._live:
            raise Conflict(f"run {run_id} is working; it does not wait for outputs", run_id=run_id)
        try:
            writer = await RunWriter.open(self._log, run_id)
        except Sealed as error:
            raise Conflict(f"run {run_id} has ended", run_id=run_id) from error
        if writer.state.status != "requires_action":
            raise Conflict(f"run {run_id} does not wait for outputs", run_id=run_id)
        return writer

    async def stop(self, run_id: str, ending: ErrorInfo | str, trace: TraceContext | None = None) -> None:
        """End the run, whether it works or waits: with an error, or, for a plain reason, as aborted.

        Returns when it has ended; nothing happens to one that had ended before.
        """
        task = self._live.get(run_id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        async with self._alone(run_id):
            await self._end(run_id, ending, trace)

    async def expire(self, run_id: str) -> None:
        """End a run whose client sent no tool outputs in time."""
        await self.stop(run_id, UNANSWERED)

    async def recover(self, run: StoredRun) -> None:
        """Take care of a run that no task drives: begin one that never began, end one whose server died in mid-step,
        leave one that waits for its client."""
        run_id = run.request.run_id
        async with self._alone(run_id):
            if run_id in self._live:
                return
            try:
                writer = await RunWriter.open(self._log, run_id)
            except Sealed:
                return
            if writer.grammar.step is not None or writer.grammar.open_items:
                await fail(writer, INTERRUPTED, self._trace(writer))
            elif writer.state.status != "requires_action":
                await self._go_on(run, writer, self._trace(writer))

    async def shutdown(self) -> None:
        """Stop all tasks and end their runs, saying why."""
        live = dict(self._live)
        for task in live.values():
            task.cancel()
        if live:
            await asyncio.wait(live.values())
        for run_id in live:
            await self._finish(run_id, INTERRUPTED)

    @asynccontextmanager
    async def _alone(self, run_id: str) -> AsyncIterator[None]:
        """One change of a run at a time in this process; between processes the epoch decides (design rule 4)."""
        lock = self._locks.setdefault(run_id, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(run_id, None)

    def _drive(self, run: RunRequest, writer: RunWriter, trace: TraceContext) -> None:
        task = asyncio.create_task(self._run(run, writer, trace), name=f"run {run.run_id}")
        self._live[run.run_id] = task

    async def _run(self, run: RunRequest, writer: RunWriter, trace: TraceContext) -> None:
        """Drive to the end, whatever happens: every run ends within a bounded time (design rule 2)."""
        ending: ErrorInfo | None = None
        try:
            async with asyncio.timeout(self._run_s):
                await self._driver.drive(run, writer, trace)
        except TimeoutError:
            ending = TOO_LONG
        except (LogError, NotReady) as error:
            # Another writer has taken the run, or the log is out of reach: the reaper sees to what is left.
            logger.warning("run left", run_id=run.run_id, error=type(error).__name__)
        except Exception as error:  # the last resort: a run must end, and its log must say why
            logger.exception("run failed", run_id=run.run_id, error=type(error).__name__)
            ending = BROKEN
        finally:
            del self._live[run.run_id]
        if ending is not None:
            async with self._alone(run.run_id):
                await self._finish(run.run_id, ending)

    async def _finish(self, run_id: str, ending: ErrorInfo) -> None:
        """End the run if that can be done; if not, the reaper will."""
        try:
            await self._end(run_id, ending, None)
        except (LogError, NotReady) as error:
            logger.warning("run left", run_id=run_id, error=type(error).__name__)

    async def _end(self, run_id: str, ending: ErrorInfo | str, trace: TraceContext | None) -> None:
        try:
            writer = await RunWriter.open(self._log, run_id)
        except Sealed:
            return
        if writer.state.start is None:
            return
        trace = trace or self._trace(writer)
        if isinstance(ending, ErrorInfo):
            await fail(writer, ending, trace)
        else:
            await abort(writer, ending, trace)

    def _trace(self, writer: RunWriter) -> TraceContext:
        """For what happens without a request: the span that the run began with."""
        if writer.origin is not None:
            return writer.origin
        with self._tracing.span("recover") as span:
            return span
