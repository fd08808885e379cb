"""The watchdog's arithmetic, on a clock moved by hand (over sockets: test_http.py)."""

import heapq
from itertools import count

import pytest

from tailrace.schema.errors import ProviderError
from tailrace.upstream.watchdog import Timeouts, Watchdog

LIMITS = Timeouts(first_event_s=10, idle_s=4, total_s=30)


class Handle:
    def __init__(self, callback):
        self.callback = callback
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


class HandClock:
    """A loop's clock that stands still until it is moved; counts the timers it was asked for."""

    def __init__(self):
        self.now = 100.0
        self.timers = 0
        self._order = count()
        self._waiting = []

    def time(self):
        return self.now

    def call_at(self, when, callback):
        self.timers += 1
        handle = Handle(callback)
        heapq.heappush(self._waiting, (when, next(self._order), handle))
        return handle

    def call_soon(self, callback):
        return self.call_at(self.now, callback)

    def move(self, seconds):
        end = self.now + seconds
        while self._waiting and self._waiting[0][0] <= end:
            when, _, handle = heapq.heappop(self._waiting)
            self.now = max(self.now, when)
            if not handle.cancelled:
                handle.callback()
        self.now = end


class Kennel:
    """A watchdog on a hand-driven clock, and what it barked."""

    def __init__(self, limits=LIMITS):
        self.clock = HandClock()
        self.barks: list[ProviderError] = []
        self.dog = Watchdog(self.clock, limits, sent=self.clock.now, bark=self.barks.append)
        self.dog.waiting = True

    @property
    def said(self):
        return [bark.details["watchdog"] for bark in self.barks]


def test_the_first_event_must_come_in_time():
    """Nothing within first_event_s: the bark says which limit and how long."""
    kennel = Kennel()
    kennel.clock.move(9.9)
    assert kennel.barks == []
    kennel.clock.move(0.2)
    assert kennel.said == ["first_event"]
    assert kennel.barks[0].code == "timeout"
    assert kennel.barks[0].retryable
    assert "10 s" in kennel.barks[0].message


def test_silence_is_counted_from_the_last_progress():
    """After the first progress, idle_s holds, and each progress starts it anew."""
    kennel = Kennel()
    for _ in range(6):
        kennel.clock.move(3.9)
        kennel.dog.progress()
    assert kennel.barks == []
    kennel.clock.move(4.1)
    assert kennel.said == ["idle"]


def test_an_idle_limit_shorter_than_the_first_one_holds_from_the_first_progress():
    """The timer that waits for the first event does not oversleep the silence after it."""
    kennel = Kennel()
    kennel.clock.move(1)
    kennel.dog.progress()
    kennel.clock.move(3.9)
    assert kennel.barks == []
    kennel.clock.move(0.2)
    assert kennel.said == ["idle"]


def test_the_whole_has_a_limit_too():
    """However lively, the answer ends at total_s; barking happens once."""
    kennel = Kennel()
    for _ in range(40):
        kennel.clock.move(1)
        kennel.dog.progress()
    assert kennel.said == ["total"]


def test_a_reader_that_is_busy_elsewhere_hears_no_silence():
    """Time in which nobody listens is not the provider's; the total limit counts all the same."""
    kennel = Kennel()
    kennel.dog.progress()
    kennel.dog.waiting = False
    kennel.clock.move(5)
    assert kennel.barks == []
    kennel.dog.waiting = True
    kennel.clock.move(4)
    assert kennel.said == ["idle"]

    busy = Kennel()
    busy.dog.waiting = False
    busy.clock.move(31)
    assert busy.said == ["total"]


def test_progress_costs_no_timer():
    """A thousand reads within a limit take no more timers than one."""
    kennel = Kennel()
    kennel.clock.move(0)
    before = kennel.clock.timers
    for _ in range(1000):
        kennel.clock.move(0.001)
        kennel.dog.progress()
    assert kennel.clock.timers == before


def test_what_arrived_in_the_same_turn_of_the_loop_counts():
    """Progress made between the timer and its confirmation keeps the dog quiet."""
    kennel = Kennel()
    kennel.clock.call_at(kennel.clock.now + 10, kennel.dog.progress)
    kennel.clock.move(10.1)
    assert kennel.barks == []
    kennel.clock.move(4)
    assert kennel.said == ["idle"]


def test_stopped_means_quiet():
    """After stop no limit counts."""
    kennel = Kennel()
    kennel.dog.stop()
    kennel.clock.move(100)
    assert kennel.barks == []


@pytest.mark.parametrize("limit", ["connect_s", "first_event_s", "idle_s", "total_s"])
def test_the_limits_have_generous_defaults(limit):
    """Nobody has to set a timeout to have one."""
    assert 10 <= getattr(Timeouts(), limit) <= 3600
