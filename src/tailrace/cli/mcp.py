"""`tailrace mcp`: the MCP servers of the settings (docs/mcp.md)."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from tailrace.cli import tables
from tailrace.cli.serve import Config, Data
from tailrace.cli.terminal import note
from tailrace.mcp.config import Standing
from tailrace.schema.errors import SettingsError, TailraceError
from tailrace.settings import Settings, load

app = typer.Typer(help="Look at the MCP servers of the settings, and log in at them.", no_args_is_help=True)

Server = Annotated[str, typer.Argument(help="Its name in the settings.", metavar="NAME")]


@app.command("list")
def list_servers(config: Config = None, data: Data = None) -> None:
    """Connect to each server, and list what it offers. Exit code 1 where one is not there.

    ```
    tailrace mcp list
    tailrace mcp list --config tailrace.toml
    ```
    """
    settings = load(config, os.environ)
    if not settings.mcp.servers:
        note("the settings have no MCP servers")
        return
    standings = look(settings, data)
    rows = [
        {"server": each.name, "state": each.state, "tool": tool}
        for each in standings
        for tool in each.tools or [each.error or "none"]
    ]
    tables.show(rows, {name: name for name in ("server", "state", "tool")})
    for problem in problems(settings, standings):
        typer.echo(problem)
    absent = [each.name for each in standings if each.state != "connected"]
    if absent:
        raise TailraceError(f"not connected: {', '.join(absent)}")


@app.command()
def login(name: Server, config: Config = None, data: Data = None) -> None:
    """Log in at a server that wants OAuth: in a browser, whose way back is a port of this machine.

    The tokens are kept encrypted, beside the data; a server that runs uses them from then on.

    ```
    tailrace mcp login github
    ```
    """
    settings = load(config, os.environ)
    given = settings.mcp.servers.get(name)
    if given is None:
        known = ", ".join(settings.mcp.servers) or "none"
        raise SettingsError(f"mcp.servers: there is no {name!r}; there are: {known}")
    if given.url is None or not given.oauth:
        raise SettingsError(f"mcp.servers.{name}: takes no login: it has no `url`, or not `oauth = true`")
    from tailrace.mcp.login import log_in  # with the SDK: slow to import
    from tailrace.mcp.secret import filled
    from tailrace.mcp.vault import Vault

    made, _, missing = filled(given, os.environ)
    if missing:
        raise SettingsError(f"mcp.servers.{name}: set {', and '.join(missing)}")
    vault = Vault(Path(data or settings.data), os.environ)
    count = asyncio.run(log_in(name, made.url or "", made.headers, vault, _show))
    typer.echo(f"logged in at {name}: it offers {count} tools")


async def _show(url: str) -> None:
    """Put the address before the person, and open it where there is a browser to open it in."""
    note("open this page to log in:")
    sys.stderr.write(f"{url}\n")
    sys.stderr.flush()
    if sys.stdout.isatty():
        typer.launch(url)


def look(settings: Settings, data: str | None = None) -> Sequence[Standing]:
    """How it stands with each server, once each has been tried. Raises SettingsError."""
    if not settings.mcp.servers:
        return ()
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # said below, once
    try:  # an extra, and slow to import
        from tailrace.mcp.servers import Servers
    except ImportError as error:
        raise SettingsError(f"mcp.servers: takes the extra `tailrace[mcp]` ({error})") from error

    async def tried() -> Sequence[Standing]:
        servers = Servers(settings.mcp.servers, os.environ, Path(data or settings.data))
        async with servers.alive():
            await asyncio.gather(*(each.ready() for each in servers.connections))
            return servers.standings()

    return asyncio.run(tried())


def problems(settings: Settings, standings: Sequence[Standing]) -> Iterator[str]:
    """What is left out, and names of agents' tools and approvals that mean nothing that a server has."""
    for each in standings:
        for tool, why in (each.left_out or {}).items():
            yield f"mcp.servers.{each.name}: {tool} is left out: {why}"
        if each.state != "connected":
            continue
        for agent, given in settings.agents.items():
            for place, names in (("tools", given.tools), ("approvals", list(given.approvals))):
                yield from _unknown(f"agents.{agent}.{place}", names, each)


def _unknown(place: str, names: Sequence[str], standing: Standing) -> Iterator[str]:
    for name in names:
        if name.startswith(f"{standing.name}__") and not any(fnmatchcase(tool, name) for tool in standing.tools):
            yield f"{place}: the MCP server {standing.name} has no tool {name!r}"
