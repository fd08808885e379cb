"""`GET /api/v2/stream/{run_id}`: a run as server-sent events (contract §4, the stream).

Raw ASGI messages, below the framework's response classes: one write per batch of whole frames. The log is the only
source (design rule 1), and a reader is no more than its cursor: where a client reads slowly, only its own task waits
(rule 8).
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.handlers import asgi
from litestar.types import Receive, Scope, Send

from tailrace.api.errors import problem
from tailrace.api.services import Services
from tailrace.dialects.base import Dialect, View, sse
from tailrace.dialects.table import DIALECTS
from tailrace.runs.reader import RunReader
from tailrace.schema.errors import InvalidRequest, RequestError
from tailrace.wire.sse import comment, retry

RETRY_MS = 1000
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would otherwise hold events back
]
PARAMETERS = frozenset({"dialect", "after", "reasoning", "tools"})
DETAILS = ("full", "summary", "none")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asked to read."""

    run_id: str
    dialect: Dialect
    view: View
    after: int


def wanted(run_id: str, query: dict[str, str], last_event_id: str | None) -> Wanted:
    """The request, checked. `after` in the query wins over `Last-Event-ID`. Raises InvalidRequest."""
    unknown = sorted(set(query) - PARAMETERS)
    if unknown:
        raise InvalidRequest(f"unknown parameter; there are {', '.join(sorted(PARAMETERS))}", field=unknown[0])
    name = query.get("dialect", "native")
    if name not in DIALECTS:
        raise InvalidRequest(f"no dialect {name!r}; there are {', '.join(DIALECTS)}", field="dialect")
    view = View(reasoning=_detail(query, "reasoning"), tools=_detail(query, "tools"))
    if "after" in query:
        after = _cursor(query["after"], "after")
    else:
        after = _cursor(last_event_id, "Last-Event-ID") if last_event_id else 0
    return Wanted(run_id, DIALECTS[name], view, after)


def _detail(query: dict[str, str], name: str) -> Any:
    value = query.get(name, "full")
    if value not in DETAILS:
        raise InvalidRequest(f"must be one of {', '.join(DETAILS)}", field=name)
    return value


def _cursor(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidRequest("must be a sequence number: 0, 1, 2, …", field=field)
    return int(text)


@asgi("/api/v2/stream/{run_id:str}", copy_scope=False)
async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the run from the cursor on, to its end."""
    request: Request[Any, Any, Any] = Request(scope, receive, send)
    services: Services = scope["app"].state.services
    try:
        if request.method != "GET":
            raise InvalidRequest(f"{request.method} is not for streams; use GET")
        asked = wanted(scope["path_params"]["run_id"], dict(request.query_params), request.headers.get("last-event-id"))
        await services.reader.exists(asked.run_id)
    except RequestError as error:
        await _refuse(send, error)
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await _write(send, comment("tailrace") + retry(RETRY_MS))
    sender = _Sender(send)
    pump = asyncio.create_task(_pump(sender, services.reader, asked))
    with services.readers.reading(asked.run_id, pump):
        left = await _serve(sender, pump, receive, services.settings.server.keep_alive_s)
    if left:
        await _left(services, asked.run_id)


async def _refuse(send: Send, error: RequestError) -> None:
    told = problem(error)
    headers = [(b"content-type", b"application/json"), *((k.encode(), v.encode()) for k, v in told.headers().items())]
    await send({"type": "http.response.start", "status": told.status, "headers": headers})
    await send({"type": "http.response.body", "body": told.body(), "more_body": False})


async def _write(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


class _Sender:
    """Writes to one client, and knows whether it has been silent since it was last asked."""

    __slots__ = ("_send", "silent")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.silent = True

    async def write(self, data: bytes) -> None:
        """Send these bytes, waiting while the client is not taking any."""
        self.silent = False
        await _write(self._send, data)

    async def end(self) -> None:
        """The body is complete."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _serve(sender: _Sender, pump: asyncio.Task[None], receive: Receive, keep_alive_s: float) -> bool:
    """Let the client hear something every `keep_alive_s` at the latest.

    Until the run ends, the server stops (the pump is then cancelled), or the client goes away: True for the last.
    """
    gone = asyncio.create_task(_disconnected(receive))
    try:
        while not pump.done() and not gone.done():
            # Looked at twice in the time allowed, with one timer per look instead of one per write.
            await asyncio.wait({pump, gone}, timeout=keep_alive_s / 2, return_when=asyncio.FIRST_COMPLETED)
            if sender.silent and not pump.done() and not gone.done():
                await sender.write(comment("keep-alive"))
            sender.silent = True
    finally:
        left = not pump.done()
        pump.cancel()
        gone.cancel()
        await asyncio.wait({pump, gone})
    if left:
        return True
    if not pump.cancelled():
        pump.result()
    await sender.end()
    return False


async def _pump(sender: _Sender, reader: RunReader, asked: Wanted) -> None:
    shared = asked.dialect.shared if asked.view == View() else None
    if shared is not None:
        name = asked.dialect.name
        async for batch in reader.batches(asked.run_id, asked.after):
            await sender.write(batch.memo(name, shared))
        return
    encoder = asked.dialect.encoder(asked.view)
    async for batch in reader.batches(asked.run_id, 0):
        data = sse(encoder.encode(batch), asked.after)
        if data:
            await sender.write(data)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _left(services: Services, run_id: str) -> None:
    """The last reader has gone before the end: the run ends too, where its request said so (`on_disconnect`)."""
    if services.readers.has(run_id):
        return
    run = await services.store.get_run(run_id)
    if run.request.on_disconnect == "cancel":
        await services.runner.stop(run_id, "its reader went away")
