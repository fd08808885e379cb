"""A run whose events are no longer kept: what came of it is there, and the way to it is told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tailrace.api.errors import problem
from tailrace.log.memory import MemoryLog
from tailrace.runs.reader import RunReader
from tailrace.schema.errors import Expired, NotFound
from tailrace.store.base import Store
from tailrace.store.sql import migrate, open_store
from tailrace.testing.stored import NOW, a_response, a_run, a_thread, archive


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """With a run that has ended, whose log is in the archive only."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    await migrate(url)
    store = await open_store(url)
    await store.create_run(a_run("r"), a_thread("t"))
    await archive(store, "r")
    yield store
    await store.close()


async def read(reader: RunReader, run_id: str, after: int = 0) -> int:
    """How many events there are behind `after`."""
    pages = [page async for page in reader.pages(run_id, after)]
    return sum(batch.last_seq - batch.first_seq + 1 for page in pages for batch in page)


async def test_a_run_past_its_retention_is_expired_and_says_where_its_snapshot_is(store: Store) -> None:
    """410 with the snapshot's path, from whatever cursor; a run that never was is still 404."""
    reader = RunReader(MemoryLog(), store)
    await reader.exists("r")
    assert await read(reader, "r", after=2) == 3
    assert await store.apply_retention(NOW + 1000) == 1
    for call in (reader.exists("r"), read(reader, "r"), read(reader, "r", after=4)):
        with pytest.raises(Expired) as caught:
            await call
        told = problem(caught.value)
        assert (told.status, told.code) == (410, "expired")
        assert told.details == {"run_id": "r", "snapshot": "/api/v2/runs/r"}
    assert await reader.response("r") == a_response("r", "t", "complete", 5)
    for call in (reader.exists("x"), read(reader, "x")):
        with pytest.raises(NotFound):
            await call
