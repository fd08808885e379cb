"""`/v1/responses` over WebSocket: one response after another, and what a connection keeps for itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tailrace.api.v1 import websocket
from tailrace.schema import codec
from tailrace.testing.moves import Call, Gate, HttpError, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import PROVIDERS, Served, serving, settings

Json = dict[str, Any]
TERMINAL = {"response.completed", "response.failed", "response.incomplete"}
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}}


class Socket:
    """A client's end."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def say(self, **event: Any) -> None:
        asked = {"type": "response.create", "model": "responses/m", "store": False, **event}
        await self._socket.send_str(codec.encode(asked).decode())

    async def raw(self, text: str) -> None:
        await self._socket.send_str(text)

    async def hear(self) -> Json:
        return codec.decode_any(await self._socket.receive_str(timeout=10))

    async def turn(self, **event: Any) -> list[Json]:
        """Ask, and hear all of the answer."""
        await self.say(**event)
        return await self.answer()

    async def answer(self) -> list[Json]:
        heard = [await self.hear()]
        while heard[-1]["type"] not in TERMINAL and "status" not in heard[-1]:
            heard.append(await self.hear())
        return heard


@asynccontextmanager
async def connected(server: Served, **headers: str) -> AsyncIterator[Socket]:
    """A connection to this server."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.url}/v1/responses", headers=headers) as socket,
    ):
        yield Socket(socket)


def text_of(heard: list[Json]) -> str:
    output = heard[-1]["response"]["output"]
    return "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_turns_follow_one_another_and_remember(server: Served, wire: str):
    """What is not stored is kept by the connection: the next request brings the new input alone."""
    async with connected(server) as socket:
        first = await socket.turn(model=f"{wire}/m", input="remember cobalt")
        assert [event["sequence_number"] for event in first] == list(range(len(first)))
        previous = first[-1]["response"]["id"]
        second = await socket.turn(model=f"{wire}/m", input="what did i say", previous_response_id=previous)
        assert "remember cobalt" in text_of(second)
        third = await socket.turn(
            model=f"{wire}/m", input="what did i say", previous_response_id=second[-1]["response"]["id"]
        )
        assert "remember cobalt" in text_of(third)


async def test_a_tool_loop_over_a_connection(server: Served):
    """The call's output alone; by a reference, too."""
    async with connected(server) as socket:
        server.upstream.enqueue([Call("look", "{}", call_id="c1")])
        first = await socket.turn(input="where", tools=[LOOK])
        output = {"type": "function_call_output", "call_id": "c1", "output": "there"}
        second = await socket.turn(input=[output], tools=[LOOK], previous_response_id=first[-1]["response"]["id"])
        assert "there" in text_of(second)


async def test_warming_up_asks_no_model_and_can_be_gone_on_from(server: Served):
    """`generate: false`: created and completed with an id; then the new input alone."""
    async with connected(server) as socket:
        warm = await socket.turn(input="remember slate", generate=False, tools=[LOOK])
        assert [event["type"] for event in warm] == ["response.created", "response.completed"]
        assert server.upstream.requests == []
        said = await socket.turn(input="what did i say", previous_response_id=warm[-1]["response"]["id"])
        assert "remember slate" in text_of(said)


async def test_what_a_connection_kept_is_gone_with_it(server: Served):
    """On another connection the id is unknown, in the words at which Codex sends everything anew; then it goes on."""
    async with connected(server) as socket:
        previous = (await socket.turn(input="remember copper"))[-1]["response"]["id"]
    async with connected(server) as socket:
        (error,) = await socket.turn(input="x", previous_response_id=previous)
        assert (error["type"], error["status"]) == ("error", 400)
        assert error["error"]["code"] == "previous_response_not_found"
        assert (await socket.turn(input="hi"))[-1]["type"] == "response.completed"


async def test_a_stored_response_can_be_gone_on_from_anywhere(server: Served):
    """From another connection, and over HTTP."""
    async with connected(server) as socket:
        previous = (await socket.turn(input="remember tin", store=True))[-1]["response"]["id"]
    async with connected(server) as socket:
        assert "remember tin" in text_of(
            await socket.turn(input="what did i say", previous_response_id=previous, store=True)
        )


@pytest.mark.parametrize("fails_upstream", [False, True])
async def test_a_failed_continuation_forgets_what_it_went_on_from(
    tmp_path: Path, upstream: ScriptedUpstream, fails_upstream: bool
):
    """Refused here, or failed by the provider: the id is unknown afterwards."""
    given = settings(tmp_path, upstream, upstream={"attempts": 1})
    async with serving(given, upstream) as server, connected(server) as socket:
        previous = (await socket.turn(input="remember ember"))[-1]["response"]["id"]
        if fails_upstream:
            upstream.enqueue([HttpError(500)])
            assert (await socket.turn(input="x", previous_response_id=previous))[-1]["type"] == "response.failed"
        else:
            output = {"type": "function_call_output", "call_id": "nobody", "output": "x"}
            (failed,) = await socket.turn(input=[output], previous_response_id=previous)
            assert failed["status"] == 400
        (error,) = await socket.turn(input="again", previous_response_id=previous)
        assert error["error"]["code"] == "previous_response_not_found"


@pytest.mark.parametrize(
    "said", ["{", "[]", "{}", '{"type":"response.steer"}', '{"type":"response.create","input":"x","model":"m","foo":1}']
)
async def test_bad_messages_are_told_and_the_connection_lives(server: Served, said: str):
    """An error frame, then the next request is answered."""
    async with connected(server) as socket:
        await socket.raw(said)
        error = await socket.hear()
        assert (error["type"], error["status"], error["error"]["type"]) == ("error", 400, "invalid_request_error")
        assert (await socket.turn(input="hi"))[-1]["type"] == "response.completed"


async def test_requests_wait_for_the_one_under_way(server: Served):
    """Two at once are answered in order, never mixed."""
    server.upstream.enqueue([Text("one"), Gate("g")], [Text("two")])
    async with connected(server) as socket:
        await socket.say(input="x")
        await socket.say(input="y")
        await server.upstream.gate("g").reached.wait()
        server.upstream.gate("g").open()
        assert [text_of(await socket.answer()), text_of(await socket.answer())] == ["one", "two"]


async def test_a_client_that_vanishes_stops_what_is_not_stored(server: Served):
    """Its provider is let go."""
    server.upstream.enqueue([Text("a"), Gate("never")])
    async with connected(server) as socket:
        await socket.say(input="x")
        record = await server.upstream.received()
        await server.upstream.gate("never").reached.wait()
    async with asyncio.timeout(20):
        await record.disconnected.wait()


async def test_a_connection_lasts_only_so_long(server: Served, monkeypatch: pytest.MonkeyPatch):
    """It is told so, and closed."""
    monkeypatch.setattr(websocket, "LIMIT_S", 0.2)
    async with connected(server) as socket:
        error = await socket.hear()
        assert error["error"]["code"] == "websocket_connection_limit_reached"


async def test_a_connection_needs_a_key(tmp_path: Path, upstream: ScriptedUpstream):
    """401 before it is one."""
    async with serving(settings(tmp_path, upstream, server={"api_keys": ["right"]}), upstream) as server:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with connected(server):
                pass
        assert refused.value.status == 401
        async with connected(server, Authorization="Bearer right") as socket:
            assert (await socket.turn(input="hi"))[-1]["type"] == "response.completed"


async def test_where_it_is_switched_off_clients_are_told_to_use_http(tmp_path: Path, upstream: ScriptedUpstream):
    """426, at which Codex falls back at once."""
    async with serving(settings(tmp_path, upstream, server={"websockets": False}), upstream) as server:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with connected(server):
                pass
        assert refused.value.status == 426


async def test_the_server_can_stop_while_a_connection_is_open(tmp_path: Path, upstream: ScriptedUpstream):
    """Nothing hangs; a client that waits is let go."""
    async with AsyncExitStack() as client, serving(settings(tmp_path, upstream), upstream) as server:
        socket = await client.enter_async_context(connected(server))
        await socket.turn(input="hi")
