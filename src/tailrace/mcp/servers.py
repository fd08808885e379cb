"""All servers of the settings."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tailrace.mcp.config import McpServer, Standing
from tailrace.mcp.connection import Connection
from tailrace.mcp.http import Http
from tailrace.mcp.link import Link, Unavailable
from tailrace.mcp.login import signed_in
from tailrace.mcp.secret import filled
from tailrace.mcp.stdio import Stdio
from tailrace.mcp.vault import Vault
from tailrace.tools.environment import allowed_environment
from tailrace.tools.processes import Command


class Servers:
    """Connections to servers, by name."""

    def __init__(self, configs: Mapping[str, McpServer], environ: Mapping[str, str], data: Path) -> None:
        _quieten()
        vault = Vault(data, environ)
        self.connections = [connection(name, config, environ, vault) for name, config in configs.items()]

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Connect to all of them, and stay so; whoever is not there is waited for by nobody."""
        for each in self.connections:
            each.start()
        try:
            yield
        finally:
            await asyncio.gather(*(each.stop() for each in self.connections))

    def standings(self) -> Sequence[Standing]:
        """How it stands with each, as far as this process knows."""
        return [each.standing() for each in self.connections]


def connection(name: str, config: McpServer, environ: Mapping[str, str], vault: Vault) -> Connection:
    """The way to a server, as the settings have it."""
    given, secrets, missing = filled(config, environ)
    return Connection(name, given, _opener(name, given, environ, missing, vault), secrets)


def _opener(
    name: str, given: McpServer, environ: Mapping[str, str], missing: Sequence[str], vault: Vault
) -> Callable[[], Link]:
    def open_link() -> Link:
        if missing:
            raise Unavailable(f"set {', and '.join(missing)}")
        if given.url is not None:
            return Http(given.url, given.headers, signed_in(name, given.url, vault) if given.oauth else None)
        environment = {**allowed_environment(environ), **given.env}
        return Stdio(name, Command([given.command or "", *given.args], ".", environment))

    return open_link


def _quieten() -> None:
    """What the SDK logs of itself may hold what must not be in a log (design rule 9); what matters is told here."""
    for name in ("mcp", "client", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
