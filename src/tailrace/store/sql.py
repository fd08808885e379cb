"""The store in SQL, through SQLAlchemy Core. What is committed survives the death of the process."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tailrace.schema.batch import Batch
from tailrace.schema.errors import NotReady, SettingsError
from tailrace.schema.response import Response, Status
from tailrace.store import sql_deletion, sql_inputs, sql_projection, sql_runs, sql_threads
from tailrace.store.base import Input, Projection, StoredRun, Thread
from tailrace.store.creations import Creations
from tailrace.store.database import Database, SqliteDatabase
from tailrace.store.engine import is_postgres, make_engine, reason, shown
from tailrace.store.migrations import migrate
from tailrace.store.postgres import PostgresDatabase
from tailrace.store.version import make_ready

__all__ = ["SqlStore", "migrate", "open_store"]


ATTEMPTS = 4  # of a run that others stand in the way of, who are gone when they are looked for


async def open_store(url: str, *, gather_ms: float = 0) -> "SqlStore":
    """The store at `sqlite:///path` or `postgresql://user:password@host/database`; an empty one gets its tables.
    `gather_ms`: how long a new run waits for others to be stored with.

    Raises SettingsError where it cannot be reached, or is of another version: then `tailrace migrate` is to be run.
    """
    postgres = is_postgres(url)
    engine = await asyncio.to_thread(PostgresDatabase.engine if postgres else make_engine, url)  # it imports a driver
    try:
        await make_ready(engine, url)
    except (DBAPIError, OSError) as error:
        engine.dispose()
        raise SettingsError(f"the store {shown(url)} cannot be opened: {reason(error)}") from error
    except SettingsError:
        engine.dispose()
        raise
    if postgres:
        return SqlStore(PostgresDatabase(engine), gather_ms=gather_ms)
    database = SqliteDatabase(engine)
    return SqlStore(
        database,
        await database.read(sql_inputs.read_spoken_to),
        await database.read(sql_runs.waiting_threads),
        gather_ms=gather_ms,
    )


class SqlStore:
    """`store.base.Store`; see `open_store`. Each call is one transaction.

    `spoken_to`: the runs that something was said to, `waiting`: the threads in which a run may wait for its turn, where
    only this process can change that (a file of its own: log/datadir.py): nearly all runs end without either, and need
    not look for it. `gather_ms`: see `open_store`.
    """

    def __init__(
        self,
        database: Database,
        spoken_to: Iterable[str] | None = None,
        waiting: Iterable[str] | None = None,
        *,
        gather_ms: float = 0,
    ) -> None:
        self._db = database
        self._creations = Creations(database, gather_ms / 1000)
        self._spoken_to = set(spoken_to) if spoken_to is not None else None
        self._waiting = set(waiting) if waiting is not None else None

    # --- threads ----------------------------------------------------------------------------------------------------

    async def create_thread(self, thread: Thread) -> None:
        """See `Store.create_thread`."""
        await self._db.write(sql_threads.create_thread, thread)

    async def get_thread(self, thread_id: str) -> Thread:
        """See `Store.get_thread`."""
        return await self._db.read(sql_threads.get_thread, thread_id)

    async def list_threads(self, *, tag: str | None, limit: int, cursor: str | None) -> tuple[list[Thread], str | None]:
        """See `Store.list_threads`."""
        return await self._db.read(sql_threads.list_threads, tag, limit, cursor)

    async def update_thread(self, thread_id: str, changes: dict[str, Any], updated_at: int) -> Thread:
        """See `Store.update_thread`."""
        return await self._db.write(sql_threads.update_thread, thread_id, changes, updated_at)

    async def delete_thread(self, thread_id: str) -> list[str]:
        """See `Store.delete_thread`."""
        return await self._db.write(sql_deletion.delete_thread, thread_id)

    async def delete_run(self, run_id: str) -> None:
        """See `Store.delete_run`."""
        await self._db.write(sql_deletion.delete_run, run_id)

    async def doomed_logs(self) -> list[str]:
        """See `Store.doomed_logs`."""
        return await self._db.read(sql_deletion.read_doomed_logs)

    async def logs_deleted(self, run_ids: Sequence[str]) -> None:
        """See `Store.logs_deleted`."""
        await self._db.write(sql_deletion.logs_deleted, run_ids)

    # --- runs -------------------------------------------------------------------------------------------------------

    async def create_run(self, run: StoredRun, new_thread: Thread | None) -> StoredRun:
        """See `Store.create_run`. What stands in the way is looked for only where something does."""
        refusal: BaseException | None = None
        for _ in range(ATTEMPTS):
            try:
                await self._creations.create(run, new_thread)
                return run
            except sql_runs.Taken as taken:
                refusal = taken.__cause__
            earlier = await self._db.read(sql_runs.look_what_is_taken, run, new_thread)
            if earlier is not None:
                return earlier
        raise NotReady(f"the store cannot be used: {reason(refusal)}") from refusal

    async def enqueue_run(self, run: StoredRun) -> StoredRun:
        """See `Store.enqueue_run`."""
        return await self._db.write(self._enqueue, run)

    async def next_run(self, thread_id: str) -> StoredRun | None:
        """See `Store.next_run`."""
        try:
            return await self._db.write(self._next, thread_id)
        except sql_runs.Taken:
            return None

    async def waiting_threads(self, among: Collection[str] | None = None) -> list[str]:
        """See `Store.waiting_threads`."""
        if among is not None and self._waiting is not None:
            among = [thread_id for thread_id in among if thread_id in self._waiting]
            if not among:
                return []
        return await self._db.read(sql_runs.waiting_threads, among)

    # What is known of who waits changes within the transactions that change it, of which there is one at a time.

    def _enqueue(self, db: Connection, run: StoredRun) -> StoredRun:
        if self._waiting is not None:
            self._waiting.add(run.request.thread_id)
        return sql_runs.enqueue_run(db, run)

    def _next(self, db: Connection, thread_id: str) -> StoredRun | None:
        run = sql_runs.next_run(db, thread_id)
        if self._waiting is not None and run is None and not sql_runs.waiting_threads(db, [thread_id]):
            self._waiting.discard(thread_id)
        return run

    async def add_input(self, run_id: str, said: Input) -> None:
        """See `Store.add_input`."""
        if self._spoken_to is not None:
            self._spoken_to.add(run_id)  # first: who looks from now on has to look there
        await self._db.write(sql_inputs.add_input, run_id, said)

    async def inputs(self, run_id: str) -> list[Input]:
        """See `Store.inputs`."""
        if self._spoken_to is not None and run_id not in self._spoken_to:
            return []
        return await self._db.read(sql_inputs.read_inputs, run_id)

    async def keep_output(self, run_id: str, call_id: str, data: bytes) -> None:
        """See `Store.keep_output`."""
        await self._db.write(sql_inputs.keep_output, run_id, call_id, data)

    async def kept_output(self, run_id: str, call_id: str) -> bytes:
        """See `Store.kept_output`."""
        return await self._db.read(sql_inputs.kept_output, run_id, call_id)

    async def get_run(self, run_id: str) -> StoredRun:
        """See `Store.get_run`."""
        return await self._db.read(sql_runs.get_run, run_id)

    async def list_runs(
        self, *, thread_id: str | None, status: Status | None, limit: int, cursor: str | None
    ) -> tuple[list[Response], str | None]:
        """See `Store.list_runs`."""
        return await self._db.read(sql_runs.list_runs, thread_id, status, limit, cursor)

    async def thread_runs(self, thread_id: str) -> list[Response]:
        """See `Store.thread_runs`."""
        return await self._db.read(sql_runs.thread_runs, thread_id)

    async def chain(self, run_id: str) -> list[Response]:
        """See `Store.chain`."""
        return await self._db.read(sql_runs.chain, run_id)

    async def live_run(self, thread_id: str) -> str | None:
        """See `Store.live_run`."""
        return await self._db.read(sql_runs.live_run, thread_id)

    async def live_runs(self) -> list[StoredRun]:
        """See `Store.live_runs`."""
        return await self._db.read(sql_runs.live_runs)

    async def project(self, projections: Sequence[Projection]) -> None:
        """See `Store.project`."""
        little, more = list[sql_projection.Encoded](), list[sql_projection.Encoded]()
        for each in map(sql_projection.encode, projections):
            (little if each.is_little else more).append(each)
        await self._db.write_each(sql_projection.project, little)
        if more:
            await self._db.write(sql_projection.project, more)

    async def archived(self, run_id: str, after: int = 0) -> Iterator[Batch] | None:
        """See `Store.archived`."""
        return await self._db.read(sql_runs.archived, run_id, after)

    async def unkept(self, ended_before_ms: int, limit: int = 100) -> list[str]:
        """See `Store.unkept`."""
        return await self._db.read(sql_deletion.read_unkept, ended_before_ms, limit)

    async def apply_retention(self, older_than_ms: int, limit: int = 500) -> int:
        """See `Store.apply_retention`."""
        return await self._db.write(sql_deletion.apply_retention, older_than_ms, limit)

    # --- the whole --------------------------------------------------------------------------------------------------

    async def ping(self) -> None:
        """See `Store.ping`."""
        await self._db.read(sql_runs.ping)

    async def close(self) -> None:
        """See `Store.close`."""
        await self._db.close()
