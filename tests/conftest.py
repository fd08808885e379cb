"""What many tests stand on: a scripted upstream and a whole server in front of it, on free ports of loopback."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import Served, serving, settings


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """A scripted upstream that speaks all three wires."""
    async with ScriptedUpstream() as running:
        yield running


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Served]:
    """A server over `upstream`, with its data in a directory of its own."""
    async with serving(settings(tmp_path / "data", upstream), upstream) as served:
        yield served
