"""When the logs of ended runs go, for logs whose engine does not see to that itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from tailrace.schema.errors import NotReady

SLACK_S = 0.25  # runs end one by one; their logs go together

logger = structlog.get_logger()


class Expiry:
    """Deletes runs by `delete` when their time has come, in the order of their times."""

    def __init__(self, delete: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        self._delete = delete
        self._due: dict[str, float] = {}  # run_id -> when, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._deleting: asyncio.Task[None] | None = None

    def add(self, run_ids: Sequence[str], seconds: float) -> None:
        """Delete these in so many seconds; who is waiting already, no later than that."""
        loop = asyncio.get_running_loop()
        for run_id in run_ids:
            self._due.setdefault(run_id, loop.time() + seconds)
        self._wind(loop)

    def _wind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None and self._deleting is None and self._due:
            self._timer = loop.call_at(min(self._due.values()) + SLACK_S, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._deleting = asyncio.get_running_loop().create_task(self._carry_out())

    async def _carry_out(self) -> None:
        loop = asyncio.get_running_loop()
        due = [run_id for run_id, when in self._due.items() if when <= loop.time()]
        try:
            await self._delete(due)
        except NotReady as error:  # they are found again when the log is opened the next time
            logger.warning("logs not deleted", runs=len(due), error=error.message)
        for run_id in due:
            del self._due[run_id]
        self._deleting = None
        self._wind(loop)

    async def close(self) -> None:
        """Delete nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._deleting is not None:
            await asyncio.wait({self._deleting})
