"""The way to a server, whatever it is made of."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mcp.client._transport import TransportStreams as Streams

MOST_BYTES = 16 * 1024 * 1024  # of one message; what is longer is no answer that anybody could use

__all__ = ["MOST_BYTES", "Link", "LoginNeeded", "Streams", "Unavailable", "first_of"]


class Unavailable(Exception):
    """The server cannot be asked, and to try again is of no use before somebody has done something."""


class LoginNeeded(Unavailable):
    """There is no token for it that it takes."""


class Link(Protocol):
    """One connection. `closed`: it is over; `reason`: why it is, or why the server refuses us, where that is known;
    `forgotten`: the server said that it does not know it, and has run nothing of what it was sent."""

    closed: asyncio.Event
    reason: str | None
    forgotten: bool

    def connect(self) -> AbstractAsyncContextManager[Streams]:
        """The streams of messages from and to the server, to the end of the block."""


def first_of(error: BaseException) -> BaseException:
    """The first of a group of errors, in which those of a connection come."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
