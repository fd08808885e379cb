"""The HTTP way to providers: one pool of connections, one reply at a time, every failure a ProviderError.

Nothing here knows what the bytes mean. Errors carry no URL, header or body of the request (design rule 9).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self

from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from tailrace import __version__
from tailrace.adapters.errors import http_error
from tailrace.schema.errors import ProviderError
from tailrace.upstream.http_answer import Answer
from tailrace.upstream.http_connection import Connection
from tailrace.upstream.http_errors import FAILURES, failure
from tailrace.upstream.http_pool import Pool
from tailrace.upstream.http_reply import Reply, Take
from tailrace.upstream.http_request import request
from tailrace.upstream.watchdog import Timeouts, timed_out

__all__ = ["SECRET_WORDS", "Call", "Headers", "Reply", "Session", "Take", "Timeouts", "Upstream", "host_of", "redact"]

_DEFAULTS = Timeouts()
_ERROR_BODY_BYTES = 64 * 1024
_ERROR_BODY_S = 10.0
_LINGER_S = 1.0
SECRET_WORDS = ("auth", "key", "token", "secret", "cookie")
_MIN_SECRET = 6  # shorter words of a header are no keys, but words like "Bearer"

Headers = Mapping[str, str]


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


class Upstream:
    """All providers' connections. `async with Upstream() as upstream: async with upstream.open(call) as reply: …`.

    At most `connections` at a time; a call beyond that waits for a free one within its connect timeout.
    """

    def __init__(self, *, connections: int = 1000) -> None:
        self._connections = connections
        self._pool: Pool | None = None

    async def __aenter__(self) -> Self:
        self._pool = Pool(self._connections)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

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
        connection, answer = await self._send(call, timeouts, sent)
        try:
            heard(answer.headers)
            reply = Reply(connection, answer, host_of(call.url), timeouts, sent=sent)
            try:
                await _check(reply, call)
                yield reply
            finally:
                reply.close()
            if reply.is_complete and answer.is_coming:
                # Nearly always its end mark alone is still to come, and the next call can then do without a handshake.
                connection.linger(answer, _LINGER_S)
                return
        except BaseException:
            connection.call_off(answer)
            raise
        connection.call_off(answer)

    def prewarm(self, call: Call) -> None:
        """Nothing: connections are shared, and the next call takes one that is there (transport.py)."""

    async def _send(self, call: Call, timeouts: Timeouts, sent: float) -> tuple[Connection, Answer]:
        if self._pool is None:
            raise RuntimeError("Upstream is used inside its `async with`")
        asked = request(call.method, call.url, _headers(call), call.body)
        limit, watchdog = min(
            (timeouts.first_event_s, "first_event"), (timeouts.response_s, "response"), (timeouts.total_s, "total")
        )
        try:
            async with asyncio.timeout_at(sent + limit) as timer:
                connection = await self._pool.lease(asked.origin, timeouts.connect_s)
                return connection, await connection.ask(asked)
        except FAILURES as error:
            if timer.expired():
                raise timed_out(watchdog, limit) from None
            raise failure(error, host_of(call.url), in_body=False) from None


async def _check(reply: Reply, call: Call) -> None:
    """Raises what `http_error` makes of a status that is not 2xx."""
    if not 200 <= reply.status < 300:
        body = redact(await _error_body(reply), call.headers)
        raise http_error(reply.status, reply.headers, body)


def _headers(call: Call) -> CIMultiDict[str]:
    """The call's, and what any request says."""
    headers = CIMultiDict(call.headers)
    headers.setdefault("Content-Type", "application/json")
    headers.setdefault("Accept", "*/*")
    # A compressor holds back what a stream should show at once.
    headers.setdefault("Accept-Encoding", "identity" if call.stream else "gzip, deflate")
    headers.setdefault("User-Agent", f"tailrace/{__version__}")
    return headers


async def _error_body(reply: Reply) -> bytes:
    """The beginning of an error's body. Its status is known, so that a body which breaks or stalls changes nothing."""
    body = bytearray()

    def take(data: bytes) -> bool:
        body.extend(data)
        return len(body) < _ERROR_BODY_BYTES

    with suppress(ProviderError, TimeoutError):
        async with asyncio.timeout(_ERROR_BODY_S):
            while len(body) < _ERROR_BODY_BYTES and await reply.feed(take):
                pass
    return bytes(body[:_ERROR_BODY_BYTES])


def redact(body: bytes, headers: Mapping[str, str]) -> bytes:
    """`body` without the keys that stand in the request's `headers`: some gateways echo them (design rule 9)."""
    for name, value in headers.items():
        if any(word in name.lower() for word in SECRET_WORDS):
            for secret in value.split():
                if len(secret) > _MIN_SECRET:
                    body = body.replace(secret.encode(), b"***")
    return body


def host_of(url: str) -> str:
    """The host (and port) of a URL: all of it that may be shown."""
    try:
        return URL(url).host_port_subcomponent or "an unnamed host"
    except ValueError:
        return "an unnamed host"
