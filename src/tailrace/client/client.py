"""The Python client: a Tailrace server's `/api/v2` over HTTP.

It reads a run to its end, whatever happens to connections on the way: each reconnection goes on at the next event
(`Last-Event-ID`), so that nothing is lost or doubled. It gives up after `attempts` failures in a row without an event.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from tailrace.schema import codec
from tailrace.schema.errors import TailraceError
from tailrace.schema.events import Event
from tailrace.schema.response import ENDED, Response
from tailrace.wire.sse import SseEvent, SseParser

LAST_FRAMES = frozenset(
    {"response_done", "response_error", "turn_aborted_by_user", "turn_complete", "turn_error", "turn_aborted"}
)

UNREACHABLE = (aiohttp.ClientError, OSError, ValueError)  # ValueError: what was given is no address


class ClientError(TailraceError):
    """The server refused, or could not be reached. `status` is 0 for the latter."""

    def __init__(self, message: str, *, status: int = 0, code: str = "connection", field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


class Client:
    """`async with Client("http://127.0.0.1:4010") as client: …`.

    `attempts` failures in a row end a stream; `retry_s` is the wait after the first, doubled with each, at most 5 s.
    `silence_s`: a connection that brings not a byte for so long is lost; a server has something to say more often
    (`server.keep_alive_s`).
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        attempts: int = 30,
        retry_s: float = 0.2,
        silence_s: float = 60.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._attempts = attempts
        self._retry_s = retry_s
        self._silence_s = silence_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=self._silence_s)
        connector = aiohttp.TCPConnector(limit=0)  # a connection per stream, and those are the user's to limit
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open().close()

    async def request(self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None) -> Any:
        """One call: the decoded answer, None where there is none. Raises ClientError."""
        data = None if body is None else codec.encode(body)
        headers = {"content-type": "application/json"}
        try:
            async with self._open().request(
                method, self._url + path, data=data, headers=headers, params=query
            ) as reply:
                content = await reply.read()
                if reply.status >= 400:
                    raise refusal(reply.status, content)
                return codec.decode_any(content) if content else None
        except UNREACHABLE as error:
            raise unreachable(self._url, error) from error

    async def submit(self, **body: Any) -> dict[str, str]:
        """Start a run: {run_id, turn_id, thread_id, stream_url}. Raises ClientError."""
        answer: dict[str, str] = await self.request("POST", "/api/v2/submit", body)
        return answer

    async def run(self, run_id: str) -> Response:
        """The run as of now. Raises ClientError."""
        return codec.convert(await self.request("GET", f"/api/v2/runs/{segment(run_id)}"), Response)

    async def outputs(self, run_id: str, outputs: list[dict[str, Any]]) -> None:
        """Give the outputs of calls that the run waits for. Raises ClientError."""
        await self.request("POST", f"/api/v2/runs/{segment(run_id)}/outputs", {"outputs": outputs})

    async def approve(
        self, run_id: str, approval_id: str, decision: str, *, reason: str | None = None, by: str | None = None,
        content: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Decide about a tool call: approved, approved_for_run or denied; or answer what a running one asks: approved,
        with the `content` of its form, denied or cancelled. Raises ClientError."""
        given = {"decision": decision, "reason": reason, "by": by, "content": content}
        body = {name: value for name, value in given.items() if value or value == {}}
        await self.request("POST", f"/api/v2/runs/{segment(run_id)}/approvals/{segment(approval_id)}", body)

    async def cancel(self, run_id: str) -> None:
        """End the run. Raises ClientError."""
        await self.request("POST", f"/api/v2/runs/{segment(run_id)}/cancel")

    async def events(self, run_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """The run's events behind `after`, to its terminal one. Raises ClientError."""
        async with aclosing(self.frames(run_id, after=after)) as frames:
            async for frame in frames:
                yield codec.decode_event(frame.data)

    async def frames(self, run_id: str, *, dialect: str = "native", after: int = 0) -> AsyncGenerator[SseEvent, None]:
        """The run in a dialect, frame by frame, to its end. Raises ClientError."""
        failures = 0
        while True:
            error: ClientError | None = None
            connection = self._connection(run_id, dialect, after)
            try:
                async for frame in connection:
                    failures = 0
                    after = int(frame.id or after)
                    yield frame
                    if frame.event in LAST_FRAMES:
                        return
            except ClientError as caught:
                if caught.status and caught.status < 500:
                    raise
                error = caught
            finally:
                await connection.aclose()
            if error is None and await self._is_read(run_id, after):
                return
            failures += 1
            if failures >= self._attempts:
                raise error or ClientError(f"the stream of {run_id} closed {failures} times without an event")
            await asyncio.sleep(min(5.0, self._retry_s * 2 ** (failures - 1)))

    async def _is_read(self, run_id: str, after: int) -> bool:
        """Is there nothing behind `after`, now or later? The server closes such a stream at once."""
        run = await self.run(run_id)
        return run.status in ENDED and after >= run.last_seq

    async def _connection(self, run_id: str, dialect: str, after: int) -> AsyncGenerator[SseEvent, None]:
        """One connection's frames; ends where the server closes it."""
        parser = SseParser()
        headers = {"last-event-id": str(after)} if after else {}
        url = f"{self._url}/api/v2/stream/{segment(run_id)}"
        try:
            async with self._open().get(url, params={"dialect": dialect}, headers=headers) as reply:
                if reply.status >= 400:
                    raise refusal(reply.status, await reply.read())
                async for data in reply.content.iter_any():
                    for frame in parser.feed(data):
                        yield frame
        except UNREACHABLE as error:
            raise unreachable(self._url, error) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the client within `async with`")
        return self._session


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def refusal(status: int, content: bytes) -> ClientError:
    """The server's uniform error body (contract §4) as an exception."""
    try:
        error = codec.decode_any(content)["error"]
        details = error.get("details") or {}
        return ClientError(error["message"], status=status, code=error["code"], field=details.get("field"))
    except (TailraceError, KeyError, TypeError):
        return ClientError(f"the server answered {status}", status=status, code="internal")


def unreachable(url: str, error: Exception) -> ClientError:
    """No answer."""
    return ClientError(f"{url} cannot be reached ({type(error).__name__}); is `tailrace serve` running?")
