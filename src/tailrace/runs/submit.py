"""From a checked request to a live run: resolved, stored, begun. Validation comes before any effect."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tailrace.log.base import Log
from tailrace.runs.control import Control
from tailrace.runs.turns import Turns
from tailrace.schema.errors import Conflict
from tailrace.schema.events import TraceContext
from tailrace.schema.request import RunRequest, WhenBusy
from tailrace.schema.response import Response
from tailrace.store.base import Store, StoredRun, Thread

# A thread is free again when its last run's end has been projected, which may lag behind the run's own last event; and
# another client may take the thread first. So it is tried a few times.
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Submitter:
    """Stores and begins runs. `settle` waits until a run whose log is sealed is stored as ended.

    `turns` begins what waited for its thread. `admit` raises Overloaded or NotReady where no more can be taken on:
    before any effect.
    """

    log: Log
    store: Store
    control: Control
    settle: Callable[[str], Awaitable[None]]
    admit: Callable[[], Awaitable[None]]
    turns: Turns

    async def submit(
        self,
        request: RunRequest,
        digest: str,
        new_thread: Thread | None,
        when_busy: WhenBusy,
        now: int,
        trace: TraceContext,
    ) -> RunRequest:
        """The run as it is stored, begun where it is new. Raises NotFound, Conflict, Overloaded, NotReady.

        The same `run_id` with the same `digest` gives the run that is there; with another one it is a Conflict.
        """
        await self.admit()
        run = StoredRun(request=request, digest=digest, response=queued(request, now))
        try:
            stored = await self._create(run, new_thread, when_busy, trace)
        except Conflict as conflict:
            if when_busy != "enqueue" or "run_id" not in conflict.details:
                raise
            stored = await self.store.enqueue_run(run)
            await self._wait(stored)
            return stored.request
        if stored is run:
            await self.control.begin(run, trace)
        elif stored.response.status == "queued":  # the word to begin it may have been lost with the first answer
            await self._remind(stored)
        return stored.request

    async def _wait(self, run: StoredRun) -> None:
        """Have a log for the run, so that its readers wait with it; its thread may be free by now."""
        await self.log.acquire(run.request.run_id)
        await self.turns.next(run.request.thread_id)

    async def _remind(self, run: StoredRun) -> None:
        holder = await self.store.live_run(run.request.thread_id)
        if run.request.previous_run_id is None and holder != run.request.run_id:
            await self._wait(run)
        else:
            await self.control.revive(run)

    async def _create(
        self, run: StoredRun, new_thread: Thread | None, when_busy: WhenBusy, trace: TraceContext
    ) -> StoredRun:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self.store.create_run(run, new_thread)
            except Conflict as conflict:
                busy = conflict.details.get("run_id")
                if busy is None or busy == run.request.run_id or not await self._freed(busy, when_busy, trace):
                    raise
        return await self.store.create_run(run, new_thread)

    async def _freed(self, run_id: str, when_busy: WhenBusy, trace: TraceContext) -> bool:
        """Has the run that holds the thread ended, by itself or by our doing?"""
        if when_busy == "interrupt":
            await self.control.stop(run_id, "interrupted by a newer message", trace)
        head = await self.log.head(run_id)
        if head is None or not head.sealed:
            return False
        await self.settle(run_id)
        return True


def queued(request: RunRequest, now: int) -> Response:
    """A run that has not begun."""
    return Response(
        id=request.run_id, turn_id=request.turn_id, thread_id=request.thread_id, agent_id=request.agent_id,
        model_id=request.model_id, provider_id=request.provider_id, created_at=now, updated_at=now, status="queued",
        output_items=[], steps=[], finish_reason=None, last_seq=0, after_run_id=request.after_run_id,
    )  # fmt: skip
