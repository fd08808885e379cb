"""What goes over a WebSocket, beside what Codex's own client and its provider said to each other (recordings)."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.openai_responses.decode import ResponsesDecoder
from tailrace.schema import codec
from tailrace.testing.moves import Call, Raw, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.wire.sse import frame as sse
from tests.api.test_runs import run
from tests.api.test_runs_over_websocket import answer
from tests.support.codex import codex
from tests.support.shared_data import ABSENT, shared_dir
from tests.support.talking import LIMITS, Talk, hear, ways_with

FOLDER = (shared_dir() or Path("absent")) / "recordings-codex" / "upstream"
RECORDED = sorted(FOLDER.glob("ws-*.jsonl"))
pytestmark = pytest.mark.skipif(not RECORDED, reason=ABSENT)

# What Codex says of itself, or what nobody asked for here; its first response goes on from one that warmed up.
UNSAID = {"client_metadata", "reasoning", "parallel_tool_calls", "previous_response_id"}
SESSION_HEADERS = {"session-id", "thread-id", "x-client-request-id"}


def lines(path: Path) -> list[dict[str, Any]]:
    return [codec.decode_any(line) for line in path.read_bytes().splitlines()]


def handshake(path: Path) -> dict[str, str]:
    said = next(line for line in lines(path) if line["kind"] == "responses-ws-handshake")
    return {name.lower(): value for name, value in said["headers"]}


def exchanges(path: Path) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each request that was sent, but for warming up, with the events of its answer."""
    found: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for line in lines(path):
        if line["kind"] == "ws-frame":
            found.append((line["frame"], []))
        elif line["kind"] == "ws-sent" and found:
            found[-1][1].append(line["data"])
    return [(frame, events) for frame, events in found if frame.get("generate", True)]


async def ours(tmp_path: Path) -> ScriptedUpstream:
    """The turns of ws-multi-turn, as Tailrace asks them: text, reasoning, a command and its output."""
    tool = {"name": "exec_command", "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}}}
    more = {"model_id": "openai-codex/gpt-5.5", "tools": [tool], "tool_choice": "auto", "instructions": "Be kind."}
    async with ScriptedUpstream() as up:
        up.enqueue(
            [Text("Hello.")],
            [Reasoning("I think."), Text("Answer.")],
            [Reasoning("A command."), Call("exec_command", '{"cmd": "ls"}')],
            [Text("Bye.")],
        )
        async with codex(tmp_path / "data", up) as server:
            events, _ = await run(server, prompt="one", **more)
            thread_id = events[0].payload.thread_id  # type: ignore[union-attr]  # every run begins so
            await run(server, prompt="two", thread_id=thread_id, **more)
            submitted = await server.client.submit(prompt="three", thread_id=thread_id, **more)
            await answer(server, submitted["run_id"], "a.txt")
            async for _ in server.client.events(submitted["run_id"]):
                pass
        return up


async def test_a_codex_like_conversation_is_asked_as_codex_asks_it(tmp_path: Path):
    """The same fields, chained the same way, on one socket; without the client's own ids and telemetry."""
    path = FOLDER / "ws-multi-turn.jsonl"
    theirs, up = exchanges(path), await ours(tmp_path)
    frames = [request.body for request in up.requests]
    assert len(frames) == len(theirs)
    for mine, (frame, _) in zip(frames, theirs, strict=True):
        assert mine.keys() - frame.keys() <= {"instructions"}  # Codex says them as a message
        assert frame.keys() - mine.keys() <= UNSAID
        for name in ("type", "stream", "store", "include", "tool_choice"):
            assert mine[name] == frame[name], name
    kinds = [[item["type"] for item in frame["input"]] for frame, _ in theirs]
    assert [[item["type"] for item in frame["input"]] for frame in frames][1:] == kinds[1:]
    assert len(up.sockets) == 1


async def test_codex_and_we_go_on_from_the_response_before(tmp_path: Path):
    """`previous_response_id` is the id of the last completed response, with `store: false`."""
    theirs = exchanges(FOLDER / "ws-multi-turn.jsonl")
    for (_, events), (frame, _) in pairwise(theirs):
        assert frame["previous_response_id"] == events[-1]["response"]["id"]
        assert frame["store"] is False
    up = await ours(tmp_path)
    assert ["previous_response_id" in request.body for request in up.requests] == [False, True, True, True]


async def test_the_handshake_says_what_codex_says_but_who_codex_is(tmp_path: Path):
    """The protocol's version and the conversation's id: one for all; nobody's client ids."""
    theirs, up = handshake(FOLDER / "ws-multi-turn.jsonl"), await ours(tmp_path)
    mine = up.sockets[0].headers
    assert mine["openai-beta"] == theirs["openai-beta"]
    for said in (mine, theirs):
        assert said.keys() >= SESSION_HEADERS | {"authorization"}
        assert len({said[name] for name in SESSION_HEADERS}) == 1
    assert mine["session-id"] == up.requests[0].body["prompt_cache_key"]
    assert exchanges(FOLDER / "ws-multi-turn.jsonl")[0][0]["prompt_cache_key"] == theirs["session-id"]
    assert mine["originator"] != theirs["originator"]
    assert not [name for name in mine if name.startswith("x-codex")]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_recorded_answers_are_heard_over_a_socket_as_over_http(path: Path):
    """Every whole answer of a recording, frame by frame on one socket: the very payloads of its events as SSE."""
    whole = [events for _, events in exchanges(path) if events and events[-1]["type"] == "response.completed"]
    async with ScriptedUpstream() as up, ways_with() as ways:
        for events in whole:
            up.enqueue([Raw(codec.encode(event).decode(), last=event is events[-1]) for event in events])
            heard, expected = (ResponsesDecoder(DecodeContext("p", "m")) for _ in range(2))
            async with ways.open(Talk(up, ways).say("x").call(), LIMITS) as reply:
                payloads = await hear(heard, reply)
            told = [expected.feed(sse(event["type"], codec.encode(event))) for event in events]
            assert payloads == [payload for batch in told for payload in batch]
        assert len(up.sockets) == min(len(whole), 1)
