"""The store in SQL, through SQLAlchemy Core. What is committed survives the death of the process."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy.exc import DBAPIError

from tailrace.schema.batch import Batch
from tailrace.schema.errors import SettingsError
from tailrace.schema.response import Response, Status
from tailrace.store import sql_runs, sql_threads
from tailrace.store.base import Projection, StoredRun, Thread
from tailrace.store.database import Database, SqliteDatabase
from tailrace.store.engine import make_engine, make_ready, reason, shown
from tailrace.store.migrations import migrate

__all__ = ["SqlStore", "migrate", "open_store"]


async def open_store(url: str) -> "SqlStore":
    """The store at `sqlite:///path`; an empty database gets its tables.

    Raises SettingsError where it cannot be reached, or is of another version: then `tailrace migrate` is to be run.
    """
    engine = make_engine(url)
    try:
        await make_ready(engine, url)
    except (DBAPIError, OSError) as error:
        engine.dispose()
        raise SettingsError(f"the store {shown(url)} cannot be opened: {reason(error)}") from error
    except SettingsError:
        engine.dispose()
        raise
    return SqlStore(SqliteDatabase(engine))


class SqlStore:
    """`store.base.Store`; see `open_store`. Each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

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
        return await self._db.write(sql_threads.delete_thread, thread_id)

    async def doomed_logs(self) -> list[str]:
        """See `Store.doomed_logs`."""
        return await self._db.read(sql_threads.read_doomed_logs)

    async def logs_deleted(self, run_ids: Sequence[str]) -> None:
        """See `Store.logs_deleted`."""
        await self._db.write(sql_threads.logs_deleted, run_ids)

    # --- runs -------------------------------------------------------------------------------------------------------

    async def create_run(self, run: StoredRun, new_thread: Thread | None) -> StoredRun:
        """See `Store.create_run`. What stands in the way is looked for only where something does."""
        try:
            return await self._db.write(sql_runs.insert_run, run, new_thread)
        except sql_runs.Taken:
            return await self._db.write(sql_runs.look_and_insert_run, run, new_thread)

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

    async def live_run(self, thread_id: str) -> str | None:
        """See `Store.live_run`."""
        return await self._db.read(sql_runs.live_run, thread_id)

    async def live_runs(self) -> list[StoredRun]:
        """See `Store.live_runs`."""
        return await self._db.read(sql_runs.live_runs)

    async def project(self, projections: Sequence[Projection]) -> None:
        """See `Store.project`."""
        await self._db.write(sql_runs.project, projections)

    async def archived(self, run_id: str, after: int = 0) -> Iterator[Batch] | None:
        """See `Store.archived`."""
        return await self._db.read(sql_runs.archived, run_id, after)

    # --- the whole --------------------------------------------------------------------------------------------------

    async def ping(self) -> None:
        """See `Store.ping`."""
        await self._db.read(sql_runs.ping)

    async def close(self) -> None:
        """See `Store.close`."""
        await self._db.close()
