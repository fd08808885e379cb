"""Who reads which run: for `on_disconnect`, for metrics, and to part in an orderly way when the server stops."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from tailrace.schema.errors import RequestError

logger = structlog.get_logger()


def part(run_id: str, pump: asyncio.Task[None]) -> None:
    """The task that sent a run to a client has ended. An outage ends the body in the middle, and the client comes back
    with its cursor: that is no failure of ours to be traced. Raises what nobody foresaw."""
    if pump.cancelled():
        return
    try:
        pump.result()
    except RequestError as error:
        logger.warning("stream broken off", run_id=run_id, error=error.message)


class Readers:
    """The open streams of this process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_run: Counter[str] = Counter()
        self._stopping = False

    @property
    def count(self) -> int:
        """How many streams are open."""
        return len(self._tasks)

    @contextmanager
    def reading(self, run_id: str, task: asyncio.Task[None]) -> Iterator[None]:
        """While `task` sends this run to a client."""
        if self._stopping:
            task.cancel()
        self._tasks.add(task)
        self._by_run[run_id] += 1
        try:
            yield
        finally:
            self._tasks.discard(task)
            self._by_run[run_id] -= 1
            if not self._by_run[run_id]:
                del self._by_run[run_id]

    def has(self, run_id: str) -> bool:
        """Does anybody read this run?"""
        return run_id in self._by_run

    def stop(self) -> None:
        """The server stops: end all streams; clients come back to another server with their cursor."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
