"""`tailrace migrate` and `tailrace gc`: the store's upkeep."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import typer
from msgspec.structs import replace

from tailrace.cli.serve import Config, Data
from tailrace.cli.terminal import note
from tailrace.settings import Settings, load

DAY_MS = 86_400_000


def migrate(config: Config = None, data: Data = None) -> None:
    """Bring the store to the version that this program needs. On an empty one `tailrace serve` does it, too.

    Stop the servers before: the old ones do not know the new version, nor the new ones the old.

    ```
    tailrace migrate --data /var/lib/tailrace
    DATABASE_URL=postgresql://user@host/database tailrace migrate
    ```
    """
    settings = _settings(config, data)
    from tailrace.store.sql import migrate as upgrade  # heavy, and needed here only

    with _alone(settings):
        asyncio.run(upgrade(_url(settings)))
    note(f"the store in {_place(settings)} is up to date")


def gc(config: Config = None, data: Data = None) -> None:
    """Drop the events of runs that ended longer ago than `retention.archive_days`. What came of the runs stays.

    It may be run beside a server, at any time, and again after it was stopped.

    ```
    tailrace gc
    TAILRACE_RETENTION__ARCHIVE_DAYS=90 tailrace gc --data /var/lib/tailrace
    ```
    """
    settings = _settings(config, data)
    days = settings.retention.archive_days
    if days is None:
        note("nothing is dropped: retention.archive_days is not set")
        return
    before = time.time_ns() // 1_000_000 - days * DAY_MS
    dropped = asyncio.run(_drop(_url(settings), before))
    when = datetime.fromtimestamp(before / 1000, UTC).isoformat(timespec="seconds")
    typer.echo(f"dropped the events of {dropped} runs that ended before {when}")


async def _drop(url: str, before: int) -> int:
    from rich.console import Console  # these two are heavy, and needed here only

    from tailrace.store.sql import open_store

    store = await open_store(url)
    try:
        dropped = 0
        with Console(stderr=True).status("looking for old events") as status:  # shown in a terminal only
            while now := await store.apply_retention(before):
                dropped += now
                status.update(f"dropped the events of {dropped} runs")
        return dropped
    finally:
        await store.close()


def _settings(config: Path | None, data: str | None) -> Settings:
    settings = load(config, os.environ)
    return replace(settings, data=data or settings.data)


def _url(settings: Settings) -> str:
    return settings.store.url or f"sqlite:///{Path(settings.data) / 'store.db'}"


def _place(settings: Settings) -> str:
    """No URL: it may hold a password (rule 9)."""
    return "PostgreSQL" if settings.store.url else settings.data


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """With the data directory to oneself, where the store is in it."""
    if settings.store.url:
        yield
        return
    from tailrace.log.datadir import lock_data_dir

    lock = lock_data_dir(Path(settings.data))
    try:
        yield
    finally:
        lock.release()
