"""The projector: what the log says gets into the store, whatever gets in between."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tailrace.fold.folds import Folds
from tailrace.fold.reducer import fold
from tailrace.log.base import Log
from tailrace.log.memory import MemoryLog
from tailrace.log.sqlite import SqliteLog
from tailrace.log.work_memory import MemoryWork
from tailrace.runs.writer import RunWriter
from tailrace.schema import codec
from tailrace.schema.errors import NotReady
from tailrace.schema.events import (
    ItemCancelled,
    ItemDelta,
    ItemStart,
    Payload,
    ResponseDone,
    ResponseStart,
    TraceContext,
)
from tailrace.schema.request import Generation, RunRequest
from tailrace.schema.response import Response
from tailrace.store.base import Projection, StoredRun, Thread
from tailrace.store.sql import SqlStore, open_store
from tailrace.workers.announcer import INTERVAL_S, Announcer
from tailrace.workers.projector import Projector

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class CountingStore(SqlStore):
    """The real store, which counts what it is asked to write and may be told to fail."""

    writes: list[str]
    poison: str | None = None
    down = False

    async def project(self, projections: Sequence[Projection]) -> None:
        """Write them, unless one of them is poison, or the store is down."""
        if self.down or self.poison in {each.response.id for each in projections}:
            raise NotReady("told to fail")
        await super().project(projections)
        self.writes += [each.response.id for each in projections]

    async def ping(self) -> None:
        """Raises NotReady while down."""
        if self.down:
            raise NotReady("told to be down")
        await super().ping()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CountingStore]:
    opened = await open_store(f"sqlite:///{tmp_path / 'store.db'}")
    opened.__class__ = CountingStore
    assert isinstance(opened, CountingStore)
    opened.writes = []
    yield opened
    await opened.close()


def start(run_id: str) -> ResponseStart:
    return ResponseStart(
        response_id=run_id, turn_id="t", thread_id=f"thread_{run_id}", model_id="m", provider_id="p", created_at=1
    )


def done(run_id: str) -> ResponseDone:
    return ResponseDone(response_id=run_id, status="complete", finish_reason="stop")


async def begin(log: Log, store: SqlStore, run_id: str, *payloads: Payload) -> int:
    """A run in store and log, with its first events."""
    request = RunRequest(
        run_id=run_id, turn_id="t", thread_id=f"thread_{run_id}", provider_id="p", model_id="m", input=[],
        generation=Generation(),
    )  # fmt: skip
    queued = Response(
        id=run_id, turn_id="t", thread_id=request.thread_id, model_id="m", provider_id="p", created_at=1, updated_at=1,
        status="queued", output_items=[], steps=[], finish_reason=None, last_seq=0,
    )  # fmt: skip
    thread = Thread(thread_id=request.thread_id, created_at=1, updated_at=1)
    await store.create_run(StoredRun(request=request, digest="d", response=queued), thread)
    epoch = await log.acquire(run_id)
    await log.append(run_id, epoch, [start(run_id), *payloads], TRACE)
    return epoch


async def _nothing(_thread_ids: Collection[str]) -> None:
    """Nothing waits for a thread here."""


def projector(log: Log, store: SqlStore) -> Projector:
    return Projector(log, store, Folds(), MemoryWork(), keep_s=60, freed=_nothing)


@asynccontextmanager
async def projecting(log: MemoryLog, store: SqlStore) -> AsyncIterator[MemoryWork]:
    """A projector at work on what is announced of the log; its queue."""
    work = MemoryWork(lease_s=0.1)
    jobs = [Announcer(log, work).run, Projector(log, store, Folds(), work, keep_s=60, freed=_nothing).run]
    tasks = [asyncio.create_task(job()) for job in jobs]
    yield work
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_c40_a_projector_restarted_after_any_event_ends_with_the_same_state(store: CountingStore):
    """Killed after k events, for every k, and begun anew: what is stored in the end is the fold of the log."""
    payloads: list[Payload] = [ItemStart(item_id="a", item_type="message")]
    payloads += [ItemDelta(item_id="a", delta_content=f"{n} ") for n in range(6)]
    for cut in range(len(payloads) + 1):
        log, run_id = MemoryLog(), f"run{cut}"
        epoch = await begin(log, store, run_id)
        for at, payload in enumerate(payloads):
            if at == cut:
                await projector(log, store).settle(run_id)
            await log.append(run_id, epoch, [payload], TRACE)
        if cut == len(payloads):
            await projector(log, store).settle(run_id)
        await log.append(run_id, epoch, [done(run_id)], TRACE)
        await projector(log, store).settle(run_id)
        stored = (await store.get_run(run_id)).response
        assert stored == fold(await log.read(run_id))
        archived = await store.archived(run_id)
        assert archived is not None
        assert fold(archived) == stored


@pytest.mark.slow
async def test_c41_a_run_that_always_fails_is_dead_and_shown(store: CountingStore):
    """After so many deliveries it is left, visibly; the others are projected meanwhile and go on being."""
    log = MemoryLog()
    await begin(log, store, "poison")
    epoch = await begin(log, store, "fine")
    store.poison = "poison"
    async with projecting(log, store) as work:
        async with asyncio.timeout(10):
            while not await work.dead():
                await asyncio.sleep(0.01)
        assert await work.dead() == ["poison"]
        assert (await store.get_run("fine")).response.last_seq == 1
        await log.append("fine", epoch, [done("fine")], TRACE)
        async with asyncio.timeout(5):
            while (await store.get_run("fine")).response.status != "complete":
                await asyncio.sleep(0.01)
        assert store.writes.count("fine") == 2


@pytest.mark.slow
async def test_a_store_that_is_down_blames_no_run(store: CountingStore):
    """While the store is out of reach nothing is counted against a run; when it is back, nothing is missing."""
    log = MemoryLog()
    await begin(log, store, "a", done("a"))
    store.down = True
    async with projecting(log, store) as work:
        await asyncio.sleep(1.2)
        assert not await work.dead()
        store.down = False
        async with asyncio.timeout(5):
            while (await store.get_run("a")).response.status != "complete":
                await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_c45_a_thousand_deltas_in_a_second_cost_a_few_writes(store: CountingStore):
    """Snapshots are written by the clock, not by the token; the last one is there."""
    log = MemoryLog()
    epoch = await begin(log, store, "a", ItemStart(item_id="i", item_type="message"))
    async with projecting(log, store):
        began = time.monotonic()
        for _ in range(1000):
            await log.append("a", epoch, [ItemDelta(item_id="i", delta_content="x")], TRACE)
            await asyncio.sleep(0.001)
        took = time.monotonic() - began
        await log.append("a", epoch, [ItemCancelled(item_id="i"), done("a")], TRACE)
        while (await store.get_run("a")).response.status != "complete":
            await asyncio.sleep(0.01)
    assert len(store.writes) <= took / INTERVAL_S + 2


async def test_c39_c42_what_cannot_be_read_stays_with_its_run(store: CountingStore, tmp_path: Path):
    """Garbage in a log is kept under its run as a `provider_event`; the run's other events and other runs go on."""
    path, garbage = tmp_path / "log.db", b'{"type":"item_start","item_id":7'
    log = SqliteLog(path)
    for run_id in ("bad", "good"):
        await begin(log, store, run_id, ItemStart(item_id="a", item_type="message"))
    await log.close()
    with closing(sqlite3.connect(path)) as db, db:
        damaged = codec.encode(start("bad")) + b"\n" + garbage
        db.execute(
            "UPDATE batches SET payloads = ? WHERE run = (SELECT run FROM runs WHERE run_id = 'bad')", (damaged,)
        )
    log = SqliteLog(path)
    working = projector(log, store)
    await working.settle("bad")
    await working.settle("good")
    assert (await store.get_run("bad")).response.last_seq == 2
    assert (await store.get_run("good")).response.last_seq == 2
    (batch,) = await log.read("bad")
    await log.close()
    damage = batch.payloads[1]
    assert damage.name == "unreadable"
    assert damage.data["raw"] == garbage.decode()
    assert codec.decode_payload(batch.raw[1]) == damage


async def test_what_its_writer_has_folded_is_projected_all_the_same(store: CountingStore):
    """Writer and projector share a run's fold: whoever looks first folds, and what is stored is the fold of the log."""
    log, folds = MemoryLog(), Folds()
    working = Projector(log, store, folds, MemoryWork(), keep_s=60, freed=_nothing)
    await begin(log, store, "r")
    writer = await RunWriter.open(log, folds, "r")
    assert writer.state is folds.of("r")
    events: list[Payload] = [
        ItemStart(item_id="a", item_type="message"),
        ItemDelta(item_id="a", delta_content="b"),
        ItemDelta(item_id="a", delta_content="c"),
        ItemCancelled(item_id="a"),
        done("r"),
    ]
    for seq, payload in enumerate(events, 2):
        await writer.append([payload], TRACE)
        if seq % 2:
            assert writer.state.last_seq == seq
        await working.settle("r")
        assert (await store.get_run("r")).response == fold(await log.read("r"))
    archived = await store.archived("r")
    assert [batch.payloads for batch in archived or ()] == [list(batch.payloads) for batch in await log.read("r")]


async def test_who_waits_for_a_thread_is_told_though_the_store_was_out_of_reach(store: CountingStore):
    """The threads of all runs that ended are told at once; where that fails, they are told with the next ones."""
    log, work, told = MemoryLog(), MemoryWork(lease_s=0.1), list[set[str]]()
    heard = asyncio.Event()

    async def freed(thread_ids: Collection[str]) -> None:
        told.append(set(thread_ids))
        if len(told) == 1:
            raise NotReady("told to fail")
        heard.set()

    for run_id in ("a", "b", "c"):
        await log.append(run_id, await begin(log, store, run_id), [done(run_id)], TRACE)
    await work.put(["a", "b"])
    task = asyncio.create_task(Projector(log, store, Folds(), work, keep_s=60, freed=freed).run())
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0)
        await work.put(["c"])
        await heard.wait()
    task.cancel()
    assert told == [{"thread_a", "thread_b"}, {"thread_a", "thread_b", "thread_c"}]
