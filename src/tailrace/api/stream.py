"""`GET /api/v2/stream/{run_id}`: a run as server-sent events (contract §4, the stream).

Raw ASGI messages, below the framework's response classes: one write per batch of whole frames. The log is the only
source (design rule 1), and a reader is no more than its cursor: where a client reads slowly, only its own task waits
(rule 8).
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Request, get
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.types import ASGIApp, Receive, Scope, Send

from tailrace.api.sending import Sender, serve
from tailrace.api.services import Injected, Services
from tailrace.api.shared_encoding import Encoded
from tailrace.dialects.base import FULL, Detail, Dialect, View
from tailrace.dialects.native.encode import NATIVE
from tailrace.dialects.table import DIALECTS
from tailrace.runs.reader import RunReader
from tailrace.schema.batch import Batch
from tailrace.schema.errors import InvalidRequest, NotFound
from tailrace.wire.sse import comment, retry

RETRY_MS = 1000
KEEP_ALIVE = comment("keep-alive")
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
        sender = Sender(scope, send, KEEP_ALIVE, services.settings.server.keep_alive_s)
        await sender.write(comment("tailrace") + retry(RETRY_MS))
        if await serve(run_id, sender, _pump(sender, services, self.asked), services.readers):
            await left(services, run_id)


async def _pump(sender: Sender, services: Services, asked: Wanted) -> None:
    """What comes while the client is at the end and takes it is written in the commit itself; only a client that lags
    has its task run, and is a cursor then (rule 8)."""
    shared = asked.dialect.shared
    if shared is not None and asked.view == FULL:
        await _pump_shared(sender, services.reader, asked, shared)
        return
    has_sent = False

    def push(encoded: Encoded) -> bool:
        nonlocal has_sent
        has_sent = has_sent or bool(encoded.frames)
        return sender.push(encoded.with_cursors)

    async for made in services.encodings.read(asked.run_id, asked.dialect, asked.view, asked.after, push):
        data = b"".join([each.with_cursors for each in made])
        if data:
            await sender.write(data)
            has_sent = True
    if has_sent and asked.dialect.closing:  # past the end there is nothing at all
        await sender.write(asked.dialect.closing)


async def _pump_shared(sender: Sender, reader: RunReader, asked: Wanted, shared: Callable[[Batch], bytes]) -> None:
    write = sender.push

    def push(batch: Batch) -> bool:
        return not batch.ends and write(batch.memo(shared))

    async for page in reader.pages(asked.run_id, asked.after, push):
        data = b"".join([batch.memo(shared) for batch in page])
        await sender.write(data, last=page[-1].ends)


async def left(services: Services, run_id: str) -> None:
    """The last reader has gone before the end: the run ends too, where its request said so (`on_disconnect`)."""
    if services.readers.has(run_id):
        return
    with suppress(NotFound):  # ended, and forgotten, meanwhile
        run = await services.store.get_run(run_id)
        if run.request.on_disconnect == "cancel":
            await services.control.stop(run_id, "its reader went away")
