"""How a database comes to be as store/tables.py says: Alembic, driven from here, so that an installed wheel suffices.

Alembic is imported only where a database is in fact changed: it would double what an idle server takes.
"""

import asyncio
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from tailrace.schema.errors import SettingsError
from tailrace.store.engine import begin_migrating, make_engine, reason, shown


async def migrate(url: str) -> None:
    """Bring the database at `url` up to date.

    Raises SettingsError where that cannot be done, also where a newer Tailrace has been at work.
    """
    await asyncio.to_thread(_migrate, url)


def _migrate(url: str) -> None:
    from alembic.util import CommandError

    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            begin_migrating(connection)
            _upgrade(connection)
    except (SQLAlchemyError, CommandError, OSError) as error:
        raise SettingsError(f"the store {shown(url)} cannot be brought up to date: {reason(error)}") from error
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
