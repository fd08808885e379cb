"""Looks for what nobody else will see to: runs that nobody drives, runs whose client never answered, logs of deleted
threads, runs that were not to be kept."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from tailrace.log.base import Log
from tailrace.schema.errors import Conflict, NotFound, NotReady
from tailrace.store.base import Store, StoredRun

logger = structlog.get_logger()

INTERVAL_S = 15.0


@dataclass(frozen=True, slots=True)
class Reaper:
    """Looks at the live runs at the start and every few seconds.

    `revive` has a run driven that nobody drives (nothing happens to one that somebody does); it is asked for runs whose
    log stood still for `grace_s`, by this process's own `clock`: those of nodes may differ. `give_up` ends one whose
    client took longer than `action_s` over its tools' outputs, `expire` decides approvals that nobody decided in time,
    `turns` begins what waited for its thread, `project` has runs projected. One that is not to be kept
    goes `keep_s` after its end. `now` gives milliseconds since the epoch.
    """

    log: Log
    store: Store
    revive: Callable[[StoredRun], Awaitable[None]]
    give_up: Callable[[str], Awaitable[None]]
    expire: Callable[[StoredRun, int], Awaitable[None]]
    turns: Callable[[], Awaitable[None]]
    project: Callable[[Sequence[str]], Awaitable[None]]
    action_s: float
    keep_s: float
    grace_s: float
    now: Callable[[], int]
    clock: Callable[[], float]
    seen: dict[str, tuple[int, float]] = field(default_factory=dict)  # run_id -> its last seq, and when that was new

    async def run(self) -> None:
        """Reap until cancelled."""
        while True:
            try:
                await self.reap()
            except NotReady as error:
                logger.warning("reaping put off", error=error.message)
            await asyncio.sleep(INTERVAL_S)

    async def reap(self, grace_s: float | None = None) -> None:
        """One round, with another `grace_s` if given. Raises NotReady."""
        await self.turns()
        live = await self.store.live_runs()
        for run in live:
            await self._look_after(run, self.grace_s if grace_s is None else grace_s)
        for run_id in self.seen.keys() - {run.request.run_id for run in live}:
            del self.seen[run_id]
        for run_id in await self.store.unkept(self.now() - int(self.keep_s * 1000)):
            await self.store.delete_run(run_id)
        doomed = await self.store.doomed_logs()
        if doomed:
            await self.log.delete(doomed)
            await self.store.logs_deleted(doomed)

    async def _look_after(self, run: StoredRun, grace_s: float) -> None:
        run_id = run.request.run_id
        head = await self.log.head(run_id)
        if head is not None and head.sealed:
            await self.project([run_id])
            return
        if run.response.status == "requires_action" and not run.response.asking:  # a call that asks is being run
            await self._look_after_waiting(run)
        elif self._stood_still(run_id, head.last_seq if head is not None else 0) >= grace_s:
            await self.revive(run)

    async def _look_after_waiting(self, run: StoredRun) -> None:
        """One that waits for outputs only ends when nobody sends them; one that waits for approvals goes on."""
        run_id, now, pending = run.request.run_id, self.now(), run.response.pending
        if any(approval.expires_at <= now for approval in pending):
            with suppress(Conflict, NotFound):  # somebody decides right now
                await self.expire(run, now)
        elif not pending and now - run.response.updated_at > self.action_s * 1000:
            await self.give_up(run_id)
        else:
            return
        await self.project([run_id])

    def _stood_still(self, run_id: str, last_seq: int) -> float:
        """For how many seconds the log has ended at this seq, as far as this process knows."""
        known, since = self.seen.get(run_id, (-1, 0.0))
        if known != last_seq:
            since = self.clock()
            self.seen[run_id] = (last_seq, since)
        return self.clock() - since
