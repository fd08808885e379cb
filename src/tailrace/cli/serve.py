"""`tailrace serve`."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from msgspec.structs import replace

from tailrace.cli.terminal import coloured, styled
from tailrace.settings import ROLES, Settings, load

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


Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role", help="What this process does: all, api, runner, projector, tools; may be given several times.",
        metavar="ROLE", show_default="all",
    ),
]  # fmt: skip


def serve(
    host: Host = None,
    port: Port = None,
    config: Config = None,
    data: Data = None,
    role: Roles = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without an API key.")] = False,
) -> None:
    """Serve the API until Ctrl-C or SIGTERM.

    The log and the store are files, for one process. With REDIS_URL and DATABASE_URL they are in Redis and PostgreSQL:
    then any number of processes may serve together, each in all roles or in some.

    With no provider key in the environment, the provider `demo` answers. `tailrace doctor` says what is configured.

    ```
    tailrace serve
    tailrace serve --port 4020 --data /var/lib/tailrace
    tailrace serve --role runner --role projector --port 4021
    TAILRACE_SERVER__API_KEYS='["a long random string"]' tailrace serve --host 0.0.0.0
    ```
    """
    settings = _with_roles(_overridden(load(config, os.environ), host, port, data), role)
    import uvloop  # these two make the server: a second to import, and only needed where the settings are right

    from tailrace import app

    configure_logging()

    def started(url: str) -> None:
        name, address = styled("tailrace", "green", bold=True), styled(url, bold=True)
        sys.stderr.write(f"{name} listens on {address}  ·  {_place(settings)}  ·  Ctrl-C stops it\n")
        sys.stderr.flush()

    # The web server stops on a signal, and then raises it once more: with the default actions that would end the
    # process before what lies behind the API is closed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    with suppress(KeyboardInterrupt):
        uvloop.run(app.serve(settings, os.environ, insecure=insecure, started=started))


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _with_roles(settings: Settings, names: list[str] | None) -> Settings:
    if not names:
        return settings
    unknown = sorted(set(names) - {*ROLES, "all"})
    if unknown:
        raise typer.BadParameter(f"{unknown[0]}: the roles are all, {', '.join(ROLES)}", param_hint="--role")
    roles = [role for role in ROLES if role in names or "all" in names]
    return replace(settings, server=replace(settings.server, roles=roles))


def _place(settings: Settings) -> str:
    """Where things are kept, and what this process does, if not everything. No URL: it may hold a password."""
    log = "Redis" if settings.log.url else settings.data
    store = "PostgreSQL" if settings.store.url else settings.data
    place = f"data in {log}" if log == store else f"log in {log}, store in {store}"
    roles = settings.server.roles
    return place if len(roles) == len(ROLES) else f"{place}  ·  {', '.join(roles)}"


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
