"""What the tests of the ways to providers stand on."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from tailrace.upstream.websocket import Sockets
from tests.support.talking import ways_with


@pytest.fixture
async def ways() -> AsyncIterator[Sockets]:
    """Sockets, over HTTP; nothing of them is left alive behind the test."""
    async with ways_with() as sockets:
        yield sockets


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What the HTTP way stands on differs between the loop of Python and the server's: it is tested on both."""
    if item.path.name.startswith("test_http"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
