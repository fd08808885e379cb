"""What every run begins with, a submit and a stream or a vendor's request, answered below the framework's routing.

The framework takes from a quarter of a millisecond to a whole one of CPU for a request: as much as all else that a
short run costs. Its routes stay what is described: they call the same functions, and a request that is not plainly in
order (a long body or one of no told length, parameters of a stream besides its cursor) goes on to them, before any
effect.
"""

import re
from collections.abc import Awaitable, Callable, Mapping

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Receive, Scope, Send, WebSocketReceiveMessage

from tailrace.api.bodies import SubmitBody
from tailrace.api.errors import problem
from tailrace.api.runs import start_run
from tailrace.api.services import Services
from tailrace.api.stream import open_stream
from tailrace.api.v1 import chat, messages, responses
from tailrace.api.v1.envelopes import tell
from tailrace.api.v1.exchange import caller
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson

SUBMIT = "/api/v2/submit"
STREAM = "/api/v2/stream/"
VENDORS: dict[str, Callable[[Services, bytes, Mapping[str, str]], Awaitable[ASGIApp]]] = {
    "/v1/responses": responses.answer,
    "/v1/chat/completions": chat.answer,
    "/v1/messages": messages.answer,
}
MOST_BYTES = 65536  # of a body that is read here
_CURSOR = re.compile(rb"(?:after=(?:0|[1-9]\d{0,14}))?")  # or nothing; a longer one is the routes' to refuse


class Front:
    """ASGI: answers these itself, everything else is `app`'s."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._most = min(MOST_BYTES, services.settings.server.max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        answer = self._answer(scope) if scope["type"] == ScopeType.HTTP else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        try:
            await answer(scope, receive, send)
        except Exception as error:  # noqa: BLE001  # as the framework's handler: `problem` knows them, or logs them
            told = tell(scope["path"], problem(error))
            await _json(send, told.status, told.body, told.headers)

    def _answer(self, scope: HTTPScope) -> Callable[[Scope, Receive, Send], Awaitable[None]] | None:
        method, path = scope["method"], scope["path"]
        is_stream = method == "GET" and path.startswith(STREAM) and path.count("/") == 4
        if is_stream and _CURSOR.fullmatch(scope["query_string"]):
            return self._stream
        if method == "POST" and (path == SUBMIT or path in VENDORS) and _is_plain(scope, self._most):
            return self._submit if path == SUBMIT else self._exchange
        return None

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        after = scope["query_string"].removeprefix(b"after=") or dict(scope["headers"]).get(b"last-event-id", b"0")
        stream = await open_stream(self._services, scope["path"].removeprefix(STREAM), after.decode("latin-1"))
        await stream(scope, receive, send)

    async def _submit(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        try:
            data = codec.decode(body, SubmitBody)
        except InvalidJson:
            await self._app(scope, _again(body, receive), send)
            return
        submitted = await start_run(self._services, data, caller(_headers(scope)))
        await _json(send, 202, codec.encode(submitted), {})

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await VENDORS[scope["path"]](self._services, await _read(receive), _headers(scope))
        await answer(scope, receive, send)


def _is_plain(scope: HTTPScope, most: int) -> bool:
    """JSON, and not more than `most` bytes of it."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    return headers.get(b"content-type", b"").startswith(b"application/json") and (
        length.isdigit() and int(length) <= most
    )


async def _read(receive: Receive) -> bytes:
    """The body; of a client that went away in the middle of it, what came."""
    body = b""
    message = await receive()
    while message["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
        message = await receive()
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive`, but the body that was read from it comes first."""
    unread = [body]

    async def receive_again() -> HTTPReceiveMessage | WebSocketReceiveMessage:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return receive_again


def _headers(scope: Scope) -> dict[str, str]:
    """The request's headers; ASGI gives their names in lower case."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def _json(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    lines = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    lines += [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body, "more_body": False})
