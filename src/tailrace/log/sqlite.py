"""The embedded log: one SQLite file in WAL mode, for one process (log/datadir.py sees to that).

Group commit on the event loop. What is asked of the log in one turn of the loop (or within `gather_ms`) is carried out
in order, in one transaction, by one callback on the loop itself, not by a writer thread: a WAL commit under
synchronous=NORMAL is two writes into the page cache (10 to 25 µs), which is less than it costs to wake a thread and
to take turns with it for the interpreter; and no reader may see an event before its commit anyway. What comes alone,
QUIET_SECONDS after the last commit, is committed in the call itself: a turn of the loop would cost half as much again.

What is offered, nearly each event while text comes word by word, waits in the journal (log/journal.py) for the next
transaction, of whomever: a tenth of what a transaction of its own would cost.

An append that has returned survives the death of the process (kill -9): its bytes are with the operating system. Power
loss may take the last moments (CHECKPOINT_SECONDS and what a checkpoint takes), never the file's consistency.

What may wait for a disk (fsync, cold pages) does not run on the loop: checkpoints and reads of what is not in memory
have a thread each. While a checkpoint carries over its last pages, appends gather instead of being committed.

A call that is cancelled before its commit does nothing; after it, it is done.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import structlog

from tailrace.log import sqlite_file as sql
from tailrace.log.base import Head, Offered, Push, Told
from tailrace.log.expiry import Expiry
from tailrace.log.journal import Row
from tailrace.log.live import Live, unknown
from tailrace.log.rows import Stored, joined
from tailrace.log.writer import Clock, Writer, check_payloads, wall_clock
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import LogError, NotReady, RequestError, TailraceError
from tailrace.schema.events import ENDING, GROWING, Payload, TraceContext

T = TypeVar("T")

CHECKPOINT_PAGES = 32768  # 64 MiB of write-ahead log, after which it is to begin anew
CHECKPOINT_SECONDS = 5.0
PROOF_SECONDS = 0.25  # since the last commit: for so long it shows that appends can be had
QUIET_SECONDS = 1e-4  # since the last commit: what comes after this long is likely to be alone
ENDED_RUNS = 1024  # kept in memory for who reads them next (the projector, a second later),
ENDED_BYTES = 4 << 20  # with their newest batches
MAX_WRITERS = 4096  # runs whose standing is kept in memory; the others' is looked up again
PLACE_PAGES = 256  # of batches since the last PLACE: what a cold read looks through; half a millisecond to place
LARGE_BYTES = 16 * 1024  # of one append: to write it into the journal first would cost as much again
SLICE = 256  # batches deleted in one transaction: about a millisecond
RUN_COSTS = 8  # to delete a run takes as long as so many of its batches

_log = structlog.get_logger(__name__)


class _Transaction:
    """What one commit writes, and what it makes known."""

    __slots__ = ("acquired", "batches", "forgotten", "now", "published", "statements")

    def __init__(self, now: int) -> None:
        self.now = now
        self.statements: list[tuple[str, tuple[Any, ...]]] = []
        self.batches: list[Row] = []
        self.published: list[tuple[Writer, Batch]] = []
        self.acquired: dict[str, int] = {}
        self.forgotten: set[str] = set()

    def write(self, db: sqlite3.Connection, rows: Sequence[Stored]) -> None:
        """All or nothing, with these rows of its own and of others; once it is rolled back where it raises
        sqlite3.Error."""
        if len(rows) + len(self.statements) == 1:  # a transaction of its own, two statements cheaper
            db.execute(*self.statements[0]) if self.statements else db.execute(sql.INSERT_BATCH, rows[0])
        elif rows or self.statements:
            db.execute("BEGIN IMMEDIATE")
            for statement, values in self.statements:
                db.execute(statement, values)
            db.executemany(sql.INSERT_BATCH, rows)
            db.execute("COMMIT")


_Command = Callable[[_Transaction], Any]


class SqliteLog:
    """`log.base.Log` in the file `path`. `gather_ms`: how long a commit waits for company; `clock` gives milliseconds.

    Raises SettingsError where the file cannot be opened, or is a newer Tailrace's.
    """

    def __init__(self, path: Path, *, gather_ms: float = 0, clock: Clock = wall_clock) -> None:
        self._clock = clock
        self._gather_seconds = gather_ms / 1000
        self._db, self._journal = sql.open_log(path)
        (self._last_key,) = self._db.execute(sql.LAST_RUN).fetchone()
        (self._last_id,) = self._db.execute(sql.LAST_ID).fetchone()
        self._fresh_pages = 0  # about how many hold the batches that have no place yet
        self._writers: dict[str, Writer] = {}
        self._ended: deque[Writer] = deque()
        self._ended_bytes = 0
        self._group: list[tuple[asyncio.Future[Any], _Command]] = []
        self._reader = sql.Reader(path)
        self._reading = ThreadPoolExecutor(1, "tailrace-log-read")
        self._live = Live(self.head, self._read)
        self._expiry = Expiry(self.delete)
        self._checkpoints = _Checkpoints(path, self._take_over, self._commit)
        self._last_commit = 0.0
        self._closed = False

    # --- the log's interface ----------------------------------------------------------------------------------------

    async def acquire(self, run_id: str) -> int:
        """See `Log.acquire`."""
        epoch: int = await self._submit(partial(self._acquire, run_id))
        return epoch

    async def append(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext) -> Batch:
        """See `Log.append`."""
        batch = self.offer(run_id, epoch, payloads, trace, _nobody) if self._quiet() else False
        if isinstance(batch, Batch):
            return batch
        payloads = tuple(payloads)  # the caller may go on with its list
        check_payloads(payloads)
        raw = [codec.encode(payload) for payload in payloads]
        committed: Batch = await self._submit(partial(self._append, run_id, epoch, payloads, raw, trace))
        return committed

    def offer(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext, told: Told) -> Offered:
        """See `Log.offer`: into the journal, but for what changes more than `batches`, or has to wait."""
        payloads = tuple(payloads)  # the caller may go on with its list
        if not GROWING.issuperset(map(type, payloads)):
            check_payloads(payloads)
            if type(payloads[-1]) in ENDING:
                return False
        writer = self._writers.get(run_id)
        if writer is None or self._group or self._closed or self._journal.is_full:
            return False
        raw = list(map(codec.encode, payloads))
        rest = b"\n".join(raw)
        if len(rest) > LARGE_BYTES:
            return False
        batch = writer.append(epoch, payloads, raw, trace, self._clock())
        try:
            self._journal.add(self._row(writer, batch, rest))
        except OSError as error:
            self._last_id -= 1
            self._roll_back([batch.run_id])
            raise NotReady(f"the log cannot be written: {error}") from error
        if writer.live.publish(batch):
            self._live.note_change(writer.live)
        if len(self._journal.rows) == 1:
            self._checkpoints.written(0)
        return batch

    async def head(self, run_id: str) -> Head | None:
        """See `Log.head`."""
        self._live.check_open()
        writer = self._writers.get(run_id)
        return writer.head() if writer is not None else await self._in_reader(self._reader.head, run_id)

    async def read(self, run_id: str, after: int = 0, limit: int = 1024) -> list[Batch]:
        """See `Log.read`."""
        page = self._live.page(run_id, after, limit)
        return page if page is not None else await self._read(run_id, after, limit)

    def tail(self, run_id: str, after: int = 0, push: Push | None = None) -> AsyncIterator[Batch]:
        """See `Log.tail`."""
        return self._live.tail(run_id, after, push)

    async def heads(self) -> list[Head]:
        """Where all logs stand: what an earlier process of this data directory left."""
        return await self._in_reader(self._reader.heads)

    async def changed(self) -> set[str]:
        """See `Log.changed`."""
        return await self._live.changed()

    async def superseded(self) -> set[str]:
        """See `Log.superseded`."""
        return await self._live.superseded()

    async def expire(self, run_ids: Sequence[str], seconds: float) -> None:
        """See `Log.expire`. Forgotten when this process ends before that: the next one expires them again."""
        heads = [await self.head(run_id) for run_id in run_ids]
        self._expiry.add([head.run_id for head in heads if head is not None and head.sealed], seconds)

    async def delete(self, run_ids: Sequence[str]) -> None:
        """See `Log.delete`. They are forgotten all at once; their batches then go in slices."""
        keys = deque[int](await self._submit(partial(self._forget, run_ids)))
        if keys:
            await self._submit(self._place)
        while keys:
            await self._submit(partial(self._delete_slice, keys))

    async def ping(self) -> None:
        """See `Log.ping`. Commits a smallest write, because only a commit shows that appends can be had; so does one of
        a moment ago."""
        if self._closed or perf_counter() - self._last_commit > PROOF_SECONDS:
            await self._submit(lambda transaction: transaction.statements.append((sql.TOUCH, ())))

    async def close(self) -> None:
        """See `Log.close`."""
        if self._closed:
            return
        await self._expiry.close()
        self._closed = True
        await self._checkpoints.stop()
        self._commit()
        with suppress(sqlite3.Error):  # then it stays in the journal
            self._take_over()
        self._live.close()
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._reading.shutdown()
        self._reader.close()
        self._checkpoints.close()
        self._journal.close()
        self._db.close()  # the last connection to go carries everything over and removes the write-ahead log

    def _row(self, writer: Writer, batch: Batch, rest: bytes) -> Row:
        self._last_id += 1
        trace = batch.trace
        return (
            self._last_id, writer.key, batch.first_seq, batch.last_seq,
            batch.timestamp, trace.traceparent, trace.tracestate, rest,
        )  # fmt: skip

    # --- group commit -----------------------------------------------------------------------------------------------

    async def _submit(self, command: _Command) -> Any:
        """Have `command` carried out and committed: at once where the log is quiet, else in company. Its result."""
        if self._closed:
            raise NotReady("the log is closed")
        if self._quiet():
            (outcome,) = self._carry_out((command,))
            if isinstance(outcome, TailraceError):
                raise outcome
            return outcome
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._group.append((future, command))
        if len(self._group) == 1:
            if self._gather_seconds:
                loop.call_later(self._gather_seconds, self._commit)
            else:
                loop.call_soon(self._commit)
        return await future

    def _quiet(self) -> bool:
        """May something be committed on the spot, and is it likely to be alone?"""
        is_free = not (self._closed or self._group or self._gather_seconds or self._checkpoints.held)
        return is_free and perf_counter() - self._last_commit > QUIET_SECONDS

    def _commit(self) -> None:
        """Carry out what has gathered, then tell everyone."""
        if not self._group or self._checkpoints.held:
            return
        group = [(future, command) for future, command in self._group if not future.done()]
        self._group = []
        try:
            outcomes = self._carry_out([command for _, command in group])
        except NotReady as error:
            outcomes = [error] * len(group)
        for (future, _), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, TailraceError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _carry_out(self, commands: Sequence[_Command]) -> list[Any]:
        """In order, in one transaction. What each returns, or how it is refused; NotReady where all have failed."""
        transaction, last_id = _Transaction(self._clock()), self._last_id
        outcomes: list[Any] = []
        try:
            for command in commands:
                try:
                    outcomes.append(command(transaction))
                except (LogError, RequestError) as refusal:
                    outcomes.append(refusal)
            if self._fresh_pages >= PLACE_PAGES:
                self._place(transaction)
            self._write(transaction)
        except Exception as error:
            self._last_id = last_id
            self._roll_back([*transaction.acquired, *(batch.run_id for _, batch in transaction.published)])
            raise NotReady(f"the log cannot be written: {error}") from error
        self._publish(transaction)
        return outcomes

    def _write(self, transaction: _Transaction) -> None:
        """The transaction, and with it what has waited in the journal. Raises sqlite3.Error."""
        rows = joined([*self._journal.rows, *transaction.batches])
        try:
            transaction.write(self._db, rows)
        except Exception:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._journal.clear()
        pages = sum(map(_pages, rows))
        self._fresh_pages += pages
        self._last_commit = perf_counter()
        self._checkpoints.written(pages + len(transaction.statements))

    def _take_over(self) -> None:
        """Have the journal empty. Raises sqlite3.Error."""
        if self._journal.rows:
            self._write(_Transaction(self._clock()))

    def _publish(self, transaction: _Transaction) -> None:
        for writer, batch in transaction.published:
            if writer.live.publish(batch):
                self._live.note_change(writer.live)
            if batch.ends:
                writer.live.seal()
                self._keep_ended(writer)
        for run_id, epoch in transaction.acquired.items():
            self._live.acquired(run_id, epoch)
        for run_id in transaction.forgotten:
            self._writers.pop(run_id, None)
            self._live.forget(run_id)

    def _roll_back(self, run_ids: Iterable[str]) -> None:
        self._last_commit = 0.0
        for run_id in run_ids:
            self._writers.pop(run_id, None)  # looked up again when next asked for

    # --- the commands that a commit carries out ---------------------------------------------------------------------

    def _acquire(self, run_id: str, transaction: _Transaction) -> int:
        if run_id in transaction.forgotten:
            raise NotReady(f"the log of run {run_id!r} is being deleted")
        writer = self._writer(run_id)
        if writer is None:
            self._last_key += 1
            writer = self._keep(Writer(self._live.open(run_id), self._last_key))
            epoch = writer.acquire()
            transaction.statements.append((sql.INSERT_RUN, (writer.key, run_id, epoch)))
        else:
            epoch = writer.acquire()
            transaction.statements.append((sql.SET_EPOCH, (epoch, writer.key)))
        transaction.acquired[run_id] = epoch
        return epoch

    def _append(
        self,
        run_id: str,
        epoch: int,
        payloads: Sequence[Payload],
        raw: Sequence[bytes],
        trace: TraceContext,
        transaction: _Transaction,
    ) -> Batch:
        writer = self._writer(run_id) if run_id not in transaction.forgotten else None
        if writer is None:
            raise unknown(run_id)
        batch = writer.append(epoch, payloads, raw, trace, transaction.now)
        rest = b"\n".join(raw)
        transaction.batches.append(self._row(writer, batch, rest))
        transaction.published.append((writer, batch))
        if writer.sealed:
            transaction.statements.append((sql.SEAL, (writer.key,)))
        return batch

    def _forget(self, run_ids: Sequence[str], transaction: _Transaction) -> list[int]:
        found = map(self._key, set(run_ids) - transaction.forgotten)
        keys = [key for key in found if key is not None]
        transaction.statements += [(sql.FORGET_RUN, (key,)) for key in keys]
        transaction.forgotten.update(run_ids)
        return keys

    def _place(self, transaction: _Transaction) -> None:
        transaction.statements += [(statement, ()) for statement in sql.PLACE]
        self._fresh_pages = 0

    def _delete_slice(self, keys: deque[int], transaction: _Transaction) -> None:
        """Delete runs from the front of `keys` that have SLICE batches together, or as many of the first one's."""
        left = SLICE
        while keys and left > 0:
            end, count = self._db.execute(sql.SLICE_END, (keys[0], left)).fetchone()
            if count:
                transaction.statements += [(statement, (keys[0], end)) for statement in sql.DELETE_SLICE]
            if count < left:
                transaction.statements.append((sql.DELETE_RUN, (keys.popleft(),)))
            left -= count + RUN_COSTS

    def _key(self, run_id: str) -> int | None:
        writer = self._writers.get(run_id)
        if writer is not None:
            return writer.key
        row: tuple[int] | None = self._db.execute(sql.FIND_KEY, (run_id,)).fetchone()
        return row[0] if row is not None else None

    def _writer(self, run_id: str) -> Writer | None:
        """Where the run stands, from memory or from the file; None where it has no log."""
        writer = self._writers.get(run_id)
        if writer is not None:
            return writer
        self._take_over()
        row = self._db.execute(sql.FIND_RUN, (run_id,)).fetchone()
        if row is None:
            return None
        key, epoch, sealed = row
        last_seq, timestamp = self._db.execute(sql.LAST_BATCH, (key,)).fetchone() or (0, 0)
        return self._keep(Writer(self._live.open(run_id), key, epoch, last_seq, bool(sealed), timestamp))

    def _keep_ended(self, writer: Writer) -> None:
        """What has just ended is read once more, by the projector: it stays in memory until then, or until others have
        ended in such number that it has to go."""
        self._ended.append(writer)
        self._ended_bytes += writer.live.size
        while self._ended_bytes > ENDED_BYTES or len(self._ended) > ENDED_RUNS:
            oldest = self._ended.popleft()
            self._ended_bytes -= oldest.live.size
            self._writers.pop(oldest.live.run_id, None)

    def _keep(self, writer: Writer) -> Writer:
        writer.live.learn(writer.last_seq, writer.sealed)
        if len(self._writers) >= MAX_WRITERS:
            del self._writers[next(iter(self._writers))]
        self._writers[writer.live.run_id] = writer
        return writer

    # --- reads beside the loop --------------------------------------------------------------------------------------

    async def _read(self, run_id: str, after: int, limit: int) -> list[Batch]:
        return await self._in_reader(self._reader.read, run_id, after, limit)

    async def _in_reader(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._closed:
            raise NotReady("the log is closed")
        if self._journal.rows:
            await self._submit(_nothing)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, function, *arguments)
        except sqlite3.Error as error:
            raise NotReady(f"the log cannot be read: {error}") from error


def _nobody(_outcome: Batch | TailraceError) -> None:
    """Who is told of what is appended at once, or not at all."""


def _nothing(_transaction: _Transaction) -> None:
    """The command that is carried out for what is written with it."""


def _pages(row: Stored) -> int:
    return 1 + len(row[-1]) // sql.PAGE_SIZE


class _Checkpoints:
    """Keeps the write-ahead log short from a thread of its own; `held` while no commit may be made.

    `take_over` is called first, that the journal is carried over too; `resume` when commits may be made again.
    """

    def __init__(self, path: Path, take_over: Callable[[], None], resume: Callable[[], None]) -> None:
        self.held = False
        self._take_over = take_over
        self._resume = resume
        self._db = sql.connect(path)
        self._thread = ThreadPoolExecutor(1, "tailrace-log-checkpoint")
        self._pages = 0  # about how many the write-ahead log holds
        self._dirty = False
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | None = None

    def written(self, pages: int) -> None:
        """The write-ahead log has grown: see to it within CHECKPOINT_SECONDS, at CHECKPOINT_PAGES at once."""
        self._pages += pages
        self._dirty = True
        if self._stopped or self._running is not None:
            return
        if self._pages >= CHECKPOINT_PAGES:
            self._start()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECKPOINT_SECONDS, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        begin_anew = self._pages >= CHECKPOINT_PAGES
        try:
            self._take_over()
            self._dirty = False
            await loop.run_in_executor(self._thread, sql.checkpoint, self._db)
            if begin_anew:
                self._pages = 0
                self.held = True
                await loop.run_in_executor(self._thread, sql.finish_checkpoint, self._db)
        except sqlite3.Error as error:
            _log.warning("checkpoint failed", error=str(error))  # appends go on; the next one tries again
        finally:
            self.held = False
            self._running = None
            self._resume()
        if self._dirty:
            self.written(0)

    async def stop(self) -> None:
        """Let the one that is under way end, and begin no other."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._running is not None:
            await self._running

    def close(self) -> None:
        """Let go of the file."""
        self._thread.shutdown()
        self._db.close()
