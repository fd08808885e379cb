"""Calls over the HTTP way, and servers of bare sockets to answer them."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tailrace.schema.errors import ProviderError
from tailrace.upstream.http import Call, Reply, Timeouts, Upstream

SECRET = "sk-verysecret-0123456789"
LIMITS = Timeouts()
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def call_to(url: str, body: bytes = b"{}") -> Call:
    """A stream is asked for, with a key."""
    return Call(url=url, headers={"Authorization": f"Bearer {SECRET}"}, body=body, stream=True)


async def read(reply: Reply) -> bytes:
    """What comes next; b"" at the end."""
    pieces: list[bytes] = []

    def take(data: bytes) -> bool:
        pieces.append(data)
        return False

    await reply.feed(take)
    return pieces[0]


async def read_all(reply: Reply, on_read: Callable[[], object] = bool) -> bytes:
    """Read to the end; an event is progress, a comment is none."""
    pieces = []
    while piece := await read(reply):
        on_read()
        pieces.append(piece)
        if b"data:" in piece and b"ping" not in piece:
            reply.progress()
    return b"".join(pieces)


async def fetch(
    upstream: Upstream, asked: Call, timeouts: Timeouts = LIMITS, on_read: Callable[[], object] = bool
) -> bytes:
    """The whole body."""
    async with upstream.open(asked, timeouts) as reply:
        return await read_all(reply, on_read)


async def failing(
    upstream: Upstream, asked: Call, timeouts: Timeouts = LIMITS, on_read: Callable[[], object] = bool
) -> ProviderError:
    """The error that a call ends with."""
    with pytest.raises(ProviderError) as caught:
        await asyncio.wait_for(fetch(upstream, asked, timeouts, on_read), 20)
    return caught.value


@asynccontextmanager
async def raw_server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server of bare sockets; its URL."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


class Answering:
    """Serves each connection: a request, the next of `answers`, and so on, until the client leaves. None as an answer
    closes the connection."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.left = asyncio.Event()
        """Has a connection ended?"""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                self.requests.append(await read_request(reader))
                answer = self.answers.pop(0)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.left.set()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
