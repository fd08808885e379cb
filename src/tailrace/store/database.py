"""Where the store's transactions run: a plain function over a connection is one transaction, off the event loop but for
what is little."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Protocol, TypeVar, TypeVarTuple

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from tailrace.schema.errors import NotReady
from tailrace.store.engine import reason

T = TypeVar("T")
P = TypeVar("P")
Ts = TypeVarTuple("Ts")

LITTLE_AT_ONCE = 8  # parts that are written in one turn of the loop: about a millisecond
CHECKPOINT_S = 2.0  # for so long what is committed gathers in the write-ahead log
CHECKPOINT_PATIENCE_S = 0.1  # with who writes: meanwhile one reader less reads

_NEVER_WAITS = "busy_timeout = 0"
_NO_CHECKPOINTS = "wal_autocheckpoint = 0"  # of its own: it would make them in a commit, with the lock held
_CARRY_OVER = "PRAGMA wal_checkpoint(PASSIVE)"

_log = structlog.get_logger(__name__)


class Database(Protocol):
    """Runs `work(connection, *arguments)` as one transaction, all or nothing.

    Not on the event loop's thread, because work may compute: archives are packed and unpacked in it. A caller that
    is cancelled does not take part of a transaction back: it is carried out whole, or not begun.
    """

    async def read(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """For work that changes nothing: all of it sees the database as it was at one moment.

        Raises what `work` raises; NotReady where the database cannot do it.
        """

    async def write(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """For work that changes something. Raises as `read` does."""

    async def write_little(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """`write` for a few rows and no computing: a database may do that where it is called, rather than on a thread,
        if it need not wait for anything."""

    async def write_each(self, work: Callable[[Connection, Sequence[P]], None], parts: Sequence[P]) -> None:
        """`write_little` of many parts: each is written whole, in a transaction that it shares with others."""

    async def close(self) -> None:
        """Let go, when what has been asked for is done; after that, everything is NotReady."""


class ThreadedDatabase(ABC):
    """`Database` on threads, some that write and some that read. A transaction costs one change of threads, however
    many statements it has.

    `patience_s`: after how long a caller is told NotReady, though its transaction may still be carried out.
    """

    def __init__(self, engine: Engine, *, writers: int, readers: int, patience_s: float | None = None) -> None:
        self._engine = engine
        self._writers = ThreadPoolExecutor(writers, "store-writer")
        self._readers = ThreadPoolExecutor(readers, "store-reader")
        self._patience_s = patience_s
        self._closed = False

    async def read(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """See `Database.read`."""
        return await self._run(self._readers, self._read, work, *arguments)

    async def write(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """See `Database.write`."""
        return await self._run(self._writers, self._write, work, *arguments)

    async def write_little(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """See `Database.write_little`."""
        return await self.write(work, *arguments)

    async def write_each(self, work: Callable[[Connection, Sequence[P]], None], parts: Sequence[P]) -> None:
        """See `Database.write_each`."""
        if parts:
            await self.write(work, parts)

    async def close(self) -> None:
        """See `Database.close`."""
        self._closed = True
        await asyncio.to_thread(self._end)

    async def _run(self, threads: Executor, call: Callable[[*Ts], T], *arguments: *Ts) -> T:
        if self._closed:
            raise NotReady("the store is closed")
        try:
            async with asyncio.timeout(self._patience_s):
                return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)
        except TimeoutError as error:
            raise NotReady("the store does not answer") from error
        except (DBAPIError, OSError) as error:
            raise NotReady(f"the store cannot be used: {reason(error)}") from error

    @abstractmethod
    def _read(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """On a thread: a transaction that reads."""

    @abstractmethod
    def _write(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """On a thread: a transaction that writes."""

    def _end(self) -> None:
        self._writers.shutdown()
        self._readers.shutdown()
        self._engine.dispose()


class SqliteDatabase(ThreadedDatabase):
    """`Database` for SQLite: one thread that writes, as SQLite has one writer, and a few that read beside it.

    Each thread keeps a connection of its own: to take one from a pool and to give it back costs as much as a statement.
    The event loop's has one too, for `write_little`: a commit is two writes into the page cache there (as in
    log/sqlite.py), and a change of threads takes several times as long, for each call of SQLite's lets go of the
    interpreter. It never waits, for a lock or for a disk: where another writes, a thread does it.

    Checkpoints are made on a thread that reads, beside those who write but for their last moment: so the write-ahead
    log begins anew within `checkpoint_s` of what is written, and a commit never calls fsync.
    """

    def __init__(self, engine: Engine, *, checkpoint_s: float = CHECKPOINT_S) -> None:
        super().__init__(engine, writers=1, readers=2)
        self._checkpoint_s = checkpoint_s
        self._writing = threading.Lock()
        self._own = threading.local()
        self._connections: list[Connection] = []
        self._next_checkpoint: asyncio.TimerHandle | None = None

    def _read(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        return self._transact("BEGIN", work, *arguments)

    def _write(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        # A transaction that takes the write lock later, behind a read, cannot wait for it.
        with self._writing:
            return self._transact("BEGIN IMMEDIATE", work, *arguments)

    async def write(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """See `Database.write`."""
        self._see_to_checkpoint()
        return await super().write(work, *arguments)

    async def write_little(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """See `Database.write_little`."""
        if not self._closed and self._writing.acquire(blocking=False):
            try:
                self._see_to_checkpoint()
                self._connection(_NEVER_WAITS)
                return self._transact("BEGIN IMMEDIATE", work, *arguments)
            except DBAPIError:
                pass  # another process writes, most likely: a thread waits for it, or says what else is wrong
            finally:
                self._writing.release()
        return await self.write(work, *arguments)

    async def write_each(self, work: Callable[[Connection, Sequence[P]], None], parts: Sequence[P]) -> None:
        """See `Database.write_each`."""
        for at in range(0, len(parts), LITTLE_AT_ONCE):
            await self.write_little(work, parts[at : at + LITTLE_AT_ONCE])
            await asyncio.sleep(0)

    def _see_to_checkpoint(self) -> None:
        if self._next_checkpoint is None and not self._closed:
            self._next_checkpoint = asyncio.get_running_loop().call_later(self._checkpoint_s, self._begin_checkpoint)

    def _begin_checkpoint(self) -> None:
        self._next_checkpoint = None
        if not self._closed:
            self._readers.submit(self._checkpoint)

    def _checkpoint(self) -> None:
        """On a thread: carry the write-ahead log over into the database, and begin it anew, if nobody writes for long.

        What little came meanwhile is carried over while nobody writes; and the write that begins it anew is made then,
        because it calls fsync.
        """
        connection = self._connection()
        try:
            connection.exec_driver_sql(_CARRY_OVER)
            if self._writing.acquire(timeout=CHECKPOINT_PATIENCE_S):
                try:
                    self._begin_anew(connection)
                finally:
                    self._writing.release()
        except DBAPIError as error:
            _log.warning("checkpoint failed", error=reason(error))  # writing goes on; the next one tries again
        finally:
            connection.rollback()  # none of these is part of a transaction

    def _begin_anew(self, connection: Connection) -> None:
        connection.exec_driver_sql(_CARRY_OVER)
        version = connection.exec_driver_sql("PRAGMA user_version").scalar()
        connection.exec_driver_sql(f"PRAGMA user_version = {version}")  # the smallest write there is

    def _transact(self, begin: str, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        connection = self._connection()
        try:
            with connection.begin():
                connection.exec_driver_sql(begin)
                return work(connection, *arguments)
        except DBAPIError:
            connection.connection.rollback()  # a commit that fails leaves SQLite's transaction open
            raise

    def _connection(self, *pragmas: str) -> Connection:
        """This thread's own connection; a new one is given these PRAGMAs."""
        own: Connection | None = getattr(self._own, "connection", None)
        if own is None:
            own = self._own.connection = self._engine.connect()
            for pragma in (_NO_CHECKPOINTS, *pragmas):
                own.exec_driver_sql(f"PRAGMA {pragma}")
            own.commit()
            self._connections.append(own)
        return own

    async def close(self) -> None:
        """See `Database.close`."""
        if self._next_checkpoint is not None:
            self._next_checkpoint.cancel()
        await super().close()

    def _end(self) -> None:
        self._writers.shutdown()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        super()._end()
