"""The embedded log: one SQLite file in WAL mode, for one process (log/datadir.py sees to that).

What a run appends, its beginning and its end waits in the journal (log/journal.py), from where one transaction takes
over what many runs have left: a tenth of what a transaction for each would cost.

What is too long for that, or is no part of a run (deletions), is a group commit on the event loop. What is asked of the
log in one turn of the loop is carried out in order, in one transaction, by one callback on the loop itself, not by a
writer thread: a WAL commit under synchronous=NORMAL is two writes into the page cache (10 to 25 µs), which is less than
it costs to wake a thread and to take turns with it for the interpreter; and no reader may see an event before its
commit anyway. What comes alone, QUIET_SECONDS after the last commit, is committed in the call itself: a turn of the
loop would cost half as much again.

With `gather_ms` all that comes within that time is a group, also what goes into the journal: what is done with it, up
to the writes to readers, is done for many events in a row, with warm caches: a tenth of an event's cost is saved.

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
from tailrace.log.journal import Claim, Entry, Row
from tailrace.log.live import Live, unknown
from tailrace.log.writer import Clock, Writer, check_payloads, wall_clock
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import LogError, NotReady, RequestError, TailraceError
from tailrace.schema.events import Payload, TraceContext

T = TypeVar("T")

CHECKPOINT_PAGES = 32768  # 64 MiB of write-ahead log, after which it is to begin anew
CHECKPOINT_SECONDS = 5.0
PROOF_SECONDS = 0.25  # since the last commit: for so long it shows that appends can be had
QUIET_SECONDS = 1e-4  # since the last commit or append: what comes after this long is likely to be alone
ENDED_S = 2.0  # a run that has ended is kept in memory for who reads it next (the projector, a second later),
ENDED_RUNS = 1024  # unless so many end,
ENDED_BYTES = 4 << 20  # or with so much in their newest batches
MAX_WRITERS = 4096  # runs whose standing is kept in memory; the others' is looked up again
PLACE_PAGES = 256  # of batches since the last PLACE: what a cold read looks through; half a millisecond to place
LARGE_BYTES = 16 * 1024  # at once: to write so much into the journal first would cost as much again
MOST_AT_ONCE = 64  # entries: a journal that is not full has room for so many, and LARGE_BYTES
SLICE = 256  # batches deleted in one transaction: about a millisecond
RUN_COSTS = 8  # to delete a run takes as long as so many of its batches

_log = structlog.get_logger(__name__)


class _Transaction:
    """What commands ask for: what is written, and what is made known then. `size`: the bytes of what may be long,
    payloads and traces."""

    __slots__ = ("acquired", "entries", "forgotten", "now", "published", "size", "statements")

    def __init__(self, now: int) -> None:
        self.now = now
        self.size = 0
        self.entries: list[Entry] = []
        self.statements: list[sql.Statement] = []
        self.published: list[tuple[Writer, Batch]] = []
        self.acquired: dict[str, int] = {}
        self.forgotten: set[str] = set()


_Command = Callable[[_Transaction], Any]
_Told = Callable[[Any], None]  # takes what a command returns, or the TailraceError that it was refused with


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
        self._is_behind = False  # does the file lack what is in the journal of a run that is not among the writers?
        self._ended: deque[tuple[float, Writer]] = deque()  # since when
        self._ended_bytes = 0
        self._ended_timer: asyncio.TimerHandle | None = None
        self._group: list[tuple[_Told, _Command]] = []
        self._reader = sql.Reader(path)
        self._reading = ThreadPoolExecutor(1, "tailrace-log-read")
        self._live = Live(self.head, self._read)
        self._expiry = Expiry(self.delete)
        self._checkpoints = _Checkpoints(path, self._take_over, self._commit)
        self._journal.begun = partial(self._checkpoints.written, 0)
        self._last_commit = self._last_append = 0.0
        self._closed = False

    # --- the log's interface ----------------------------------------------------------------------------------------

    async def acquire(self, run_id: str) -> int:
        """See `Log.acquire`."""
        epoch: int = await self._submit(partial(self._acquire, run_id), waits=True)
        return epoch

    async def append(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext) -> Batch:
        """See `Log.append`."""
        batch = self._append_now(run_id, epoch, payloads, trace)
        if batch is not None:
            await self._let_others()
            return batch
        payloads = tuple(payloads)  # the caller may go on with its list
        check_payloads(payloads)
        raw = tuple(map(codec.encode, payloads))
        committed: Batch = await self._submit(partial(self._append, run_id, epoch, payloads, raw, trace))
        return committed

    async def _let_others(self) -> None:
        """Who appends without a pause must not be alone on the loop: its readers get their turn."""
        last, self._last_append = self._last_append, perf_counter()
        if self._last_append - last < QUIET_SECONDS:
            await asyncio.sleep(0)

    def offer(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext, told: Told) -> Offered:
        """See `Log.offer`: `told` is called where it has to wait for company."""
        if not self._gather_seconds:
            return self._append_now(run_id, epoch, payloads, trace) or False
        if self._closed or run_id not in self._writers:
            return False
        if len(payloads) != 1:
            check_payloads(payloads)
        raw = tuple(map(codec.encode, payloads))
        self._join(told, partial(self._append, run_id, epoch, tuple(payloads), raw, trace))
        return True

    def _append_now(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext) -> Batch | None:
        """Append on the spot, in the journal; None for what is long, or has to wait. Raises as `append` does."""
        payloads = tuple(payloads)  # the caller may go on with its list
        if len(payloads) != 1:
            check_payloads(payloads)
        writer = self._writers.get(run_id)
        if writer is None or self._group or self._closed or self._journal.is_full or self._gather_seconds:
            return None
        raw = tuple(map(codec.encode, payloads))
        rest = b"\n".join(raw)
        if len(rest) > LARGE_BYTES:
            return None
        batch = writer.append(epoch, payloads, raw, trace, self._clock())
        last_id = self._last_id
        try:
            self._journal.add(self._row(writer, batch, rest))
        except OSError as error:
            self._last_id = last_id
            self._roll_back([batch.run_id])
            raise NotReady(f"the log cannot be written: {error}") from error
        self._show(writer, batch)
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
        if self._ended_timer is not None:
            self._ended_timer.cancel()
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
        writer.entry_id = self._last_id
        trace = batch.trace
        return (
            self._last_id, writer.key, batch.first_seq, batch.last_seq,
            batch.timestamp, trace.traceparent, trace.tracestate, batch.ends, rest,
        )  # fmt: skip

    def _show(self, writer: Writer, batch: Batch) -> None:
        """It is in the log: to whoever reads the run."""
        if writer.live.publish(batch):
            self._live.note_change(writer.live)
        if batch.ends:
            writer.live.seal()
            self._keep_ended(writer)

    # --- group commit -----------------------------------------------------------------------------------------------

    async def _submit(self, command: _Command, *, waits: bool = False) -> Any:
        """Have `command` carried out: at once where the log is quiet, or where all that it asks for `waits` in the
        journal; else in company. Its result."""
        if self._closed:
            raise NotReady("the log is closed")
        if self._quiet() or (waits and not self._group and not self._journal.is_full):
            (outcome,) = self._carry_out((command,))
            if isinstance(outcome, TailraceError):
                raise outcome
            return outcome
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._join(partial(_settle, future), partial(_while_awaited, future, command))
        return await future

    def _join(self, told: _Told, command: _Command) -> None:
        """Have it carried out in company."""
        self._group.append((told, command))
        if len(self._group) > 1:
            return
        loop = asyncio.get_running_loop()
        if self._gather_seconds:
            loop.call_later(self._gather_seconds, self._commit)
        else:
            loop.call_soon(self._commit)

    def _quiet(self) -> bool:
        """May something be committed on the spot, and is it likely to be alone?"""
        is_free = not (self._closed or self._group or self._gather_seconds or self._checkpoints.held)
        return is_free and perf_counter() - self._last_commit > QUIET_SECONDS

    def _commit(self) -> None:
        """Carry out what has gathered, then tell everyone."""
        if not self._group or self._checkpoints.held:
            return
        group, self._group = self._group, []
        try:
            outcomes = self._carry_out([command for _, command in group])
        except NotReady as error:
            outcomes = [error] * len(group)
        for (told, _), outcome in zip(group, outcomes, strict=True):
            told(outcome)

    def _carry_out(self, commands: Sequence[_Command]) -> list[Any]:
        """In order, all or nothing. What each returns, or how it is refused; NotReady where all have failed."""
        transaction, last_id = _Transaction(self._clock()), self._last_id
        outcomes: list[Any] = []
        try:
            for command in commands:
                try:
                    outcomes.append(command(transaction))
                except (LogError, RequestError) as refusal:
                    outcomes.append(refusal)
            self._keep_all(transaction)
        except Exception as error:
            self._last_id = last_id
            self._roll_back([*transaction.acquired, *(batch.run_id for _, batch in transaction.published)])
            raise NotReady(f"the log cannot be written: {error}") from error
        self._publish(transaction)
        return outcomes

    def _keep_all(self, transaction: _Transaction) -> None:
        """In the journal what may wait there, else in the file. Raises OSError and sqlite3.Error."""
        entries = transaction.entries
        is_large = transaction.size > LARGE_BYTES or len(entries) > MOST_AT_ONCE
        if transaction.statements or is_large or self._journal.is_full:
            self._write(transaction)
        else:
            for entry in entries:
                self._journal.add(entry)

    def _write(self, transaction: _Transaction) -> None:
        """The transaction, and with it what has waited in the journal. Raises sqlite3.Error."""
        if self._fresh_pages >= PLACE_PAGES:
            self._place(transaction)
        try:
            pages = sql.write(self._db, [*self._journal.entries, *transaction.entries], transaction.statements)
        except Exception:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._journal.clear()
        self._is_behind = False
        self._fresh_pages += pages
        self._last_commit = perf_counter()
        self._checkpoints.written(pages)

    def _take_over(self) -> None:
        """Have the journal empty. Raises sqlite3.Error."""
        if self._journal.entries:
            self._write(_Transaction(self._clock()))

    def _publish(self, transaction: _Transaction) -> None:
        for writer, batch in transaction.published:
            self._show(writer, batch)
        for run_id, epoch in transaction.acquired.items():
            self._live.acquired(run_id, epoch)
        for run_id in transaction.forgotten:
            self._drop(run_id)
            self._live.forget(run_id)

    def _roll_back(self, run_ids: Iterable[str]) -> None:
        self._last_commit = 0.0
        for run_id in run_ids:
            self._drop(run_id)

    def _drop(self, run_id: str) -> None:
        """Where it stands is looked up in the file when next asked for."""
        writer = self._writers.pop(run_id, None)
        if writer is not None and self._journal.has(writer.entry_id):
            self._is_behind = True

    # --- the commands that a commit carries out ---------------------------------------------------------------------

    def _acquire(self, run_id: str, transaction: _Transaction) -> int:
        if run_id in transaction.forgotten:
            raise NotReady(f"the log of run {run_id!r} is being deleted")
        writer = self._writer(run_id)
        if writer is None:
            self._last_key += 1
            writer = self._keep(Writer(self._live.open(run_id), self._last_key))
        epoch = writer.acquire()
        self._last_id += 1
        writer.entry_id = self._last_id
        transaction.entries.append(Claim(self._last_id, writer.key, run_id, epoch))
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
        transaction.size += len(rest) + len(trace.tracestate or "")
        transaction.entries.append(self._row(writer, batch, rest))
        transaction.published.append((writer, batch))
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

    def _catch_up(self, _transaction: _Transaction) -> None:
        self._take_over()

    def _key(self, run_id: str) -> int | None:
        writer = self._writers.get(run_id)
        if writer is not None:
            return writer.key
        if self._is_behind:
            self._take_over()
        row: tuple[int] | None = self._db.execute(sql.FIND_KEY, (run_id,)).fetchone()
        return row[0] if row is not None else None

    def _writer(self, run_id: str) -> Writer | None:
        """Where the run stands, from memory or from the file; None where it has no log."""
        writer = self._writers.get(run_id)
        if writer is not None:
            return writer
        if self._is_behind:
            self._take_over()
        row = self._db.execute(sql.FIND_RUN, (run_id,)).fetchone()
        if row is None:
            return None
        key, epoch, sealed = row
        last_seq, timestamp = self._db.execute(sql.LAST_BATCH, (key,)).fetchone() or (0, 0)
        return self._keep(Writer(self._live.open(run_id), key, epoch, last_seq, bool(sealed), timestamp))

    def _keep_ended(self, writer: Writer) -> None:
        """What has just ended is read once more, by the projector: it stays in memory until then, or until others have
        ended in such number that it has to go. All that stays longer is colder memory for the next ones, and work for
        the garbage collector."""
        loop = asyncio.get_running_loop()
        self._ended.append((loop.time(), writer))
        self._ended_bytes += writer.live.size
        while self._ended_bytes > ENDED_BYTES or len(self._ended) > ENDED_RUNS:
            self._drop_ended()
        if self._ended_timer is None:
            self._ended_timer = loop.call_later(ENDED_S, self._let_ended_go)

    def _let_ended_go(self) -> None:
        loop = asyncio.get_running_loop()
        while self._ended and self._ended[0][0] + ENDED_S <= loop.time():
            self._drop_ended()
        self._ended_timer = loop.call_at(self._ended[0][0] + ENDED_S, self._let_ended_go) if self._ended else None

    def _drop_ended(self) -> None:
        _, writer = self._ended.popleft()
        self._ended_bytes -= writer.live.size
        if self._writers.get(writer.live.run_id) is writer:  # else the run was deleted, and its id is used anew
            self._drop(writer.live.run_id)

    def _keep(self, writer: Writer) -> Writer:
        writer.live.learn(writer.last_seq, writer.sealed)
        if len(self._writers) >= MAX_WRITERS:
            self._drop(next(iter(self._writers)))
        self._writers[writer.live.run_id] = writer
        return writer

    # --- reads beside the loop --------------------------------------------------------------------------------------

    async def _read(self, run_id: str, after: int, limit: int) -> list[Batch]:
        return await self._in_reader(self._reader.read, run_id, after, limit)

    async def _in_reader(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._closed:
            raise NotReady("the log is closed")
        if self._journal.entries:
            await self._submit(self._catch_up)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, function, *arguments)
        except sqlite3.Error as error:
            raise NotReady(f"the log cannot be read: {error}") from error


def _while_awaited(future: "asyncio.Future[Any]", command: _Command, transaction: _Transaction) -> Any:
    """What was cancelled before its commit is not done."""
    if future.done():
        raise LogError("nobody awaits it any more")
    return command(transaction)


def _settle(future: "asyncio.Future[Any]", outcome: Any) -> None:
    """A command's outcome for who awaits it, if anybody does still."""
    if future.done():
        return
    if isinstance(outcome, TailraceError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


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
