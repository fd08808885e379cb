"""One request, one run, one answer: what all protocols of `/v1` share.

The run is submitted like any other. Its answer is its log in the protocol's dialect, streamed as its vendor streams it
(no cursor of ours on the frames), or folded and told as a whole (design rule 7). Raw ASGI below the framework's
response classes, as in api/stream.py: one write per batch of whole frames; a reader is only its cursor (rule 8).

A client that goes away before the end: a stored run goes on, one that is not stored stops (`RunRequest.on_disconnect`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from litestar.types import ASGIApp, Receive, Scope, Send

from tailrace.adapters.wires import check
from tailrace.api.errors import Problem
from tailrace.api.sending import Sender, serve, while_there
from tailrace.api.services import Services
from tailrace.api.shared_encoding import Encoded
from tailrace.api.stream import KEEP_ALIVE, STREAM_HEADERS, left
from tailrace.api.transport import client_of
from tailrace.api.v1.envelopes import Envelope, Told, failure
from tailrace.dialects.base import FULL, Dialect, View
from tailrace.fold.reducer import Reducer
from tailrace.runs import tracing
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import TraceContext
from tailrace.schema.request import RunRequest
from tailrace.schema.response import ErrorInfo, Response
from tailrace.store.base import Thread

Headers = list[tuple[bytes, bytes]]
Push = Callable[[bytes], bool]  # sends these bytes at once (True), or not at all

JSON_HEADERS: Headers = [(b"content-type", b"application/json")]
CANCELLED = "the request was cancelled"


@dataclass(frozen=True, slots=True)
class Asked:
    """A run, as one of the protocols asks for it, and how that protocol wants it answered.

    `request.thread_id` is a thread to be made where the run `opens_thread`; otherwise it exists. `whole` writes the
    answer to a request that does not stream; its Response begins with the request's input items (`request.input` says
    how many). `keep_alive` is a whole frame that the vendor's clients pass over.
    """

    request: RunRequest
    dialect: Dialect
    stream: bool
    whole: Callable[[Response, RunRequest], bytes]
    envelope: Envelope
    view: View = FULL
    keep_alive: bytes = KEEP_ALIVE
    headers: Mapping[str, str] = field(default_factory=dict)
    watch: Callable[[Batch], None] | None = None


async def exchange(services: Services, asked: Asked, headers: Mapping[str, str]) -> ASGIApp:
    """Submit the run; the answer to send. `headers` are the request's. Raises RequestError, before anything is sent."""
    run = await submit(services, asked.request, caller(headers))
    own = [(name.lower().encode(), value.encode()) for name, value in asked.headers.items()]
    if asked.stream:
        source = partial(vendor_frames, services, run.run_id, asked.dialect, asked.view, 0)
        return Streamed(services, run.run_id, source, asked.keep_alive, [*STREAM_HEADERS, *own])
    return Whole(services, run, asked.whole, asked.envelope, [*JSON_HEADERS, *own], asked.watch)


def caller(headers: Mapping[str, str]) -> TraceContext | None:
    """The caller's trace context, where it sent one. Names are in lower case."""
    return tracing.of_headers(headers.get("traceparent"), headers.get("tracestate"))


async def submit(services: Services, run: RunRequest, parent: TraceContext | None) -> RunRequest:
    """Check with the provider's wire, store and begin the run; as it is stored. Raises RequestError."""
    provider, model_id = services.registry.resolve(run.model_id, run.provider_id)
    check(provider.wire, model_id, provider.quirks, run.generation, run.input)
    now = services.now()
    thread = Thread(thread_id=run.thread_id, created_at=now, updated_at=now) if run.opens_thread else None
    with services.tracing.span("submit", parent, server=True, run_id=run.run_id) as span:
        return await services.submitter.submit(run, "", thread, "reject", now, span)


async def vendor_frames(
    services: Services, run_id: str, dialect: Dialect, view: View, skip: int, push: Push
) -> AsyncIterator[bytes]:
    """The run's frames from the first but `skip` on, as the vendor sends them, to the end and what closes it; but for
    those that `push` has taken."""

    def offered(encoded: Encoded) -> bool:
        return not skip and push(encoded.bare)

    async for made in services.encodings.read(run_id, dialect, view, 0, offered):
        count = sum(len(each.frames) for each in made)
        if skip >= count:
            skip -= count
        elif skip:
            frames = [frame for each in made for frame in each.frames][skip:]
            skip = 0
            yield b"".join([frame.bare() for frame in frames])
        else:
            yield b"".join([each.bare for each in made])
    if dialect.closing:
        yield dialect.closing


async def ended(services: Services, run_id: str, watch: Callable[[Batch], None] | None = None) -> Response:
    """The run once it has ended: the fold of its log, its input items included. Raises NotFound.

    Nobody hears of it before: what comes is folded in the commit itself, and only the end wakes this task.
    """
    state = Reducer()

    def take(batch: Batch) -> bool:
        state.fold((batch,))
        if watch is not None:
            watch(batch)
        return True

    async for page in services.reader.pages(run_id, 0, lambda batch: not batch.ends and take(batch)):
        for batch in page:
            take(batch)
    return state.response()


@dataclass(frozen=True, slots=True)
class Streamed:
    """A streamed answer. The body is closed right behind the terminal frame: clients wait for that.

    `source` gives the frames that the function it is called with has not taken.
    """

    services: Services
    run_id: str
    source: Callable[[Push], AsyncIterator[bytes]]
    keep_alive: bytes = KEEP_ALIVE
    headers: Headers = field(default_factory=lambda: STREAM_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        services, run_id = self.services, self.run_id
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        sender = Sender(scope, send, self.keep_alive, services.settings.server.keep_alive_s)
        if await serve(run_id, sender, _pump(sender, self.source(sender.push)), services.readers):
            await left(services, run_id)


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one piece, when the run has ended; the vendor's error envelope where it failed."""

    services: Services
    run: RunRequest
    write: Callable[[Response, RunRequest], bytes]
    envelope: Envelope
    headers: Headers = field(default_factory=lambda: JSON_HEADERS)
    watch: Callable[[Batch], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        client = client_of(scope)
        stayed = await while_there(self.run.run_id, self._answer(send), client, self.services.readers)
        if not stayed and client.is_gone:
            await left(self.services, self.run.run_id)

    async def _answer(self, send: Send) -> None:
        try:
            response = await ended(self.services, self.run.run_id, self.watch)
        except asyncio.CancelledError:  # the client has gone, or the server stops
            await send_told(send, self.envelope.tell(Problem(503, "not_ready", "the server stops")))
            raise
        problem = problem_of(response)
        if problem is None:
            await send_whole(send, 200, self.headers, self.write(response, self.run))
        else:
            await send_told(send, self.envelope.tell(problem), self.headers)


class Json200:
    """A JSON answer that is there already."""

    def __init__(self, value: object) -> None:
        self._body = codec.encode(value)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send_whole(send, 200, JSON_HEADERS, self._body)


class Refused:
    """An error as a vendor tells it."""

    def __init__(self, told: Told) -> None:
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send_told(send, self._told)


def problem_of(response: Response) -> Problem | None:
    """Why there is no answer; None where there is one."""
    if response.status == "aborted":
        return Problem(409, "conflict", CANCELLED)
    if response.status != "error":
        return None
    return failure(response.error or ErrorInfo(code="internal", message="the run failed"))


async def _pump(sender: Sender, source: AsyncIterator[bytes]) -> None:
    async for data in source:
        if data:
            await sender.write(data)


async def send_told(send: Send, told: Told, headers: Headers = JSON_HEADERS) -> None:
    """Send an error."""
    extra = [(name.encode(), value.encode()) for name, value in told.headers.items()]
    await send_whole(send, told.status, [*headers, *extra], told.body)


async def send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send an answer in one piece."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body, "more_body": False})
