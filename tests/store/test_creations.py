"""Runs created in company: together where nothing stands in the way, each by itself where something does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tailrace.schema.errors import Conflict, NotReady
from tailrace.store.database import SqliteDatabase
from tailrace.store.sql import SqlStore, open_store
from tailrace.testing.stored import a_run, a_thread


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = await open_store(f"sqlite:///{tmp_path / 'store.db'}", gather_ms=20)
    yield opened
    await opened.close()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is written, a transaction each."""
    names: list[str] = []
    write = SqliteDatabase.write_little

    async def counted(self: SqliteDatabase, work: Callable[..., Any], *arguments: Any) -> Any:
        names.append(work.__name__)
        return await write(self, work, *arguments)

    monkeypatch.setattr(SqliteDatabase, "write_little", counted)
    return names


async def test_those_that_come_together_share_a_transaction(store: SqlStore, written: list[str]) -> None:
    """And the next ones have another."""
    runs = [a_run(f"r{number}", f"t{number}") for number in range(20)]
    assert await asyncio.gather(*(store.create_run(run, a_thread(run.request.thread_id)) for run in runs)) == runs
    assert written == ["insert_runs"]
    await store.create_run(a_run("later", "later"), a_thread("later"))
    assert written == ["insert_runs"] * 2
    assert {run.request.run_id for run in await store.live_runs()} == {*(f"r{n}" for n in range(20)), "later"}


async def test_who_cannot_be_created_is_in_nobody_s_way(store: SqlStore) -> None:
    """All or nothing is for each run by itself: of two for one thread one is refused."""
    await store.create_thread(a_thread("old"))
    outcomes = await asyncio.gather(
        store.create_run(a_run("a", "new"), a_thread("new")),
        store.create_run(a_run("b", "old"), a_thread("old")),
        store.create_run(a_run("c", "old"), None),
        store.create_run(a_run("d", "old"), None),
        return_exceptions=True,
    )
    assert outcomes[0] == a_run("a", "new")
    assert isinstance(outcomes[1], Conflict)
    assert outcomes[2] == a_run("c", "old")
    assert isinstance(outcomes[3], Conflict)
    assert outcomes[3].details == {"run_id": "c"}
    assert sorted(run.request.run_id for run in await store.live_runs()) == ["a", "c"]


async def test_all_are_told_where_the_store_is_away(store: SqlStore, written: list[str]) -> None:
    """At once: it is not asked again for each."""
    await store.close()
    runs = [a_run(f"r{number}", f"t{number}") for number in range(3)]
    outcomes = await asyncio.gather(
        *(store.create_run(run, a_thread(run.request.thread_id)) for run in runs), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [NotReady] * 3
    assert written == ["insert_runs"]


async def test_a_caller_that_has_gone_is_in_nobody_s_way(store: SqlStore) -> None:
    """The others are created."""
    gone = asyncio.create_task(store.create_run(a_run("gone", "g"), a_thread("g")))
    stays = asyncio.create_task(store.create_run(a_run("stays", "s"), a_thread("s")))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == a_run("stays", "s")
    assert gone.cancelled()
