"""A whole server for tests: real sockets on loopback, real SQLite files, the scripted upstream as its providers."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tailrace import app
from tailrace.api.services import Services
from tailrace.client.client import Client
from tailrace.schema import codec
from tailrace.settings import Settings
from tailrace.testing.upstream import ScriptedUpstream
from tests.support import topology

WIRES = {
    "responses": "openai-responses",
    "messages": "anthropic-messages",
    "chat": "openai-chat-completions",
    "google": "google-gemini",
    "bedrock": "bedrock-converse",
    "ollama": "ollama",
}
PROVIDERS = tuple(WIRES)  # as `providers` names them
WORDED = tuple(name for name in PROVIDERS if name != "ollama")  # Ollama names no kind of error, and no refusal
ENVIRON = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a secret", "AWS_REGION": "eu-west-1"}


def providers(upstream: ScriptedUpstream) -> dict[str, dict[str, Any]]:
    """The scripted upstream as one provider per wire."""
    urls = {"responses": upstream.url, "chat": upstream.url, "google": f"{upstream.origin}/v1beta"}
    tables: dict[str, dict[str, Any]] = {
        name: {"wire": wire, "base_url": urls.get(name, upstream.origin), "models": ["m"]}
        for name, wire in WIRES.items()
    }
    tables["bedrock"]["quirks"] = {"thinking": "budget"}  # as of Claude, whose names say so
    return tables


def settings(data: Path, upstream: ScriptedUpstream, /, **sections: Mapping[str, Any]) -> Settings:
    """Settings for a server in `data`; `sections` are merged over the defaults."""
    table = {
        "data": str(data),
        "server": {"port": 0, "shutdown_s": 2.0, **sections.pop("server", {})},
        "defaults": {"model": "responses/m"},
        "upstream": {
            "connect_s": 2.0,
            "first_event_s": 5.0,
            "idle_s": 5.0,
            "retry_total_s": 3.0,
            **sections.pop("upstream", {}),
        },
        "providers": providers(upstream),
        **sections,
    }
    return codec.convert(table, Settings)


@dataclass(frozen=True)
class Served:
    """A running server, its inside (that of each of its nodes, this one first), its client, and the upstream it talks
    to."""

    url: str
    nodes: Sequence[Services]
    client: Client
    upstream: ScriptedUpstream

    @property
    def services(self) -> Services:
        """What is behind the API."""
        return self.nodes[0]


@cache
def empty_store() -> bytes:
    """A store with its tables and nothing in it: made once, because that takes a process and a second."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        subprocess.run(
            [sys.executable, "-m", "tailrace.store.migrations"], input=f"sqlite:///{path}\n".encode(), check=True
        )
        return path.read_bytes()


def prepare(data: Path) -> None:
    """A data directory that a server finds its store in."""
    data.mkdir(parents=True, exist_ok=True)
    if not (data / "store.db").exists():
        (data / "store.db").write_bytes(empty_store())


@asynccontextmanager
async def serving(
    given: Settings, upstream: ScriptedUpstream, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Served]:
    """Serve in this process on a free port until the end, on what the tests stand on (`topology`).

    Without an `environ` it has the keys of those providers that need some.
    """
    prepare(Path(given.data))
    async with topology.current().nodes(given, ENVIRON if environ is None else environ) as nodes:
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        server = app.http_server(nodes[0], url.set_result)
        task = asyncio.create_task(server.serve())
        try:
            async with Client(await url) as client:
                yield Served(client._url, nodes, client, upstream)
        finally:
            nodes[0].readers.stop()
            server.should_exit = True
            await task
