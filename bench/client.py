"""The load client: raw sockets and just enough HTTP, so that it takes little of the cores that are measured."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import cast

from tailrace.schema import codec

# A delta in either form: the provider's wire, or a native event.
STAMP = re.compile(rb'"delta(?:_content)?":"t(\d+) ')
EVENT = b"\nid: "  # the line that a native event has, and a comment has not
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
TIMEOUT_S = 60.0


class BenchError(Exception):
    """What is measured did not do what it should."""


def ignore(data: bytes) -> None:
    """Take a body that nobody looks at."""


class _Body:
    """The bytes of a response's body: by length, or chunked (RFC 9112 §7.1)."""

    def __init__(self, head: bytes) -> None:
        length = _LENGTH.search(head)
        self._chunked = length is None
        self._left = int(length[1]) if length else 0
        self._buffer = b""
        self.done = not self._chunked and self._left == 0

    def feed(self, data: bytes) -> bytes:
        """What these bytes add to the body."""
        if not self._chunked:
            self._left -= len(data)
            self.done = self._left <= 0
            return data
        return self._dechunk(self._buffer + data if self._buffer else data)

    def _dechunk(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        at = 0
        while not self.done:
            if self._left:  # inside a chunk: its bytes, then CR LF
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                if self._left:
                    break
            start = at + 2 if data.startswith(b"\r\n", at) else at
            end = data.find(b"\r\n", start)
            if end < 0:
                break
            self._left = int(data[start:end], 16)
            self.done = self._left == 0
            at = end + 2
        self._buffer = data[at:]
        return b"".join(parts)


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, one request at a time. `on_body` takes the body as it comes."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._body: _Body | None = None
        self._on_body: Callable[[bytes], None] = ignore
        self._ended: asyncio.Future[None] | None = None
        self.status = 0

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect to this port of the loopback."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    async def request(self, method: str, path: str, body: object, on_body: Callable[[bytes], None]) -> None:
        """Send a request and wait for the end of its answer. Raises BenchError for anything but a 2xx."""
        await asyncio.wait_for(self.begin(method, path, body, on_body), TIMEOUT_S)
        if self.status >= 300:
            raise BenchError(f"{method} {path}: {self.status}")

    def begin(self, method: str, path: str, body: object, on_body: Callable[[bytes], None]) -> asyncio.Future[None]:
        """Send a request; what is returned is done with the end of the answer."""
        assert self._transport is not None
        content = b"" if body is None else codec.encode(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        self._head, self._body, self._on_body = b"", None, on_body
        self._ended = asyncio.get_running_loop().create_future()
        self._transport.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        return self._ended

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        if self._body is None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self.status = int(head.split(b" ", 2)[1])
            self._body = _Body(head)
        body = self._body.feed(data)
        if body:
            self._on_body(body)
        if self._body.done and self._ended and not self._ended.done():
            self._ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ended and not self._ended.done():
            self._ended.set_exception(BenchError("the connection was closed before the answer was whole"))


class Arrivals:
    """Takes a stream's bytes and notes of every delta how long it was under way, in nanoseconds."""

    def __init__(self, latencies: list[int]) -> None:
        self._latencies = latencies
        self._rest = b""
        self.count = 0

    def __call__(self, data: bytes) -> None:
        now = time.monotonic_ns()
        whole, found, self._rest = (self._rest + data).rpartition(b"\n\n")
        if found:
            stamps = STAMP.findall(whole)
            self.count += len(stamps)
            self._latencies.extend(now - int(stamp) for stamp in stamps)


async def call(connection: Connection, method: str, path: str, body: object = None) -> bytes:
    """A request and its whole answer. Raises BenchError."""
    parts: list[bytes] = []
    await connection.request(method, path, body, parts.append)
    return b"".join(parts)


def asked(events: int, interval_ms: int, *, hold: bool = False) -> str:
    """The words that make the upstream answer so."""
    return f"bench {events} {interval_ms}{' hold' if hold else ''}"


async def submit(connection: Connection, prompt: str) -> str:
    """Start a run of Tailrace's: its stream's path."""
    answer = await call(connection, "POST", "/api/v2/submit", {"prompt": prompt, "model_id": "bench/bench"})
    return str(codec.decode_any(answer)["stream_url"])


async def stream_wire(port: int, events: int, interval_ms: int, latencies: list[int]) -> None:
    """One answer in the provider's wire, from the upstream itself or through the passthrough."""
    connection = await Connection.open(port)
    arrivals = Arrivals(latencies)
    body = {"model": "bench", "input": asked(events, interval_ms), "stream": True}
    await connection.request("POST", "/v1/responses", body, arrivals)
    connection.close()
    _check(arrivals.count, events)


async def stream_run(port: int, events: int, interval_ms: int, latencies: list[int]) -> None:
    """One run of Tailrace's: submitted, then read to its end, on one connection."""
    connection = await Connection.open(port)
    path = await submit(connection, asked(events, interval_ms))
    arrivals = Arrivals(latencies)
    await connection.request("GET", path, None, arrivals)
    connection.close()
    _check(arrivals.count, events)


def _check(count: int, events: int) -> None:
    if count != events:
        raise BenchError(f"{count} events of {events} arrived")
