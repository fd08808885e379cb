"""Is anything still coming? One timer per call, however many reads it takes.

The timer looks at the time of the last progress when it goes off: a read costs no timer work, and
`progress` only notes the time.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from tailrace.schema.errors import ProviderError


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long to wait, in seconds.

    `connect_s`: for a connection (a free place in the pool included); `response_s`: from sending to the headers, and
    no further; `first_event_s`: from sending to the first progress; `idle_s`: since the last progress; `total_s`: from
    sending to the end of the body.
    """

    connect_s: float = 10.0
    response_s: float = 120.0
    first_event_s: float = 120.0
    idle_s: float = 120.0
    total_s: float = 3600.0


_SAID = {
    "connect": "no connection within {:g} s",
    "response": "no answer within {:g} s",
    "first_event": "no first event within {:g} s",
    "idle": "no progress for {:g} s",
    "total": "the answer took longer than {:g} s",
    "in_flight": "no free place among the calls to the provider within {:g} s",
}


def timed_out(watchdog: str, seconds: float) -> ProviderError:
    """The error of the limit that was passed: connect, response, first_event, idle, total or in_flight."""
    return ProviderError("timeout", _SAID[watchdog].format(seconds), details={"watchdog": watchdog})


class Clock(Protocol):
    """What the watchdog needs of an event loop."""

    def time(self) -> float:
        """Seconds, monotonic."""

    def call_at(self, when: float, callback: Callable[[], object], /) -> asyncio.TimerHandle:
        """Call back at `when`."""

    def call_soon(self, callback: Callable[[], object], /) -> asyncio.Handle:
        """Call back after what is ready now."""


def _ignore(_error: ProviderError) -> None:
    """Nobody listens any more."""


class Watchdog:
    """Calls `bark` once with the error when a limit counted from `sent` (by `clock`) has passed, unless stopped.

    The owner sets `waiting` while it waits for the provider: silence counts against the provider only then, for a
    reader that is busy elsewhere hears nothing either. `total` counts always.
    """

    __slots__ = ("_bark", "_clock", "_end", "_handle", "_last", "_sent", "_timeouts", "waiting")

    def __init__(
        self, clock: Clock, timeouts: Timeouts, *, sent: float, bark: Callable[[ProviderError], object]
    ) -> None:
        self.waiting = False
        self._clock = clock
        self._timeouts = timeouts
        self._sent = sent
        self._end = sent + timeouts.total_s
        self._bark = bark
        self._last: float | None = None
        self._handle: asyncio.Handle = clock.call_soon(self._look)

    def progress(self) -> None:
        """Something that counts has come."""
        self._last = self._clock.time()

    def stop(self) -> None:
        """The call is over; idempotent. Its owner, who holds the watchdog, is let go of."""
        self._handle.cancel()
        self._bark = _ignore

    def _silence(self) -> tuple[float, str, float]:
        """When silence will have lasted too long, by which limit, and its length."""
        limits = self._timeouts
        if self._last is None:
            return self._sent + limits.first_event_s, "first_event", limits.first_event_s
        return self._last + limits.idle_s, "idle", limits.idle_s

    def _look(self) -> None:
        if not self._sleep(min(self._silence()[0], self._end)):
            # Bytes that arrived in this very turn of the loop have not reached their reader yet: let it go first, lest
            # a loop that was held up takes its own lateness for the provider's silence.
            self._handle = self._clock.call_soon(self._confirm)

    def _confirm(self) -> None:
        now = self._clock.time()
        due, watchdog, seconds = self._silence()
        if now >= self._end:
            self._bark(timed_out("total", self._timeouts.total_s))
        elif now < due:
            self._sleep(min(due, self._end))
        elif self.waiting:
            self._bark(timed_out(watchdog, seconds))
        else:
            self._sleep(self._end)

    def _sleep(self, due: float) -> bool:
        """Look again at `due`, if that is still to come.

        Never later than idle_s from now: progress may begin the idle limit at any moment without touching the timer.
        """
        now = self._clock.time()
        if now < due:
            self._handle = self._clock.call_at(min(due, now + self._timeouts.idle_s), self._look)
        return now < due
