"""`tailrace serve` and `tailrace migrate`."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from msgspec.structs import replace

from tailrace.cli.terminal import coloured, note, styled
from tailrace.settings import Settings, load

Config = Annotated[
    Path | None,
    typer.Option(help="The settings file; without it, `tailrace.toml` here if there is one.", metavar="FILE"),
]
Data = Annotated[str | None, typer.Option(help="The directory of the embedded log and store.", metavar="DIR")]
Host = Annotated[str | None, typer.Option(help="The address to listen on.", metavar="HOST", show_default="127.0.0.1")]
Port = Annotated[
    int | None,
    typer.Option(help="The port; 0 takes a free one.", metavar="PORT", min=0, max=65535, show_default="4010"),
]


def serve(
    host: Host = None,
    port: Port = None,
    config: Config = None,
    data: Data = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without an API key.")] = False,
) -> None:
    """Serve the API, with an embedded log and store, until Ctrl-C or SIGTERM.

    With no provider key in the environment, the provider `demo` answers. `tailrace doctor` says what is configured.

    ```
    tailrace serve
    tailrace serve --port 4020 --data /var/lib/tailrace
    TAILRACE_SERVER__API_KEYS='["a long random string"]' tailrace serve --host 0.0.0.0
    ```
    """
    settings = _overridden(load(config, os.environ), host, port, data)
    import uvloop  # these two make the server: a second to import, and only needed where the settings are right

    from tailrace import app

    configure_logging()

    def started(url: str) -> None:
        name, address = styled("tailrace", "green", bold=True), styled(url, bold=True)
        sys.stderr.write(f"{name} listens on {address}  ·  data in {settings.data}  ·  Ctrl-C stops it\n")
        sys.stderr.flush()

    # The web server stops on a signal, and then raises it once more: with the default actions that would end the
    # process before what lies behind the API is closed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    with suppress(KeyboardInterrupt):
        uvloop.run(app.serve(settings, os.environ, insecure=insecure, started=started))


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _overridden(settings: Settings, host: str | None, port: int | None, data: str | None) -> Settings:
    server = settings.server
    server = replace(server, host=host or server.host, port=server.port if port is None else port)
    return replace(settings, server=server, data=data or settings.data)


def configure_logging() -> None:
    """Log lines to stderr: coloured where it is a terminal, JSON otherwise. No bodies or headers (rule 9)."""
    import logging

    import structlog

    # That it cannot listen, app.serve says in one line.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not isinstance(record.msg, OSError))
    terminal = sys.stderr.isatty()
    console = structlog.dev.ConsoleRenderer(colors=coloured(sys.stderr))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            console if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def migrate(config: Config = None, data: Data = None) -> None:
    """Bring the store to the version that this program needs. `tailrace serve` does it, too.

    ```
    tailrace migrate --data /var/lib/tailrace
    ```
    """
    settings = _overridden(load(config, os.environ), None, None, data)
    from tailrace.log.datadir import lock_data_dir  # heavy, and needed here only
    from tailrace.store.sql import migrate as upgrade

    lock = lock_data_dir(Path(settings.data))
    try:
        asyncio.run(upgrade(f"sqlite:///{Path(settings.data) / 'store.db'}"))
    finally:
        lock.release()
    note(f"the store in {settings.data} is up to date")
