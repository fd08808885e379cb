"""The HTTP way to providers: one pool of connections, one reply at a time, every failure a ProviderError.

Nothing here knows what the bytes mean. Errors carry no URL, header or body of the request (design rule 9).
"""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self

import aiohttp
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from tailrace.adapters.errors import http_error
from tailrace.schema.errors import ProviderError
from tailrace.upstream.tap import Tap
from tailrace.upstream.watchdog import Timeouts, Watchdog, timed_out

__all__ = ["Call", "Reply", "Session", "Timeouts", "Upstream"]

_DEFAULTS = Timeouts()
_ERROR_BODY_BYTES = 64 * 1024
_ERROR_BODY_S = 10.0
_LINGER_S = 1.0
_PIECE_BYTES = 64 * 1024
SECRET_WORDS = ("auth", "key", "token", "secret", "cookie")
_ENCODED = re.compile(r"[!-~]+")  # no character that a URL may not have as it is
_MIN_SECRET = 6  # shorter words of a header are no keys, but words like "Bearer"

# What aiohttp raises -> our code. An exception goes by the first of its bases that stands here.
ERROR_CODES: dict[type[BaseException], str] = {
    aiohttp.ServerTimeoutError: "timeout",
    aiohttp.ClientConnectorCertificateError: "protocol_error",
    aiohttp.ServerFingerprintMismatch: "protocol_error",
    aiohttp.ClientConnectionError: "connection",
    aiohttp.ClientPayloadError: "stream_interrupted",
    aiohttp.UploadAbortedError: "connection",
    aiohttp.ClientHttpProxyError: "connection",
    aiohttp.ClientResponseError: "protocol_error",
    aiohttp.InvalidURL: "invalid_request",
    aiohttp.NonHttpUrlClientError: "invalid_request",
    aiohttp.RedirectClientError: "protocol_error",
    ValueError: "invalid_request",  # a header with a line break in it, as a key read from a file may have
    OSError: "connection",
}
FAILURES = (aiohttp.ClientError, OSError, ValueError)

Headers = Mapping[str, str]
# Takes bytes (b"" at the end of the body) at once; False: no more for now. It must not wait.
Take = Callable[[bytes], bool]


class Session(Struct, frozen=True):
    """The conversation that a call belongs to, for a way that keeps something of it from one call to the next."""

    provider_id: str
    model_id: str
    conversation: str


class Call(Struct, frozen=True, kw_only=True):
    """A request to a provider. Its repr shows where it goes and no more: URLs, too, may carry keys.

    With a `session` it may go over a WebSocket instead (websocket.py), kept for the conversation's next call.
    """

    url: str
    headers: dict[str, str]
    body: bytes
    stream: bool
    method: str = "POST"
    session: Session | None = None

    def __repr__(self) -> str:
        return f"Call(host={host_of(self.url)!r}, stream={self.stream}, body=<{len(self.body)} bytes>)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("host", host_of(self.url)), ("stream", self.stream)]


class Reply:
    """A provider's 2xx answer. Reading it to its end gives the connection back to the pool."""

    __slots__ = (
        "_content",
        "_grace",
        "_host",
        "_is_over",
        "_take",
        "_taken",
        "_tap",
        "_turn",
        "_watchdog",
        "headers",
        "is_complete",
        "progress",
        "status",
    )

    def __init__(self, response: aiohttp.ClientResponse, call: Call, timeouts: Timeouts, *, sent: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.is_complete = False
        """Set by the caller that needs no more of the body: its end is then awaited aside, to keep the connection."""
        self._host = host_of(call.url)
        self._content = response.content
        self._take: Take = bool
        self._taken = 0
        self._turn: asyncio.Future[bool] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._is_over = False
        self._watchdog = Watchdog(asyncio.get_running_loop(), timeouts, sent=sent, bark=self._give_up)
        self.progress = self._watchdog.progress
        """Resets the idle timer. What counts as progress (keep-alives do not) is the caller's to say."""
        transport = response.connection.transport if response.connection is not None else None
        self._tap = Tap(transport, self._arrived) if transport is not None else None
        self._content.on_eof(self._ended)

    async def feed(self, take: Take) -> bool:
        """Have `take` called with what each network read brings, in the callback in which it arrives, until it says
        False; at the end of the body with b"". Returns whether there may be more.

        Raises ProviderError: `timeout` (details: watchdog), `stream_interrupted`; and what `take` raises.
        """
        self._take = take
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._turn = turn
        self._watchdog.waiting = True
        try:
            self._arrived()  # what came while nobody waited for it
            return await turn
        finally:
            self._watchdog.waiting = False
            self._turn = None
            self._take = bool  # what takes may hold this reply

    def end_within(self, seconds: float) -> None:
        """The answer is whole, but for what may still follow it: after so long, counted from the first call of this,
        the body is taken to have ended."""
        if self._grace is None:
            self._grace = asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        self._is_over = True
        self._arrived()

    def _ended(self) -> None:
        """The body is whole, if not read yet: from now on the connection is another call's."""
        self._is_over = True
        if self._tap is not None:
            self._tap.remove()

    def close(self) -> None:
        """No more is wanted of it; idempotent."""
        self._watchdog.stop()
        if self._grace is not None:
            self._grace.cancel()
        if self._tap is not None:
            self._tap.remove()

    def _give_up(self, error: ProviderError) -> None:
        self._content.set_exception(error)
        self._arrived()

    def _arrived(self) -> None:
        """Hand over what is there. Nobody above a callback hears its exceptions: they go to whoever called `feed`."""
        turn = self._turn
        if turn is None or turn.done():  # nobody waits, or who does has been woken or cancelled and will go on itself
            return
        content, before = self._content, self._taken
        try:
            while self._taken < content.total_bytes:  # a read may let more in
                data = content.read_nowait()
                self._taken += len(data)
                if not self._take(data):
                    turn.set_result(True)
                    return
            if self._taken == before:
                content.read_nowait()  # nothing has come, but perhaps an end: this raises a bad one
            if self._is_over:
                self._take(b"")
                turn.set_result(False)
        except FAILURES as error:
            turn.set_exception(failure(error, self._host, in_body=True))
        except Exception as error:  # noqa: BLE001  # raised again, where `feed` was called
            turn.set_exception(error)


class Upstream:
    """All providers' connections. `async with Upstream() as upstream: async with upstream.open(call) as reply: …`.

    At most `connections` at a time; a call beyond that waits for a free one within its connect timeout.
    """

    def __init__(self, *, connections: int = 1000) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._lingering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=True,
            trust_env=False,
            read_bufsize=64 * 1024,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._lingering:
            task.cancel()
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def open(
        self, call: Call, timeouts: Timeouts = _DEFAULTS, heard: Callable[[Headers], object] = bool
    ) -> AsyncIterator[Reply]:
        """Send `call`; the reply as soon as its headers are there. Leaving before the body's end closes the socket.

        `heard` is told the headers of the answer, whatever its status.

        Raises ProviderError: what `http_error` makes of a status that is not 2xx, or the way's own (`timeout`,
        `connection`, `protocol_error`, `invalid_request`). Redirects are not followed: a key must not travel to
        another host.
        """
        sent = asyncio.get_running_loop().time()
        response = await self._send(call, timeouts, sent)
        try:
            heard(response.headers)
            await _check(response, call)
            reply = Reply(response, call, timeouts, sent=sent)
            try:
                yield reply
            finally:
                reply.close()
            if reply.is_complete and not response.content.at_eof():
                self._linger(response)
                return
        except BaseException:
            response.close()
            raise
        response.close()  # does nothing to a connection that went back to the pool

    def prewarm(self, call: Call) -> None:
        """Nothing: connections are shared, and the next call takes one that is there (transport.py)."""

    def _linger(self, response: aiohttp.ClientResponse) -> None:
        """Read what is left of an answer that is complete: nearly always its end mark alone, and the next call can then
        do without a handshake."""
        task = asyncio.create_task(_read_out(response))
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)

    async def _send(self, call: Call, timeouts: Timeouts, sent: float) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("Upstream is used inside its `async with`")
        limit, watchdog = min(
            (timeouts.first_event_s, "first_event"), (timeouts.response_s, "response"), (timeouts.total_s, "total")
        )
        try:
            async with asyncio.timeout_at(sent + limit) as timer:
                return await self._session.request(
                    call.method,
                    _as_it_is(call.url),
                    data=_body(call.body) if call.body else None,
                    headers=_headers(call),
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(connect=timeouts.connect_s),
                )
        except aiohttp.ServerTimeoutError:
            raise timed_out("connect", timeouts.connect_s) from None
        except FAILURES as error:
            if timer.expired():
                raise timed_out(watchdog, limit) from None
            raise failure(error, host_of(call.url), in_body=False) from None


async def _check(response: aiohttp.ClientResponse, call: Call) -> None:
    """Raises what `http_error` makes of a status that is not 2xx."""
    if not 200 <= response.status < 300:
        body = redact(await _error_body(response), call.headers)
        raise http_error(response.status, response.headers, body)


def _as_it_is(url: str) -> URL:
    """The URL without a character of it changed, where it is encoded already: a signature is of what is sent."""
    return URL(url, encoded=_ENCODED.fullmatch(url) is not None)


def _body(body: bytes) -> bytes | io.BytesIO:
    """As bytes it goes out with the head, in one write; a long one (aiohttp warns of those) piece by piece."""
    return body if len(body) < _PIECE_BYTES else io.BytesIO(body)


def _headers(call: Call) -> CIMultiDict[str]:
    headers = CIMultiDict(call.headers)
    headers.setdefault("Content-Type", "application/json")
    if call.stream:
        headers.setdefault("Accept-Encoding", "identity")  # a compressor holds back what a stream should show at once
    return headers


async def _read_out(response: aiohttp.ClientResponse) -> None:
    try:
        with suppress(*FAILURES, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while await response.content.readany():
                    pass
    finally:
        response.close()


async def _error_body(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an error's body. Its status is known, so that a body which breaks or stalls changes nothing."""
    body = bytearray()
    with suppress(*FAILURES):
        async with asyncio.timeout(_ERROR_BODY_S):
            while len(body) < _ERROR_BODY_BYTES:
                piece = await response.content.read(_ERROR_BODY_BYTES - len(body))
                if not piece:
                    break
                body += piece
    return bytes(body)


def redact(body: bytes, headers: Mapping[str, str]) -> bytes:
    """`body` without the keys that stand in the request's `headers`: some gateways echo them (design rule 9)."""
    for name, value in headers.items():
        if any(word in name.lower() for word in SECRET_WORDS):
            for secret in value.split():
                if len(secret) > _MIN_SECRET:
                    body = body.replace(secret.encode(), b"***")
    return body


def code_of(kind: type[BaseException]) -> str | None:
    """The code of an exception by ERROR_CODES, if it has one."""
    return next((ERROR_CODES[base] for base in kind.__mro__ if base in ERROR_CODES), None)


def failure(error: Exception, host: str, *, in_body: bool) -> ProviderError:
    """What went wrong on the way, in our words: aiohttp's may quote the URL and its key (design rule 9)."""
    code = code_of(type(error)) or "internal"
    if in_body and code == "connection":
        code = "stream_interrupted"
    what = "the answer was cut off by" if in_body else "no answer from"
    cause = type(error).__name__
    reason = getattr(getattr(error, "os_error", error), "strerror", None) or cause
    return ProviderError(code, f"{what} {host}: {reason}", details={"cause": cause})


def host_of(url: str) -> str:
    """The host (and port) of a URL: all of it that may be shown."""
    try:
        return URL(url).host_port_subcomponent or "an unnamed host"
    except ValueError:
        return "an unnamed host"
