"""What a scripted upstream does between the bytes, and what it keeps of who came."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, cast

from aiohttp import web

from tailrace.testing.moves import Control, Gate, Pause, Stall

_SECRET_WORDS = ("auth", "key", "token", "secret", "cookie")


class GatePoint:
    """Where a stream stands still: `reached` is set when it arrives, `open` lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let the stream go on, now or when it arrives."""
        self._opened.set()

    async def pass_through(self) -> None:
        """What the stream does."""
        self.reached.set()
        await self._opened.wait()


@dataclass(slots=True)
class RecordedRequest:
    """A request as it came in: keys masked, names of headers in lower case.

    `key` is the digest of the key that it came with (`key_digest`), "" without one. `connection` is the client's port
    (the same for a reused connection). `disconnected` is set when the client closes the socket before the answer is
    whole, `answered` when the whole answer was sent. Where it came `over_socket`, headers, query and key are those of
    the handshake, and the body is the frame as it was sent.
    """

    wire: str
    path: str
    body: Any
    headers: dict[str, str]
    connection: int
    query: dict[str, str] = field(default_factory=dict)
    key: str = ""
    over_socket: bool = False
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def closed(self) -> bool:
        """Has the client gone?"""
        return self.disconnected.is_set()


class Dropped(Exception):
    """This side dropped the connection."""


class Performer:
    """Does what a script says between the bytes."""

    def __init__(self, request: web.Request, gate: Callable[[str], GatePoint], closing: asyncio.Event) -> None:
        self.request = request
        self._gate = gate
        self._closing = closing
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()

    async def perform(self, control: Control) -> None:
        """Raises Dropped where the connection is gone after it."""
        if isinstance(control, Pause):
            await self._pause(control.seconds)
        elif isinstance(control, Gate):
            await self._gate(control.name).pass_through()
            self._due = self._loop.time()
        else:
            if isinstance(control, Stall):
                await self._closing.wait()  # the client's going cancels this
            if self.request.transport is not None:
                self.request.transport.abort()
            raise Dropped

    async def _pause(self, seconds: float) -> None:
        """Wait until the schedule says so: the pauses of a stream add up to its length, however late each ends."""
        self._due += seconds
        await asyncio.sleep(max(0.0, self._due - self._loop.time()))


def recorded(wire: str, request: web.Request, body: Any, *, over_socket: bool = False) -> RecordedRequest:
    """A request as it may be kept."""
    secrets = (value for name, value in request.headers.items() if _is_secret(name.lower()))
    key = next(secrets, "").removeprefix("Bearer ")
    return RecordedRequest(
        wire, request.path, body, masked(request.headers), client_port(request), dict(request.query),
        key_digest(key) if key else "", over_socket,
    )  # fmt: skip


def key_digest(key: str) -> str:
    """By which a recorded request's key is known."""
    return sha256(key.encode()).hexdigest()[:16]


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as they may be kept: names in lower case, no key readable."""
    lowered = ((name.lower(), value) for name, value in headers.items())
    return {name: "***" if _is_secret(name) else value for name, value in lowered}


def _is_secret(header: str) -> bool:
    return any(word in header for word in _SECRET_WORDS)


def client_port(request: web.Request) -> int:
    """By which a connection is known."""
    transport = cast("asyncio.Transport", request.transport)
    peer = transport.get_extra_info("peername")
    return int(peer[1]) if peer else 0
