"""Agents over the scripted upstream: a server with an agent `a` whose workspace is a folder of the test's."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import Served, serving, settings

REGISTER = "tests.support.agent_tools:TOOLS"
Start = Callable[..., Awaitable[Served]]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The agent's workspace."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
async def start(tmp_path: Path, work: Path, upstream: ScriptedUpstream) -> AsyncIterator[Start]:
    """Starts a server whose agent `a` is as given; `tools` are all of tests/support/agent_tools.py where not."""
    async with AsyncExitStack() as stack:

        async def started(sections: dict[str, Any] | None = None, **agent: Any) -> Served:
            made = settings(
                tmp_path / "data",
                upstream,
                tools={"register": [REGISTER], "workspace": str(work), "sandbox": "preferred"},
                agents={"a": {"tools": ["note", "nap", "wait*", "stubborn", "fail", "alone"], **agent}},
                **(sections or {}),
            )
            return await stack.enter_async_context(serving(made, upstream))

        yield started
