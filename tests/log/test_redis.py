"""What only the log in Redis does: many processes, lost connections, a Redis that dies, and one that forgets."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tailrace.log import redis as redis_log
from tailrace.log.base import Head
from tailrace.log.redis import RedisLog
from tailrace.log.redis_client import Redis
from tailrace.log.redis_keys import keys_of
from tailrace.schema.batch import Batch
from tailrace.schema.errors import NotFound, NotReady, Sealed, StaleEpoch
from tailrace.schema.events import TraceContext
from tailrace.testing.clock import FakeClock
from tailrace.testing.log_conformance import TRACE, collect, delta, deltas, done, read_all, seqs, soon, texts, whole
from tests.support.redis import RedisServer, redis_server

Node = Callable[[], RedisLog]

pytestmark = pytest.mark.usefixtures("quick_to_return")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Nothing acknowledged is ever lost by this one."""
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[RedisServer]:
    """This one remembers, when it is killed and started again, only what stood there at the last SAVE."""
    with redis_server(tmp_path, appendonly="no") as running:
        yield running


class Nodes:
    """Logs as different processes would have them, over one server."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    def __call__(
        self, server: RedisServer, *, patient_s: float = 10, clock: Callable[[], int] | None = None
    ) -> RedisLog:
        client = Redis(server.url, patient_s=patient_s)
        log = RedisLog(client, **({"clock": clock} if clock else {}))
        self._stack.push_async_callback(client.close)
        self._stack.push_async_callback(log.close)
        return log


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        yield Nodes(stack)


class Reader:
    """Reads a run in a task; `seen` grows."""

    def __init__(self, log: RedisLog, run_id: str, after: int = 0) -> None:
        self.seen: list[Batch] = []
        self._more = asyncio.Event()
        self.task = asyncio.ensure_future(self._read(log, run_id, after))

    async def _read(self, log: RedisLog, run_id: str, after: int) -> None:
        async for batch in log.tail(run_id, after):
            self.seen.append(batch)
            self._more.set()

    async def reaches(self, seq: int) -> None:
        """Returns when it has seen that event."""

        async def wait() -> None:
            while not self.seen or self.seen[-1].last_seq < seq:
                assert not self.task.done(), self.task
                self._more.clear()
                await self._more.wait()

        await soon(wait())

    async def all(self) -> list[Batch]:
        """What it has seen when the run has ended."""
        await soon(self.task)
        return self.seen


# --- many processes ---------------------------------------------------------------------------------------------------


async def test_a_reader_elsewhere_sees_the_same(server: RedisServer, nodes: Nodes) -> None:
    """To the byte, in the same batches, from whichever event it began."""
    here, there = nodes(server), nodes(server)
    epoch = await here.acquire("r")
    await here.append("r", epoch, deltas(2), TRACE)
    readers = [Reader(there, "r")]
    for number in range(20):
        await readers[0].reaches((await here.append("r", epoch, deltas(1 + number % 3), TRACE)).last_seq)
        readers += [Reader(there, "r", after) for after in (0, 1 + number, 1000)]
    await here.append("r", epoch, [delta("last"), done("r")], TraceContext("00-1-2-00", "vendor=1, other=2"))
    expected = whole(await read_all(here, "r"))
    assert whole(await read_all(there, "r")) == expected
    assert whole(await readers[0].all()) == expected
    for number, reader in enumerate(readers[1:]):
        after = (0, 1 + number // 3, 1000)[number % 3]
        assert whole(await reader.all()) == expected[after:]


async def test_readers_of_a_node_share_what_comes(server: RedisServer, nodes: Nodes) -> None:
    """500 readers elsewhere cost Redis one message per append, and nothing is read again (encode once, send many)."""
    here, there = nodes(server), nodes(server)
    epoch = await here.acquire("r")
    readers = [Reader(there, "r") for _ in range(500)]
    await here.append("r", epoch, deltas(1), TRACE)
    await asyncio.gather(*(reader.reaches(1) for reader in readers))
    server.ask("CONFIG", "RESETSTAT")
    for seq in range(2, 12):
        await here.append("r", epoch, deltas(1), TRACE)
        await asyncio.gather(*(reader.reaches(seq) for reader in readers))
    client = Redis(server.url)
    stats = (await client.call("INFO", "commandstats")).decode()
    await client.close()
    counts = {line.split(":")[0].removeprefix("cmdstat_"): int(line.split("calls=")[1].split(",")[0])
              for line in stats.splitlines() if "calls=" in line}  # fmt: skip
    assert counts["evalsha"] == counts["publish"] == 10
    assert "xrange" not in counts
    assert len({tuple(map(id, reader.seen[1:])) for reader in readers}) == 1
    for reader in readers:
        reader.task.cancel()


async def test_who_takes_a_run_over_fences_the_other_off(server: RedisServer, nodes: Nodes) -> None:
    """The old writer is refused, and told of it; its readers read on what the new one writes (rules 1 and 4)."""
    old, new = nodes(server), nodes(server)
    stale = await old.acquire("r")
    await old.append("r", stale, deltas(2), TRACE)
    readers = [Reader(old, "r"), Reader(new, "r")]
    for reader in readers:
        await reader.reaches(2)
    fresh = await new.acquire("r")
    assert fresh > stale
    assert await soon(old.superseded()) == {"r"}
    with pytest.raises(StaleEpoch):
        await old.append("r", stale, deltas(1), TRACE)
    for seq in range(3, 20):
        await new.append("r", fresh, deltas(1), TRACE)
        for reader in readers:
            await reader.reaches(seq)
    newest = await old.acquire("r")
    assert await soon(new.superseded()) == {"r"}
    await old.append("r", newest, [done("r")], TRACE)
    expected = whole(await read_all(new, "r"))
    for reader in readers:
        assert whole(await reader.all()) == expected
    with pytest.raises(Sealed):
        await new.append("r", fresh, deltas(1), TRACE)


async def test_an_epoch_belongs_to_who_acquired_it(server: RedisServer, nodes: Nodes) -> None:
    """Its number alone opens nothing, to anybody else."""
    here, there = nodes(server), nodes(server)
    epoch = await here.acquire("r")
    with pytest.raises(StaleEpoch):
        await there.append("r", epoch, deltas(1), TRACE)
    await here.append("r", epoch, deltas(1), TRACE)


async def test_time_does_not_go_backwards_with_a_writer_whose_clock_is_behind(
    server: RedisServer, nodes: Nodes
) -> None:
    """The clocks of nodes differ; a run's does not show it."""
    ahead, behind = nodes(server, clock=FakeClock(5000)), nodes(server, clock=FakeClock(1000))
    for log in (ahead, behind, ahead):
        assert (await log.append("r", await log.acquire("r"), deltas(1), TRACE)).timestamp == 5000


async def test_a_run_deleted_elsewhere_ends_its_readers_and_writers(server: RedisServer, nodes: Nodes) -> None:
    """With NotFound, wherever they are."""
    writing, reading, deleting = nodes(server), nodes(server), nodes(server)
    epoch = await writing.acquire("r")
    await writing.append("r", epoch, deltas(1), TRACE)
    readers = [Reader(writing, "r"), Reader(reading, "r")]
    for reader in readers:
        await reader.reaches(1)
    await deleting.delete(["r"])
    with pytest.raises(NotFound):
        await soon(readers[1].task)
    with pytest.raises(NotFound):
        await writing.append("r", epoch, deltas(1), TRACE)
    with pytest.raises(NotFound):
        await soon(readers[0].task)


async def test_c43_nothing_stays_of_runs_that_nobody_reads_or_writes(
    server: RedisServer, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither memory nor subscriptions."""
    monkeypatch.setattr(redis_log, "LINGER_S", 0)
    here, there = nodes(server), nodes(server)
    for number in range(20):
        run_id = f"r{number}"
        epoch = await here.acquire(run_id)
        reading = asyncio.ensure_future(collect(there, run_id))
        left = Reader(there, run_id)
        await here.append(run_id, epoch, deltas(3), TRACE)
        await left.reaches(3)
        left.task.cancel()
        await asyncio.wait({left.task})
        del left
        await here.append(run_id, epoch, [done(run_id)], TRACE)
        await soon(reading)
        del reading
    gc.collect()  # what a cancelled task's traceback holds
    await asyncio.sleep(0.01)
    for log in (here, there):
        assert not log._appenders
        assert not log._lingering
        assert not log._live._runs
        assert not log._followers._followed
    assert server.ask("PUBSUB", "NUMPAT") == b":0"
    client = Redis(server.url)
    assert len(await client.call("PUBSUB", "CHANNELS")) == 2  # one per node
    await client.close()


async def test_writers_beyond_what_memory_holds_go_on(
    server: RedisServer, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of runs is bounded; the rest is looked up again."""
    monkeypatch.setattr(redis_log, "MAX_APPENDERS", 2)
    log = nodes(server)
    epochs = {f"r{number}": await log.acquire(f"r{number}") for number in range(6)}
    readers = [Reader(log, run_id) for run_id in epochs]
    for _ in range(3):
        for run_id, epoch in epochs.items():
            await log.append(run_id, epoch, deltas(2), TRACE)
    assert len(log._appenders) <= 2
    for run_id, epoch in epochs.items():
        await log.append(run_id, epoch, [done(run_id)], TRACE)
    assert [seqs(await reader.all()) for reader in readers] == [list(range(1, 8))] * 6


async def test_in_a_cluster_every_script_keeps_to_one_slot(tmp_path: Path, nodes: Nodes) -> None:
    """The whole life of a run, and what readers elsewhere see of it, on a server that checks slots."""
    with redis_server(tmp_path, cluster_enabled="yes") as server:
        server.make_cluster()
        here, there = nodes(server), nodes(server)
        for run_id in ("a", "b", "läuft/🙂"):
            await here.acquire(run_id)
            epoch = await there.acquire(run_id)
            reader = Reader(here, run_id)
            for _ in range(3):
                await there.append(run_id, epoch, deltas(2), TRACE)
            await there.append(run_id, epoch, [done(run_id)], TRACE)
            assert seqs(await reader.all()) == list(range(1, 8))
            assert await here.head(run_id) == Head(run_id, 2, 7, True)
        await here.expire(["a"], 100)
        await here.delete(["b"])
        await here.ping()


async def test_c44_only_sealed_runs_are_told_to_expire(server: RedisServer, nodes: Nodes) -> None:
    """By Redis itself; a live run has no time to live, whoever asks."""
    log = nodes(server)
    for run_id in ("live", "ended"):
        await log.append(run_id, await log.acquire(run_id), deltas(2), TRACE)
    await log.append("ended", 1, [done("ended")], TRACE)
    await log.expire(["live", "ended", "unknown"], 3600)
    for key in keys_of("live")[:2]:
        assert server.ask("TTL", key.decode()) == b":-1"
    for key in keys_of("ended")[:2]:
        assert 3590 < int(server.ask("TTL", key.decode())[1:]) <= 3600


async def test_the_stream_has_an_entry_per_event(server: RedisServer, nodes: Nodes) -> None:
    """Under its seq, so that other programs can read it, too."""
    log = nodes(server)
    await log.append("r", await log.acquire("r"), deltas(3), TRACE)
    client = Redis(server.url)
    entries = await client.call("XRANGE", "tailrace:run:{r}:events", "-", "+")
    assert [entry_id for entry_id, _ in entries] == [b"1-0", b"2-0", b"3-0"]
    assert [fields[1] for _, fields in entries] == list((await log.read("r"))[0].raw)
    await client.close()


# --- lost connections -------------------------------------------------------------------------------------------------


async def test_c48_cut_connections_lose_no_event_and_no_readers_place(server: RedisServer, nodes: Nodes) -> None:
    """All connections of both nodes are cut again and again: writer and readers go on as if nothing were."""
    here, there = nodes(server), nodes(server)
    epoch = await here.acquire("r")
    await here.append("r", epoch, [delta("0")], TRACE)
    readers = [Reader(here, "r"), Reader(there, "r"), Reader(there, "r")]
    for reader in readers:
        await reader.reaches(1)
    for number in range(1, 60):
        if number % 3 == 0:
            server.ask("CLIENT", "KILL", "TYPE", "normal" if number % 2 else "pubsub")
        await here.append("r", epoch, [delta(str(number))], TRACE)
    await here.append("r", epoch, [done("r")], TRACE)
    expected = whole(await read_all(there, "r"))
    assert texts(await read_all(there, "r")) == [str(number) for number in range(60)]
    for reader in readers:
        assert whole(await reader.all()) == expected


async def test_c48_kill_9_of_redis_loses_nothing_acknowledged(server: RedisServer, nodes: Nodes) -> None:
    """With `appendfsync always`, killed between appends and in the middle of them; readers only notice the delay."""
    here, there = nodes(server), nodes(server)
    epoch = await here.acquire("r")
    readers = [Reader(here, "r"), Reader(there, "r")]
    acknowledged = 0
    for number in range(8):
        acknowledged = (await here.append("r", epoch, deltas(2, number * 4), TRACE)).last_seq
        await readers[1].reaches(acknowledged)
        appending = asyncio.ensure_future(here.append("r", epoch, deltas(2, number * 4 + 2), TRACE))
        if number % 2:
            await asyncio.sleep(0)
        server.kill()
        server.start()
        acknowledged = (await appending).last_seq
    assert acknowledged == 32
    await here.append("r", epoch, [done("r")], TRACE)
    expected = whole(await read_all(there, "r"))
    assert texts(await read_all(there, "r")) == [str(number) for number in range(32)]
    for reader in readers:
        assert whole(await reader.all()) == expected


async def test_what_cannot_be_appended_in_time_is_not_ready_and_its_epoch_done_for(
    server: RedisServer, nodes: Nodes
) -> None:
    """Nobody knows whether it is in the log: whoever goes on acquires the run anew, and then knows."""
    log = nodes(server, patient_s=0.2)
    epoch = await log.acquire("r")
    await log.append("r", epoch, deltas(1), TRACE)
    reader = Reader(log, "r")
    server.freeze()
    with pytest.raises(NotReady):
        await log.append("r", epoch, [delta("maybe")], TRACE)
    with pytest.raises(StaleEpoch):
        await log.append("r", epoch, [delta("never")], TRACE)
    server.thaw()
    with pytest.raises(StaleEpoch):
        await log.append("r", epoch, [delta("never")], TRACE)
    new = await log.acquire("r")
    await log.append("r", new, [delta("sure"), done("r")], TRACE)
    seen = await reader.all()
    assert texts(seen) in (["1", "sure"], ["1", "maybe", "sure"])
    assert whole(seen) == whole(await read_all(nodes(server), "r"))


async def test_c47_a_full_redis_refuses_and_nothing_is_lost(server: RedisServer, nodes: Nodes) -> None:
    """Exactly what could not be written raises NotReady; room makes it work again, under the same epoch."""
    log = nodes(server)
    epoch = await log.acquire("r")
    await log.append("r", epoch, [delta("before")], TRACE)
    reader = Reader(log, "r")
    server.ask("CONFIG", "SET", "maxmemory", "1")
    for call in (log.append("r", epoch, [delta("lost")], TRACE), log.acquire("r"), log.ping()):
        with pytest.raises(NotReady, match="OOM"):
            await call
    server.ask("CONFIG", "SET", "maxmemory", "0")
    await log.ping()
    await log.append("r", epoch, [delta("after"), done("r")], TRACE)
    assert texts(await reader.all()) == texts(await read_all(log, "r")) == ["before", "after"]


async def test_no_redis_is_not_ready(server: RedisServer, nodes: Nodes) -> None:
    """Within a bounded time, whatever is asked; and ready again with it."""
    log = nodes(server, patient_s=0.3)
    await log.ping()
    server.kill()
    for call in (log.ping(), log.acquire("r"), log.head("r"), log.read("r"), collect(log, "r")):
        with pytest.raises(NotReady):
            await soon(call)
    server.start()
    assert await log.acquire("r") == 1


# --- a Redis that forgets ---------------------------------------------------------------------------------------------


async def relapse(server: RedisServer) -> None:
    """It dies and comes back without what came behind the last SAVE."""
    server.kill()
    server.start()


async def test_what_redis_forgets_its_writer_appends_again(forgetful: RedisServer, nodes: Nodes) -> None:
    """The same to the byte: readers elsewhere and late ones see what those saw that were there."""
    here, there = nodes(forgetful), nodes(forgetful)
    epoch = await here.acquire("r")
    await here.append("r", epoch, deltas(3), TRACE)
    forgetful.ask("SAVE")
    for size in (1, 4, 2):
        await here.append("r", epoch, deltas(size), TraceContext("00-1-2-00", f"size={size}"))
    readers = [Reader(here, "r"), Reader(there, "r")]
    for reader in readers:
        await reader.reaches(10)
    before = whole(await read_all(here, "r"))
    await relapse(forgetful)
    await here.append("r", epoch, deltas(1), TRACE)
    await here.append("r", epoch, [done("r")], TRACE)
    expected = whole(await read_all(nodes(forgetful), "r"))
    assert expected[:10] == before
    for reader in readers:
        assert whole(await reader.all()) == expected
    assert seqs(readers[1].seen) == list(range(1, 13))


async def test_a_forgotten_run_is_made_whole_before_its_writer_goes_on(forgetful: RedisServer, nodes: Nodes) -> None:
    """Also where Redis has lost all of it, and where its writer is idle, or has ended the run just before."""
    log = nodes(forgetful)
    for run_id in ("idle", "ended"):
        await log.append(run_id, await log.acquire(run_id), deltas(5), TRACE)
    forgetful.ask("SAVE")
    await log.append("idle", 1, deltas(2), TRACE)
    await log.append("ended", 1, [done("ended")], TRACE)
    await relapse(forgetful)

    async def whole_again() -> None:
        late = nodes(forgetful)
        while [await late.head(run_id) for run_id in ("idle", "ended")] != [
            Head("idle", 1, 7, False),
            Head("ended", 1, 6, True),
        ]:
            await asyncio.sleep(0.01)

    await soon(whole_again())
    lost = await log.acquire("lost")
    await log.append("lost", lost, deltas(4), TRACE)
    await relapse(forgetful)
    await log.append("lost", lost, [done("lost")], TRACE)
    assert seqs(await read_all(nodes(forgetful), "lost")) == [1, 2, 3, 4, 5]


async def test_a_forgotten_acquisition_counts_still(forgetful: RedisServer, nodes: Nodes) -> None:
    """The writer that had it last goes on; the one before, whom Redis remembers, is refused as soon as that one has."""
    old, new = nodes(forgetful), nodes(forgetful)
    stale = await old.acquire("r")
    await old.append("r", stale, deltas(1), TRACE)
    forgetful.ask("SAVE")
    fresh = await new.acquire("r")
    await new.append("r", fresh, deltas(1), TRACE)
    await relapse(forgetful)
    await new.append("r", fresh, deltas(1), TRACE)
    with pytest.raises(StaleEpoch):
        await old.append("r", stale, deltas(1), TRACE)
    assert seqs(await read_all(old, "r")) == [1, 2, 3]


async def test_who_takes_over_a_forgotten_run_appends_what_it_has_shown(forgetful: RedisServer, nodes: Nodes) -> None:
    """Its writer is gone, but this node's readers have seen more than Redis remembers: that stays the run's."""
    gone, here = nodes(forgetful), nodes(forgetful)
    epoch = await gone.acquire("r")
    await gone.append("r", epoch, deltas(2), TRACE)
    forgetful.ask("SAVE")
    reader = Reader(here, "r")
    await reader.reaches(2)
    await gone.append("r", epoch, deltas(3, 3), TRACE)
    await reader.reaches(5)
    await gone.close()
    gone._redis.commands.connection(b"")[0].generation = -1  # it never notices that Redis was away
    gone._appenders.clear()
    await relapse(forgetful)
    await here.append("r", await here.acquire("r"), [done("r")], TRACE)
    assert texts(await reader.all()) == texts(await read_all(here, "r")) == ["1", "2", "3", "4", "5"]


async def test_a_run_that_another_node_deleted_is_not_taken_for_a_forgotten_one(
    server: RedisServer, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer remembers it for a while, in case that Redis has lost its end: a new run of that id has none of it."""
    monkeypatch.setattr(redis_log, "LINGER_S", 60.0)
    writer, other = nodes(server), nodes(server)
    await writer.append("r", await writer.acquire("r"), [*deltas(3), done("r")], TRACE)
    await other.delete(["r"])
    async with asyncio.timeout(10):
        while "r" in writer._lingering:
            await asyncio.sleep(0.01)
    assert await writer.acquire("r") == 1
    assert (await writer.append("r", 1, deltas(1), TRACE)).first_seq == 1
    assert seqs(await read_all(other, "r")) == [1]


async def test_what_is_lost_for_good_is_told_and_the_run_goes_on(
    forgetful: RedisServer, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forgotten by Redis and out of memory: the append and the readers fail, and the next writer goes on from there."""
    monkeypatch.setattr("tailrace.log.live.WINDOW_BATCHES", 2)
    log = nodes(forgetful)
    epoch = await log.acquire("r")
    await log.append("r", epoch, deltas(1), TRACE)
    forgetful.ask("SAVE")
    for _ in range(5):
        await log.append("r", epoch, deltas(1), TRACE)
    reader = Reader(log, "r", 6)
    await asyncio.sleep(0)
    await relapse(forgetful)
    with pytest.raises((StaleEpoch, redis_log.EventsLost)):
        await log.append("r", epoch, deltas(1), TRACE)
    with pytest.raises(NotFound):
        await soon(reader.task)
    new = await log.acquire("r")
    assert (await log.append("r", new, [done("r")], TRACE)).first_seq == 2
