"""Where the store's transactions run on PostgreSQL (see `store.database`)."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from tailrace.store.database import ThreadedDatabase
from tailrace.store.engine import make_engine

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

WRITERS = 4
READERS = 4  # threads of their own: a writer that waits for a lock holds up no reader
PATIENCE_S = 15.0
ATTEMPTS = 4  # of a transaction that loses to another
LOST = {"40001", "40P01"}  # serialization failure, deadlock (PostgreSQL, appendix A): to be tried again

# Work that writes locks the rows that it decides upon (SELECT … FOR UPDATE), so that it needs no more than this.
_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"
_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresDatabase(ThreadedDatabase):
    """`Database` for PostgreSQL: a few threads over a pool of as many connections.

    A connection that died while it was idle is replaced unnoticed. One that dies in a transaction is NotReady: whether
    that was carried out cannot be known, and what is not idempotent may not be tried again unasked.
    """

    def __init__(self, engine: Engine, *, patience_s: float = PATIENCE_S) -> None:
        super().__init__(engine, writers=WRITERS, readers=READERS, patience_s=patience_s)

    @staticmethod
    def engine(url: str) -> Engine:
        """An engine with a connection for each thread. Raises as `make_engine` does."""
        return make_engine(url, WRITERS + READERS)

    def _read(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        return self._transact(_READING, work, *arguments)

    def _write(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return self._transact(_WRITING, work, *arguments)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in LOST:
                    raise
        return self._transact(_WRITING, work, *arguments)

    def _transact(self, begin: str, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        with self._begun(begin) as connection:
            result = work(connection, *arguments)
            connection.commit()
            return result

    def _begun(self, begin: str) -> Connection:
        """A connection in a new transaction. With one that is dead the pool forgets all that are as old."""
        try:
            return self._begin(begin)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._begin(begin)

    def _begin(self, begin: str) -> Connection:
        connection = self._engine.connect()
        try:
            connection.exec_driver_sql(begin)
        except BaseException:
            connection.close()
            raise
        return connection
