"""The way to one client: uvicorn's HTTP, with a door for streams that ASGI has none for.

ASGI's `send` has to be awaited, because it may have to wait for the client. A stream that is told of an event in the
log's own commit cannot wait, and need not while the client takes what it is sent: it writes at once, or not at all.

And a response's head goes out together with what follows it at once: each write wakes the client, and costs as much as
all else that an event costs.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast
from weakref import ref

from litestar.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

Write = Callable[[bytes], bool]

_EXTENSION = "tailrace.write"


class StreamingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, whose requests carry a `Write` to their client."""

    def on_headers_complete(self) -> None:
        """A request is there: its cycle answers it."""
        super().on_headers_complete()
        if self.parser.should_upgrade() and self._should_upgrade():
            return  # a WebSocket's: another protocol takes over
        scope = cast("dict[str, Any]", self.scope)
        scope.setdefault("extensions", {})[_EXTENSION] = partial(_write, ref(self.cycle))  # which holds the scope
        self.cycle.transport = cast("asyncio.Transport", _Head(self.cycle))


class _Head:
    """Stands in for a cycle's transport until the response's head is written: kept for what follows in this turn of the
    loop, or until its end."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Keep the first piece; send it with the second."""
        if self._head:
            self._send(data)
        else:
            self._head = data
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self, data: bytes = b"") -> None:
        head, self._head = self._head, b""
        if head:
            self._cycle.transport = self._transport
            self._transport.write(head + data)

    def close(self) -> None:
        """Send what is kept, then close."""
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport.is_closing`."""
        return self._transport.is_closing()


def writer_of(scope: Scope) -> Write:
    """Writes a piece of a body that is sent in chunks, if that can be done at once; never where the server has no such
    door. False where it was not written: then ASGI's `send` waits until it can be."""
    extensions = cast("dict[str, Any]", scope.get("extensions") or {})
    write: Write = extensions.get(_EXTENSION, _never)
    return write


def _write(held: "ref[RequestResponseCycle]", data: bytes) -> bool:
    cycle = held()
    if cycle is None or not cycle.chunked_encoding or cycle.response_complete:
        return False
    if cycle.flow.write_paused or cycle.disconnected:
        return False
    cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))  # RFC 9112 section 7.1
    return True


def _never(_data: bytes) -> bool:
    return False
