"""`/v1/responses` over WebSocket: `response.create` in, the stream's events out, one text frame each (Open Responses).

One response at a time. What is not stored is kept by the connection, so that the next request can go on from it
(`previous_response_id`); a continuation that fails forgets what it went on from. `generate: false` warms up: nothing is
asked of the model, and what was given can be gone on from.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from litestar import WebSocket, get, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.types import ASGIApp

from tailrace.api import errors
from tailrace.api.errors import Problem
from tailrace.api.services import Injected, Services
from tailrace.api.stream import left
from tailrace.api.v1.asking import Before, earlier_items, items_of, to_run
from tailrace.api.v1.envelopes import RESPONSES as ENVELOPE
from tailrace.api.v1.exchange import Refused, submit
from tailrace.api.v1.responses import VERSION_HEADER
from tailrace.dialects.base import FULL
from tailrace.dialects.responses.body import ResponseBody, check
from tailrace.dialects.responses.encode import ResponsesEncoder
from tailrace.fold.reducer import Reducer
from tailrace.runs import tracing
from tailrace.runs.drive import opening
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.events import ResponseDone, TraceContext
from tailrace.schema.items import OutputItem
from tailrace.schema.request import RunRequest
from tailrace.schema.response import Response

LIMIT_S = 3600.0  # how long a connection may last (OpenAI's limit)
KEPT = 16  # responses that a connection remembers
WAITING = 8  # requests that may wait for the one under way
GOING_AWAY, TRY_AGAIN = 1001, 1013  # RFC 6455 §7.4.1, IANA
_NOT_HERE = frozenset({"type", "generate", "stream", "stream_options", "background"})

Socket = WebSocket[Any, Any, Any]


@websocket("/v1/responses")
async def responses_socket(socket: Socket, services: Injected) -> None:
    """Responses over one connection, one after another."""
    await socket.accept()
    await Connection(services, socket, LIMIT_S).serve()


@get("/v1/responses")
async def upgrade_required() -> ASGIApp:
    """What a client hears that asks for a WebSocket where they are switched off (RFC 9110 §15.5.22)."""
    problem = Problem(426, "invalid_request", "connect with WebSocket (where `server.websockets` is set), or use POST")
    told = ENVELOPE.tell(problem)
    return Refused(told._replace(headers={"upgrade": "websocket", "connection": "Upgrade"}))


class Connection:
    """One client. `limit_s`: after so many seconds it is asked to connect anew."""

    def __init__(self, services: Services, socket: Socket, limit_s: float) -> None:
        self._services = services
        self._socket = socket
        self._limit_s = limit_s
        self._open_responses = VERSION_HEADER in socket.headers
        self._parent = tracing.of_headers(socket.headers.get("traceparent"), socket.headers.get("tracestate"))
        self._kept: OrderedDict[str, list[OutputItem]] = OrderedDict()
        self._incoming: asyncio.Queue[str | None] = asyncio.Queue(WAITING)
        self._under_way: str | None = None  # the run that is being answered

    async def serve(self) -> None:
        """Until the client goes, its time is up, or the server stops."""
        reader = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(self._limit_s):
                while (said := await self._incoming.get()) is not None:
                    if not await self._while_there(said, reader):
                        return
        except TimeoutError:
            message = "this connection has lasted as long as one may: connect anew"
            await self._refuse(InvalidRequest(message, code="websocket_connection_limit_reached"))
            await self._socket.close(TRY_AGAIN)
        finally:
            reader.cancel()
            await asyncio.wait({reader})

    async def _read(self) -> None:
        """Put what the client says in line; None when it has gone."""
        with suppress(WebSocketDisconnect):
            while True:
                await self._incoming.put(await self._socket.receive_text())
        await self._incoming.put(None)

    async def _while_there(self, said: str, reader: asyncio.Task[None]) -> bool:
        """Answer, for as long as the client is there; False where there is no more to do here."""
        turn = asyncio.create_task(self._turn(said))
        try:
            await asyncio.wait({turn, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stayed = turn.done()
            turn.cancel()
            await asyncio.wait({turn})
        abandoned, self._under_way = self._under_way, None
        if abandoned is not None:
            await left(self._services, abandoned)
        if not stayed:
            return False
        if turn.cancelled():  # the server stops
            await self._socket.close(GOING_AWAY)
            return False
        turn.result()
        return True

    async def _turn(self, said: str) -> None:
        """One request, and its answer."""
        previous = None
        try:
            body, generates = read(said)
            previous = body.previous_response_id
            kept = self._kept.get(previous) if previous is not None else None
            run = await to_run(self._services, body, open_responses=self._open_responses, kept=kept)
            if not generates:
                await self._warm_up(run)
                return
            response = await self._answer(await submit(self._services, run, self._parent))
        except Exception as error:  # noqa: BLE001  # whatever it is: the client is told, and the connection lives
            await self._refuse(error)
            response = None
        if response is None or response.status != "complete":
            self._kept.pop(previous or "", None)
        elif not run.store:
            self._keep(run.run_id, items_of(response))

    async def _answer(self, run: RunRequest) -> Response:
        """Send the run's events as they come; the run, when it has ended."""
        task, services = current_task(), self._services
        encoder, state = ResponsesEncoder(FULL), Reducer()
        self._under_way = run.run_id
        with services.readers.reading(run.run_id, task):
            async for page in services.reader.pages(run.run_id, 0):
                await self._send(encoder, page)
                state.fold(page)
        self._under_way = None
        return state.response()

    async def _warm_up(self, run: RunRequest) -> None:
        """A response without output: its id can be gone on from."""
        services, now = self._services, self._services.now()
        before = Before(None if run.opens_thread else run.thread_id, run.previous_run_id)
        self._keep(run.run_id, [*await earlier_items(services, before), *run.input])
        done = ResponseDone(response_id=run.run_id, status="complete", finish_reason="stop")
        batch = Batch(run.run_id, 1, now, TraceContext(""), payloads=[*opening(run, now), done])
        await self._send(ResponsesEncoder(FULL), [batch])

    async def _send(self, encoder: ResponsesEncoder, page: Sequence[Batch]) -> None:
        for batch in page:
            for frame in encoder.encode(batch):
                await self._socket.send_text(frame.data.decode())

    def _keep(self, response_id: str, items: list[OutputItem]) -> None:
        self._kept[response_id] = items
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    async def _refuse(self, error: Exception) -> None:
        """An error that is no response's: `{type: error, status, error: {…}}`."""
        told = errors.problem(error)
        said = {"type": "error", "status": told.status, **ENVELOPE.write(told, ENVELOPE.param(told))}
        with suppress(WebSocketDisconnect, OSError):  # there may be nobody there to hear it
            await self._socket.send_text(codec.encode(said).decode())


def current_task() -> asyncio.Task[None]:
    """The task that this runs in."""
    return cast("asyncio.Task[None]", asyncio.current_task())


def read(said: str) -> tuple[ResponseBody, bool]:
    """A `response.create`: what is asked for, and whether anything is to be generated. Raises InvalidRequest.

    Every answer is streamed here, and none is in the background: what is said of that is passed over.
    """
    event = codec.decode(said, dict[str, Any])
    if event.get("type") != "response.create":
        raise InvalidRequest("the one thing to send is `response.create`", field="type")
    generates = event.get("generate", True)
    if not isinstance(generates, bool | None):
        raise InvalidRequest("is true or false", field="generate")
    body = codec.convert({name: value for name, value in event.items() if name not in _NOT_HERE}, ResponseBody)
    check(body)
    return body, generates is not False
