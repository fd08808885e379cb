"""One call of a tool, from its arguments to its result: within its limits, and whatever it does.

What a tool raises, how long it hangs and how much it says, the answer is a ToolResult. Only the runner's own
cancellation is an exception; the tool is stopped first then, too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from tailrace.schema.errors import SettingsError
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.response import Question, Resolution
from tailrace.tools.budget import Budget
from tailrace.tools.context import Ask, ToolContext
from tailrace.tools.definition import ToolDefinition, result_of
from tailrace.tools.deltas import Deltas, clean
from tailrace.tools.errors import ToolCancelled, ToolCrashed, ToolError, ToolTimedOut
from tailrace.tools.preview import preview
from tailrace.tools.registry import Toolset
from tailrace.tools.result import ToolResult
from tailrace.tools.spill import Spill
from tailrace.tools.workspace import Workspace

logger = structlog.get_logger(__name__)

STOP_S = 0.9  # how long a tool may take to stop; a cancelled call is answered within a second


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A call whose tool is there and whose arguments are valid: what an approval is asked for, and what is run."""

    tool: ToolDefinition
    arguments: dict[str, Any]
    call_id: str


def bind(toolset: Toolset, call: FunctionCallItem) -> BoundCall:
    """Look the call's tool up and validate its arguments. Raises UnknownTool, InvalidArguments: `refused` answers."""
    tool = toolset.get(call.name)
    return BoundCall(tool, tool.arguments_of(call), call.call_id)


def refused(error: ToolError, output: str = "") -> ToolResult:
    """The answer to a call that came to nothing; `output`: what it had said before."""
    text = f"{error.message}\n\nIts output until then:\n{output}" if output else error.message
    return ToolResult(text=text, success=False, error=error.code)


def open_workspace(folder: str, place: str) -> Workspace:
    """The workspace, made where it is not there. Raises SettingsError; `place`: the setting that names it."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        return Workspace(folder)
    except OSError as error:
        raise SettingsError(f"{place}: {folder}: {error.strerror}") from error


@dataclass(slots=True)
class ToolRunner:
    """Runs calls in a workspace. `environment`: what child processes may have (tools/environment.py)."""

    workspace: Workspace
    environment: Mapping[str, str]
    spill: Spill | None = None
    _places: dict[str, asyncio.Semaphore] = field(default_factory=dict, init=False)
    _running: set[asyncio.Future[Any]] = field(default_factory=set, init=False)

    async def run(
        self,
        call: BoundCall,
        *,
        run_id: str,
        emit: Callable[[str], None],
        cancel: asyncio.Event,
        begin: Callable[[], Awaitable[None]] | None = None,
        ask: Ask | None = None,
        approved: bool = False,
    ) -> ToolResult:
        """Run a call; its answer is what the model sees.

        `emit` takes output as it comes (a callback on the loop: it must not wait); once `cancel` is set, the call is
        answered within a second: its own output so far, `cancelled`. Calls of a tool beyond its `parallel` wait; when
        the call's turn has come, `begin` is awaited, and what it raises is raised: then nothing is run. `ask` puts a
        tool's question to a person; the time until the answer is not the tool's. `approved`: a person has allowed it.
        """
        name = call.tool.place or call.tool.name
        place = self._places.setdefault(name, asyncio.Semaphore(call.tool.limits.parallel))
        waiting, taken = asyncio.ensure_future(place.acquire()), False
        try:
            taken = not cancel.is_set() and await _before(waiting, cancel)
        finally:
            if not taken:
                _give_back(waiting, place)
        if not taken:
            return refused(ToolCancelled("Cancelled before it was run."))
        try:
            if begin is not None:
                await begin()
        except BaseException:
            place.release()
            raise
        return await self._in_place(call, place, run_id, emit, cancel, ask, approved=approved)

    async def _in_place(
        self,
        call: BoundCall,
        place: asyncio.Semaphore,
        run_id: str,
        emit: Callable[[str], None],
        cancel: asyncio.Event,
        ask: Ask | None,
        *,
        approved: bool,
    ) -> ToolResult:
        limits = call.tool.limits
        deltas = Deltas(emit, limits.output_bytes)
        over = asyncio.Event()
        budget = Budget(limits.timeout_s, over.set)
        context = ToolContext(
            run_id=run_id,
            call_id=call.call_id,
            workspace=self.workspace,
            environment=self.environment,
            emit=deltas.emit,
            deadline=time.monotonic() + limits.timeout_s,
            ask=_off_the_clock(ask, budget) if ask is not None else None,
            approved=approved,
        )
        task = asyncio.ensure_future(_called(call, context))
        self._running.add(task)  # nobody else may hold it, if it does not stop
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: place.release())
        try:
            result = await _outcome(call.tool, task, context, cancel, over)
        except ToolError as error:
            result = refused(error, deltas.close())
        finally:
            budget.stop()
            deltas.close()
        return await self._bounded(result, call, run_id)

    async def _bounded(self, result: ToolResult, call: BoundCall, run_id: str) -> ToolResult:
        """The result with as much text as the model may see; the whole of it is kept."""
        text, limit = clean(result.text), call.tool.limits.output_bytes
        data = text.encode()
        if len(data) > limit:
            kept = None
            if self.spill is not None:
                try:
                    kept = await self.spill.keep(run_id, call.call_id, data)
                except Exception as error:  # the call's effect has happened: its answer must not be lost
                    logger.exception("output not kept", tool=call.tool.name, error=type(error).__name__)
            text = preview(text, limit, kept)
        return ToolResult(text=text, success=result.success, parts=result.parts, error=result.error)


async def _called(call: BoundCall, context: ToolContext) -> ToolResult:
    return result_of(await call.tool.call(call.arguments, context))


def _off_the_clock(ask: Ask, budget: Budget) -> Ask:
    async def asked(question: Question) -> Resolution:
        with budget.paused():
            return await ask(question)

    return asked


async def _outcome(
    tool: ToolDefinition, task: asyncio.Future[ToolResult], context: ToolContext, *stops: asyncio.Event
) -> ToolResult:
    """What the tool answers. `stops`: it was cancelled, its time is over. Raises ToolError: it failed, or one of
    these."""
    cancel = stops[0]
    try:
        ended = await _before(task, *stops)
    except asyncio.CancelledError:
        await _stop(task, context)
        raise
    if not ended:
        stopped = await _stop(task, context)
        still = "" if stopped else " It does not stop, and may still have effects."
        if cancel.is_set():
            raise ToolCancelled(f"Cancelled.{still}")
        raise ToolTimedOut(f"Given up after {tool.limits.timeout_s:g} s.{still}")
    try:
        return task.result()
    except ToolError:
        raise
    except asyncio.CancelledError:
        raise ToolCrashed(f"{tool.name} gave itself up.") from None
    except BaseException as error:  # whatever a tool does, its run goes on
        logger.exception("tool crashed", tool=tool.name, error=type(error).__name__)
        raise ToolCrashed(f"{tool.name} failed unexpectedly ({type(error).__name__}).") from error


async def _before(work: asyncio.Future[Any], *stops: asyncio.Event) -> bool:
    """Wait for the work to end; False where one of the `stops` comes first."""
    stopping = [asyncio.ensure_future(stop.wait()) for stop in stops]
    try:
        await asyncio.wait({work, *stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in stopping:
            each.cancel()
    return work.done()


async def _stop(task: asyncio.Future[Any], context: ToolContext) -> bool:
    """Cancel the tool and give it time to end what it has begun. Has it ended?"""
    context.cancelled.set()
    task.cancel()
    task.add_done_callback(_note_late)
    await asyncio.wait({task}, timeout=STOP_S)
    return task.done()


def _note_late(task: asyncio.Future[Any]) -> None:
    """What a tool raises that was told to stop is nobody's answer, but should be seen."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ToolError):
        logger.warning("tool failed while it was stopped", error=type(error).__name__)


def _give_back(waiting: asyncio.Future[Any], place: asyncio.Semaphore) -> None:
    """A place in a tool's queue that is not needed any more, or the place itself."""
    if waiting.done() and not waiting.cancelled():
        place.release()
    waiting.cancel()
