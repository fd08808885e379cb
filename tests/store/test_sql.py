"""What only the SQL store does: it is migrated, it stays, it fails as a database does."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from tailrace.schema.errors import NotReady, SettingsError
from tailrace.store import migrations, tables
from tailrace.store.base import Input, Projection
from tailrace.store.migrations import migrate
from tailrace.store.sql import SqlStore, open_store
from tailrace.testing.stored import NOW, a_log, a_response, a_run, a_thread, end, fill


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables and nothing in them, made once."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
def path(empty_database: Path, tmp_path: Path) -> Path:
    """A database of one's own."""
    return Path(shutil.copy(empty_database, tmp_path / "store.db"))


def url(path: Path) -> str:
    """Where it is."""
    return f"sqlite:///{path}"


def dump(path: Path) -> list[str]:
    """All there is in it."""
    db = sqlite3.connect(path)
    lines = list(db.iterdump())
    db.close()
    return lines


def execute(path: Path, statement: str) -> list[Any]:
    """By another way than the store's."""
    db = sqlite3.connect(path)
    with db:
        rows = db.execute(statement).fetchall()
    db.close()
    return rows


async def test_an_empty_database_gets_its_tables_at_once(tmp_path: Path) -> None:
    """And is opened again as it is."""
    path = tmp_path / "new.db"
    store = await open_store(url(path))
    await fill(store, "r")
    await store.close()
    store = await open_store(url(path))
    assert (await store.get_run("r")).response.status == "complete"
    await store.close()


async def test_only_runs_that_were_spoken_to_are_looked_at(tmp_path: Path) -> None:
    """The file is one process's: what nobody said there, nobody has to look for; what was said before it was opened is
    known, too."""
    path = tmp_path / "new.db"
    store = await open_store(url(path))
    await fill(store, "quiet")
    await store.create_run(a_run("spoken"), None)
    await store.add_input("spoken", Input(delivery_id="d", text="left"))
    await store.close()
    store = await open_store(url(path))
    assert await store.inputs("spoken") == [Input(delivery_id="d", text="left")]
    await store.add_input("quiet", Input(delivery_id="d", text="right"))
    assert await store.inputs("quiet") == [Input(delivery_id="d", text="right")]
    await store.close()
    assert await store.inputs("another") == []
    with pytest.raises(NotReady):
        await store.inputs("spoken")


async def test_only_threads_in_which_a_run_waits_are_looked_at(tmp_path: Path) -> None:
    """The file is one process's: where nobody was enqueued, nobody has to look who waits; who was enqueued before it
    was opened is known, too."""
    path = tmp_path / "new.db"
    store = await open_store(url(path))
    await fill(store, "quiet", thread_id="quiet")
    await store.create_run(a_run("one"), a_thread("t"))
    await store.enqueue_run(a_run("two"))
    await store.close()
    store = await open_store(url(path))
    assert await store.waiting_threads(["quiet", "t"]) == ["t"]
    await store.close()
    assert await store.waiting_threads(["quiet"]) == []
    with pytest.raises(NotReady):
        await store.waiting_threads(["t"])


def test_opening_a_store_does_not_import_what_it_has_no_use_for(tmp_path: Path) -> None:
    """Neither the first time nor later: an idle server keeps to its memory."""
    script = (
        "import asyncio, sys\n"
        "from tailrace.store.sql import open_store\n"
        "async def main():\n"
        "    await (await open_store(sys.argv[1])).close()\n"
        "asyncio.run(main())\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('alembic', 'mako')]\n"
        "assert not {'sqlalchemy.orm', 'sqlalchemy.ext.asyncio'} & set(sys.modules)\n"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script, url(tmp_path / "store.db")], check=True)


def test_the_migrations_lead_to_the_tables(path: Path) -> None:
    """What they make is what tables.py says, and the newest is the one that it names."""
    engine = create_engine(url(path))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == tables.REVISION
    (index,) = execute(path, "SELECT sql FROM sqlite_master WHERE name = 'one_live_run'")
    assert index[0].endswith(f"WHERE {tables.EXCLUSIVE}")


@pytest.mark.parametrize("change", ["UPDATE alembic_version SET version_num = '9999'", "DELETE FROM alembic_version"])
async def test_another_version_is_refused(path: Path, change: str) -> None:
    """With the command that mends it."""
    execute(path, change)
    with pytest.raises(SettingsError, match=r"run `tailrace migrate`"):
        await open_store(url(path))


async def test_a_strangers_database_is_refused(tmp_path: Path) -> None:
    """It is left as it is."""
    execute(tmp_path / "other.db", "CREATE TABLE something (else_ TEXT)")
    before = dump(tmp_path / "other.db")
    with pytest.raises(SettingsError, match="version unknown"):
        await open_store(url(tmp_path / "other.db"))
    assert dump(tmp_path / "other.db") == before


def test_migrating_from_an_unknown_version_is_refused(path: Path) -> None:
    """A newer Tailrace's database is not touched."""
    execute(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SettingsError, match="cannot be brought up to date"):
        asyncio.run(migrate(url(path)))


def test_migrating_what_is_up_to_date_changes_nothing(path: Path) -> None:
    """It may be run at every deployment."""
    before = dump(path)
    asyncio.run(migrate(url(path)))
    assert dump(path) == before


async def test_a_database_that_cannot_be_opened_is_a_setting_to_mend(tmp_path: Path) -> None:
    """No folder, no database, no such kind; no password is told."""
    (tmp_path / "text.db").write_text("something else altogether\n" * 100)
    for wrong in (url(tmp_path / "nowhere" / "store.db"), url(tmp_path / "text.db"), "mysql://u:secret@h/d", "x", ""):
        with pytest.raises(SettingsError) as caught:
            await open_store(wrong)
        assert "secret" not in caught.value.message


async def test_c57_a_deletion_that_fails_changes_nothing(path: Path) -> None:
    """Whatever goes wrong in the midst of it, the thread is whole, and can be deleted when it is mended."""
    store = await open_store(url(path))
    await store.create_run(a_run("r"), a_thread("t", tags=["x"]))
    await store.project([Projection(response=a_response("r", "t", "complete", 5), archive=a_log("r"))])
    for table in ("archives", "runs", "thread_tags", "threads"):
        execute(
            path,
            f"CREATE TRIGGER broken BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'injected'); END",
        )
        before = dump(path)
        with pytest.raises(NotReady, match="injected"):
            await store.delete_thread("t")
        assert dump(path) == before
        execute(path, "DROP TRIGGER broken")
    assert await store.delete_thread("t") == ["r"]
    await store.close()


async def test_c40_a_projection_that_fails_changes_nothing(path: Path) -> None:
    """Snapshot, archive and thread go together (rule 6)."""
    store = await open_store(url(path))
    await store.create_run(a_run("r"), a_thread("t"))
    execute(path, "CREATE TRIGGER broken BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'injected'); END")
    before = dump(path)
    last = Projection(response=a_response("r", "t", "complete", 5), archive=a_log("r"))
    with pytest.raises(NotReady):
        await store.project([last])
    assert dump(path) == before
    execute(path, "DROP TRIGGER broken")
    await store.project([last])
    assert (await store.get_run("r")).response.status == "complete"
    await store.close()


async def test_a_run_that_the_database_refuses_for_reasons_of_its_own_is_not_ready(path: Path) -> None:
    """Where nothing that Tailrace knows of stands in its way, the database's word is told; nothing is made."""
    store = await open_store(url(path))
    execute(path, "CREATE TRIGGER broken BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'injected'); END")
    before = dump(path)
    with pytest.raises(NotReady, match="injected"):
        await store.create_run(a_run("r"), a_thread("t", tags=["x"]))
    assert dump(path) == before
    execute(path, "DROP TRIGGER broken")
    await store.create_run(a_run("r"), a_thread("t", tags=["x"]))
    await store.close()


async def test_c47_a_database_that_fails_is_not_ready(path: Path) -> None:
    """Each operation and the ping say so, without the statement or its values; it is well when the database is."""
    store = await open_store(url(path))
    execute(path, "ALTER TABLE runs RENAME TO elsewhere")
    with pytest.raises(NotReady, match="no such table"):
        await store.ping()
    with pytest.raises(NotReady) as caught:
        await store.create_run(a_run("r"), a_thread("t", title="private words"))
    assert "private" not in caught.value.message
    assert "INSERT" not in caught.value.message
    execute(path, "ALTER TABLE elsewhere RENAME TO runs")
    await store.ping()
    await store.create_run(a_run("r"), a_thread("t"))
    await store.close()


async def test_c43_looking_for_live_runs_does_not_read_the_ended_ones(path: Path) -> None:
    """Both questions are answered from an index."""
    plans = [
        "SELECT request FROM runs WHERE status IN ('in_progress', 'queued', 'requires_action') ORDER BY ordinal",
        "SELECT run_id FROM runs WHERE thread_id = 't' AND runs.live AND runs.previous_run_id IS NULL",
    ]
    used = [" ".join(str(row) for row in execute(path, f"EXPLAIN QUERY PLAN {query}")) for query in plans]
    assert "runs_by_status" in used[0]
    assert "one_live_run" in used[1]


async def test_readers_do_not_wait_for_a_writer(path: Path) -> None:
    """While another connection writes, everything can be read."""
    store = await open_store(url(path))
    await fill(store, "r")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert (await asyncio.wait_for(store.get_run("r"), 2)).response.status == "complete"
    await asyncio.wait_for(store.ping(), 2)
    other.execute("ROLLBACK")
    other.close()
    await store.close()


async def test_many_calls_at_once_share_few_connections(path: Path) -> None:
    """A hundred writers and readers at once all come through."""
    store = await open_store(url(path))

    async def use(number: int) -> None:
        await store.create_run(a_run(f"r{number}", f"t{number}"), a_thread(f"t{number}", at=number))
        await end(store, f"r{number}", f"t{number}")
        assert (await store.get_thread(f"t{number}")).updated_at == NOW + max(9, number)

    await asyncio.gather(*map(use, range(100)))
    assert isinstance(store, SqlStore)
    assert len(list(path.parent.iterdir())) <= 3  # the database, its write-ahead log, and that one's index
    await store.close()
