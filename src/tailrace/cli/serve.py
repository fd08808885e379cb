"""`tailrace serve` and `tailrace migrate`."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop
from msgspec.structs import replace
from rich.console import Console

from tailrace import app
from tailrace.settings import Settings, load

Config = Annotated[
    Path | None, typer.Option(help="The settings file; without it, `tailrace.toml` here if there is one.")
]
Data = Annotated[str | None, typer.Option(help="The directory of the embedded log and store.", metavar="DIR")]


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one.", show_default="4010")] = None,
    config: Config = None,
    data: Data = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without an API key.")] = False,
) -> None:
    """Serve the API, with an embedded log and store."""
    settings = _overridden(load(config, os.environ), host, port, data)
    configure_logging()
    console = Console(stderr=True, highlight=False)

    def started(url: str) -> None:
        console.print(
            f"[bold green]tailrace[/] listens on [bold]{url}[/]  ·  data in {settings.data}  ·  Ctrl-C stops it"
        )

    uvloop.run(app.serve(settings, os.environ, insecure=insecure, started=started))


def _overridden(settings: Settings, host: str | None, port: int | None, data: str | None) -> Settings:
    server = settings.server
    server = replace(server, host=host or server.host, port=server.port if port is None else port)
    return replace(settings, server=server, data=data or settings.data)


def configure_logging() -> None:
    """Log lines to stderr: coloured where it is a terminal, JSON otherwise. No bodies or headers (rule 9)."""
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def migrate(config: Config = None, data: Data = None) -> None:
    """Bring the store to the version that this program needs."""
    from tailrace.store.sql import migrate as upgrade  # heavy, and needed here only

    settings = _overridden(load(config, os.environ), None, None, data)
    asyncio.run(upgrade(f"sqlite+aiosqlite:///{Path(settings.data) / 'store.db'}"))
    Console(stderr=True).print(f"The store in {settings.data} is up to date.")
