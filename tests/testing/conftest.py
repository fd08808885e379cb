"""The scripted upstream and a client of it."""

import aiohttp
import pytest

from tailrace.testing.upstream import ScriptedUpstream


@pytest.fixture
async def up():
    async with ScriptedUpstream() as server:
        yield server


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as session:
        yield session
