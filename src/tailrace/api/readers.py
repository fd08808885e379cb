"""Who reads which run: for `on_disconnect`, for metrics, and to part in an orderly way when the server stops."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Readers:
    """The open streams of this process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_run: Counter[str] = Counter()
        self.is_stopping = False
        """Does the server stop?"""

    @property
    def count(self) -> int:
        """How many streams are open."""
        return len(self._tasks)

    @contextmanager
    def reading(self, run_id: str, task: asyncio.Task[None]) -> Iterator[None]:
        """While `task` sends this run to a client."""
        if self.is_stopping:
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
        self.is_stopping = True
        for task in self._tasks:
            task.cancel()
