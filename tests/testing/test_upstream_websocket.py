"""The scripted upstream's WebSocket side, as a bare client sees it."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tailrace.schema import codec
from tailrace.testing.moves import Call, Close, Cut, Fail, Finish, Handshake, HttpError, KeepAlive, Raw, Text
from tailrace.testing.upstream import ScriptedUpstream

QUESTION = {"type": "message", "role": "user", "content": "hi"}
ENDS = {"response.completed", "response.incomplete", "response.failed"}
CREATE = {"type": "response.create", "model": "m", "input": [QUESTION]}
Socket = aiohttp.ClientWebSocketResponse


@pytest.fixture
async def up() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as server:
        yield server


@pytest.fixture
async def socket(up: ScriptedUpstream) -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{up.url}/responses") as connected:
        yield connected


async def ask(socket: Socket, **more: Any) -> list[dict[str, Any]]:
    """The frames of an answer."""
    await socket.send_str(codec.encode({**CREATE, **more}).decode())
    frames: list[dict[str, Any]] = []
    while True:
        frames.append(codec.decode_any(await socket.receive_str(timeout=5)))
        kind = frames[-1]["type"]
        if kind in ENDS or (kind == "error" and len(frames) == 1):
            return frames


async def test_frames_are_the_events_of_the_stream(up: ScriptedUpstream, socket: Socket):
    """The same script over HTTP and over a socket: the same JSON, but for the ids of another answer."""
    up.enqueue([Text("hello"), Call("look", "{}")], [Text("hello"), Call("look", "{}")])
    frames = await ask(socket)
    async with aiohttp.ClientSession() as session:
        body = {"model": "m", "input": [QUESTION], "stream": True}
        async with session.post(f"{up.url}/responses", json=body) as reply:
            lines = (await reply.read()).splitlines()
    events = [codec.decode_any(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: ")]
    assert [frame["type"] for frame in frames] == [event["type"] for event in events]
    assert [frame.keys() for frame in frames] == [event.keys() for event in events]
    assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))


async def test_a_response_is_gone_on_from_with_what_is_new_alone(up: ScriptedUpstream, socket: Socket):
    """The script sees the whole conversation."""
    up.enqueue([Call("look", "{}", call_id="c1")])
    first = (await ask(socket))[-1]["response"]
    seen = []
    up.script = lambda asked: seen.append(asked) or [Text("so")]  # type: ignore[func-returns-value]  # appends
    output = {"type": "function_call_output", "call_id": "c1", "output": "x"}
    assert (await ask(socket, previous_response_id=first["id"], input=[output]))[-1]["type"] == "response.completed"
    assert [item["type"] for item in seen[0].body["input"]] == ["message", "function_call", "function_call_output"]
    assert up.requests[1].body["input"] == [output]


@pytest.mark.parametrize(
    ("new", "complaint"),
    [
        ([], "Missing"),
        ([{"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}], "Duplicate"),
        ([{"type": "message", "role": "assistant", "content": "x"}], "Duplicate"),
        ([QUESTION], "No tool output"),
        ([{"type": "function_call_output", "call_id": "c2", "output": "x"}], "No tool call"),
    ],
)
async def test_what_is_not_new_or_does_not_fit_is_refused(
    up: ScriptedUpstream, socket: Socket, new: Any, complaint: str
):
    """A repetition would be a bug of the client's; calls are answered across requests."""
    up.enqueue([Call("look", "{}", call_id="c1")])
    first = (await ask(socket))[-1]["response"]
    (error,) = await ask(socket, previous_response_id=first["id"], input=new)
    assert error["status"] == 400
    assert complaint in error["error"]["message"]


@pytest.mark.parametrize("ending", [[Text("x"), Finish("length")], [Text("x"), Fail()]], ids=["incomplete", "failed"])
async def test_only_completed_responses_of_the_connection_are_remembered(
    up: ScriptedUpstream, socket: Socket, ending: Any
):
    up.enqueue(ending, [Text("whole")], [Text("other")])
    cut = (await ask(socket))[-1].get("response", {}).get("id", "none")
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{up.url}/responses") as another:
        elsewhere = (await ask(another))[-1]["response"]["id"]
    mine = (await ask(socket))[-1]["response"]["id"]
    for response_id in (cut, elsewhere):
        (error,) = await ask(socket, previous_response_id=response_id)
        assert error["error"]["code"] == "previous_response_not_found"
    up.sockets[0].kept.clear()
    (error,) = await ask(socket, previous_response_id=mine)
    assert error["error"]["code"] == "previous_response_not_found"


async def test_a_refusal_is_an_error_frame(up: ScriptedUpstream, socket: Socket):
    """With the status and the headers that it would have over HTTP; the connection lives."""
    up.enqueue([HttpError(429, retry_after=7)], [Text("now")])
    (error,) = await ask(socket)
    assert (error["status"], error["headers"]) == (429, {"retry-after": "7"})
    assert (await ask(socket))[-1]["type"] == "response.completed"
    for wrong in ("no json", "{}", '{"type":"response.create"}'):
        await socket.send_str(wrong)
        assert codec.decode_any(await socket.receive_str(timeout=5))["status"] == 400


async def test_handshakes_are_answered_as_told(up: ScriptedUpstream):
    up.handshakes.extend([Handshake(status=426), Handshake(headers={"x-codex-turn-state": "t"})])
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{up.url}/responses")
        assert refused.value.status == 426
        async with session.ws_connect(f"{up.url}/responses", headers={"authorization": "Bearer k"}):
            pass
    assert up.sockets[1].headers["authorization"] == "***"


@pytest.mark.parametrize(("move", "code"), [(Cut(), 1006), (Close(1013), 1013)])
async def test_a_connection_ends_as_the_script_says(up: ScriptedUpstream, socket: Socket, move: Any, code: int):
    """A keep-alive is a frame, and raw text stands as it is."""
    up.enqueue([KeepAlive(), Raw("{half"), move])
    await socket.send_str(codec.encode(CREATE).decode())
    assert await socket.receive_str(timeout=5) == '{"type":"keepalive"}'
    assert await socket.receive_str(timeout=5) == "{half"
    end = await socket.receive(timeout=5)
    assert end.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
    assert socket.close_code == code
