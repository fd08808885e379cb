"""The end of a connection, at whatever moment it comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tailrace.mcp.config import McpServer
from tailrace.mcp.connection import Connection
from tailrace.mcp.http import Http
from tailrace.mcp.link import Streams
from tailrace.mcp.secret import Secrets
from tests.support.mcp_server import Kind, listen, made


class Failing(Http):
    """A link one of whose tasks fails while it is being cancelled: an error comes out of it, no cancellation."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Streams]:
        async with super().connect() as streams:
            try:
                yield streams
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                task.uncancel()  # as anyio's task groups do that lie in one another (4.16)
                raise ExceptionGroup("unhandled errors in a TaskGroup", [ConnectionError()]) from None


async def ends(connection: Connection) -> None:
    """It does, and leaves no task."""
    async with asyncio.timeout(10):
        await connection.stop()
    await asyncio.sleep(0)
    left = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
    assert not [name for name in left if name.startswith(("Connection.", "Event.wait"))]


def made_for(kind: Kind, link: type[Http] = Http) -> Connection:
    connection = Connection("k", McpServer(url=kind.url), lambda: link(kind.url, {}), Secrets())
    connection.start()
    return connection


@pytest.mark.parametrize("link", [Http, Failing])
async def test_it_ends_when_it_is_told_to(link: type[Http]):
    """Also where the SDK makes an error of its cancellation: that is not taken for a loss, to be mended."""
    kind = await listen(made().streamable_http_app())
    connection = made_for(kind, link)
    await connection.ready()
    assert connection.standing().state == "connected"
    await ends(connection)
    await kind.stop()


@pytest.mark.parametrize("turns", range(0, 100, 5))
async def test_it_ends_while_its_server_does(turns: int):
    """However many turns of the loop the server's end is ahead."""
    kind = await listen(made().streamable_http_app())
    connection = made_for(kind)
    await connection.ready()
    ending = asyncio.create_task(kind.stop())
    for _ in range(turns):
        await asyncio.sleep(0)
    await ends(connection)
    await ending
