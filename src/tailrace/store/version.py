"""Is the database of the version that this program needs? An empty one is made so."""

import asyncio
import sys

from sqlalchemy import Engine, inspect, text

from tailrace.schema.errors import SettingsError
from tailrace.store.engine import shown
from tailrace.store.tables import REVISION


async def make_ready(engine: Engine, url: str) -> None:
    """Make the tables where there are none. Raises SettingsError where they are of another version.

    A process of its own makes them: what migrations take to import would stay in this one. Of several that begin at the
    same time one makes them, and the others wait for it (`engine.begin_migrating`).
    """
    revision = await asyncio.to_thread(_revision, engine)
    if revision is None:
        await _migrate_beside(url)
        revision = await asyncio.to_thread(_revision, engine)
    if revision != REVISION:
        raise SettingsError(
            f"the store {shown(url)} is of version {revision or 'unknown'}, and this Tailrace needs {REVISION}:"
            " run `tailrace migrate`"
        )


def _revision(engine: Engine) -> str | None:
    """The version that the database says it is of: "" where it does not say, None where it is empty."""
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
        if "alembic_version" in names:
            return connection.scalar(text("SELECT version_num FROM alembic_version")) or ""
        return "" if names else None


async def _migrate_beside(url: str) -> None:
    pipe = asyncio.subprocess.PIPE
    arguments = ("-m", "tailrace.store.migrations")
    child = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stderr=pipe)
    _, errors = await child.communicate(url.encode() + b"\n")
    if child.returncode:
        raise SettingsError(errors.decode(errors="replace").strip().rpartition("\n")[2])
