"""What is kept of one conversation with a provider between its calls: a socket, and what handshakes have said.

Handshakes are joined: whoever wants the socket while it is being opened waits for that. A handshake is nobody's own; it
is called off when nobody waits for it any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from tailrace.upstream.socket_policy import SocketError, SocketPolicy

if TYPE_CHECKING:  # it brings aiohttp with it, for which a server without sockets has no use
    from tailrace.upstream.link import Link

logger = structlog.get_logger(__name__)

# Headers that a provider answers with and wants to see again: where the turn is served, and what models it has told of.
TURN_STATE, MODELS_ETAG = "x-codex-turn-state", "x-models-etag"

Connect = Callable[[Mapping[str, str]], Awaitable["Link"]]


@dataclass(slots=True)
class _Handshake:
    """One that is under way. `waiting` counts those who would be let down if it were called off."""

    task: "asyncio.Task[Link | SocketError]"
    is_prewarm: bool
    waiting: int = 0


class Lane:
    """One conversation's way to `host`. `credentials` is a digest of them: with others it is another conversation."""

    def __init__(self, host: str, credentials: bytes, connect: Connect, policy: SocketPolicy) -> None:
        self._host = host
        self.credentials = credentials
        self.is_off = False
        """Set when the conversation is to stay with HTTP."""
        self.stale = 0
        """How often in a row the provider would not go on from a response that it had given."""
        self.link: Link | None = None
        self.said: dict[str, str] = {}
        self._connect = connect
        self._policy = policy
        self._handshake: _Handshake | None = None

    @property
    def is_idle(self) -> bool:
        """May it be forgotten?"""
        return self._handshake is None and (self.link is None or not self.link.is_busy)

    @property
    def handshaking(self) -> asyncio.Task[Any] | None:
        """The handshake that is under way, if one is."""
        return self._handshake.task if self._handshake is not None else None

    def prewarm(self) -> None:
        """Have a socket ready: a handshake, and no request."""
        if not self.is_off and self._handshake is None and not (self.link is not None and self.link.is_open):
            self._begin(is_prewarm=True)

    async def claim(self, arrived: Callable[[], Any]) -> "Link":
        """A socket for one request, claimed. Raises SocketError where there is none to be had.

        Where the conversation's own is busy, it is one that lives for this request only.
        """
        for _ in range(self._policy.joins + 1):
            link = self.link
            if link is not None and link.is_busy:
                break
            if link is not None and link.is_fresh:
                link.claim(arrived)
                return link
            if link is not None:
                link.close()
                self.link = None
            handshake = self._handshake or self._begin(is_prewarm=False)
            opened = await self._join(handshake)
            if isinstance(opened, SocketError):
                raise opened
        own = await self._open()
        own.claim(arrived)
        return own

    def give_back(self, link: "Link") -> None:
        """Its answer is whole: keep it for the next call, unless the conversation has another by now."""
        if not link.is_open or self.is_off or (self.link is not None and self.link is not link):
            link.close()
            return
        self.link = link
        link.release()

    def drop(self, link: "Link") -> None:
        """It has failed, or what it brings is not wanted any more."""
        link.close()
        if self.link is link:
            self.link = None

    def hear(self, headers: Mapping[str, str]) -> None:
        """Keep what a good answer's headers say; an empty value says nothing."""
        self.said |= {name: headers[name] for name in (TURN_STATE, MODELS_ETAG) if headers.get(name)}

    def turn_off(self, error: SocketError) -> None:
        """Stay with HTTP from now on."""
        if not self.is_off:
            self.is_off = True
            logger.info("websocket.off", host=self._host, trouble=error.trouble, reason=error.message)

    def close(self, reason: bytes = b"") -> None:
        """Close what is not in use. A request that is under way closes its own socket, and one that waits for a
        handshake gets it."""
        self.is_off = True
        if self._handshake is not None and not self._handshake.waiting:
            self._call_off(self._handshake)
        if self.link is not None and not self.link.is_busy:
            self.link.close(reason=reason)
        self.link = None

    def _begin(self, *, is_prewarm: bool) -> _Handshake:
        handshake = _Handshake(asyncio.create_task(self._shake()), is_prewarm)
        self._handshake = handshake
        handshake.task.add_done_callback(lambda _: self._over(handshake))
        return handshake

    async def _join(self, handshake: _Handshake) -> "Link | SocketError":
        """Its outcome. Whoever leaves calls it off only if nobody else wants it."""
        handshake.waiting += 1
        try:
            return await asyncio.shield(handshake.task)
        finally:
            handshake.waiting -= 1
            if not handshake.waiting and not handshake.is_prewarm:
                self._call_off(handshake)

    def _call_off(self, handshake: _Handshake) -> None:
        handshake.task.cancel()
        self._over(handshake)

    def _over(self, handshake: _Handshake) -> None:
        """It can be joined no more."""
        if self._handshake is handshake:
            self._handshake = None

    async def _shake(self) -> "Link | SocketError":
        """A failure is a result, for all who wait: where nobody does, it is no unheard exception."""
        try:
            link = await self._open()
        except SocketError as error:
            self.turn_off(error)
            return error
        self.link = link
        link.rest()
        return link

    async def _open(self) -> "Link":
        link = await self._connect(self.said)
        link.task.add_done_callback(lambda _: self._closed(link))
        self.hear(link.headers)
        return link

    def _closed(self, link: "Link") -> None:
        """Conversations are remembered for much longer than their sockets live: nothing of a closed one is kept."""
        if self.link is link:
            self.link = None
