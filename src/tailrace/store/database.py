"""Where the store's transactions run: a plain function over a connection is one transaction, off the event loop."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Protocol, TypeVar, TypeVarTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from tailrace.schema.errors import NotReady
from tailrace.store.engine import reason

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_NEVER_WAITS = ("busy_timeout = 0", "wal_autocheckpoint = 0")


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
    log/sqlite.py), and a change of threads takes several times as long. It never waits, for a lock or for a disk:
    where another writes, a thread does it, and checkpoints are the threads' as well.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, writers=1, readers=2)
        self._writing = threading.Lock()
        self._own = threading.local()
        self._connections: list[Connection] = []

    def _read(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        return self._transact("BEGIN", work, *arguments)

    def _write(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        # A transaction that takes the write lock later, behind a read, cannot wait for it.
        with self._writing:
            return self._transact("BEGIN IMMEDIATE", work, *arguments)

    async def write_little(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """See `Database.write_little`."""
        if not self._closed and self._writing.acquire(blocking=False):
            try:
                self._connection(_NEVER_WAITS)
                return self._transact("BEGIN IMMEDIATE", work, *arguments)
            except DBAPIError:
                pass  # another process writes, most likely: a thread waits for it, or says what else is wrong
            finally:
                self._writing.release()
        return await self.write(work, *arguments)

    def _transact(self, begin: str, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        connection = self._connection()
        try:
            with connection.begin():
                connection.exec_driver_sql(begin)
                return work(connection, *arguments)
        except DBAPIError:
            connection.connection.rollback()  # a commit that fails leaves SQLite's transaction open
            raise

    def _connection(self, pragmas: Sequence[str] = ()) -> Connection:
        """This thread's own connection; a new one is given these PRAGMAs."""
        own: Connection | None = getattr(self._own, "connection", None)
        if own is None:
            own = self._own.connection = self._engine.connect()
            for pragma in pragmas:
                own.exec_driver_sql(f"PRAGMA {pragma}")
            own.commit()
            self._connections.append(own)
        return own

    def _end(self) -> None:
        self._writers.shutdown()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        super()._end()
