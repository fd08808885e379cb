"""Every store against the one suite."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tailrace.store.base import Store
from tailrace.store.migrations import migrate
from tailrace.store.sql import open_store
from tailrace.testing.store_conformance import StoreConformance
from tailrace.testing.turns_conformance import TurnsConformance
from tests.support.postgres import shared


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables and nothing in them, made once."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


class TestSqlite(StoreConformance, TurnsConformance):
    """The suite, for the SQL store on SQLite."""

    @pytest.fixture
    async def store(self, empty_database: Path, tmp_path: Path) -> AsyncIterator[Store]:
        """An empty store."""
        path = shutil.copy(empty_database, tmp_path / "store.db")
        store = await open_store(f"sqlite:///{path}")
        yield store
        await store.close()


class TestSqliteGathering(StoreConformance, TurnsConformance):
    """The suite, where new runs wait for others."""

    @pytest.fixture
    async def store(self, empty_database: Path, tmp_path: Path) -> AsyncIterator[Store]:
        """An empty store."""
        path = shutil.copy(empty_database, tmp_path / "store.db")
        store = await open_store(f"sqlite:///{path}", gather_ms=2)
        yield store
        await store.close()


class TestPostgres(StoreConformance, TurnsConformance):
    """The suite, for the SQL store on PostgreSQL."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        """An empty store."""
        store = await open_store(shared().new_store())
        yield store
        await store.close()
