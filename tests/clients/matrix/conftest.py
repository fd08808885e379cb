"""The matrix of real clients: a server in front of the scripted upstream, and programs in environments of their own.

Without these environments (`make test-clients` makes them, and says where they are) there is nothing to collect.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tailrace.testing.upstream import ScriptedUpstream
from tests.support.clients import Client, Ended
from tests.support.server import WIRES, Served, serving, settings

WHERE = os.environ.get("TAILRACE_CLIENTS")
collect_ignore_glob = [] if WHERE else ["test_*.py"]

TIMEOUT_S = 120  # of one program


@pytest.fixture
def environments() -> Path:
    """Where the environments are."""
    return Path(WHERE or "").resolve()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    """A server that asks a provider once, however it answers; its upstream makes mistakes where it is asked to.

    The models have names without a slash, too: some clients (litellm) take what stands before one for their own.
    """
    async with ScriptedUpstream() as upstream:
        aliases = {f"by-{wire}": f"{wire}/m" for wire in WIRES}
        given = settings(tmp_path / "data", upstream, upstream={"attempts": 1}, aliases=aliases)
        async with serving(given, upstream) as served:
            yield served


@pytest.fixture
def client(environments: Path, tmp_path: Path, server: Served) -> Client:
    """`await client("node/…/codex", "exec", …, NAME=value)`: a program of the environments, in an empty directory.

    It has a home of its own, the Node of its environment, and of this process's environment only the path.
    """
    home = tmp_path / "home"
    home.mkdir()
    node = environments / "node/node_modules/.bin"

    async def call(program: str, *arguments: object, **environ: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            environments / program, *map(str, arguments), cwd=home,
            env={"PATH": f"{node}:{os.environ['PATH']}", "HOME": str(home), "TAILRACE_URL": server.url, **environ},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    return call
