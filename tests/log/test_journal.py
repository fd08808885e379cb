"""What waits in the journal is found after a crash, and nothing that does not belong there."""

import asyncio
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.log import journal as journal_module
from tailrace.log.base import Head
from tailrace.log.journal import Journal, Row
from tailrace.log.sqlite import SqliteLog
from tailrace.schema.errors import NotReady, Sealed, SettingsError
from tailrace.schema.events import TraceContext
from tailrace.testing.log_conformance import TRACE, deltas, done, offer, read_all, seqs, whole


def row(number: int, size: int = 10) -> Row:
    return (number, 1, number, number, 1_000, "00-1-1-00", None, False, os.urandom(size))


def filled(path: Path, rows: list[Row]) -> Journal:
    journal = Journal(path)
    for each in rows:
        journal.add(each)
    return journal


def copied(folder: Path, name: str) -> Path:
    """The log's files, as a process that dies now leaves them."""
    copy = folder / name
    copy.mkdir()
    for path in folder.glob("log.*"):
        shutil.copy(path, copy)
    return copy


def test_rows_are_found_behind_the_last_one_that_the_log_has(tmp_path: Path) -> None:
    """All, some, none; and none at all where one is missing in between."""
    rows = [row(number) for number in range(5, 15)]
    filled(tmp_path / "j", rows).close()
    journal = Journal(tmp_path / "j")
    assert journal.recover(4) == rows
    assert journal.recover(9) == rows[5:]
    assert journal.recover(14) == journal.recover(1_000) == []
    assert journal.recover(3) == journal.recover(0) == []
    journal.close()


@given(st.data())
def test_of_what_was_cut_or_damaged_the_whole_rows_before_it_are_found(data: st.DataObject) -> None:
    """At every byte; rows of an earlier time, longer or shorter, stand behind them and are none of them."""
    old = data.draw(st.lists(st.integers(1, 200), min_size=0, max_size=12))
    new = data.draw(st.lists(st.integers(1, 200), min_size=1, max_size=12))
    with TemporaryDirectory() as folder, closing(Journal(Path(folder) / "j")) as journal:
        for number, size in enumerate(old, 1):
            journal.add(row(number, size))
        journal.clear()
        rows = [row(number, size) for number, size in enumerate(new, len(old) + 1)]
        ends = []
        for each in rows:
            journal.add(each)
            ends.append(journal.size)
        assert journal.recover(len(old)) == rows
        at = data.draw(st.integers(0, journal.size - 1))
        content = bytearray((Path(folder) / "j").read_bytes())
        content[at] ^= data.draw(st.integers(1, 255))
        (Path(folder) / "j").write_bytes(content)
        assert journal.recover(len(old)) == rows[: sum(end <= at for end in ends)]


def test_a_row_without_room_is_not_there(tmp_path: Path) -> None:
    """It is refused whole, and a smaller one follows."""
    journal = filled(tmp_path / "j", [row(1)])
    for _ in range(2):
        with pytest.raises(OSError, match="room"):
            journal.add(row(2, journal_module.SIZE))
    assert journal.recover(1) == []
    two = row(2)
    journal.add(two)
    assert journal.recover(1) == [two]
    journal.close()


def test_a_disk_without_room_for_the_journal_stops_the_start(tmp_path: Path) -> None:
    """Then, and not when something is appended: the file has its full size from the first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal_module.SIZE - 1, hard))
    try:
        for _ in range(2):
            with pytest.raises(SettingsError, match=r"room|too large"):
                SqliteLog(tmp_path / "log.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


async def test_a_process_that_is_killed_leaves_its_rows(tmp_path: Path) -> None:
    """What `add` has returned for is in the file, though no call wrote it."""
    program = (
        "import os, signal, sys; from pathlib import Path; from tailrace.log.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in range(1, 101): journal.add((number, 1, number, number, 1, '', None, False, b'x' * number))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path / "j"))
    assert await child.wait() == -signal.SIGKILL
    with closing(Journal(tmp_path / "j")) as journal:
        assert [each[-1] for each in journal.recover(0)] == [b"x" * number for number in range(1, 101)]


async def test_a_log_killed_at_any_moment_has_all_that_was_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files as they are after each append, opened elsewhere, give the very same events."""
    monkeypatch.setattr(journal_module, "MOST_ENTRIES", 5)
    dice = random.Random(7)
    log = SqliteLog(tmp_path / "log.db")
    epochs = {run_id: await log.acquire(run_id) for run_id in "abc"}
    for number in range(60):
        run_id = dice.choice("abc")
        payloads = deltas(dice.randint(1, 3))
        if dice.random() < 0.8:
            if offer(log, run_id, epochs[run_id], payloads) is None:
                await log.append(run_id, epochs[run_id], payloads, TRACE)
        elif dice.random() < 0.5:
            epochs[run_id] = await log.acquire(run_id)
        else:
            await log.append(run_id, epochs[run_id], payloads, TRACE)
        copy = copied(tmp_path, f"copy-{number}")
        log_again = SqliteLog(copy / "log.db")
        for each in "abc":
            assert whole(await read_all(log_again, each)) == whole(await read_all(log, each))
        await log_again.close()
        shutil.rmtree(copy)
    await log.close()


async def test_an_older_copy_of_the_log_takes_nothing_from_a_newer_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has begun anew since: put back without its own, a log goes on from where the copy was made."""
    monkeypatch.setattr(journal_module, "MOST_ENTRIES", 3)
    log = SqliteLog(tmp_path / "log.db")
    epoch = await log.acquire("r")
    offer(log, "r", epoch, deltas(3))
    await log.close()
    shutil.copy(tmp_path / "log.db", tmp_path / "backup.db")
    log = SqliteLog(tmp_path / "log.db")
    epoch = await log.acquire("r")
    for _ in range(3):
        await log.append("other", await log.acquire("other"), deltas(1), TRACE)
    offer(log, "r", epoch, deltas(2))
    shutil.copy(tmp_path / "log.journal", tmp_path / "backup.journal")
    again = SqliteLog(tmp_path / "backup.db")
    assert seqs(await read_all(again, "r")) == [1, 2, 3]
    assert (await again.append("r", await again.acquire("r"), deltas(1), TRACE)).first_seq == 4
    await again.close()
    await log.close()


async def test_a_run_that_is_deleted_goes_with_what_the_journal_had_of_it(tmp_path: Path) -> None:
    """Also after a crash."""
    log = SqliteLog(tmp_path / "log.db")
    epochs = {run_id: await log.acquire(run_id) for run_id in "ab"}
    for run_id in "ab":
        offer(log, run_id, epochs[run_id], deltas(2))
    await log.delete(["a"])
    offer(log, "b", epochs["b"], deltas(1))
    copy = copied(tmp_path, "copy")
    again = SqliteLog(copy / "log.db")
    assert await again.head("a") is None
    assert seqs(await read_all(again, "b")) == [1, 2, 3]
    assert again._db.execute("SELECT count(*) FROM batches").fetchone() == (2,)
    await again.close()
    await log.close()


async def test_a_journal_that_cannot_be_written_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """The run goes on where it stood, with what there is room for."""
    log = SqliteLog(tmp_path / "log.db")
    epoch = await log.acquire("r")
    assert offer(log, "r", epoch, deltas(1)) is not None
    with pytest.raises(NotReady, match="cannot be written"):
        log.offer("r", epoch, deltas(1), TraceContext(TRACE.traceparent, "x" * journal_module.SIZE), lambda _: None)
    assert (await log.append("r", epoch, deltas(1), TRACE)).first_seq == 2
    taken = offer(log, "r", epoch, deltas(1))
    assert taken is not None
    assert taken.result().first_seq == 3
    await log.append("r", epoch, [done("r")], TRACE)
    await log.close()
    log = SqliteLog(tmp_path / "log.db")
    assert seqs(await read_all(log, "r")) == [1, 2, 3, 4]
    await log.close()


async def test_what_waits_is_taken_over_before_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is behind a checkpoint is on the disk, however quiet the log is."""
    monkeypatch.setattr("tailrace.log.sqlite.CHECKPOINT_SECONDS", 0.01)
    log = SqliteLog(tmp_path / "log.db")
    offer(log, "r", await log.acquire("r"), deltas(1))
    async with asyncio.timeout(10):
        while log._journal.entries:
            await asyncio.sleep(0.01)
    await log.close()


def test_a_journal_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    """The message names what it is."""
    (tmp_path / "log.journal").mkdir()
    with pytest.raises(SettingsError, match=r"log\.db cannot be opened"):
        SqliteLog(tmp_path / "log.db")


def record(entry: object) -> bytes:
    body = msgspec.msgpack.encode(entry)
    return len(body).to_bytes(4, "little") + crc32(body).to_bytes(4, "little") + body


@pytest.mark.parametrize("entry", [[1, 2, 3], [1, 2, 3, 4], [1] * 9, {"1": 1}, 7])
def test_entries_of_another_shape_stop_the_start(tmp_path: Path, entry: object) -> None:
    """They are whole, and somebody has seen them: to pass them over would lose them without a word."""
    (tmp_path / "log.journal").write_bytes(record(entry))
    with pytest.raises(SettingsError, match="entries of another version"):
        SqliteLog(tmp_path / "log.db")
    assert (tmp_path / "log.journal").read_bytes().startswith(record(entry))


async def test_a_journal_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    """Its process was killed, and Tailrace was brought up to date before it was started again."""
    log = SqliteLog(tmp_path / "log.db")
    await log.append("r", await log.acquire("r"), deltas(1), TRACE)
    batch = (await read_all(log, "r"))[0]
    await log.close()
    with closing(sqlite3.connect(tmp_path / "log.db")) as db:
        db.executescript("DROP TABLE taken; PRAGMA user_version = 2")
        (last_id,) = db.execute("SELECT max(id) FROM batches").fetchone()
    row = (last_id + 1, 1, 2, 2, batch.timestamp, TRACE.traceparent, None, batch.raw[0])
    (tmp_path / "log.journal").write_bytes(record(row))
    log = SqliteLog(tmp_path / "log.db")
    assert [list(each.raw) for each in await read_all(log, "r")] == [list(batch.raw)] * 2
    assert (await log.append("r", await log.acquire("r"), [done("r")], TRACE)).first_seq == 3
    await log.close()


async def test_a_run_that_begins_and_ends_costs_no_transaction(tmp_path: Path) -> None:
    """It waits in the journal whole; after a crash it is there, with its epoch, and has ended."""
    log = SqliteLog(tmp_path / "log.db")
    changes = log._db.total_changes
    first, second = await log.acquire("ended"), await log.acquire("ended")
    await log.append("ended", second, deltas(2), TRACE)
    await log.append("ended", second, [done("ended")], TRACE)
    await log.append("live", await log.acquire("live"), deltas(1), TRACE)
    assert (first, second, log._db.total_changes) == (1, 2, changes)
    again = SqliteLog(copied(tmp_path, "copy") / "log.db")
    assert await again.heads() == [Head("ended", 2, 3, True), Head("live", 1, 1, False)]
    with pytest.raises(Sealed):
        await again.acquire("ended")
    assert await again.acquire("live") == 2
    await again.close()
    await log.close()


async def test_what_was_taken_over_is_not_taken_for_what_waits(tmp_path: Path) -> None:
    """Claims, too, which leave no row behind: of a run that was deleted since, nothing comes back."""
    log = SqliteLog(tmp_path / "log.db")
    await log.acquire("gone")
    await log.delete(["gone"])
    again = SqliteLog(copied(tmp_path, "copy") / "log.db")
    assert await again.heads() == []
    await again.close()
    await log.close()


async def test_a_run_that_left_memory_with_something_in_the_journal_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To go on with, to end, and to delete."""
    monkeypatch.setattr("tailrace.log.sqlite.MAX_WRITERS", 1)
    log = SqliteLog(tmp_path / "log.db")
    epochs = {run_id: await log.acquire(run_id) for run_id in "abc"}
    for run_id in "abca":
        await log.append(run_id, epochs[run_id], deltas(1), TRACE)
    assert await log.acquire("b") == 2
    await log.append("c", await log.acquire("c"), [done("c")], TRACE)
    await log.acquire("a")
    await log.delete(["c"])
    assert sorted((head.run_id, head.epoch, head.last_seq) for head in await log.heads()) == [("a", 2, 2), ("b", 2, 1)]
    await log.close()
