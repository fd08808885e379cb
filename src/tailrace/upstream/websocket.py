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
from typing import Any, Self, cast

import aiohttp
from msgspec.structs import replace
from multidict import CIMultiDict

from tailrace.adapters.openai_responses.chain import read_request
from tailrace.upstream.http import FAILURES, SECRET_WORDS, Call, Headers, Session, Timeouts, Upstream, failure, host_of
from tailrace.upstream.lane import TURN_STATE, Lane
from tailrace.upstream.link import CLOSE_S, Link, Opened
from tailrace.upstream.socket_policy import SocketError, SocketPolicy
from tailrace.upstream.socket_reply import SocketReply
from tailrace.upstream.transport import Reply
from tailrace.wire.sse import MAX_EVENT_BYTES

BETA = "responses_websockets=2026-02-06"  # the version of the protocol (OpenAI-Beta)
_OF_A_POST = ("accept", "accept-encoding", "content-type", "x-api-key")
_OF_WHO_ASKS = (*SECRET_WORDS, "account")


class Sockets:
    """All conversations' sockets, and `http` for what does not go over one. To be used inside its `async with`."""

    def __init__(self, http: Upstream, policy: SocketPolicy) -> None:
        self._http = http
        self._policy = policy
        self._client: aiohttp.ClientSession | None = None
        self._lanes: OrderedDict[tuple[str, Session], Lane] = OrderedDict()
        self._living: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # one per live run, whose number is limited where runs begin
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            skip_auto_headers=("accept", "accept-encoding"),
            ws_response_class=Opened,  # type: ignore[arg-type]  # its text stays bytes
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        if self._client is not None:
            await self._client.close()
            self._client = None

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

    async def _connect(self, call: Call, said: Mapping[str, str]) -> Link:
        """A handshake. Raises SocketError."""
        if self._client is None:
            raise RuntimeError("Sockets is used inside its `async with`")
        host = host_of(call.url)
        try:
            async with asyncio.timeout(self._policy.connect_s):
                socket = await self._client.ws_connect(
                    call.url,
                    headers=handshake_headers(call.headers, said),
                    autoping=False,
                    decode_text=False,
                    max_msg_size=MAX_EVENT_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            said_no = f"{host} answered the handshake with status {error.status}"
            raise SocketError("connect", "protocol_error", said_no) from None
        except TimeoutError:
            raise SocketError("connect", "timeout", f"no socket within {self._policy.connect_s:g} s") from None
        except FAILURES as error:
            broken = failure(error, host, in_body=False)
            raise SocketError("connect", broken.code, broken.message) from None
        link = Link(cast(Opened, socket), self._policy)
        self._living.add(link.task)
        link.task.add_done_callback(self._living.discard)
        return link


def handshake_headers(headers: Mapping[str, str], said: Mapping[str, str]) -> CIMultiDict[str]:
    """A call's headers as its handshake has them, with what the provider has said before."""
    asked = CIMultiDict(headers)
    for name in _OF_A_POST:
        asked.pop(name, None)
    asked["OpenAI-Beta"] = BETA
    asked.update(said)
    return asked


def _credentials(call: Call) -> bytes:
    """A digest of who asks: another key, another account, another socket."""
    digest = sha256()
    for name, value in sorted((name.lower(), value) for name, value in call.headers.items()):
        if any(word in name for word in _OF_WHO_ASKS):
            digest.update(f"{name}:{value}\n".encode())
    return digest.digest()
