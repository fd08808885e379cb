"""The scripted upstream's WebSocket side: `response.create` in, the events of SSE out, a text frame each.

One response at a time, as at OpenAI. A connection remembers the responses that it gave, and nothing else can be gone on
from: a `previous_response_id` comes with what is new, and no more.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.testing.moves import Close, Handshake, Headers, HttpError, Move, Raw
from tailrace.testing.performer import Dropped, GatePoint, Performer, RecordedRequest, client_port, masked, recorded
from tailrace.testing.wires.base import Asked, Json, Memory, Renderer, ScriptedWire, Step, Ticket, steps
from tailrace.testing.wires.plan import make_plan
from tailrace.wire.sse import SseParser

_KEEP_ALIVE = '{"type":"keepalive"}'
_BYTES_PER_TOKEN = 4
_MOST_BYTES = 64 * 1024 * 1024
_OVER = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})
_OUTPUTS = frozenset({"function_call", "custom_tool_call", "reasoning"})

# What OpenAI says to a connection that has lasted its hour: a script.
CONNECTION_LIMIT: Sequence[Move] = (
    Raw(
        '{"type":"error","status":400,"error":{"type":"invalid_request_error",'
        '"code":"websocket_connection_limit_reached","message":"Create a new websocket connection to continue."}}'
    ),
    Close(1013),
)


@dataclass(slots=True)
class RecordedSocket:
    """A connection as it came in: keys masked. `closed` is set when it is over, with what the client said.

    `kept` are the conversations up to each response that can be gone on from: cleared, they are forgotten.
    """

    headers: dict[str, str]
    connection: int
    requests: int = 0
    pings: int = 0
    close_code: int | None = None
    close_reason: str = ""
    kept: dict[str, list[Json]] = field(default_factory=dict)
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class SocketSide:
    """One connection."""

    def __init__(
        self,
        wire: ScriptedWire,
        request: web.Request,
        gate: Callable[[str], GatePoint],
        closing: asyncio.Event,
        *,
        note: Callable[[RecordedRequest], None],
        script: Callable[[Asked], Sequence[Move]],
        ticket: Callable[[], Ticket],
        memory: Memory,
    ) -> None:
        self.record = RecordedSocket(masked(request.headers), client_port(request))
        self._wire = wire
        self._request = request
        self._gate = gate
        self._closing = closing
        self._note = note
        self._script = script
        self._ticket = ticket
        self._memory = memory
        self._frames: asyncio.Queue[str | None] = asyncio.Queue()
        self._socket = web.WebSocketResponse()

    async def serve(self, handshake: Handshake) -> web.StreamResponse:
        """Answer the handshake, then requests until the client goes."""
        try:
            if handshake.stalls:
                await self._closing.wait()  # the client's going cancels this
            if handshake.gate is not None:
                await self._gate(handshake.gate).pass_through()
            if handshake.status != 101:
                refusal = codec.encode(self._wire.error(handshake.status, "No WebSocket here."))
                return web.Response(body=refusal, status=handshake.status, headers=handshake.headers)
            self._socket = web.WebSocketResponse(autoping=False, max_msg_size=_MOST_BYTES, timeout=0.1)
            self._socket.headers.update(handshake.headers)
            await self._socket.prepare(self._request)
            await self._converse(pongs=handshake.pongs)
        finally:
            self.record.close_code = self._socket.close_code if self._socket.prepared else None
            self.record.closed.set()
        return self._socket

    async def hang_up(self, error: str | None) -> None:
        """Close it from this side."""
        if self._socket.prepared:
            if error is not None:
                await self._socket.send_str(error)
            await self._socket.close(code=1001)

    async def _converse(self, *, pongs: bool) -> None:
        reader = asyncio.create_task(self._read(pongs=pongs))
        try:
            while (said := await self._frames.get()) is not None:
                turn = asyncio.create_task(self._turn(said))
                try:
                    await asyncio.wait({turn, reader}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    turn.cancel()
                with suppress(asyncio.CancelledError, Dropped, ConnectionError):
                    await turn
        finally:
            reader.cancel()
            await asyncio.wait({reader})

    async def _read(self, *, pongs: bool) -> None:
        while (message := await self._socket.receive()).type not in _OVER:
            if message.type is WSMsgType.PING:
                self.record.pings += 1
                if pongs:
                    await self._socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self._frames.put_nowait(message.data)
        self.record.close_reason = message.extra or ""
        self._frames.put_nowait(None)

    async def _turn(self, said: str) -> None:
        """One request, and its answer."""
        try:
            frame = codec.decode(said, dict[str, Any])
        except InvalidJson as error:
            await self._refuse(HttpError(400, message=error.message))
            return
        record = recorded(self._wire.name, self._request, frame, over_socket=True)
        self.record.requests += 1
        self._note(record)
        try:
            await self._answer(frame, len(said))
        except BaseException:
            if not self._closing.is_set():
                record.disconnected.set()
            raise
        record.answered.set()

    async def _answer(self, frame: Json, size: int) -> None:
        ticket = self._ticket()
        previous = frame.get("previous_response_id")
        if previous is not None and previous not in self.record.kept:
            await self._refuse(
                HttpError(400, message=f"Previous response with id '{previous}' not found."),
                code="previous_response_not_found",
            )
            return
        before = self.record.kept.pop(previous, []) if previous is not None else []
        body = {name: value for name, value in frame.items() if name not in {"type", "previous_response_id"}}
        body |= {"input": [*before, *(frame.get("input") or [])], "stream": True}
        problem = _complaint(frame, before) or self._wire.complaint(body, self._memory)
        if problem:
            await self._refuse(HttpError(400, message=problem))
            return
        script = self._script(self._wire.read(body))
        if script and isinstance(script[0], HttpError):
            await self._refuse(script[0])
            return
        if script and isinstance(script[0], Headers):
            script = script[1:]  # a frame has none
        plan = make_plan(script, -(-size // _BYTES_PER_TOKEN))
        renderer = self._wire.renderer(plan, ticket, body, self._memory)
        await self._say(steps(plan, renderer), renderer)
        if plan.failure is None and plan.finish != "length":
            whole = renderer.whole()
            self.record.kept[whole["id"]] = [*body["input"], *whole["output"]]

    async def _say(self, said: Iterator[Step], renderer: Renderer) -> None:
        performer = Performer(self._request, self._gate, self._closing)
        parser = SseParser()
        for step in said:
            if isinstance(step, Close):
                await self._socket.close(code=step.code)
                raise Dropped
            if not isinstance(step, bytes):
                await performer.perform(step)
            elif step == renderer.keep_alive:
                await self._socket.send_str(_KEEP_ALIVE)
            else:
                for event in parser.feed(step):
                    await self._socket.send_str(event.data.decode())

    async def _refuse(self, error: HttpError, code: str | None = None) -> None:
        """An error that is no response's; with a body of its own, that is the frame."""
        if error.body is not None:
            await self._socket.send_str(error.body.decode())
            return
        told: Json = {"type": "error", "status": error.status, **self._wire.error(error.status, error.message)}
        if code is not None:
            told["error"]["code"] = code
        headers = {name.lower(): value for name, value in error.headers.items()}
        if error.retry_after is not None:
            headers["retry-after"] = f"{error.retry_after:g}"
        if headers:
            told["headers"] = headers
        await self._socket.send_str(codec.encode(told).decode())


def _complaint(frame: Json, before: Sequence[Json]) -> str | None:
    """Why a frame is no request: strictly, with what is new and no more where it goes on from a response."""
    if frame.get("type") != "response.create":
        return "The one event to send is response.create."
    if "model" not in frame:
        return "model: Field required"
    new = frame.get("input")
    if not isinstance(new, list) or not new:
        return "Missing required parameter: 'input'."
    known = {_mark(item) for item in before}
    for item in new:
        if before and (item.get("role") == "assistant" or item.get("type") in _OUTPUTS or _mark(item) in known):
            return f"Duplicate item: the response already holds the {item.get('type')} that the input repeats."
    return None


def _mark(item: Json) -> bytes:
    """By which an item is known again; messages of a user may well be said twice."""
    told = item.get("id") or item.get("call_id")
    return codec.encode([item.get("type"), told] if told else [id(item)])
