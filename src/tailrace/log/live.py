"""The live end of runs: their newest batches, and who waits for the next one. Shared by every log.

A tail is a cursor (design rule 8). While it is inside the window of newest batches it reads from memory, the very same
Batch objects for all tails of a run, so that what `Batch.memo` made for one serves all; behind the window it pages from
the log. All tails of a run are woken once per commit; nothing polls. One that waits at the end with a `push` is not
even woken: to hand a batch over in the commit itself is a fraction of what it costs to have a task run.

Who holds a run's `LiveRun` keeps it alive: its writer while it is live, and each of its tails. With the last of them
the window goes.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import islice
from weakref import WeakValueDictionary

from tailrace.log.base import Head, Push
from tailrace.schema.batch import Batch
from tailrace.schema.errors import NotFound, NotReady

WINDOW_BATCHES = 256
WINDOW_BYTES = 1 << 20
TAIL_PAGE = 256  # events per page of a tail behind the window: what a stalled reader may hold on to
PAGE_BYTES = 1 << 18
GROWTH_MS = 2000  # how long a run may grow before it counts as changed,
GROWTH_BATCHES = WINDOW_BATCHES // 2  # and by how much: whoever looks soon finds in the window what is new


def last_seq_of(batch: Batch) -> int:
    """A key to search ordered batches by."""
    return batch.last_seq


def page(batches: Iterable[Batch], after: int, limit: int) -> list[Batch]:
    """The first of these batches, cut to begin behind `after`, until there are `limit` events or PAGE_BYTES bytes."""
    taken: list[Batch] = []
    size = 0
    for batch in batches:
        part = batch if taken else batch.after(after)
        taken.append(part)
        size += part.size
        if part.last_seq - after >= limit or size >= PAGE_BYTES:
            break
    return taken


def unknown(run_id: str) -> NotFound:
    """The error for a run that has no log."""
    return NotFound(f"there is no log of run {run_id!r}")


class _Waiter:
    """A tail that waits at the end of its run, behind `seq`."""

    __slots__ = ("push", "seq", "woken")

    def __init__(self, seq: int, push: Push | None) -> None:
        self.seq = seq
        self.push = push
        self.woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, batch: Batch) -> bool:
        """Give it the batch that has come; False where it was woken to fetch it itself."""
        try:
            if self.push and self.seq == batch.first_seq - 1 and not self.woken.done() and self.push(batch):
                self.seq = batch.last_seq
                return True
        except Exception as error:  # noqa: BLE001  # raised again where the tail is read: it is none of the writer's
            if not self.woken.done():
                self.woken.set_exception(error)
            return False
        self.wake()
        return False

    def wake(self) -> None:
        """Let the tail go on."""
        if not self.woken.done():
            self.woken.set_result(None)


class LiveRun:
    """One run's window and waiters. `known` once somebody has looked up where its log stands."""

    __slots__ = (
        "__weakref__",
        "_growth",
        "_told",
        "_waiters",
        "_window",
        "gone",
        "known",
        "last_seq",
        "run_id",
        "sealed",
        "size",
    )

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.known = False
        self.last_seq = 0
        self.sealed = False
        self.gone = False
        self._window: deque[Batch] = deque()
        self.size = 0
        self._waiters: set[_Waiter] = set()
        self._told = 0  # the time of the batch that last counted as a change,
        self._growth = 0  # and how many have come since

    def learn(self, last_seq: int, sealed: bool) -> None:
        """Take in where the log was seen to stand; what was published since is newer and stays."""
        self.known = True
        if last_seq > self.last_seq:  # others have written: what is in the window does not join on to it
            self._window.clear()
            self.size = 0
            self.last_seq = last_seq
        self.sealed = self.sealed or sealed

    def publish(self, batch: Batch) -> bool:
        """Show a committed batch to the tails. Does it count as a change (`Log.changed`): does something begin or end
        in it, or has the run grown for GROWTH_MS, or by GROWTH_BATCHES? O(1) besides the waking."""
        self._window.append(batch)
        self.size += batch.size
        if self.size > WINDOW_BYTES or len(self._window) > WINDOW_BATCHES:
            self._trim()
        self.known = True
        self.last_seq = batch.last_seq
        for waiter in tuple(self._waiters):
            if not waiter.take(batch):
                self._waiters.discard(waiter)
        self._growth += 1
        if batch.grows and self._growth < GROWTH_BATCHES and batch.timestamp - self._told < GROWTH_MS:
            return False
        self._told, self._growth = batch.timestamp, 0
        return True

    def seal(self) -> None:
        """What was published last is the end: tails that have read it are done."""
        self.sealed = True
        self.wake()

    def _trim(self) -> None:
        window = self._window
        while len(window) > 1 and (len(window) > WINDOW_BATCHES or self.size > WINDOW_BYTES):
            self.size -= window.popleft().size

    def batch_after(self, seq: int) -> Batch | None:
        """The part behind `seq` of the batch that holds it; None where the window does not reach there."""
        window = self._window
        if not window or window[0].first_seq > seq + 1 or window[-1].last_seq <= seq:
            return None
        newest = window[-1]
        if newest.first_seq <= seq + 1:
            return newest.after(seq)
        return window[bisect_right(window, seq, key=last_seq_of)].after(seq)

    def page_after(self, seq: int, limit: int) -> list[Batch] | None:
        """A page from the window; None where it does not reach there."""
        if self.known and seq >= self.last_seq:
            return []
        window = self._window
        if not window or window[0].first_seq > seq + 1:
            return None
        start = bisect_right(window, seq, key=last_seq_of)
        return page(islice(window, start, None), seq, limit)

    def wake(self) -> None:
        """Wake all who wait."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            waiter.wake()

    async def change(self, seq: int, push: Push | None) -> int:
        """Wait at the end, behind `seq`, until woken: where the tail stands then, behind what `push` has taken.

        Each waits on a future of its own: to cancel one harms no other.
        """
        waiter = _Waiter(seq, push)
        self._waiters.add(waiter)
        try:
            await waiter.woken
        finally:
            self._waiters.discard(waiter)
        return waiter.seq


class Live:
    """The live ends of a log's runs. `head` and `read` are the log's own, for what is not in memory."""

    def __init__(
        self,
        head: Callable[[str], Awaitable[Head | None]],
        read: Callable[[str, int, int], Awaitable[list[Batch]]],
    ) -> None:
        self._head = head
        self._read = read
        self._runs: WeakValueDictionary[str, LiveRun] = WeakValueDictionary()
        self._changed: set[str] = set()
        self._on_change: asyncio.Future[None] | None = None
        self._superseded: set[str] = set()
        self._on_superseded: asyncio.Future[None] | None = None
        self._closed = False

    def open(self, run_id: str) -> LiveRun:
        """The run's live end, for as long as the caller holds it."""
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = LiveRun(run_id)
        return run

    def find(self, run_id: str) -> LiveRun | None:
        """The run's live end, if somebody holds it."""
        return self._runs.get(run_id)

    def note_change(self, run: LiveRun) -> None:
        """The run has changed: for `changed` to tell."""
        self._changed.add(run.run_id)
        if self._on_change is not None:
            self._wake_changed()

    def _wake_changed(self) -> None:
        if self._on_change is not None and not self._on_change.done():
            self._on_change.set_result(None)
        self._on_change = None

    def forget(self, run_id: str) -> None:
        """The run's log was deleted: its tails raise NotFound."""
        self._changed.discard(run_id)
        run = self._runs.pop(run_id, None)
        if run is not None:
            run.gone = True
            run.wake()

    def page(self, run_id: str, after: int, limit: int) -> list[Batch] | None:
        """A page from memory; None where it must come from the log."""
        run = self._runs.get(run_id)
        return run.page_after(after, limit) if run is not None else None

    async def changed(self) -> set[str]:
        """See `Log.changed`."""
        while not self._changed:
            self.check_open()
            self._on_change = asyncio.get_running_loop().create_future()
            await self._on_change
        changed, self._changed = self._changed, set()
        return changed

    def acquired(self, run_id: str, epoch: int) -> None:
        """The run was acquired; from the second time on that makes an earlier writer's epoch stale."""
        if epoch > 1:
            self._superseded.add(run_id)
            if self._on_superseded is not None and not self._on_superseded.done():
                self._on_superseded.set_result(None)

    async def superseded(self) -> set[str]:
        """See `Log.superseded`."""
        while not self._superseded:
            self.check_open()
            self._on_superseded = asyncio.get_running_loop().create_future()
            await self._on_superseded
        superseded, self._superseded = self._superseded, set()
        return superseded

    async def tail(self, run_id: str, after: int, push: Push | None = None) -> AsyncIterator[Batch]:
        """See `Log.tail`. Holds the cursor, and at most one page while it is behind the window."""
        run = await self._watch(run_id)
        while True:
            self.check_open()
            batch = run.batch_after(after)
            if batch is not None:
                yield batch
                after = batch.last_seq
            elif run.gone and not (run.sealed and after >= run.last_seq):
                raise unknown(run_id)
            elif after < run.last_seq:
                found = await self._read(run_id, after, TAIL_PAGE)
                if not found:
                    raise unknown(run_id)  # deleted meanwhile
                for batch in found:
                    yield batch
                    after = batch.last_seq
            elif run.sealed:
                return
            else:
                after = await run.change(after, push)

    async def _watch(self, run_id: str) -> LiveRun:
        run = self.open(run_id)  # listen first, then look: nothing published in between is missed
        if not run.known:
            head = await self._head(run_id)
            if head is None:
                raise unknown(run_id)
            run.learn(head.last_seq, head.sealed)
        return run

    def check_open(self) -> None:
        """Raises NotReady after `close`."""
        if self._closed:
            raise NotReady("the log is closed")

    def close(self) -> None:
        """Wake everyone; they raise NotReady."""
        self._closed = True
        for run in list(self._runs.values()):
            run.wake()
        self._wake_changed()
        if self._on_superseded is not None and not self._on_superseded.done():
            self._on_superseded.set_result(None)
