"""What a log admits: one writer at a time, no gap in `seq`, nothing behind the end (design rules 2 and 4).

Shared by the logs that decide this in the process.
"""

import time
from collections.abc import Callable, Sequence

from tailrace.log.base import Head
from tailrace.log.live import LiveRun
from tailrace.schema.batch import Batch
from tailrace.schema.errors import Sealed, StaleEpoch
from tailrace.schema.events import ENDING, Payload, TraceContext

Clock = Callable[[], int]  # milliseconds since the epoch


def wall_clock() -> int:
    """The time of day, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def check_payloads(payloads: Sequence[Payload]) -> None:
    """Raises ValueError for an append of nothing, and for a terminal event that is not the last: bugs of the caller."""
    if not payloads:
        raise ValueError("an append holds at least one event")
    if len(payloads) > 1 and not ENDING.isdisjoint(map(type, payloads[:-1])):
        raise ValueError("a terminal event must be the last of its append")


class Writer:
    """Where a run's log stands, as its only writer sees it. `key` is the log's own number for the run, `entry_id` that
    of its latest entry since it came into memory (0: none)."""

    __slots__ = ("entry_id", "epoch", "key", "last_seq", "live", "sealed", "timestamp")

    def __init__(
        self, live: LiveRun, key: int = 0, epoch: int = 0, last_seq: int = 0, sealed: bool = False, timestamp: int = 0
    ) -> None:
        self.live = live
        self.key = key
        self.entry_id = 0
        self.epoch = epoch
        self.last_seq = last_seq
        self.sealed = sealed
        self.timestamp = timestamp

    def head(self) -> Head:
        """The same, for others to read."""
        return Head(self.live.run_id, self.epoch, self.last_seq, self.sealed)

    def acquire(self) -> int:
        """The next epoch. Raises Sealed."""
        if self.sealed:
            raise Sealed(f"run {self.live.run_id!r} has ended")
        self.epoch += 1
        return self.epoch

    def append(
        self, epoch: int, payloads: Sequence[Payload], raw: Sequence[bytes], trace: TraceContext, now: int
    ) -> Batch:
        """The next batch: `seq` goes on without a gap, time never goes backwards. Raises Sealed and StaleEpoch."""
        if self.sealed:
            raise Sealed(f"run {self.live.run_id!r} has ended")
        if epoch != self.epoch:
            raise StaleEpoch(f"run {self.live.run_id!r} is written under epoch {self.epoch}, not {epoch}")
        if now > self.timestamp:
            self.timestamp = now
        batch = Batch(self.live.run_id, self.last_seq + 1, self.timestamp, trace, payloads, raw)
        self.last_seq = batch.last_seq
        self.sealed = batch.ends
        return batch
