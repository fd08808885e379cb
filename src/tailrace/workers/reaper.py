"""Ends what nobody else will: runs whose server died, runs whose client never answered, logs of deleted threads."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

import structlog

from tailrace.log.base import Log
from tailrace.schema.errors import NotReady
from tailrace.store.base import Store, StoredRun

logger = structlog.get_logger()

INTERVAL_S = 15.0


class Drives(Protocol):
    """What the reaper needs of a runner."""

    @property
    def live(self) -> Collection[str]:
        """The runs being driven."""

    async def recover(self, run: StoredRun) -> None:
        """Begin or end a run that nobody drives."""

    async def expire(self, run_id: str) -> None:
        """End a run that waited too long."""


class Reaper:
    """Looks at the live runs at the start and every few seconds. `now` gives milliseconds since the epoch."""

    def __init__(
        self, log: Log, store: Store, runner: Drives, *, action_s: float, now: Callable[[], int],
        settle: Callable[[str], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._log = log
        self._store = store
        self._runner = runner
        self._action_ms = action_s * 1000
        self._now = now
        self._settle = settle

    async def run(self) -> None:
        """Reap until cancelled."""
        while True:
            try:
                await self.reap()
            except NotReady as error:
                logger.warning("reaping put off", error=error.message)
            await asyncio.sleep(INTERVAL_S)

    async def reap(self) -> None:
        """One round. Raises NotReady."""
        for run in await self._store.live_runs():
            if run.request.run_id not in self._runner.live:
                await self._look_after(run)
        doomed = await self._store.doomed_logs()
        if doomed:
            await self._log.delete(doomed)
            await self._store.logs_deleted(doomed)

    async def _look_after(self, run: StoredRun) -> None:
        run_id = run.request.run_id
        waits = run.response.status == "requires_action"
        if waits and self._now() - run.response.updated_at > self._action_ms:
            await self._runner.expire(run_id)
        elif not waits:
            await self._runner.recover(run)
        head = await self._log.head(run_id)
        if head is not None and head.sealed:
            await self._settle(run_id)
