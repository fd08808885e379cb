"""A store of an earlier version is brought up to date with what is in it, on either database."""

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from tailrace.schema import codec
from tailrace.schema.errors import SettingsError
from tailrace.store import migrations, tables
from tailrace.store.engine import begin_migrating, make_engine
from tailrace.store.sql import migrate, open_store
from tailrace.testing.stored import NOW, a_response, a_run, archive, whole
from tests.support.postgres import shared

pytestmark = pytest.mark.slow  # Alembic alone takes a second to begin


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return shared().url(shared().new_database())


def upgrade(url: str, revision: str, then: Callable[[Engine], None] = lambda _: None) -> None:
    """As far as this version."""
    engine = make_engine(url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        begin_migrating(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    then(engine)
    engine.dispose()


def put_a_run(engine: Engine) -> None:
    """A thread with a run that has ended, as version 0001 wrote them."""
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO threads (thread_id, created_at, updated_at) VALUES ('t', :now, :end)"),
            {"now": NOW, "end": NOW + 5},
        )
        run = a_run("r")
        values = {
            "request": codec.encode(run.request),
            "snapshot": codec.encode(a_response("r", "t", "complete", 5)),
        }
        connection.execute(
            text(
                "INSERT INTO runs (run_id, thread_id, status, live, digest, last_seq, request, snapshot)"
                " VALUES ('r', 't', 'complete', false, 'd', 5, :request, :snapshot)"
            ),
            values,
        )
        connection.execute(text("INSERT INTO archives (run_id, data) VALUES ('r', :data)"), {"data": b"any"})


async def test_a_store_of_the_first_version_is_refused_and_then_brought_up_to_date(url: str) -> None:
    """The refusal says how; what was in it is there afterwards, and as old as it was."""
    upgrade(url, "0001", put_a_run)
    with pytest.raises(SettingsError, match=r"is of version 0001, and .* needs 0003: run `tailrace migrate`"):
        await open_store(url)
    await migrate(url)
    store = await open_store(url)
    run = await store.get_run("r")
    assert (run.response, run.expired) == (a_response("r", "t", "complete", 5), False)
    assert [response.id for response in await store.thread_runs("t")] == ["r"]
    await store.create_run(a_run("r2"), None)
    await archive(store, "r2", seq=8)
    assert len(whole(list(await store.archived("r2") or ()))) == 5
    assert await store.apply_retention(NOW + 5) == 0
    assert await store.apply_retention(NOW + 6) == 1
    assert (await store.get_run("r")).expired
    await store.close()


async def test_the_migrations_lead_to_the_tables(url: str) -> None:
    """What they make is what tables.py says; to do it again changes nothing."""
    for _ in range(2):
        await migrate(url)
        engine = make_engine(url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_server_default": True})
            assert compare_metadata(context, tables.metadata) == []
        engine.dispose()
