"""The WebSocket way to providers that speak OpenAI's Responses API: one socket per conversation, and HTTP behind it.

Frames carry the very events that SSE would, so that the decoder hears no difference. A conversation's next request goes
out on the socket of the one before and says only what is new, where that is safe (adapters/openai_responses/chain.py).
Where there is no socket to be had, the same call goes over HTTP.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from tailrace.adapters.openai_responses.chain import read_request
from tailrace.upstream.http import SECRET_WORDS, Call, Headers, Session, Timeouts, Upstream, host_of
from tailrace.upstream.lane import TURN_STATE, Lane
from tailrace.upstream.socket_policy import SocketPolicy
from tailrace.upstream.socket_reply import SocketReply
from tailrace.upstream.transport import Reply

if TYPE_CHECKING:
    from tailrace.upstream.handshake import Handshakes
    from tailrace.upstream.link import Link

_OF_WHO_ASKS = (*SECRET_WORDS, "account")


class Sockets:
    """All conversations' sockets, and `http` for what does not go over one. To be used inside its `async with`."""

    def __init__(self, http: Upstream, policy: SocketPolicy) -> None:
        self._http = http
        self._policy = policy
        self._handshakes: Handshakes | None = None
        self._is_open = False
        self._lanes: OrderedDict[tuple[str, Session], Lane] = OrderedDict()
        self._living: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        ending: set[asyncio.Task[Any]] = set(self._living)
        for lane in self._lanes.values():
            if lane.handshaking is not None:
                ending.add(lane.handshaking)
            lane.close()
        self._lanes.clear()
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        if self._handshakes is not None:
            await self._handshakes.close()
            self._handshakes = None

    def open(
        self, call: Call, timeouts: Timeouts, heard: Callable[[Headers], object] = bool
    ) -> AbstractAsyncContextManager[Reply]:
        """Send `call`: over its session's socket if it has a session, else over HTTP. Leaving before the answer's end
        closes the socket. `heard` and what is raised are as with `Upstream.open`: a handshake's answer is one."""
        if call.session is None:
            return self._http.open(call, timeouts, heard)
        request = read_request(call.body)
        lane = self._lane(call, call.session)
        if not request.continues_turn:
            lane.said.pop(TURN_STATE, None)
        return SocketReply(call, request, lane, self._http, timeouts, self._policy, heard)

    def prewarm(self, call: Call) -> None:
        """A call like this one, but for its body, is about to be made: have a socket ready for it."""
        if call.session is not None:
            self._lane(call, call.session).prewarm()

    def _lane(self, call: Call, session: Session) -> Lane:
        """The session's lane; a new one where there is none, or where its key has been changed for another."""
        place, credentials = (call.url, session), _credentials(call)
        lane = self._lanes.get(place)
        if lane is not None and lane.credentials != credentials:
            lane.close(b"token-refresh")
            lane = None
        if lane is None:
            kept = replace(call, body=b"")
            lane = Lane(host_of(call.url), credentials, lambda said: self._connect(kept, said), self._policy)
        self._lanes[place] = lane
        self._lanes.move_to_end(place)
        self._forget()
        return lane

    def _forget(self) -> None:
        """What has not been used for longest goes first; never what is in use."""
        over = len(self._lanes) - self._policy.sessions
        for place in list(self._lanes)[:over] if over > 0 else ():
            if self._lanes[place].is_idle:
                self._lanes.pop(place).close()

    async def _connect(self, call: Call, said: Mapping[str, str]) -> "Link":
        """A handshake. Raises SocketError."""
        if self._handshakes is None:
            kind = await asyncio.to_thread(_loaded)  # a tenth of a second: not the loop's
            if not self._is_open:
                raise RuntimeError("Sockets is used inside its `async with`")
            self._handshakes = self._handshakes or kind(self._policy)
        link = await self._handshakes.shake(call, said)
        self._living.add(link.task)
        link.task.add_done_callback(self._living.discard)
        return link


def _loaded() -> "type[Handshakes]":
    from tailrace.upstream.handshake import Handshakes

    return Handshakes


def _credentials(call: Call) -> bytes:
    """A digest of who asks: another key, another account, another socket."""
    digest = sha256()
    for name, value in sorted((name.lower(), value) for name, value in call.headers.items()):
        if any(word in name for word in _OF_WHO_ASKS):
            digest.update(f"{name}:{value}\n".encode())
    return digest.digest()
