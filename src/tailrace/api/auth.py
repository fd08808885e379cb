"""API keys: `Authorization: Bearer KEY` or `X-API-Key: KEY`. Only digests are kept, and compared in constant time."""

from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from tailrace.api.errors import problem
from tailrace.api.health import OPEN_PATHS
from tailrace.api.v1.envelopes import tell
from tailrace.schema.errors import Unauthorized

# How a request of each kind is answered where it is not let through (ASGI, "websocket.http.response").
_ANSWERS = {ScopeType.HTTP: "http.response", ScopeType.WEBSOCKET: "websocket.http.response"}


class Auth:
    """ASGI middleware: lets through who has a key; with no keys set, everyone (the app then serves loopback only)."""

    def __init__(self, app: ASGIApp, keys: Iterable[str]) -> None:
        self._app = app
        self._digests = [sha256(key.encode()).digest() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 401."""
        is_open = scope["type"] not in _ANSWERS or not self._digests or scope["path"] in OPEN_PATHS
        if is_open or self._knows(_key(scope)):
            await self._app(scope, receive, send)
            return
        unknown = Unauthorized("give a key: `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        told = tell(scope["path"], problem(unknown))
        headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
        answer = _ANSWERS[scope["type"]]
        start: Any = {"type": f"{answer}.start", "status": told.status, "headers": headers}
        body: Any = {"type": f"{answer}.body", "body": told.body, "more_body": False}
        await send(start)
        await send(body)

    def _knows(self, key: bytes) -> bool:
        digest = sha256(key).digest()
        return any(compare_digest(digest, known) for known in self._digests)


def _key(scope: Scope) -> bytes:
    headers = dict(scope["headers"])
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
