"""The way to the database: its URL, its driver, and what SQLite wants said on each connection."""

import asyncio
import sys
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from tailrace.schema.errors import SettingsError
from tailrace.store.tables import REVISION

_BUSY_MS = 5000


def make_engine(url: str) -> Engine:
    """An engine for `sqlite:///path`. Raises SettingsError for anything else.

    On its connections each statement stands alone, unless `begin_writing` begins a transaction of several.
    """
    engine = create_engine(_location(url))
    event.listen(engine, "connect", _on_connect)
    return engine


def begin_writing(connection: Connection) -> None:
    """Begin a transaction that holds the write lock: one that takes it later, behind a read, cannot wait for it."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def shown(url: str) -> str:
    """The URL without its password (rule 9)."""
    return _location(url).render_as_string(hide_password=True)


def reason(error: Exception) -> str:
    """What the driver said, without the statement and its values: these are the user's own (rule 9)."""
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)


async def make_ready(engine: Engine, url: str) -> None:
    """Make the tables where there are none. Raises SettingsError where they are of another version.

    A process of its own makes them: what migrations take to import would stay in this one.
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


def _location(url: str) -> URL:
    try:
        location = make_url(url)
    except ArgumentError as error:
        raise SettingsError("the store's URL is not of the form sqlite:///path") from error
    if location.get_backend_name() != "sqlite":
        raise SettingsError("the store's URL is not of the form sqlite:///path")
    return location.set(drivername="sqlite")


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


def _on_connect(connection: Any, _: object) -> None:
    """Once per connection: readers beside a writer, durable against the death of the process, references checked."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    cursor.close()
