"""Hear of what a connection brings in the very callback that brings it.

aiohttp tells its readers through a future: to have a task woken for each network read costs more than most reads are
worth. A tap stands before aiohttp's protocol on the transport (asyncio's `set_protocol`), passes everything on, and
then says that something has arrived.
"""

import asyncio
from collections.abc import Callable
from typing import cast


class Tap(asyncio.Protocol):
    """Calls `arrived` after each network read and after the connection's end, until it is removed."""

    __slots__ = ("_arrived", "_protocol", "_transport")

    def __init__(self, transport: asyncio.Transport, arrived: Callable[[], None]) -> None:
        self._transport = transport
        self._protocol = cast(asyncio.Protocol, transport.get_protocol())
        self._arrived = arrived
        transport.set_protocol(self)

    def remove(self) -> None:
        """Leave the connection to its protocol again; idempotent. One that is closing has no use for that."""
        if not self._transport.is_closing() and self._transport.get_protocol() is self:
            self._transport.set_protocol(self._protocol)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.data_received(data)
        self._arrived()

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.connection_lost(exc)
        self._arrived()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.resume_writing()
