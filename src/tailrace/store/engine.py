"""The way to the database: its URL, its driver, and what is said first on each connection."""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from tailrace.schema.errors import SettingsError

_FORMS = "the store's URL is not of the form sqlite:///path or postgresql://user:password@host/database"
_BUSY_MS = 5000
_POSTGRES = ("postgresql", "postgres")

# For libpq: how long a server that does not answer is waited for. A URL may say otherwise (`?connect_timeout=2`).
_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "tailrace",
}
_TIMEOUTS = "SET statement_timeout = '10s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '60s'"
_MIGRATIONS = 0x7461696C  # the advisory lock under which tables are made; its number means nothing


def make_engine(url: str, connections: int = 1) -> Engine:
    """An engine for `sqlite:///path` or `postgresql://…`, there with so many connections at most.

    On its connections each statement stands alone, unless a BEGIN begins a transaction of several. Raises SettingsError
    for another URL, and where the driver is not installed.
    """
    location = _location(url)
    if location.get_backend_name() == "sqlite":
        engine = create_engine(location)
        event.listen(engine, "connect", _on_sqlite)
        return engine
    try:
        engine = create_engine(
            location,
            isolation_level="AUTOCOMMIT",
            pool_size=connections,
            max_overflow=0,
            use_native_hstore=False,  # which would be looked for on the first connection
            connect_args={name: value for name, value in _PATIENCE.items() if name not in location.query},
        )
    except ImportError as error:
        raise SettingsError("PostgreSQL needs its driver: pip install 'tailrace[postgres]'") from error
    event.listen(engine, "connect", _on_postgres)
    return engine


def is_postgres(url: str) -> bool:
    """Does it name a PostgreSQL database, rather than an SQLite file? Raises SettingsError where it names neither."""
    return _location(url).get_backend_name() == "postgresql"


def begin_migrating(connection: Connection) -> None:
    """Begin a transaction in which nobody else changes tables: another that wants to waits for its end."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql("BEGIN")
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATIONS})")


def shown(url: str) -> str:
    """The URL without its password, which may also stand among its options (rule 9)."""
    location = _location(url).set(drivername="postgresql" if is_postgres(url) else "sqlite", query={})
    return location.render_as_string(hide_password=True)


def reason(error: BaseException | None) -> str:
    """What the driver said, without the statement and its values: these are the user's own (rule 9).

    Of several lines the first: those behind it may repeat values.
    """
    said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return said.partition("\n")[0]


def _location(url: str) -> URL:
    """With the driver that is used here, whichever it names."""
    try:
        location = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise SettingsError(_FORMS) from error
    if location.get_backend_name() in _POSTGRES:
        return location.set(drivername="postgresql+psycopg")
    if location.get_backend_name() != "sqlite":
        raise SettingsError(_FORMS)
    return location.set(drivername="sqlite")


def _on_sqlite(connection: Any, _: object) -> None:
    """Once per connection: readers beside a writer, durable against the death of the process, references checked."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    cursor.close()


def _on_postgres(connection: Any, _: object) -> None:
    """Once per connection: nothing waits for ever."""
    connection.execute(_TIMEOUTS)
