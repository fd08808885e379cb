"""What only the SQLite log does: it stays, it gathers commits, it fails as a disk does, it is checkpointed."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.log import journal
from tailrace.log import sqlite as sqlite_log
from tailrace.log.base import Head
from tailrace.log.sqlite import SqliteLog
from tailrace.schema.batch import Batch
from tailrace.schema.errors import NotReady, Sealed, SettingsError, StaleEpoch, TailraceError
from tailrace.schema.events import TraceContext
from tailrace.testing.clock import FakeClock
from tailrace.testing.log_conformance import (
    TRACE,
    collect,
    delta,
    deltas,
    done,
    offer,
    read_all,
    seqs,
    texts,
    whole,
)


async def test_a_log_opened_again_goes_on_where_it_stood(tmp_path: Path) -> None:
    """Events to the byte, epochs, seals; and `seq` goes on without a gap."""
    log = SqliteLog(tmp_path / "log.db", clock=FakeClock())
    old = await log.acquire("live")
    await log.append("live", old, deltas(3), TRACE)
    await log.append("ended", await log.acquire("ended"), [delta("x"), done("ended")], TRACE)
    before = [whole(await read_all(log, run_id)) for run_id in ("live", "ended")]
    await log.close()
    log = SqliteLog(tmp_path / "log.db")
    assert [whole(await read_all(log, run_id)) for run_id in ("live", "ended")] == before
    assert await log.heads() == [Head("live", old, 3, False), Head("ended", 1, 2, True)]
    with pytest.raises(Sealed):
        await log.acquire("ended")
    new = await log.acquire("live")
    with pytest.raises(StaleEpoch):
        await log.append("live", old, deltas(1), TRACE)
    assert (await log.append("live", new, deltas(1), TRACE)).first_seq == 4
    await log.close()


async def test_time_never_goes_backwards_within_a_run(tmp_path: Path) -> None:
    """A clock that is put back does not show, not even after the log was opened again."""
    clock = FakeClock(1000)
    log = SqliteLog(tmp_path / "log.db", clock=clock)
    epoch = await log.acquire("r")
    stamps = []
    for change in (0, 5, -100, 50):
        clock.advance(change)
        stamps.append((await log.append("r", epoch, deltas(1), TRACE)).timestamp)
    await log.close()
    log = SqliteLog(tmp_path / "log.db", clock=FakeClock(1))
    stamps.append((await log.append("r", await log.acquire("r"), deltas(1), TRACE)).timestamp)
    assert stamps == [1000, 1005, 1005, 1005, 1005]
    await log.close()


async def test_what_comes_together_is_committed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appends too long for the journal share a transaction in one turn of the loop, or in `gather_ms`: their rows
    appear at once."""
    monkeypatch.setattr(sqlite_log, "QUIET_SECONDS", 1e9)  # none is taken to come alone
    long = [delta("x" * (sqlite_log.LARGE_BYTES + 1))]
    for gather_ms in (0, 2):
        path = tmp_path / f"{gather_ms}.db"
        log = SqliteLog(path, gather_ms=gather_ms)
        epochs = [await log.acquire(f"r{number}") for number in range(20)]
        other = sqlite3.connect(path)
        seen = set()
        await log.append("r0", epochs[0], long, TRACE)
        pending = [asyncio.ensure_future(log.append(f"r{number}", epochs[number], long, TRACE)) for number in range(20)]
        while not all(task.done() for task in pending):
            seen.add(other.execute("SELECT count(*) FROM batches").fetchone()[0])
            await asyncio.sleep(0)
        assert seen <= {1, 21}
        assert other.execute("SELECT count(*) FROM batches").fetchone() == (21,)
        other.close()
        await log.close()


async def test_what_is_offered_gathers_in_the_journal(tmp_path: Path) -> None:
    """With `gather_ms` it waits for company, and costs no transaction; one refused spoils no other."""
    log = SqliteLog(tmp_path / "log.db", gather_ms=20)
    epochs = {run_id: await log.acquire(run_id) for run_id in "abc"}
    told: list[Batch | TailraceError] = []
    for run_id, epoch in {**epochs, "b": epochs["b"] + 1}.items():
        assert log.offer(run_id, epoch, deltas(2), TRACE, told.append) is True
    assert not told
    assert [await log.head(run_id) for run_id in "abc"] == [Head(run_id, 1, 0, False) for run_id in "abc"]
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0.001)
    a, b, c = told
    assert isinstance(a, Batch)
    assert isinstance(b, StaleEpoch)
    assert isinstance(c, Batch)
    assert seqs([a]) == seqs([c]) == [1, 2]
    assert [seqs(await read_all(log, run_id)) for run_id in "abc"] == [[1, 2], [], [1, 2]]
    other = sqlite3.connect(tmp_path / "log.db")
    assert other.execute("SELECT count(*) FROM batches").fetchone() == (0,)
    other.close()
    await log.close()


async def test_what_gathers_fits_into_the_journal_or_goes_into_the_file(tmp_path: Path) -> None:
    """Also where it is the traces that are long: a group is kept whole."""
    log = SqliteLog(tmp_path / "log.db", gather_ms=1)
    trace = TraceContext(TRACE.traceparent, "a=" + "x" * 16_000)
    runs = [f"r{number}" for number in range(sqlite_log.MOST_AT_ONCE)]
    epochs = [await log.acquire(run_id) for run_id in runs]
    await asyncio.gather(
        *(log.append(run_id, epoch, deltas(1), trace) for run_id, epoch in zip(runs, epochs, strict=True))
    )
    await log.close()
    log = SqliteLog(tmp_path / "log.db")
    assert [seqs(await read_all(log, run_id)) for run_id in runs] == [[1]] * len(runs)
    await log.close()


async def test_no_reader_sees_an_event_before_it_is_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a tail gives a batch, or its `push` is given it, it is in the database or in the journal (rule 1)."""
    monkeypatch.setattr(journal, "MOST_ENTRIES", 7)
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    epoch = await log.acquire("r")
    other = sqlite3.connect(path)
    beside = journal.Journal(path.with_suffix(".journal"))
    seen = pushed = 0

    def is_in_a_file(seq: int) -> bool:
        last_id, committed = other.execute("SELECT max(id), max(last_seq) FROM batches").fetchone()
        return seq <= max(committed or 0, *(row[3] for row in beside.recover(last_id or 0)), 0)

    def push(batch: Batch) -> bool:
        nonlocal pushed
        pushed += 1
        assert is_in_a_file(batch.last_seq)
        return False

    async def watch() -> None:
        nonlocal seen
        async for batch in log.tail("r", push=push):
            assert is_in_a_file(batch.last_seq)
            seen = batch.last_seq

    watching = asyncio.ensure_future(watch())
    for number in range(100):
        if number % 5:
            await log.append("r", epoch, deltas(1 + number % 3), TRACE)
        else:
            offer(log, "r", epoch, deltas(1 + number % 3))
        if number % 3:
            await asyncio.sleep(0)
    await log.append("r", epoch, [done("r")], TRACE)
    await watching
    assert seen == (await log.head("r") or Head("r", 0, 0, False)).last_seq
    assert pushed > 10
    other.close()
    beside.close()
    await log.close()


async def test_c47_a_full_disk_fails_its_appends_and_no_others(tmp_path: Path) -> None:
    """Exactly what could not be written raises NotReady; nothing is lost or reordered, and room makes it work again."""
    log = SqliteLog(tmp_path / "log.db")
    epochs = {run_id: await log.acquire(run_id) for run_id in ("a", "b")}
    await log.append("a", epochs["a"], [delta("before")], TRACE)
    tail = asyncio.ensure_future(collect(log, "a"))
    (pages,) = log._db.execute("PRAGMA page_count").fetchone()
    log._db.execute(f"PRAGMA max_page_count = {pages}")
    big = [delta("x" * 100_000)]
    outcomes = await asyncio.gather(
        *(log.append(run_id, epochs[run_id], big, TRACE) for run_id in ("a", "b", "a")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [NotReady] * 3
    with pytest.raises(NotReady):
        await log.append("a", epochs["a"], big, TRACE)
    with pytest.raises(NotReady):
        await log.append("a", epochs["a"], [*big, done("a")], TRACE)
    assert await log.head("a") == Head("a", 1, 1, False)
    log._db.execute("PRAGMA max_page_count = 1000000")
    await log.append("a", epochs["a"], [delta("after"), done("a")], TRACE)
    assert texts(await read_all(log, "a")) == texts(await tail) == ["before", "after"]
    assert seqs(await read_all(log, "a")) == [1, 2, 3]
    assert await log.read("b") == []
    await log.close()


async def test_c47_a_ping_says_when_appends_cannot_be_had(tmp_path: Path) -> None:
    """A lock that somebody else holds on the file is told, and over when it is over."""
    log = SqliteLog(tmp_path / "log.db")
    other = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotReady, match="locked"):
        await log.ping()
    other.execute("COMMIT")
    await log.ping()
    other.close()
    await log.close()


async def test_checkpoints_run_beside_appends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a checkpoint due at every turn, all appends and reads go well and the write-ahead log begins anew."""
    monkeypatch.setattr(sqlite_log, "CHECKPOINT_PAGES", 50)
    log = SqliteLog(tmp_path / "log.db")

    async def write(run_id: str) -> None:
        epoch = await log.acquire(run_id)
        for _ in range(300):
            await log.append(run_id, epoch, deltas(2), TRACE)
        await log.append(run_id, epoch, [done(run_id)], TRACE)

    run_ids = [f"r{number}" for number in range(5)]
    tails = [asyncio.ensure_future(write(run_id)) for run_id in run_ids]
    await asyncio.gather(*tails)
    for run_id in run_ids:
        assert seqs(await collect(log, run_id)) == list(range(1, 602))
    written = 5 * 300 * 2 * 2048  # two pages per append at the least, had it gone on and on
    assert (tmp_path / "log.db-wal").stat().st_size < written / 2
    await log.close()
    assert not (tmp_path / "log.db-wal").exists()


async def test_a_checkpoint_is_due_after_each_append(tmp_path: Path) -> None:
    """Once it has run, the database file itself holds the append, safe from power loss too."""
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    epoch = await log.acquire("r")
    await log.append("r", epoch, [delta("a needle")], TRACE)
    checkpoints = log._checkpoints
    assert checkpoints._timer is not None
    assert b"a needle" not in path.read_bytes()
    checkpoints._start()
    assert checkpoints._running is not None
    await checkpoints._running
    assert b"a needle" in path.read_bytes()
    assert checkpoints._timer is None
    await log.close()


async def test_a_run_whose_standing_left_memory_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of runs is bounded; the rest is looked up again."""
    monkeypatch.setattr(sqlite_log, "MAX_WRITERS", 2)
    log = SqliteLog(tmp_path / "log.db")
    epochs = {f"r{number}": await log.acquire(f"r{number}") for number in range(10)}
    tails = [asyncio.ensure_future(collect(log, run_id)) for run_id in epochs]
    for _ in range(3):
        for run_id, epoch in epochs.items():
            await log.append(run_id, epoch, deltas(2), TRACE)
    for run_id, epoch in epochs.items():
        await log.append(run_id, epoch, [done(run_id)], TRACE)
    assert [seqs(batches) for batches in await asyncio.gather(*tails)] == [list(range(1, 8))] * 10
    assert len(log._writers) <= 2
    await log.close()


async def test_c43_ended_runs_leave_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs that have ended, and that nobody reads, the latest few stay in memory for a moment."""
    monkeypatch.setattr(sqlite_log, "ENDED_S", 0.2)
    log = SqliteLog(tmp_path / "log.db")
    live = await log.acquire("live")
    for number in range(3):
        run_id = f"r{number}"
        await log.append(run_id, await log.acquire(run_id), [*deltas(3), done(run_id)], TRACE)
    assert len(log._writers) == 4
    async with asyncio.timeout(10):
        while len(log._writers) > 1:
            await asyncio.sleep(0.01)
    assert [seqs(await read_all(log, f"r{number}")) for number in range(3)] == [[1, 2, 3, 4]] * 3
    assert (await log.append("live", live, deltas(1), TRACE)).first_seq == 1
    await log.close()


async def test_a_run_of_an_ended_ones_id_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept of the ended one goes, and not what is there of the new one."""
    monkeypatch.setattr(sqlite_log, "ENDED_S", 0.05)
    log = SqliteLog(tmp_path / "log.db")
    await log.append("r", await log.acquire("r"), [done("r")], TRACE)
    await log.delete(["r"])
    assert await log.acquire("r") == 1
    async with asyncio.timeout(10):
        while log._ended:
            await asyncio.sleep(0.01)
    assert "r" in log._writers
    await log.close()


async def test_c43_no_more_than_so_many_ended_runs_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for a moment."""
    monkeypatch.setattr(sqlite_log, "ENDED_S", 60.0)
    log = SqliteLog(tmp_path / "log.db")
    for number in range(2 * sqlite_log.ENDED_RUNS):
        run_id = f"r{number}"
        await log.append(run_id, await log.acquire(run_id), [*deltas(3), done(run_id)], TRACE)
        await collect(log, run_id)
    assert len(log._writers) == len(log._live._runs) == sqlite_log.ENDED_RUNS
    await log.close()


async def test_c43_long_ended_runs_leave_memory_sooner(tmp_path: Path) -> None:
    """The latest ended runs that stay are bounded in bytes, too."""
    log = SqliteLog(tmp_path / "log.db")
    for number in range(12):
        run_id = f"r{number}"
        epoch = await log.acquire(run_id)
        await log.append(run_id, epoch, [delta("x" * (sqlite_log.ENDED_BYTES // 8)), done(run_id)], TRACE)
    assert sum(writer.live.size for writer in log._writers.values()) <= sqlite_log.ENDED_BYTES
    assert 0 < len(log._writers) < 8
    assert [seqs(await read_all(log, f"r{number}")) for number in range(12)] == [[1, 2]] * 12
    await log.close()


@pytest.mark.parametrize("pages", [1, 7, 1000])
async def test_a_cold_read_finds_batches_with_a_place_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    """However many wait for their place, reading from the file at every cursor gives the rest, and heads are right."""
    monkeypatch.setattr(sqlite_log, "PLACE_PAGES", pages)
    log = SqliteLog(tmp_path / "log.db")
    epochs = {run_id: await log.acquire(run_id) for run_id in ("a", "b", "empty")}
    for number in range(40):
        await asyncio.gather(*(log.append(run_id, epochs[run_id], deltas(1 + number % 2), TRACE) for run_id in "ab"))
        if number == 20:
            await log.append("gone", await log.acquire("gone"), deltas(1), TRACE)
            await log.delete(["gone"])
        for run_id in "ab":
            head = await log.head(run_id)
            assert head == await log._in_reader(log._reader.head, run_id)
            assert head is not None
            assert seqs(await log._read(run_id, 0, 1000)) == list(range(1, head.last_seq + 1))
    expected = whole(await log._read("a", 0, 1000))
    for after in range(61):
        assert whole(await log._read("a", after, 1000)) == expected[after:]
    assert {head.run_id: head.last_seq for head in await log.heads()} == {"a": 60, "b": 60, "empty": 0}
    log._writers.clear()
    assert (await log.append("a", epochs["a"], deltas(1), TRACE)).first_seq == 61
    await log.close()


async def test_the_last_run_deleted_its_rows_are_not_taken_for_placed(tmp_path: Path) -> None:
    """What is appended after the newest rows were deleted is found, also when the log was opened again in between."""
    for _ in range(2):
        log = SqliteLog(tmp_path / "log.db")
        await log.append("r", await log.acquire("r"), deltas(3), TRACE)
        await log.delete(["r"])
        await log.append("r", await log.acquire("r"), deltas(2), TRACE)
        assert seqs(await log._read("r", 0, 1000)) == [1, 2]
        await log.delete(["r"])
        await log.close()


@pytest.mark.slow
async def test_another_process_finds_the_file_locked(tmp_path: Path) -> None:
    """While the log is open it is this process's alone; then the file may be read by anybody."""
    script = (
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM batches').fetchone())"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log.db")]
    log = SqliteLog(tmp_path / "log.db")
    await log.append("r", await log.acquire("r"), deltas(1), TRACE)
    locked = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert "database is locked" in locked.stderr
    await log.close()
    free = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert free.stdout == "(1,)\n"


async def test_a_deletion_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    """A run without its name is found by nobody, and its batches go when the log is opened."""
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    for run_id in ("a", "b"):
        await log.append(run_id, await log.acquire(run_id), deltas(3), TRACE)
    log._take_over()
    log._db.execute("UPDATE runs SET run_id = NULL WHERE run_id = 'a'")
    await log.close()
    log = SqliteLog(path)
    for table in ("batches", "places"):
        assert log._db.execute(f"SELECT count(*), count(DISTINCT run) FROM {table}").fetchone() == (1, 1)
    assert [head.run_id for head in await log.heads()] == ["b"]
    await log.close()


async def test_deleting_a_long_run_goes_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it stays, and others are appended to in between."""
    monkeypatch.setattr(sqlite_log, "SLICE", 10)
    log = SqliteLog(tmp_path / "log.db")
    epoch = await log.acquire("long")
    for _ in range(105):
        await log.append("long", epoch, deltas(1), TRACE)
    other = await log.acquire("other")
    deleting = asyncio.ensure_future(log.delete(["long"]))
    while not deleting.done():
        await log.append("other", other, deltas(1), TRACE)
    for table in ("batches", "places", "runs"):
        assert log._db.execute(f"SELECT count(DISTINCT run) FROM {table}").fetchone() == (1,)
    await log.close()


async def test_short_runs_are_deleted_many_at_a_time(tmp_path: Path) -> None:
    """Whatever their lengths beside that of a slice, also when they are no longer in memory; others stay."""
    path = tmp_path / "log.db"
    lengths = (0, 1, 2, 254, 255, 256, 257, 600, 0, 3, *[1] * 40)
    log = SqliteLog(path)
    for number, length in enumerate(lengths):
        epoch = await log.acquire(f"{number}")
        for _ in range(length):
            await log.append(f"{number}", epoch, deltas(1), TRACE)
    await log.append("stays", await log.acquire("stays"), deltas(3), TRACE)
    for _ in range(2):
        await log.delete([f"{number}" for number in range(0, len(lengths), 2)])
        await log.close()
        log = SqliteLog(path)
    await log.delete(["unknown", *map(str, range(len(lengths)))])
    for table in ("batches", "places", "runs"):
        assert log._db.execute(f"SELECT count(DISTINCT run) FROM {table}").fetchone() == (1,)
    assert [head.run_id for head in await log.heads()] == ["stays"]
    await log.close()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """What a newer Tailrace wrote is left alone, and the message says so."""
    path = tmp_path / "log.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SettingsError, match=r"newer Tailrace: its schema is version 99"):
        SqliteLog(path)


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    """A file of something else, and a folder that is not there."""
    (tmp_path / "log.db").write_bytes(b"something else altogether" * 100)
    for path in (tmp_path / "log.db", tmp_path / "nowhere" / "log.db"):
        with pytest.raises(SettingsError, match="cannot be opened"):
            SqliteLog(path)
