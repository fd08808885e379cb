"""Where the store's transactions run: a plain function over a connection is one transaction, off the event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Protocol, TypeVar, TypeVarTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from tailrace.schema.errors import NotReady
from tailrace.store.engine import begin_writing, reason

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_READERS = 2


class Database(Protocol):
    """Runs `work(connection, *arguments)` as one transaction, all or nothing.

    Never on the event loop's thread, because work may compute: archives are packed and unpacked in it. A caller that
    is cancelled does not take part of a transaction back: it is carried out whole, or not begun.
    """

    async def read(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """For work that is a single SELECT. Raises what `work` raises; NotReady where the database cannot do it."""

    async def write(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """For work that changes something. Raises as `read` does."""

    async def close(self) -> None:
        """Let go, when what has been asked for is done; after that, everything is NotReady."""


class SqliteDatabase:
    """`Database` for SQLite: one thread that writes, as SQLite has one writer, and a few that read beside it.

    A transaction costs one change of threads, however many statements it has. Each thread keeps a connection of its
    own: to take one from a pool and to give it back costs as much as a statement.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._readers = ThreadPoolExecutor(_READERS, "store-reader")
        self._own = threading.local()
        self._connections: list[Connection] = []
        self._closed = False

    async def read(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """See `Database.read`."""
        return await self._run(self._readers, self._read, work, *arguments)

    async def write(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """See `Database.write`."""
        return await self._run(self._writer, self._write, work, *arguments)

    async def close(self) -> None:
        """See `Database.close`."""
        self._closed = True
        await asyncio.to_thread(self._end)

    async def _run(self, threads: Executor, call: Callable[[*Ts], T], *arguments: *Ts) -> T:
        if self._closed:
            raise NotReady("the store is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)
        except (DBAPIError, OSError) as error:
            raise NotReady(f"the store cannot be used: {reason(error)}") from error

    def _read(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        connection = self._connection()
        with connection.begin():
            return work(connection, *arguments)

    def _write(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        connection = self._connection()
        try:
            with connection.begin():
                begin_writing(connection)
                return work(connection, *arguments)
        except DBAPIError:
            connection.connection.rollback()  # a commit that fails leaves SQLite's transaction open
            raise

    def _connection(self) -> Connection:
        own: Connection | None = getattr(self._own, "connection", None)
        if own is None:
            own = self._own.connection = self._engine.connect()
            self._connections.append(own)
        return own

    def _end(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        self._engine.dispose()
