"""The log's interface. Every implementation passes `tailrace.testing.log_conformance`.

Promises (design rules 1, 2 and 4): an append is atomic, assigns `seq` 1, 2, 3, … and is durable when it returns; no
reader sees an event before that. An append with an older epoch than the last `acquire` gave raises StaleEpoch, one
behind the terminal event raises Sealed (the append that holds the terminal event seals).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from tailrace.schema.batch import Batch
from tailrace.schema.errors import TailraceError
from tailrace.schema.events import Payload, TraceContext

# Takes a batch at once, or says False: then the tail that waits is woken and yields it. It must not wait; what it
# raises is raised where the tail is read.
Push = Callable[[Batch], bool]
# Takes what became of an append: its batch, or what spoke against it. It must neither raise nor wait.
Told = Callable[[Batch | TailraceError], None]
# What has become of an append by now: its batch; True where that will be told; False where nothing was done.
Offered = Batch | bool


class Head(Struct, frozen=True):
    """Where a run's log stands. `last_seq` is 0 where nothing has been appended."""

    run_id: str
    epoch: int
    last_seq: int
    sealed: bool


class Log(Protocol):
    """One event log per run."""

    async def acquire(self, run_id: str) -> int:
        """Become the run's only writer: the new epoch, one higher than any before. Makes the log where there is none.

        Raises Sealed where the run has ended.
        """

    async def append(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext) -> Batch:
        """Append all of `payloads` or none. Raises StaleEpoch, Sealed, and NotFound for a log never acquired."""

    def offer(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext, told: Told) -> Offered:
        """`append` for callbacks. The batch, where it is durable by now; False, and nothing done, where it takes a
        task. Raises like `append`.

        True where it is under way: `told` is called once, perhaps before this returns, with the batch when it is
        durable, or with what spoke against it. What is under way for the run must have been told or awaited.
        """

    async def head(self, run_id: str) -> Head | None:
        """Where the log stands; None where there is none."""

    async def read(self, run_id: str, after: int = 0, limit: int = 1024) -> list[Batch]:
        """A page: the batches behind `after`, up to about `limit` events (whole batches; at least one if any is there).

        The first is cut to begin at `after` + 1. Empty at the end, and for an unknown run.
        """

    def tail(self, run_id: str, after: int = 0, push: Push | None = None) -> AsyncIterator[Batch]:
        """Batches behind `after` as they come, woken at once; ends behind the terminal event.

        While it waits at the end, what is committed is offered to `push` first: a batch that it takes is not yielded.

        Raises NotFound for an unknown run, also where the log is deleted meanwhile.
        """

    async def changed(self) -> set[str]:
        """The runs in which something has begun or ended since the last call, or that have grown for a while (two
        seconds) or by much; waits until there is one. For one caller: the projector. A snapshot is nobody's only
        source, so that one need not be made of text that is still growing, but for what soon is not in memory any
        more."""

    async def superseded(self) -> set[str]:
        """The runs that were acquired here and have been acquired anew since, by whomever, since the last call; waits
        until there is one. For one caller: the runner, which stops what it does under the older epoch."""

    async def expire(self, run_ids: Sequence[str], seconds: float) -> None:
        """Forget these sealed runs after so many seconds (as `delete` does); others are left alone."""

    async def delete(self, run_ids: Sequence[str]) -> None:
        """Forget these runs, if known. Their tails raise NotFound."""

    async def ping(self) -> None:
        """Raises NotReady where appends cannot be had."""

    async def close(self) -> None:
        """Finish what was begun and let go. Later calls raise NotReady."""


async def pages(log: Log, run_id: str, after: int = 0) -> AsyncIterator[list[Batch]]:
    """The batches that the log holds behind `after` as of now, page by page; nothing for an unknown run."""
    head = await log.head(run_id)
    while head is not None and after < head.last_seq:
        page = await log.read(run_id, after)
        if not page:
            return  # deleted meanwhile
        yield page
        after = page[-1].last_seq
