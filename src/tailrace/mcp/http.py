"""A server on the network, over streamable HTTP (specification of 2025-11-25, "Transports")."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import httpx2
from mcp.client.streamable_http import streamable_http_client

from tailrace.mcp.link import MOST_BYTES, Streams

CONNECT_S = 10.0
SESSION = "mcp-session-id"


class Http:
    """One connection; `connect` begins it. How long an answer may take is the callers' affair: a person may have to be
    asked."""

    def __init__(self, url: str, headers: Mapping[str, str], auth: httpx2.Auth | None = None) -> None:
        self._url = url
        self._headers = dict(headers)
        self._auth = auth
        self.closed = asyncio.Event()
        self.reason: str | None = None
        self.forgotten = False

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Streams]:
        """The streams of messages from and to it. Raises an ExceptionGroup of httpx2's errors."""
        timeout = httpx2.Timeout(CONNECT_S, read=None)
        async with (
            httpx2.AsyncClient(
                headers=self._headers,
                timeout=timeout,
                auth=self._auth,
                transport=_Transport(self._seen),
                trust_env=False,
            ) as client,
            streamable_http_client(self._url, http_client=client, max_sse_event_size=MOST_BYTES) as streams,
        ):
            yield streams

    def _seen(self, response: httpx2.Response, request: httpx2.Request) -> None:
        """Servers that were started anew should say 404 of a session that they do not know; some say 400."""
        status = response.status_code
        self.reason = f"it answered HTTP {status}" if status >= 400 else None
        self.forgotten = self.forgotten or (status in {400, 404} and SESSION in request.headers)


class _Transport(httpx2.AsyncHTTPTransport):
    """Shows each answer to `seen`. One that is a JSON text has at most MOST_BYTES bytes; events are bounded by the SDK,
    one by one."""

    def __init__(self, seen: Callable[[httpx2.Response, httpx2.Request], None]) -> None:
        super().__init__()
        self._seen = seen

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        response = await super().handle_async_request(request)
        self._seen(response, request)
        is_stream = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        if not is_stream and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Counted(response.stream)
        return response


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for piece in self._stream:
            count += len(piece)
            if count > MOST_BYTES:
                raise httpx2.StreamError(f"the answer has more than {MOST_BYTES} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
