"""New runs, created in company: a transaction and its statements cost more than the rows of one run."""

import asyncio

from tailrace.schema.errors import NotReady
from tailrace.store import sql_runs
from tailrace.store.base import StoredRun, Thread
from tailrace.store.database import Database


class Creations:
    """Creates the runs that come within `gather_s` of each other together; each alone where that is 0."""

    def __init__(self, database: Database, gather_s: float) -> None:
        self._database = database
        self._gather_s = gather_s
        self._new: list[tuple[StoredRun, Thread | None]] = []
        self._group: asyncio.Task[None] | None = None

    async def create(self, run: StoredRun, thread: Thread | None) -> None:
        """One run, with its thread where that is new, whole or not at all; a caller that is cancelled takes nothing
        back. Raises sql_runs.Taken and NotReady."""
        if not self._gather_s:
            await self._database.write_little(sql_runs.insert_runs, [(run, thread)])
            return
        self._new.append((run, thread))
        if self._group is None:
            self._group = asyncio.create_task(self._create_all())
        try:
            await asyncio.shield(self._group)
        except NotReady:
            raise
        except Exception:  # noqa: BLE001  # what stands in the way of one is not in that of the others: each is tried
            await self._database.write_little(sql_runs.insert_runs, [(run, thread)])

    async def _create_all(self) -> None:
        await asyncio.sleep(self._gather_s)
        new, self._new, self._group = self._new, [], None
        await self._database.write_little(sql_runs.insert_runs, new)
