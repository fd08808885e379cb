"""All connections to providers: so many calls at a time, and what one has left for the next to the same place."""

import asyncio
import socket
import ssl
from functools import cached_property

import aiohappyeyeballs

from tailrace.upstream.http_connection import Connection
from tailrace.upstream.http_request import Origin
from tailrace.upstream.watchdog import timed_out

_IDLE_S = 15.0  # shorter than servers keep an idle connection
_NEXT_ADDRESS_S = 0.25  # RFC 8305 §5: how long an address has before the next is tried beside it


class Pool:
    """At most `most` connections, idle ones included; the latest used is used again first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places = asyncio.Semaphore(most)  # one for each call; whoever waits for one gets it in turn
        self._all: dict[Connection, Origin] = {}
        self._idle: dict[Origin, list[Connection]] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] | None = None

    async def lease(self, origin: Origin, within_s: float) -> Connection:
        """A connection, for one call: it comes back by itself when that is over. Raises ProviderError (`timeout`);
        OSError, which includes TLS's; ValueError: no host can have that name."""
        try:
            async with asyncio.timeout(within_s) as timer:
                await self._places.acquire()
                try:
                    return self._reused(origin) or await self._connected(origin)
                except BaseException:
                    self._places.release()
                    raise
        except TimeoutError:
            if timer.expired():
                raise timed_out("connect", within_s) from None
            raise

    async def close(self) -> None:
        """Close all; done when they are."""
        self._closed = asyncio.get_running_loop().create_future()
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._idle.clear()
        for connection in self._all:
            connection.close()
        if self._all:
            await self._closed

    def _reused(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not idle:
                del self._idle[origin]
            if connection.is_open:
                return connection
        return None

    async def _connected(self, origin: Origin) -> Connection:
        if len(self._all) >= self._most:
            self._drop_oldest()
        connection = Connection(self._free, self._lose)
        self._all[connection] = origin
        try:
            await self._open(connection, origin)
        except BaseException:
            connection.close()
            self._lose(connection)
            raise
        if self._closed is not None:
            connection.close()
            raise ConnectionAbortedError
        return connection

    async def _open(self, connection: Connection, origin: Origin) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        opened = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_S, loop=loop)
        tls, name = (self._tls, origin.host) if origin.is_tls else (None, None)
        try:
            await loop.create_connection(lambda: connection, sock=opened, ssl=tls, server_hostname=name)
        except BaseException:
            opened.close()
            raise

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    # --- what the connections say --------------------------------------------------------------------------------

    def _free(self, connection: Connection) -> None:
        """Its call is over."""
        if connection.is_open and self._closed is None:
            loop = asyncio.get_running_loop()
            connection.idle_since = loop.time()
            self._idle.setdefault(self._all[connection], []).append(connection)
            if self._sweeping is None:
                self._sweeping = loop.call_later(_IDLE_S, self._sweep)
        self._places.release()

    def _lose(self, connection: Connection) -> None:
        """It is closed."""
        origin = self._all.pop(connection, None)
        if origin is not None:
            self._forget(connection, origin)
        if not self._all and self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    # --- what is idle for too long -------------------------------------------------------------------------------

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = None
        for connection in [connection for idle in self._idle.values() for connection in idle]:
            if connection.idle_since <= loop.time() - _IDLE_S:
                self._drop(connection)
        if self._idle:
            oldest = min(idle[0].idle_since for idle in self._idle.values())
            self._sweeping = loop.call_at(oldest + _IDLE_S, self._sweep)

    def _drop_oldest(self) -> None:
        idle = [connections[0] for connections in self._idle.values()]
        if idle:
            self._drop(min(idle, key=lambda connection: connection.idle_since))

    def _drop(self, connection: Connection) -> None:
        self._forget(connection, self._all[connection])
        connection.close()

    def _forget(self, connection: Connection, origin: Origin) -> None:
        idle = self._idle.get(origin, [])
        if connection in idle:
            idle.remove(connection)
            if not idle:
                del self._idle[origin]
