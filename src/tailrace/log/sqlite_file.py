"""The SQLite log's file: its schema, its statements, and what runs on threads beside the event loop.

One row per append: a batch's payloads as JSON joined by newlines (JSON as `codec` writes it holds none). Rows are
appended in the order of their commits, so that a commit of one event writes one page, of 2 KiB. What finds a run's
rows, `places`, is brought up to date for many of them at once (`PLACE`), and readers look through the few that have no
place yet, the view `fresh`. An index proper would have each commit write a page more; so would a table clustered by
run, whose pages split all the time.

SQLite's `unix-excl` VFS (https://www.sqlite.org/vfs.html) locks the file for this process once, and its connections
share the write-ahead log's index on the heap, so that a commit makes no system calls for locks. Other processes find
the file locked while the log is open.

A run that is being deleted has no `run_id` any more: nobody finds it, while its batches go in slices.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tailrace.log.base import Head
from tailrace.log.journal import Claim, Entry, Journal
from tailrace.log.live import page
from tailrace.log.rows import Stored, joined, parted
from tailrace.schema.batch import Batch
from tailrace.schema.errors import SettingsError
from tailrace.schema.events import TraceContext

PAGE_SIZE = 2048
BUSY_SECONDS = 0.1  # nobody else writes; another connection's lock may stall the loop for as long as this

# What leads from each schema version to the next; `PRAGMA user_version` says how many have been carried out.
_STEPS = (
    """
    CREATE TABLE runs (
        run INTEGER PRIMARY KEY,
        run_id TEXT UNIQUE,
        epoch INTEGER NOT NULL,
        sealed INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE batches (
        id INTEGER PRIMARY KEY,
        run INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        timestamp INTEGER NOT NULL,
        traceparent TEXT NOT NULL,
        tracestate TEXT,
        payloads BLOB NOT NULL
    );
    CREATE TABLE places (
        run INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        id INTEGER NOT NULL,
        PRIMARY KEY (run, last_seq)
    ) WITHOUT ROWID;
    CREATE TABLE placed (id INTEGER NOT NULL);
    INSERT INTO placed VALUES (0);
    CREATE VIEW fresh AS SELECT * FROM batches WHERE id > (SELECT id FROM placed);
    """,
    """
    ALTER TABLE batches ADD COLUMN parts BLOB;
    DROP VIEW fresh;
    CREATE VIEW fresh AS SELECT * FROM batches WHERE id > (SELECT id FROM placed);
    """,
    "CREATE TABLE taken (id INTEGER NOT NULL); INSERT INTO taken VALUES (0);",
)
VERSION = len(_STEPS)

Statement = tuple[str, tuple[Any, ...]]

_CLAIM = "INSERT INTO runs (run, run_id, epoch) VALUES (?, ?, ?) ON CONFLICT (run) DO UPDATE SET epoch = excluded.epoch"
_SEAL = "UPDATE runs SET sealed = 1 WHERE run = ?"
_INSERT_BATCH = (
    "INSERT INTO batches (id, run, first_seq, last_seq, timestamp, traceparent, tracestate, parts, payloads)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
PLACE = (
    "INSERT INTO places SELECT run, last_seq, id FROM fresh",
    "UPDATE placed SET id = max(id, (SELECT coalesce(max(id), 0) FROM batches))",
)
FIND_KEY = "SELECT run FROM runs WHERE run_id = ?"
FIND_RUN = "SELECT run, epoch, sealed FROM runs WHERE run_id = ?"
LAST_BATCH = (
    "SELECT last_seq, timestamp FROM places JOIN batches USING (run, last_seq, id) WHERE run = ?1"
    " UNION ALL SELECT last_seq, timestamp FROM fresh WHERE run = ?1"
    " ORDER BY last_seq DESC LIMIT 1"
)
LAST_RUN = "SELECT coalesce(max(run), 0) FROM runs"
_TAKEN = "UPDATE taken SET id = ?"
LAST_ID = "SELECT max(taken.id, placed.id, (SELECT coalesce(max(id), 0) FROM batches)) FROM taken, placed"
FORGET_RUN = "UPDATE runs SET run_id = NULL, sealed = 1 WHERE run = ?"
SLICE_END = "SELECT max(last_seq), count(*) FROM (SELECT last_seq FROM places WHERE run = ? ORDER BY last_seq LIMIT ?)"
DELETE_SLICE = (
    "DELETE FROM batches WHERE id IN (SELECT id FROM places WHERE run = ? AND last_seq <= ?)",
    "DELETE FROM places WHERE run = ? AND last_seq <= ?",
)
DELETE_RUN = "DELETE FROM runs WHERE run = ?"
TOUCH = f"PRAGMA user_version = {VERSION}"  # the smallest write: the first page, as it is
_CLEAN = """
    DELETE FROM batches WHERE id IN (SELECT id FROM places WHERE run IN (SELECT run FROM runs WHERE run_id IS NULL));
    DELETE FROM places WHERE run IN (SELECT run FROM runs WHERE run_id IS NULL);
    DELETE FROM runs WHERE run_id IS NULL;
"""
_HEADS = (
    "WITH newest AS (SELECT run, max(last_seq) AS last_seq FROM fresh GROUP BY run)"
    " SELECT run_id, epoch,"
    " coalesce(newest.last_seq, (SELECT max(last_seq) FROM places WHERE places.run = runs.run), 0), sealed"
    " FROM runs LEFT JOIN newest USING (run) WHERE run_id IS NOT NULL"
)
_HEAD = f"{_HEADS} AND run_id = ?"
_BATCHES = (
    "SELECT last_seq, first_seq, timestamp, traceparent, tracestate, parts, payloads"
    " FROM places JOIN batches USING (run, last_seq, id)"
    " WHERE run = (SELECT run FROM runs WHERE run_id = ?1) AND last_seq > ?2"
    " UNION ALL SELECT last_seq, first_seq, timestamp, traceparent, tracestate, parts, payloads FROM fresh"
    " WHERE run = (SELECT run FROM runs WHERE run_id = ?1) AND last_seq > ?2 ORDER BY last_seq"
)


def connect(path: Path) -> sqlite3.Connection:
    """One more connection to a log that `open_log` has opened. One thread at a time may use it."""
    uri = f"{path.absolute().as_uri()}?vfs=unix-excl"
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    return db


def open_log(path: Path) -> tuple[sqlite3.Connection, Journal]:
    """The writer's connection and the journal, empty: the file is made or brought up to date, what a crash left in the
    journal is in it, and what it left half deleted is gone.

    Raises SettingsError where that cannot be done, also where a newer Tailrace wrote the file.
    """
    with ExitStack() as opened:
        try:
            db = opened.enter_context(closing(connect(path)))
            journal = opened.enter_context(closing(Journal(path.with_suffix(".journal"))))
            _prepare(db, path, journal)
        except (sqlite3.Error, OSError) as error:
            raise SettingsError(f"the log {path} cannot be opened: {error}") from error
        opened.pop_all()
    return db, journal


def _prepare(db: sqlite3.Connection, path: Path, journal: Journal) -> None:
    db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    db.execute("PRAGMA journal_mode = WAL")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise SettingsError(
            f"the log {path} was written by a newer Tailrace: its schema is version {version}, this one knows {VERSION}"
        )
    for number, step in enumerate(_STEPS[version:], version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT;")
    (last_id,) = db.execute(LAST_ID).fetchone()
    write(db, journal.recover(last_id))
    db.executescript(f"BEGIN IMMEDIATE; {';'.join(PLACE)}; {_CLEAN} COMMIT;")


def write(db: sqlite3.Connection, entries: Sequence[Entry], statements: Sequence[Statement] = ()) -> int:
    """Entries, then statements, in one transaction: about how many pages that writes.

    All or nothing, once it is rolled back where it raises sqlite3.Error.
    """
    claims = [entry[1:] for entry in entries if isinstance(entry, Claim)]
    batches = [entry for entry in entries if not isinstance(entry, Claim)]
    sealed = [(run,) for _, run, _, _, _, _, _, ends, _ in batches if ends]
    rows = joined(batches)
    db.execute("BEGIN IMMEDIATE")
    db.executemany(_CLAIM, claims)
    db.executemany(_INSERT_BATCH, rows)
    db.executemany(_SEAL, sealed)
    if entries:
        db.execute(_TAKEN, (entries[-1][0],))
    for statement in statements:
        db.execute(*statement)
    db.execute("COMMIT")
    return sum(map(_pages, rows)) + len(claims) + len(sealed) + len(statements)


def _pages(row: Stored) -> int:
    return 1 + len(row[-1]) // PAGE_SIZE


def checkpoint(db: sqlite3.Connection) -> None:
    """Carry what stands in the write-ahead log over to the database, beside appends that go on. Calls fsync."""
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def finish_checkpoint(db: sqlite3.Connection) -> None:
    """Carry the rest over while nothing is appended, and write once.

    With everything carried over, that write begins the write-ahead log anew, so that it does not grow for ever under
    steady load; and it is the one write that calls fsync, on the new log's header, which is why it is made here.
    """
    checkpoint(db)
    db.execute(TOUCH)


class Reader:
    """Reads on a connection of its own, on whatever one thread its owner gives it. Raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        self._db.execute("PRAGMA query_only = 1")

    def read(self, run_id: str, after: int, limit: int) -> list[Batch]:
        """See `Log.read`."""
        with closing(self._db.execute(_BATCHES, (run_id, after))) as rows:
            return page(_batches(run_id, rows, after), after, limit)

    def head(self, run_id: str) -> Head | None:
        """See `Log.head`."""
        row = self._db.execute(_HEAD, (run_id,)).fetchone()
        return _head(row) if row is not None else None

    def heads(self) -> list[Head]:
        """Where all logs stand."""
        return [_head(row) for row in self._db.execute(_HEADS)]

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def _head(row: tuple[str, int, int, int]) -> Head:
    run_id, epoch, last_seq, sealed = row
    return Head(run_id, epoch, last_seq, bool(sealed))


def _batches(run_id: str, rows: sqlite3.Cursor, after: int) -> Iterator[Batch]:
    trace = TraceContext("")
    for _, first_seq, timestamp, traceparent, tracestate, parts, payloads in rows:
        if (trace.traceparent, trace.tracestate) != (traceparent, tracestate):
            trace = TraceContext(traceparent, tracestate)
        yield from parted(run_id, first_seq, timestamp, trace, parts, payloads, after)
