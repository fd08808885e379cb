"""Agents with MCP servers: a whole server whose agent `a` has all that they offer."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import ENVIRON, Served, serving, settings

ROOT = Path(__file__).parents[2]
Start = Callable[..., Awaitable[Served]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the rough server leaves its traces."""
    made = tmp_path / "rough"
    made.mkdir()
    return made


def rough(folder: Path, *mode: str, **more: Any) -> dict[str, Any]:
    """The settings of tests/support/rough_server.py."""
    env = {"PYTHONPATH": str(ROOT), **more.pop("env", {})}
    return {
        "command": sys.executable, "args": ["-m", "tests.support.rough_server", str(folder), *mode], "env": env, **more
    }  # fmt: skip


@pytest.fixture
async def start(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Start]:
    """Starts a server with these MCP servers."""
    async with AsyncExitStack() as stack:

        async def started(
            servers: dict[str, Any], environ: dict[str, str] | None = None, sections: dict[str, Any] | None = None,
            **agent: Any,
        ) -> Served:  # fmt: skip
            made = settings(
                tmp_path / "data", upstream, mcp={"servers": servers}, tools={"workspace": str(tmp_path / "work")},
                agents={"a": {"tools": [f"{name}__*" for name in servers], **agent}}, **(sections or {}),
            )  # fmt: skip
            return await stack.enter_async_context(serving(made, upstream, {**ENVIRON, **(environ or {})}))

        yield started


async def standing(server: Served, name: str, state: str) -> dict[str, Any]:
    """How it stands with an MCP server, once it is in this state."""
    while True:
        listed = (await server.client.request("GET", "/api/v2/mcp"))["servers"]
        (found,) = (each for each in listed if each["name"] == name)
        if found["state"] == state:
            return dict(found)
        await asyncio.sleep(0.02)


def effects(folder: Path) -> list[str]:
    """What has been called, in order."""
    place = folder / "effects"
    return place.read_text().splitlines() if place.exists() else []
