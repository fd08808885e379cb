"""The window of newest batches and the memory that readers take."""

import asyncio
import tracemalloc

import pytest

from tailrace.log import live
from tailrace.log.memory import MemoryLog
from tailrace.schema.batch import Batch
from tailrace.testing.log_conformance import TRACE, collect, delta, deltas, done, seqs


async def test_the_window_is_bounded_in_batches_and_in_bytes() -> None:
    """However long a run is, its window is not."""
    log = MemoryLog()
    epoch = await log.acquire("r")
    run = log._live.open("r")
    for _ in range(3 * live.WINDOW_BATCHES):
        await log.append("r", epoch, deltas(3), TRACE)
    assert len(run._window) == live.WINDOW_BATCHES
    assert run.size == sum(len(raw) + 1 for batch in run._window for raw in batch.raw)
    for _ in range(20):
        await log.append("r", epoch, [delta("x" * 100_000)], TRACE)
    assert run.size <= live.WINDOW_BYTES
    await log.append("r", epoch, [delta("x" * 2 * live.WINDOW_BYTES)], TRACE)
    assert len(run._window) == 1


async def test_a_run_that_grows_fast_counts_as_changed_while_its_window_holds_what_is_new() -> None:
    """So that the projector, who is told of it then, never has to read a live run's events from the log again."""
    log = MemoryLog()
    epoch = await log.acquire("r")
    run = log._live.open("r")
    seen = 0
    for _ in range(5 * live.WINDOW_BATCHES):
        batch = await log.append("r", epoch, deltas(3), TRACE)
        assert run.page_after(seen, 1) is not None
        if log._live._changed:
            assert await log.changed() == {"r"}
            seen = batch.last_seq
    assert seen > 4 * live.WINDOW_BATCHES * 3


async def test_c43_a_window_goes_with_its_last_holder() -> None:
    """The registry keeps no run alive; a tail does, for as long as it reads."""
    log = MemoryLog()
    epoch = await log.acquire("r")
    tail = asyncio.ensure_future(collect(log, "r"))
    await asyncio.sleep(0)
    await log.append("r", epoch, [done("r")], TRACE)
    await tail
    await log.delete(["r"])
    assert not log._live._runs


async def test_an_idle_reader_costs_little() -> None:
    """A thousand readers at the end of one run take a few kilobytes each, task included."""
    log = MemoryLog()
    epoch = await log.acquire("r")
    tracemalloc.start()
    tails = [asyncio.ensure_future(collect(log, "r")) for _ in range(1000)]
    for _ in range(5):
        await asyncio.sleep(0)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / 1000 < 8_000
    await log.append("r", epoch, [done("r")], TRACE)
    assert {tuple(seqs(batches)) for batches in await asyncio.gather(*tails)} == {(1,)}


async def test_a_waiting_tail_is_offered_what_comes_at_once() -> None:
    """What `push` takes is not yielded; what it refuses is, and so is what comes until the tail waits again."""
    log = MemoryLog()
    epoch = await log.acquire("r")
    offered: list[Batch] = []
    willing = [True, False, True]

    def push(batch: Batch) -> bool:
        offered.append(batch)
        return willing.pop(0)

    yielded: list[Batch] = []

    async def read() -> None:
        async for batch in log.tail("r", 0, push):
            yielded.append(batch)  # noqa: PERF401  # what has come so far is looked at meanwhile

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    await log.append("r", epoch, deltas(2), TRACE)
    assert (seqs(offered), seqs(yielded)) == ([1, 2], [])
    await log.append("r", epoch, deltas(1), TRACE)  # refused
    await asyncio.sleep(0)
    assert (seqs(offered), seqs(yielded)) == ([1, 2, 3], [3])
    await log.append("r", epoch, [done("r")], TRACE)
    await reading
    assert (seqs(offered), seqs(yielded)) == ([1, 2, 3, 4], [3])


async def test_a_tail_that_catches_up_is_offered_nothing() -> None:
    """A reader behind the end is a cursor (design rule 8): everything it has not seen comes to it in order."""
    log = MemoryLog()
    epoch = await log.acquire("r")
    await log.append("r", epoch, deltas(3), TRACE)
    offered: list[Batch] = []

    def push(batch: Batch) -> bool:
        offered.append(batch)
        return True

    tail = log.tail("r", 1, push)
    assert seqs([await anext(tail)]) == [2, 3]
    await log.append("r", epoch, deltas(1), TRACE)
    assert seqs([await anext(tail)]) == [4]
    assert not offered


async def test_a_waiting_tail_that_is_cancelled_is_offered_nothing() -> None:
    """Who has gone takes no more, also where its task has not run since."""
    log = MemoryLog()
    epoch = await log.acquire("r")
    offered: list[Batch] = []

    def push(batch: Batch) -> bool:
        offered.append(batch)
        return True

    async def read() -> None:
        async for _ in log.tail("r", 0, push):
            pass

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    reading.cancel()
    await log.append("r", epoch, deltas(1), TRACE)
    assert not offered


async def test_a_push_that_fails_is_its_readers_concern_alone() -> None:
    """The append is done, the other tails read on, and the error is raised where that tail is read."""
    log = MemoryLog()
    epoch = await log.acquire("r")

    def push(_batch: Batch) -> bool:
        raise ZeroDivisionError

    tail = log.tail("r", 0, push)
    failing = asyncio.ensure_future(anext(tail))
    other = asyncio.ensure_future(collect(log, "r"))
    await asyncio.sleep(0)
    await log.append("r", epoch, deltas(1), TRACE)
    await log.append("r", epoch, [done("r")], TRACE)
    assert seqs(await other) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        await failing


async def test_a_tail_that_is_behind_reads_to_the_end_of_a_log_that_is_let_go() -> None:
    """What was published while it waited is in its window still; only what is no longer there is missed."""
    log = MemoryLog()
    epoch = await log.acquire("r")
    tail = asyncio.ensure_future(collect(log, "r"))
    await asyncio.sleep(0)
    await log.append("r", epoch, deltas(1), TRACE)
    await log.append("r", epoch, [done("r")], TRACE)
    await log.delete(["r"])
    assert seqs(await tail) == [1, 2]
