"""migrate and gc: the store's upkeep, in a file and in PostgreSQL."""

from pathlib import Path

import pytest

from tailrace.store.sql import open_store
from tailrace.testing.stored import NOW, a_run, a_thread, archive
from tests.support.postgres import shared

pytestmark = pytest.mark.slow  # each command is a process of its own


@pytest.fixture(params=["sqlite", "postgres"])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """What names an empty store."""
    if request.param == "sqlite":
        return {"TAILRACE_DATA": str(tmp_path / "data")}
    return {"DATABASE_URL": shared().url(shared().new_database())}


def url(environ: dict[str, str]) -> str:
    """Where it is."""
    return environ.get("DATABASE_URL") or f"sqlite:///{environ['TAILRACE_DATA']}/store.db"


async def test_gc_drops_what_is_older_than_the_settings_say(cli, environ):
    """It says what it dropped, and nothing else is touched; a second time there is nothing to drop."""
    migrated = await cli("migrate", **environ)
    assert (migrated.code, migrated.out) == (0, "")
    assert "is up to date" in migrated.err
    assert "secret" not in migrated.err
    store = await open_store(url(environ))
    for number, at in enumerate((0, 10, 10**15)):  # two long ago, one in days to come
        await store.create_run(a_run(f"r{number}", f"t{number}"), a_thread(f"t{number}"))
        await archive(store, f"r{number}", f"t{number}", seq=5 + at)
    for dropped in (2, 0):
        ended = await cli("gc", TAILRACE_RETENTION__ARCHIVE_DAYS="30", **environ)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith(f"dropped the events of {dropped} runs that ended before 20")
    assert [(await store.get_run(f"r{number}")).expired for number in range(3)] == [True, True, False]
    assert (await store.get_run("r0")).response.updated_at == NOW + 5
    await store.close()


async def test_gc_without_a_retention_drops_nothing(cli, tmp_path: Path):
    """It says why, and makes nothing."""
    ended = await cli("gc", "--data", tmp_path / "data")
    assert (ended.code, ended.out) == (0, "")
    assert "retention.archive_days is not set" in ended.err
    assert not (tmp_path / "data").exists()


async def test_a_store_that_is_away_is_told_in_one_line_without_its_password(cli):
    """Whatever is to be done with it."""
    for command in ("migrate", "gc"):
        ended = await cli(
            command, DATABASE_URL="postgres://u:secret@127.0.0.1:1/d", TAILRACE_RETENTION__ARCHIVE_DAYS="1"
        )
        assert ended.code == 1
        (line,) = ended.err.splitlines()
        assert "u:***@127.0.0.1:1/d" in line
        assert "secret" not in line
