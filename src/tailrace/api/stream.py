"""`GET /api/v2/stream/{run_id}`: a run as server-sent events (contract §4, the stream).

Raw ASGI messages, below the framework's response classes: one write per batch of whole frames. The log is the only
source (design rule 1), and a reader is no more than its cursor: where a client reads slowly, only its own task waits
(rule 8).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Request, get
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.types import ASGIApp, Receive, Scope, Send

from tailrace.api.readers import part
from tailrace.api.services import Injected, Services
from tailrace.api.transport import Write, writer_of
from tailrace.dialects.base import FULL, Detail, Dialect, View
from tailrace.dialects.native.encode import NATIVE
from tailrace.dialects.table import DIALECTS
from tailrace.log.writer import ends
from tailrace.runs.reader import RunReader
from tailrace.schema.batch import Batch
from tailrace.schema.errors import InvalidRequest, NotFound
from tailrace.wire.sse import comment, retry

RETRY_MS = 1000
MAX_CURSOR = 2**53 - 1  # what a JSON reader can tell apart
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would otherwise hold events back
]
PARAMETERS = frozenset({"dialect", "after", "reasoning", "tools"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asked to read."""

    run_id: str
    dialect: Dialect
    view: View
    after: int


@get("/api/v2/stream/{run_id:str}", media_type="text/event-stream")
async def stream(
    run_id: FromPath[str],
    request: Request[Any, Any, Any],
    services: Injected,
    dialect: FromQuery[str] = "native",
    after: Annotated[int | None, QueryParameter(ge=0, le=MAX_CURSOR)] = None,
    reasoning: FromQuery[Detail] = "full",
    tools: FromQuery[Detail] = "full",
) -> ASGIApp:
    """Read a run as server-sent events, from `after` (or `Last-Event-ID`) to its end."""
    unknown = sorted(set(request.query_params) - PARAMETERS)
    if unknown:
        raise InvalidRequest(f"unknown parameter; there are {', '.join(sorted(PARAMETERS))}", field=unknown[0])
    if dialect not in DIALECTS:
        raise InvalidRequest(f"no dialect {dialect!r}; there are {', '.join(DIALECTS)}", field="dialect")
    view = View(reasoning=reasoning, tools=tools)
    cursor = request.headers.get("last-event-id", "0") if after is None else str(after)
    return await open_stream(services, run_id, cursor, DIALECTS[dialect], view)


async def open_stream(
    services: Services, run_id: str, cursor: str, dialect: Dialect = NATIVE, view: View = FULL
) -> ASGIApp:
    """The answer that streams the run from behind `cursor`, a `Last-Event-ID`. Raises InvalidRequest, NotFound."""
    after = _cursor(cursor)
    await services.reader.exists(run_id)
    return _Stream(services, Wanted(run_id, dialect, view, after))


def _cursor(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_CURSOR))):
        raise InvalidRequest("must be a sequence number: 0, 1, 2, …", field="Last-Event-ID")
    return int(text)


@dataclass(frozen=True, slots=True)
class _Stream:
    """The response."""

    services: Services
    asked: Wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services, run_id = self.services, self.asked.run_id
        await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        sender = _Sender(send, writer_of(scope))
        await sender.write(comment("tailrace") + retry(RETRY_MS))
        pump = asyncio.create_task(_pump(sender, services, self.asked))
        with services.readers.reading(run_id, pump):
            gone = await _serve(run_id, sender, pump, receive, services.settings.server.keep_alive_s)
        if gone:
            await left(services, run_id)


class _Sender:
    """Writes to one client. Knows whether it has been `silent` since that was last set, and if it has `ended`."""

    __slots__ = ("_send", "_write", "ended", "silent")

    def __init__(self, send: Send, write: Write) -> None:
        self._send = send
        self._write = write
        self.ended = False
        self.silent = True

    def push(self, data: bytes) -> bool:
        """Send these bytes at once, or not at all: False where the client is not taking any."""
        self.silent = False
        return self._write(data)

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send these bytes, waiting while the client is not taking any; the `last` ones with the body's end."""
        self.silent, self.ended = False, last
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})


async def _serve(run_id: str, sender: _Sender, pump: asyncio.Task[None], receive: Receive, keep_alive_s: float) -> bool:
    """Let the client hear something every `keep_alive_s` at the latest.

    Until the run ends, the server stops (the pump is then cancelled), or the client goes away: True for the last.
    """
    gone = asyncio.create_task(disconnected(receive))
    try:
        while not pump.done() and not gone.done():
            # Looked at twice in the time allowed, with one timer per look instead of one per write.
            await asyncio.wait({pump, gone}, timeout=keep_alive_s / 2, return_when=asyncio.FIRST_COMPLETED)
            if sender.silent and not pump.done() and not gone.done():
                await sender.write(comment("keep-alive"))
            sender.silent = True
    finally:
        left = not pump.done() and not sender.ended
        pump.cancel()
        gone.cancel()
        await asyncio.wait({pump, gone})
    if left:
        return True
    part(run_id, pump)
    if not sender.ended:
        await sender.write(b"", last=True)
    return False


async def _pump(sender: _Sender, services: Services, asked: Wanted) -> None:
    shared = asked.dialect.shared
    if shared is not None and asked.view == FULL:
        await _pump_shared(sender, services.reader, asked, shared)
        return
    closing = b""
    async for made in services.encodings.read(asked.run_id, asked.dialect, asked.view, asked.after):
        data = b"".join([each.with_cursors for each in made])
        if data:
            await sender.write(data)
            closing = asked.dialect.closing
    if closing:  # past the end there is nothing at all
        await sender.write(closing)


async def _pump_shared(sender: _Sender, reader: RunReader, asked: Wanted, shared: Callable[[Batch], bytes]) -> None:
    """What comes while the client is at the end and takes it is written in the commit itself; only a client that lags
    has its task run, and is a cursor then (rule 8)."""
    name = asked.dialect.name

    def push(batch: Batch) -> bool:
        return not ends(batch.payloads) and sender.push(batch.memo(name, shared))

    async for page in reader.pages(asked.run_id, asked.after, push):
        data = b"".join([batch.memo(name, shared) for batch in page])
        await sender.write(data, last=ends(page[-1].payloads))


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def left(services: Services, run_id: str) -> None:
    """The last reader has gone before the end: the run ends too, where its request said so (`on_disconnect`)."""
    if services.readers.has(run_id):
        return
    with suppress(NotFound):  # ended, and forgotten, meanwhile
        run = await services.store.get_run(run_id)
        if run.request.on_disconnect == "cancel":
            await services.control.stop(run_id, "its reader went away")
