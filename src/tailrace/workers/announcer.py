"""Log to work: tells the projectors which runs this process has appended to, each once in INTERVAL_S at the most.

So the number of projections of a run depends on time, not on tokens. What a dying process did not announce, the
reaper's sweep does.
"""

import asyncio
from contextlib import suppress

import structlog

from tailrace.log.base import Log
from tailrace.log.work import Work
from tailrace.schema.errors import NotReady

logger = structlog.get_logger()

INTERVAL_S = 0.25


class Announcer:
    """Puts changed runs into the projectors' queue. One per process that appends."""

    def __init__(self, log: Log, work: Work) -> None:
        self._log = log
        self._work = work
        self._changed: set[str] = set()

    async def run(self) -> None:
        """Announce until cancelled; what could not be announced is, later."""
        while True:
            if not self._changed:
                self._changed |= await self._log.changed()
            try:
                await self._put()
            except NotReady as error:
                logger.warning("announcing put off", error=error.message)
            await asyncio.sleep(INTERVAL_S)

    async def flush(self) -> None:
        """Announce what has changed until now, and do not wait for more."""
        with suppress(TimeoutError, NotReady):
            async with asyncio.timeout(0):
                self._changed |= await self._log.changed()
        with suppress(NotReady):
            await self._put()

    async def _put(self) -> None:
        """What is put is forgotten; what comes meanwhile is kept. Raises NotReady, and then all is kept."""
        changed = sorted(self._changed)
        if changed:
            await self._work.put(changed)
            self._changed.difference_update(changed)
