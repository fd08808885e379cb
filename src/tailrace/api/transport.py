"""The way to one client: uvicorn's HTTP, with a door for streams that ASGI has none for.

ASGI's `send` has to be awaited, because it may have to wait for the client. A stream that is told of an event in the
log's own commit cannot wait, and need not while the client takes what it is sent: it writes at once, or not at all.
That a client has gone is told in a callback, too: ASGI has a task wait for it, for each stream, to its end.

And a response's head goes out together with what follows it in the same turn of the loop: each write wakes the client,
and costs as much as all else that an event costs.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast
from weakref import ref

from litestar.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_EXTENSION = "tailrace.client"


class Client:
    """Who is at the other end of a request, for as long as its cycle answers it: that holds the client itself."""

    __slots__ = ("_cycle", "_left", "is_silent")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self.is_silent = True
        """Has nothing been written since this was last set?"""
        self._cycle = ref(cycle)
        self._left: Callable[[], object] | None = None

    @property
    def is_gone(self) -> bool:
        """Has it gone before its answer was whole?"""
        cycle = self._cycle()
        return cycle is None or cycle.disconnected

    def write(self, data: bytes) -> bool:
        """Write a piece of a body that is sent in chunks, if that can be done at once. False where it was not written,
        because the client takes nothing: then ASGI's `send` waits until it does."""
        if not data:
            return True
        self.is_silent = False
        cycle = self._cycle()
        if cycle is None or not cycle.chunked_encoding or cycle.response_complete:
            return False
        if cycle.flow.write_paused or cycle.disconnected:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))  # RFC 9112 section 7.1
        return True

    def watch(self, left: Callable[[], object] | None) -> None:
        """Have `left` called when it goes; None: no more."""
        self._left = left

    def leave(self) -> None:
        """Its connection is lost. Who has its whole answer leaves nobody."""
        if self._left is not None and self.is_gone:
            self._left()


class StreamingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, whose requests carry their `Client`."""

    _latest: Client | None = None

    def on_headers_complete(self) -> None:
        """A request is there: its cycle answers it."""
        super().on_headers_complete()
        if self.parser.should_upgrade() and self._should_upgrade():
            return  # a WebSocket's: another protocol takes over
        client = self._latest = Client(self.cycle)
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # a dict that may hold more than it says
        scope.setdefault("extensions", {})[_EXTENSION] = client
        self.cycle.transport = _Head(self.cycle)  # type: ignore[assignment]  # as much of one as a cycle uses

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        super().connection_lost(exc)
        if self._latest is not None:
            self._latest.leave()


class _Head:
    """Stands in for a cycle's transport until the response's head is written: kept, with all that follows it in this
    turn of the loop, until that ends."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep it for the end of the turn."""
        if not self._pieces:
            asyncio.get_running_loop().call_soon(self._send)
        self._pieces.append(data)

    def _send(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces:
            self._cycle.transport = self._transport
            self._transport.write(b"".join(pieces))

    def close(self) -> None:
        """Send what is kept, then close."""
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport.is_closing`."""
        return self._transport.is_closing()


def client_of(scope: Scope) -> Client:
    """The client of this request."""
    extensions = cast("dict[str, Any]", scope["extensions"])
    client: Client = extensions[_EXTENSION]
    return client
