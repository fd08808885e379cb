"""What the tests of the WebSocket way stand on."""

from collections.abc import AsyncIterator

import pytest

from tailrace.upstream.websocket import Sockets
from tests.support.talking import ways_with


@pytest.fixture
async def ways() -> AsyncIterator[Sockets]:
    """Sockets, over HTTP; nothing of them is left alive behind the test."""
    async with ways_with() as sockets:
        yield sockets
