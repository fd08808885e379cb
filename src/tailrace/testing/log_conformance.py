"""What every log keeps (`log.base`, design rules 1, 2, 4 and 8), as tests for pytest.

Subclass `LogConformance` in a test module whose fixtures give `log`: an empty log. `asyncio_mode = "auto"`, or an
asyncio mark on the subclass.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import aclosing, suppress
from typing import Any, cast

from tailrace.log.base import Head, Log
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import NotFound, Sealed, StaleEpoch, TailraceError
from tailrace.schema.events import ItemDelta, ItemStart, Payload, ResponseDone, TraceContext, TurnAborted

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
DEADLINE = 5.0  # seconds; only what hangs comes near it


def delta(text: str) -> Payload:
    """An event that is told by its text."""
    return ItemDelta(item_id="item_1", delta_content=text)


def start(item_id: str) -> Payload:
    """An item begins."""
    return ItemStart(item_id=item_id, item_type="message")


def deltas(count: int, start: int = 1) -> list[Payload]:
    """`count` events that say which they are."""
    return [delta(str(number)) for number in range(start, start + count)]


def done(run_id: str) -> Payload:
    """A terminal event."""
    return ResponseDone(response_id=run_id, status="complete", finish_reason="stop")


def texts(batches: Sequence[Batch]) -> list[str]:
    """What the deltas in these batches say."""
    return [payload.delta_content for batch in batches for payload in batch.payloads if isinstance(payload, ItemDelta)]


def seqs(batches: Sequence[Batch]) -> list[int]:
    """The `seq` of each event."""
    return [seq for batch in batches for seq in range(batch.first_seq, batch.last_seq + 1)]


def whole(batches: Sequence[Batch]) -> list[bytes]:
    """Each event as a reader sees it, to compare to the byte."""
    return [codec.encode(event) for batch in batches for event in batch.events()]


async def read_all(log: Log, run_id: str, after: int = 0, limit: int = 1024) -> list[Batch]:
    """All pages, joined."""
    batches: list[Batch] = []
    while page := await log.read(run_id, after, limit):
        batches += page
        after = page[-1].last_seq
    return batches


async def collect(log: Log, run_id: str, after: int = 0) -> list[Batch]:
    """What a tail gives until it ends."""
    return [batch async for batch in log.tail(run_id, after)]


async def soon(awaitable: Awaitable[Any]) -> Any:
    """Its result. Raises TimeoutError where it does not come."""
    return await asyncio.wait_for(awaitable, DEADLINE)


def offer(log: Log, run_id: str, epoch: int, payloads: Sequence[Payload]) -> "asyncio.Future[Batch] | None":
    """An offer, and what is told of it; None where it was not taken. Raises as `Log.offer` does."""
    outcome: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()

    def told(said: Batch | TailraceError) -> None:
        if isinstance(said, Batch):
            outcome.set_result(said)
        else:
            outcome.set_exception(said)

    offered = log.offer(run_id, epoch, payloads, TRACE, told)
    if isinstance(offered, Batch):
        outcome.set_result(offered)
    return outcome if offered else None


async def refused(awaitable: Awaitable[Any], error: type[TailraceError]) -> TailraceError:
    """The error of the kind that it must raise."""
    try:
        await awaitable
    except error as caught:
        return caught
    raise AssertionError(f"{error.__name__} was not raised")


class _Tail:
    """A tail that a test steps through."""

    def __init__(self, log: Log, run_id: str, after: int = 0) -> None:
        self._batches = log.tail(run_id, after)

    async def next(self) -> Batch:
        batch: Batch = await soon(anext(self._batches))
        return batch

    async def rest(self) -> list[Batch]:
        return [batch async for batch in self._batches]

    def waiting(self) -> "asyncio.Task[Batch]":
        return asyncio.ensure_future(self.next())


async def _turns(count: int = 20) -> None:
    """Let everything that can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)


class LogConformance:
    """The suite."""

    async def test_seq_counts_from_one_without_a_gap(self, log: Log) -> None:
        """Batches of any size number their events 1, 2, 3, …"""
        epoch = await log.acquire("r")
        appended = [await log.append("r", epoch, deltas(size), TRACE) for size in (1, 3, 2, 64, 1)]
        assert seqs(appended) == list(range(1, 72))
        assert whole(await read_all(log, "r")) == whole(appended)

    async def test_head_says_where_the_log_stands(self, log: Log) -> None:
        """None, then empty, then grown, then sealed."""
        assert await log.head("r") is None
        epoch = await log.acquire("r")
        assert await log.head("r") == Head("r", epoch, 0, False)
        await log.append("r", epoch, deltas(3), TRACE)
        assert await log.head("r") == Head("r", epoch, 3, False)
        await log.append("r", epoch, [done("r")], TRACE)
        assert await log.head("r") == Head("r", epoch, 4, True)

    async def test_an_offer_is_an_append_or_nothing(self, log: Log) -> None:
        """What is taken on the spot stands where an append would have put it, for readers too; what is not, nowhere."""
        epoch = await log.acquire("run_1")
        written: list[str] = []
        for number in range(1, 21):
            taken = offer(log, "run_1", epoch, [delta(str(number))])
            assert taken is None or (await soon(taken)).last_seq == len(written) + 1
            if taken is not None or number % 3 == 0:
                written.append(str(number))
            if taken is None and number % 3 == 0:
                await log.append("run_1", epoch, [delta(str(number))], TRACE)
        assert texts(await read_all(log, "run_1")) == written
        await log.append("run_1", epoch, [done("run_1")], TRACE)
        assert texts(await soon(collect(log, "run_1"))) == written

    async def test_an_offer_under_a_stale_epoch_adds_nothing(self, log: Log) -> None:
        """Refused like an append, at once or when it is told, or not taken."""
        old = await log.acquire("run_1")
        epoch = await log.acquire("run_1")
        with suppress(StaleEpoch):
            taken = offer(log, "run_1", old, deltas(1))
            assert taken is None or await soon(taken) is None
        await log.append("run_1", epoch, [done("run_1")], TRACE)
        with suppress(Sealed):
            taken = offer(log, "run_1", epoch, deltas(1))
            assert taken is None or await soon(taken) is None
        assert texts(await soon(collect(log, "run_1"))) == []

    async def test_an_append_keeps_its_trace_context(self, log: Log) -> None:
        """`traceparent` and `tracestate` come back as they were given."""
        epoch = await log.acquire("r")
        traces = [TRACE, TraceContext("00-1-2-00", "vendor=1"), TRACE]
        for trace in traces:
            await log.append("r", epoch, deltas(1), trace)
        assert [batch.trace for batch in await read_all(log, "r")] == traces

    async def test_an_unknown_run_is_not_found(self, log: Log) -> None:
        """Appending and tailing raise NotFound, reading gives nothing."""
        await refused(log.append("r", 1, deltas(1), TRACE), NotFound)
        await refused(soon(collect(log, "r")), NotFound)
        assert await log.read("r") == []

    async def test_epochs_rise(self, log: Log) -> None:
        """Each acquire gives a higher one."""
        epochs = [await log.acquire("r") for _ in range(4)]
        assert epochs == sorted(set(epochs))

    async def test_a_stale_epoch_is_refused(self, log: Log) -> None:
        """Who lost the run changes nothing, not even with several events."""
        old = await log.acquire("r")
        await log.append("r", old, deltas(1), TRACE)
        new = await log.acquire("r")
        await refused(log.append("r", old, deltas(2), TRACE), StaleEpoch)
        await refused(log.append("r", new + 1, deltas(2), TRACE), StaleEpoch)
        batch = await log.append("r", new, deltas(1), TRACE)
        assert batch.first_seq == 2

    async def test_a_zombie_beside_the_new_writer_adds_nothing(self, log: Log) -> None:
        """Whatever is under way at the moment of `acquire`, nothing of the old epoch stands behind it."""
        old = await log.acquire("r")

        async def zombie() -> int:
            written = 0
            try:
                while True:
                    await log.append("r", old, [delta("old")], TRACE)
                    written += 1
            except StaleEpoch:
                return written

        task = asyncio.ensure_future(zombie())
        await _turns()
        pending = asyncio.ensure_future(log.append("r", old, [delta("old")], TRACE))
        new = await log.acquire("r")
        stood = await log.head("r")
        assert stood is not None
        for _ in range(20):
            await log.append("r", new, [delta("new")], TRACE)
        written = await soon(task)
        written += not isinstance((await asyncio.gather(pending, return_exceptions=True))[0], StaleEpoch)
        said = texts(await read_all(log, "r"))
        assert said == ["old"] * written + ["new"] * 20
        assert stood.last_seq == written

    async def test_the_terminal_event_seals(self, log: Log) -> None:
        """Behind it nothing is admitted, under no epoch; nobody can acquire the run."""
        epoch = await log.acquire("r")
        await log.append("r", epoch, [*deltas(2), done("r")], TRACE)
        await refused(log.append("r", epoch, deltas(1), TRACE), Sealed)
        await refused(log.append("r", epoch, [done("r")], TRACE), Sealed)
        await refused(log.acquire("r"), Sealed)
        assert seqs(await read_all(log, "r")) == [1, 2, 3]

    async def test_of_two_terminal_events_at_once_one_is_admitted(self, log: Log) -> None:
        """A cancel that races the end: exactly one terminal event (rule 2)."""
        epoch = await log.acquire("r")
        ends: list[Payload] = [done("r"), TurnAborted(turn_id="t", reason="user")]
        outcomes = await asyncio.gather(*(log.append("r", epoch, [end], TRACE) for end in ends), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Batch", "Sealed"]
        assert seqs(await read_all(log, "r")) == [1]

    async def test_a_misplaced_terminal_event_is_a_bug_of_the_caller(self, log: Log) -> None:
        """ValueError, and nothing is appended; the same for an append of nothing."""
        epoch = await log.acquire("r")
        for payloads in ([done("r"), delta("x")], []):
            try:
                await log.append("r", epoch, payloads, TRACE)
            except ValueError:
                continue
            raise AssertionError("ValueError was not raised")
        assert await log.read("r") == []

    async def test_what_the_caller_does_to_its_list_later_changes_nothing(self, log: Log) -> None:
        """The log keeps what it was given at the call."""
        epoch = await log.acquire("r")
        payloads = deltas(2)
        batch = await log.append("r", epoch, payloads, TRACE)
        payloads.clear()
        assert texts([batch]) == texts(await read_all(log, "r")) == ["1", "2"]

    async def test_c50_a_tail_from_every_cursor_gives_the_rest(self, log: Log) -> None:
        """Cut at every event and resumed there, a reader has read exactly the run's events, to the byte."""
        epoch = await log.acquire("r")
        for size in (1, 2, 7, 1, 30, 3):
            await log.append("r", epoch, deltas(size), TRACE)
        await log.append("r", epoch, [*deltas(2), done("r")], TRACE)
        log_whole = whole(await read_all(log, "r"))
        for cut in range(len(log_whole) + 1):
            assert log_whole[:cut] + whole(await soon(collect(log, "r", cut))) == log_whole

    async def test_c50_a_tail_that_began_early_reads_the_same(self, log: Log) -> None:
        """Tails that began at different times, before, during and after, have read the same bytes."""
        epoch = await log.acquire("r")
        tails = [asyncio.ensure_future(collect(log, "r"))]
        for number in range(600):  # more than a window of batches
            await log.append("r", epoch, deltas(1 + number % 3), TRACE)
            if number % 100 == 0:
                tails.append(asyncio.ensure_future(collect(log, "r")))
        await log.append("r", epoch, [done("r")], TRACE)
        expected = whole(await read_all(log, "r"))
        for batches in await soon(asyncio.gather(*tails)):
            assert whole(batches) == expected

    async def test_c49_a_tail_past_the_end_ends_at_once(self, log: Log) -> None:
        """At the end of a sealed run, and beyond it, there is nothing to wait for."""
        epoch = await log.acquire("r")
        await log.append("r", epoch, [done("r")], TRACE)
        assert await soon(collect(log, "r", 1)) == []
        assert await soon(collect(log, "r", 99)) == []

    async def test_a_tail_wakes_at_once(self, log: Log) -> None:
        """A reader at the end has the batch by the time the append has returned, but for its own turn of the loop."""
        epoch = await log.acquire("r")
        tail = _Tail(log, "r")
        for number in range(1, 6):
            waiting = tail.waiting()
            await _turns(3)
            batch = await log.append("r", epoch, deltas(1, number), TRACE)
            await _turns(3)
            assert waiting.done() or number == 1  # the first look may have to ask the log
            assert whole([await waiting]) == whole([batch])

    async def test_readers_at_the_end_share_a_batch(self, log: Log) -> None:
        """Encode once, send many: it is the very same object for all of them."""
        epoch = await log.acquire("r")
        tails = [_Tail(log, "r") for _ in range(3)]
        await log.append("r", epoch, deltas(1), TRACE)
        for tail in tails:
            await tail.next()
        waiting = [tail.waiting() for tail in tails]
        await _turns()
        batch = await log.append("r", epoch, deltas(1), TRACE)
        assert [await each is batch for each in waiting] == [True] * 3

    async def test_a_slow_reader_misses_nothing(self, log: Log) -> None:
        """A reader left behind by more than any window reads on, and holds up nobody (rule 8)."""
        epoch = await log.acquire("r")
        slow = _Tail(log, "r")
        await log.append("r", epoch, deltas(1), TRACE)
        batches = [await slow.next()]
        for number in range(700):
            await log.append("r", epoch, deltas(2, number * 2), TRACE)
        await log.append("r", epoch, [done("r")], TRACE)
        batches += await soon(slow.rest())
        assert seqs(batches) == list(range(1, 1403))

    async def test_many_tails_are_all_woken(self, log: Log) -> None:
        """A thousand readers of one run all read it."""
        epoch = await log.acquire("r")
        tails = [asyncio.ensure_future(collect(log, "r")) for _ in range(1000)]
        await _turns()
        await log.append("r", epoch, deltas(3), TRACE)
        await log.append("r", epoch, [done("r")], TRACE)
        assert {tuple(seqs(batches)) for batches in await soon(asyncio.gather(*tails))} == {(1, 2, 3, 4)}

    async def test_a_cancelled_tail_harms_nobody(self, log: Log) -> None:
        """The other readers and the writer go on."""
        epoch = await log.acquire("r")
        await log.append("r", epoch, deltas(1), TRACE)
        tails = [_Tail(log, "r") for _ in range(4)]
        for tail in tails:
            await tail.next()
        waiting = [tail.waiting() for tail in tails]
        await _turns()
        waiting[0].cancel()
        waiting[2].cancel()
        await _turns()
        await log.append("r", epoch, deltas(1), TRACE)
        assert [(await waiting[index]).first_seq for index in (1, 3)] == [2, 2]

    async def test_a_tail_may_be_left(self, log: Log) -> None:
        """Closed before its end, it is gone; another can begin there."""
        epoch = await log.acquire("r")
        await log.append("r", epoch, deltas(2), TRACE)
        await log.append("r", epoch, deltas(2), TRACE)
        async with aclosing(cast(Any, log.tail("r"))) as tail:
            first = await anext(tail)
        await log.append("r", epoch, [done("r")], TRACE)
        assert seqs([first, *await soon(collect(log, "r", first.last_seq))]) == [1, 2, 3, 4, 5]

    async def test_concurrent_appends_to_many_runs_keep_to_their_runs(self, log: Log) -> None:
        """Fifty writers at once: each run has its own events, all of them, in order."""

        async def write(run_id: str) -> None:
            epoch = await log.acquire(run_id)
            for number in range(20):
                await log.append(run_id, epoch, [delta(f"{run_id}/{number}")], TRACE)
            await log.append(run_id, epoch, [done(run_id)], TRACE)

        run_ids = [f"run_{number}" for number in range(50)]
        await soon(asyncio.gather(*map(write, run_ids)))
        for run_id in run_ids:
            batches = await soon(collect(log, run_id))
            assert texts(batches) == [f"{run_id}/{number}" for number in range(20)]
            assert {batch.run_id for batch in batches} == {run_id}

    async def test_concurrent_appends_to_one_run_are_all_there_in_order_of_the_calls(self, log: Log) -> None:
        """None is lost, none overtakes another."""
        epoch = await log.acquire("r")
        await asyncio.gather(*(log.append("r", epoch, deltas(2, number * 2), TRACE) for number in range(30)))
        batches = await read_all(log, "r")
        assert seqs(batches) == list(range(1, 61))
        assert texts(batches) == [str(number) for number in range(60)]

    async def test_a_cancelled_append_is_whole_or_not_at_all(self, log: Log) -> None:
        """Cancelled at whatever turn of the loop, it leaves no part and no gap; the others go on."""
        epoch = await log.acquire("r")
        for turns in range(4):
            task = asyncio.ensure_future(log.append("r", epoch, [delta("maybe")] * 3, TRACE))
            await _turns(turns)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await log.append("r", epoch, [delta("sure")], TRACE)
        batches = await read_all(log, "r")
        assert seqs(batches) == list(range(1, batches[-1].last_seq + 1))
        assert {len(batch.payloads) for batch in batches if "maybe" in texts([batch])} <= {3}
        assert texts(batches).count("sure") == 4

    async def test_read_pages_and_cuts_the_first_batch(self, log: Log) -> None:
        """From any cursor, in pages of any size, the pages joined are the rest of the log."""
        epoch = await log.acquire("r")
        for size in (4, 1, 5, 2):
            await log.append("r", epoch, deltas(size), TRACE)
        expected = whole(await read_all(log, "r"))
        for after in range(13):
            for limit in (1, 3, 100):
                batches = await read_all(log, "r", after, limit)
                assert whole(batches) == expected[after:]
        (first,) = await log.read("r", 1, 2)
        assert (first.first_seq, first.last_seq) == (2, 4)

    async def test_delete_wakes_its_tails(self, log: Log) -> None:
        """They raise NotFound; other runs and their readers are left in peace."""
        for run_id in ("a", "b", "c"):
            await log.append(run_id, await log.acquire(run_id), deltas(1), TRACE)
        tails = {run_id: _Tail(log, run_id) for run_id in ("a", "b", "c")}
        for tail in tails.values():
            await tail.next()
        waiting = {run_id: tail.waiting() for run_id, tail in tails.items()}
        await _turns()
        await log.delete(["a", "c", "unknown"])
        await refused(waiting["a"], NotFound)
        await refused(waiting["c"], NotFound)
        await log.append("b", 1, deltas(1), TRACE)
        assert (await waiting["b"]).first_seq == 2

    async def test_a_deleted_run_is_unknown(self, log: Log) -> None:
        """No head, no events, no append; its id begins anew."""
        epoch = await log.acquire("r")
        await log.append("r", epoch, [*deltas(5), done("r")], TRACE)
        await log.delete(["r"])
        assert await log.head("r") is None
        assert await log.read("r") == []
        await refused(log.append("r", epoch, deltas(1), TRACE), NotFound)
        await refused(soon(collect(log, "r")), NotFound)
        batch = await log.append("r", await log.acquire("r"), deltas(1), TRACE)
        assert batch.first_seq == 1
        assert seqs(await read_all(log, "r")) == [1]

    async def test_delete_amid_appends_lets_none_through(self, log: Log) -> None:
        """A writer whose run is deleted under it is told so."""
        epoch = await log.acquire("r")
        outcomes = await asyncio.gather(
            log.append("r", epoch, deltas(1), TRACE),
            log.delete(["r"]),
            log.append("r", epoch, deltas(1), TRACE),
            return_exceptions=True,
        )
        assert [type(outcome).__name__ for outcome in outcomes] == ["Batch", "NoneType", "NotFound"]
        assert await log.read("r") == []

    async def test_changed_names_the_runs_appended_to(self, log: Log) -> None:
        """Once each, waiting while there is none."""
        waiting = asyncio.ensure_future(log.changed())
        epochs = {run_id: await log.acquire(run_id) for run_id in ("a", "b")}
        await _turns()
        assert not waiting.done()
        await log.append("a", epochs["a"], deltas(1), TRACE)
        assert await soon(waiting) == {"a"}
        for run_id in ("a", "b", "b"):
            await log.append(run_id, epochs[run_id], [start("item_1")], TRACE)
        assert await soon(log.changed()) == {"a", "b"}

    async def test_changed_tells_of_growth_alone_only_now_and_then(self, log: Log) -> None:
        """A run that grows counts as changed once in a while, one in which something begins or ends at once."""
        epochs = {run_id: await log.acquire(run_id) for run_id in ("a", "b")}
        for run_id, epoch in epochs.items():
            await log.append(run_id, epoch, deltas(1), TRACE)
        assert await soon(log.changed()) == {"a", "b"}
        await log.append("a", epochs["a"], deltas(3), TRACE)
        await log.append("b", epochs["b"], [*deltas(1), start("item_2")], TRACE)
        assert await soon(log.changed()) == {"b"}
        await log.append("a", epochs["a"], [done("a")], TRACE)
        assert await soon(log.changed()) == {"a"}

    async def test_changed_loses_nothing_when_cancelled(self, log: Log) -> None:
        """Who gives up waiting finds at the next call what came meanwhile."""
        epoch = await log.acquire("r")
        waiting = asyncio.ensure_future(log.changed())
        await _turns()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await log.append("r", epoch, deltas(1), TRACE)
        assert await soon(log.changed()) == {"r"}

    async def test_superseded_names_the_runs_that_were_acquired_anew(self, log: Log) -> None:
        """Once each, waiting while there is none; the first acquisition of a run supersedes nobody."""
        waiting = asyncio.ensure_future(log.superseded())
        for run_id in ("a", "b", "c"):
            await log.acquire(run_id)
        await _turns()
        assert not waiting.done()
        await log.acquire("b")
        assert await soon(waiting) == {"b"}
        await log.acquire("a")
        await log.acquire("a")
        assert await soon(log.superseded()) == {"a"}

    async def test_c44_expire_forgets_sealed_runs_only(self, log: Log) -> None:
        """And no sooner than it is told to."""
        for run_id in ("live", "ended", "kept"):
            await log.append(run_id, await log.acquire(run_id), deltas(2), TRACE)
        for run_id in ("ended", "kept"):
            await log.append(run_id, 1, [done(run_id)], TRACE)
        await log.expire(["live", "ended", "unknown"], 0.02)
        await log.expire(["kept"], 3600)

        async with asyncio.timeout(DEADLINE):
            while await log.head("ended") is not None:  # noqa: ASYNC110  # nothing tells when a log has gone
                await asyncio.sleep(0.01)
        assert await log.read("ended") == []
        assert seqs(await read_all(log, "kept")) == [1, 2, 3]
        assert seqs(await read_all(log, "live")) == [1, 2]
        await log.append("live", 1, [done("live")], TRACE)

    async def test_text_comes_back_to_the_letter(self, log: Log) -> None:
        """Line ends, NUL, quotes, and everything beyond ASCII."""
        said = ["a\nb\r\nc", "\0", '"\\', "šé漢字🙂", "\u2028\u2029\ufeff", ""]
        epoch = await log.acquire("läuft/🙂")
        await log.append("läuft/🙂", epoch, [delta(text) for text in said], TRACE)
        assert texts(await read_all(log, "läuft/🙂")) == said

    async def test_big_payloads_come_back_whole(self, log: Log) -> None:
        """Several megabytes in one event, read from the log and from its tail (C46)."""
        epoch = await log.acquire("r")
        big = "x" * 5_000_000
        for _ in range(3):
            await log.append("r", epoch, [delta(big), delta("small")], TRACE)
        await log.append("r", epoch, [done("r")], TRACE)
        for batches in (await read_all(log, "r"), await soon(collect(log, "r"))):
            assert texts(batches) == [big, "small"] * 3
        assert len(await log.read("r", 0, 1000)) < 3  # a page is bounded in bytes too

    async def test_a_closed_log_is_not_ready(self, log: Log) -> None:
        """Its tails wake and it refuses everything; closing it again is no error."""
        epoch = await log.acquire("r")
        await log.append("r", epoch, deltas(1), TRACE)
        await log.ping()
        tail = _Tail(log, "r")
        await tail.next()
        waiting = tail.waiting()
        await _turns()
        await log.close()
        assert (await refused(waiting, TailraceError)).__class__.__name__ == "NotReady"
        for call in (log.append("r", epoch, deltas(1), TRACE), log.acquire("r"), log.ping(), log.head("r")):
            assert (await refused(call, TailraceError)).__class__.__name__ == "NotReady"
        await log.close()
