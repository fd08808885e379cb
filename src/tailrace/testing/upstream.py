"""A scripted upstream: a real HTTP server on 127.0.0.1 that speaks every wire, for tests and for the `demo` provider.

    async with ScriptedUpstream() as up:
        up.enqueue([Text("half of it"), Gate("middle"), Text("the rest")])
        ...                                      # POST to f"{up.url}/responses"
        await up.gate("middle").reached.wait()   # the stream stands still until up.gate("middle").open()
        up.requests[-1].body                     # what was sent

By hand: `python -m tailrace.testing.upstream --port 4999`.
"""

import argparse
import asyncio
import socket
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.testing.moves import Control, Cut, Fail, Handshake, Headers, HttpError, Move
from tailrace.testing.performer import Dropped, GatePoint, Performer, RecordedRequest, recorded
from tailrace.testing.scripts import by_words
from tailrace.testing.websocket import RecordedSocket, SocketSide
from tailrace.testing.wires import bedrock, chat, gemini, messages, ollama, responses
from tailrace.testing.wires.base import Asked, Memory, Renderer, ScriptedWire, Step, Ticket, steps
from tailrace.testing.wires.plan import Plan, make_plan

WIRES = (responses.WIRE, messages.WIRE, chat.WIRE, gemini.WIRE, bedrock.WIRE, ollama.WIRE)

_REMEMBERED = 200  # requests; an upstream may live as long as a demo server
_MAX_BODY = 64 * 1024 * 1024
_FLUSH_BYTES = 16 * 1024
_BYTES_PER_TOKEN = 4
_SHUTDOWN_S = 0.1
_BACKLOG = 2048  # connections that wait to be taken: beyond it the kernel lets a client wait for nothing
_MODEL = "demo"


class ScriptedUpstream:
    """Serves `{url}/responses`, `{url}/messages`, `{url}/chat/completions` and `{url}/models`; and from the origin on
    the paths of Gemini's API (`/v1beta/models/…`), of Vertex AI (`/v1/projects/…`), of Bedrock
    (`/model/{model}/converse-stream`, `/converse`) and of Ollama (`/api/chat`).

    Over WebSocket too: `handshakes` says how the next ones on `{url}/responses` are answered, `sockets` who came.

    What is answered: the next enqueued script; else what `script` returns; else what the words of the last user message
    choose (scripts.py), faults among them only where `faults` is set. A request that the vendor would refuse is refused
    before any of these. Ids follow from `seed` and the count of requests. It serves on `port`, or on a socket that is
    `listening` already.
    """

    def __init__(
        self, *, faults: bool = True, seed: str = "scripted", port: int = 0, listening: socket.socket | None = None
    ) -> None:
        self.script: Callable[[Asked], Sequence[Move]] | None = None
        self.requests: list[RecordedRequest] = []
        self.sockets: list[RecordedSocket] = []
        self.handshakes: deque[Handshake] = deque()
        self._sides: set[SocketSide] = set()
        self._faults = faults
        self._seed = seed
        self._port = port
        self._listening = listening
        self._queue: deque[Sequence[Move]] = deque()
        self._gates: dict[str, GatePoint] = {}
        self._arrived = asyncio.Event()
        self._count = 0
        self._memory = Memory()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        """The base URL without `/v1`, as Messages, Bedrock and Ollama take it; Gemini's is `{origin}/v1beta`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL with `/v1`, as OpenAI's wires take it."""
        return f"{self.origin}/v1"

    def enqueue(self, *scripts: Sequence[Move]) -> None:
        """The scripts of the next requests, one each."""
        self._queue.extend(scripts)

    def gate(self, name: str) -> GatePoint:
        """The gate of this name, the same one that a script's `Gate(name)` waits at."""
        return self._gates.setdefault(name, GatePoint())

    async def hang_up(self, error: str | None = None) -> None:
        """Close every WebSocket, as a provider does that restarts; after `error`, a frame, where one is given."""
        for side in list(self._sides):
            await side.hang_up(error)

    async def received(self, count: int = 1) -> RecordedRequest:
        """The latest request, as soon as there are `count` of them."""
        while len(self.requests) < count:
            self._arrived.clear()
            await self._arrived.wait()
        return self.requests[-1]

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_MAX_BODY)
        for wire in WIRES:
            app.router.add_post(wire.path, self._handler(wire))
        app.router.add_get(responses.WIRE.path, self._socket)
        app.router.add_get("/v1/models", _models)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        listening = self._listening or socket.create_server(("127.0.0.1", self._port), backlog=_BACKLOG)
        await web.SockSite(self._runner, listening, backlog=_BACKLOG).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for gate in self._gates.values():
            gate.open()
        if self._runner is not None:
            await self._runner.cleanup()

    def _handler(self, wire: ScriptedWire) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await request.read()
            try:
                body = codec.decode(raw, dict[str, Any])
            except InvalidJson as error:
                return _refusal(wire, HttpError(400, message=error.message))
            record = recorded(wire.name, request, body)
            self._note(record)
            try:
                response = await self._answer(wire, request, record, len(raw))
            except Dropped:
                return web.Response()  # goes nowhere: the connection is gone
            except (asyncio.CancelledError, ConnectionError):
                if not self._closing.is_set():
                    record.disconnected.set()
                raise
            record.answered.set()
            return response

        return handle

    def _note(self, record: RecordedRequest) -> None:
        self.requests.append(record)
        del self.requests[:-_REMEMBERED]
        self._arrived.set()

    def _ticket(self) -> Ticket:
        self._count += 1
        return Ticket(self._seed, self._count)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/responses`: the same answers over a WebSocket."""
        handshake = self.handshakes.popleft() if self.handshakes else Handshake()
        side = SocketSide(
            responses.WIRE, request, self.gate, self._closing,
            note=self._note, script=self._script, ticket=self._ticket, memory=self._memory,
        )  # fmt: skip
        self.sockets.append(side.record)
        del self.sockets[:-_REMEMBERED]
        self._sides.add(side)
        try:
            return await side.serve(handshake)
        finally:
            self._sides.discard(side)

    async def _answer(
        self, wire: ScriptedWire, request: web.Request, record: RecordedRequest, size: int
    ) -> web.StreamResponse:
        ticket = self._ticket()
        body = {**record.body, **request.match_info}
        problem = "model: Field required" if "model" not in body else wire.complaint(body, self._memory)
        if problem:
            return _refusal(wire, HttpError(400, message=problem))
        asked = wire.read(body)
        script = self._script(asked)
        if script and isinstance(script[0], HttpError):
            return _refusal(wire, script[0])
        headers: dict[str, str] = {}
        if script and isinstance(script[0], Headers):
            headers, script = script[0].headers, script[1:]
        plan = make_plan(script, -(-size // _BYTES_PER_TOKEN))
        renderer = wire.renderer(plan, ticket, body, self._memory)
        performer = Performer(request, self.gate, self._closing)
        if asked.stream:
            return await _stream(wire, performer, steps(plan, renderer), headers)
        return await _whole(wire, performer, plan, renderer, headers)

    def _script(self, asked: Asked) -> Sequence[Move]:
        if self._queue:
            return self._queue.popleft()
        return self.script(asked) if self.script else by_words(asked, faults=self._faults)


async def _stream(
    wire: ScriptedWire, performer: Performer, said: Iterator[Step], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send the frames; what comes without a pause between goes out in few writes, as from a busy provider."""
    request = performer.request
    response = web.StreamResponse(headers={"Content-Type": wire.content_type, **headers})
    pending: list[bytes] = []
    size = 0
    for step in said:
        if isinstance(step, bytes):
            pending.append(step)
            size += len(step)
            if size < _FLUSH_BYTES:
                continue
        await _flush(request, response, pending)
        size = 0
        if not isinstance(step, bytes):
            await performer.perform(step)
    await _flush(request, response, pending)
    await response.write_eof()
    return response


async def _flush(request: web.Request, response: web.StreamResponse, pending: list[bytes]) -> None:
    if pending:
        if not response.prepared:
            await response.prepare(request)
        await response.write(b"".join(pending))
        pending.clear()


async def _whole(
    wire: ScriptedWire, performer: Performer, plan: Plan, renderer: Renderer, headers: Mapping[str, str]
) -> web.StreamResponse:
    """The non-streaming answer: what the script does in between is done before it."""
    for op in plan.ops:
        if isinstance(op, Fail):
            return _refusal(wire, HttpError(500, message=op.message))
        if isinstance(op, Cut) and plan.blocks:
            await _send_half(performer.request, codec.encode(renderer.whole()))
        if isinstance(op, Control):
            await performer.perform(op)
    return _json(renderer.whole(), headers=headers)


async def _send_half(request: web.Request, body: bytes) -> None:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=codec.encode(value), status=status, headers=headers, content_type="application/json")


def _refusal(wire: ScriptedWire, error: HttpError) -> web.Response:
    headers = {**wire.error_headers(error.status), **{name.lower(): value for name, value in error.headers.items()}}
    if error.retry_after is not None:
        headers["retry-after"] = f"{error.retry_after:g}"
    if error.body is not None:
        return web.Response(body=error.body, status=error.status, headers=headers)
    return _json(wire.error(error.status, error.message), error.status, headers)


async def _models(request: web.Request) -> web.Response:
    """The list of models in OpenAI's shape with Anthropic's fields beside them."""
    model = {"id": _MODEL, "object": "model", "created": 0, "owned_by": "tailrace", "type": "model"}
    return _json({"object": "list", "data": [model], "has_more": False, "first_id": _MODEL, "last_id": _MODEL})


async def _serve(port: int) -> None:
    async with ScriptedUpstream(port=port) as up:
        sys.stdout.write(f"{up.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _run(serving: Coroutine[Any, Any, None]) -> None:
    """On uvloop where there is one: measurements want an upstream that costs little."""
    if sys.platform == "win32":
        asyncio.run(serving)
    else:
        import uvloop  # not there on Windows

        uvloop.run(serving)


def main() -> None:
    """Serve until interrupted, the URL on the first line of stdout."""
    parser = argparse.ArgumentParser(prog="python -m tailrace.testing.upstream", description="A scripted upstream.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    with suppress(KeyboardInterrupt):
        _run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
