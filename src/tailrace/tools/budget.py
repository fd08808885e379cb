"""The time that a call may take: the time in which a person is waited for is none of it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Budget:
    """Calls `spent` once `seconds` have gone by in which it was not paused; not after `stop`."""

    def __init__(self, seconds: float, spent: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = seconds
        self._spent = spent
        self._pauses = 0
        self._timer: asyncio.TimerHandle | None = None
        self._go_on()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Meanwhile no time goes by; several may overlap."""
        self._pauses += 1
        if self._timer is not None:
            self._left = self._timer.when() - self._loop.time()
            self.stop()
        try:
            yield
        finally:
            self._pauses -= 1
            if self._pauses == 0:
                self._go_on()

    def stop(self) -> None:
        """It matters no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self) -> None:
        self._timer = self._loop.call_later(self._left, self._spent)
