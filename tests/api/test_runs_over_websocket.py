"""Runs whose provider is reached over a WebSocket: the log is what it would be, and says what happened."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tailrace.schema.events import ItemDone, TurnAborted
from tailrace.testing.moves import Call, Cut, Gate, Handshake, HttpError, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.api.test_runs import WEATHER, checked, events_of, run, text_of, until
from tests.support.codex import ACCOUNT, codex
from tests.support.server import Served, serving, settings
from tests.support.talking import Talk, soon, ways_of, ways_with


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Served]:
    """A server whose provider is asked over a WebSocket."""
    table = {"wire": "openai-responses", "base_url": upstream.url, "models": ["m"], "transport": "websocket"}
    given = settings(tmp_path / "data", upstream, providers={"ws": table}, defaults={"model": "ws/m"})
    async with serving(given, upstream) as served:
        yield served


async def answer(server: Served, run_id: str, output: str) -> None:
    waiting = await until(server, run_id, "requires_action")
    (call,) = [item for item in waiting.output_items if hasattr(item, "arguments")][-1:]
    await server.client.outputs(run_id, [{"call_id": call.call_id, "output": output}])


async def test_a_run_and_the_next_one_of_its_thread_share_a_socket(server: Served):
    """Steps and turns say only what is new; what a reader sees is what it sees over HTTP."""
    up = server.upstream
    up.enqueue([Reasoning("hm"), Call("weather", '{"city":"Oslo"}')], [Text("Cold.")], [Text("Still cold.")])
    submitted = await server.client.submit(prompt="weather?", tools=[WEATHER])
    await answer(server, submitted["run_id"], "-3 °C")
    response = await checked(server, await events_of(server, submitted["run_id"]))
    assert [step.finish_reason for step in response.steps] == ["tool_calls", "stop"]
    _, later = await run(server, prompt="and now?", thread_id=submitted["thread_id"], tools=[WEATHER])
    assert text_of(later) == "Still cold."
    assert ways_of(up) == ["socket"] * 3
    assert [[item["type"] for item in request.body["input"]] for request in up.requests] == [
        ["message"], ["function_call_output"], ["message"],
    ]  # fmt: skip
    assert len(up.sockets) == 1


async def test_what_fails_unseen_is_one_answer_in_the_log(server: Served):
    """A socket cut before anything was said: the reader sees one message, in one step."""
    server.upstream.enqueue([Cut()], [Text("whole")])
    events, response = await run(server)
    assert (response.status, text_of(response), len(response.steps)) == ("complete", "whole", 1)
    assert sum(isinstance(event.payload, ItemDone) for event in events) == 2  # the question, and the answer
    assert len(server.upstream.requests) == 2


@pytest.mark.parametrize("script", [[Text("so far"), Cut()], [Call("weather", "{}"), Cut()]], ids=["text", "call"])
async def test_what_a_reader_has_seen_is_never_said_again_unseen(server: Served, script: list[Any]):
    """Nothing of the answer is taken back or doubled in its step, and no call is made twice."""
    server.upstream.enqueue(script, [Text("whole")])
    _, response = await run(server, tools=[WEATHER])
    assert response.steps[0].finish_reason in {"error", "cancelled"}
    assert len(server.upstream.requests) == len(response.steps)


async def test_a_run_without_a_socket_goes_over_http(server: Served):
    """And a refusal of HTTP's own is retried by the run's one ladder, without another handshake."""
    server.upstream.handshakes.append(Handshake(status=426))
    server.upstream.enqueue([HttpError(503)], [Text("whole")])
    _, response = await run(server)
    assert (response.status, text_of(response)) == ("complete", "whole")
    assert ways_of(server.upstream) == ["http", "http"]
    assert len(server.upstream.sockets) == 1


async def test_a_thread_has_a_socket_by_its_key(tmp_path: Path, upstream: ScriptedUpstream):
    """One that is made ready is the one that is used; a key refused rests, and its thread goes on with another's."""
    table = {
        "wire": "openai-responses", "base_url": upstream.url, "models": ["m"], "transport": "websocket",
        "api_key_env": "WS_KEYS",
    }  # fmt: skip
    given = settings(tmp_path / "data", upstream, providers={"ws": table}, defaults={"model": "ws/m"})
    async with serving(given, upstream, {"WS_KEYS": "sk-first-1,sk-second-2,sk-third-3"}) as server:
        upstream.script = lambda asked: [Text("ok")]
        for _ in range(12):
            await run(server)
        assert len({request.key for request in upstream.requests}) > 1
        assert [socket.requests for socket in upstream.sockets] == [1] * 12
        upstream.enqueue([HttpError(429)])
        _, response = await run(server)
    assert (response.status, text_of(response)) == ("complete", "ok")
    refused, answered = upstream.requests[-2:]
    assert refused.key != answered.key
    assert [socket.requests for socket in upstream.sockets] == [1] * 14


async def test_cancelling_a_run_closes_its_socket(server: Served):
    """Soon after, and the log says so."""
    server.upstream.enqueue([Text("so far"), Gate("never")])
    run_id = (await server.client.submit(prompt="x"))["run_id"]
    await soon(server.upstream.gate("never").reached)
    await server.client.cancel(run_id)
    await asyncio.wait_for(server.upstream.sockets[0].closed.wait(), 20)
    events = await events_of(server, run_id)
    assert isinstance(events[-1].payload, TurnAborted)


async def test_a_server_of_ours_is_such_a_provider(server: Served, upstream: ScriptedUpstream):
    """What one side says is what the other speaks: two requests, the second on from the first's response."""
    upstream.enqueue([Reasoning("hm"), Text("one")], [Text("two")])
    async with ways_with() as ways:
        talk = Talk(cast("ScriptedUpstream", SimpleNamespace(url=f"{server.url}/v1")), ways)
        first: list[bytes] = []
        second: list[bytes] = []
        assert await talk.say("hi").ask(first) == "one"
        assert await talk.say("and now?").ask(second) == "two"
    assert b'"previous_response_id":null' in b"".join(first)
    assert b'"previous_response_id":"' in b"".join(second)
    assert len(upstream.requests[1].body["input"]) == 4


async def test_a_client_that_keeps_the_conversation_may_name_it(server: Served):
    """Each of its requests is a thread of its own; its `prompt_cache_key` tells what they have in common."""
    question = {"type": "message", "role": "user", "content": "hi"}
    server.upstream.enqueue([Text("one")], [Text("two")])
    asked = {"model": "ws/m", "store": False, "prompt_cache_key": "conversation-1"}
    first = await server.client.request("POST", "/v1/responses", {**asked, "input": [question]})
    more = {**asked, "input": [question, *first["output"], {**question, "content": "and now?"}]}
    second = await server.client.request("POST", "/v1/responses", more)
    assert second["output"][0]["content"][0]["text"] == "two"
    assert [len(request.body["input"]) for request in server.upstream.requests] == [1, 1]
    assert len(server.upstream.sockets) == 1


async def test_codex_itself_in_front_keeps_its_socket(upstream: ScriptedUpstream, tmp_path: Path):
    """Its requests are threads of their own, and say so in the headers: it is the same conversation all the same."""
    question = {"type": "message", "role": "user", "content": "hi"}
    asked = {"model": "openai-codex/gpt-5.5", "store": False, "prompt_cache_key": "conversation-1"}
    upstream.enqueue([Text("one")], [Text("two")])
    async with codex(tmp_path / "data", upstream) as server:
        first = await server.client.request("POST", "/v1/responses", {**asked, "input": [question]})
        more = [question, *first["output"], {**question, "content": "and now?"}]
        await server.client.request("POST", "/v1/responses", {**asked, "input": more})
    assert [len(request.body["input"]) for request in upstream.requests] == [1, 1]
    assert len(upstream.sockets) == 1


async def test_the_codex_endpoint_is_asked_as_it_wants(upstream: ScriptedUpstream, tmp_path: Path):
    """Account, conversation and protocol in the headers; instructions, and no sampling, in the body; over HTTP too."""
    upstream.enqueue([Text("one")], [Text("two")])
    async with codex(tmp_path / "data", upstream) as server:
        asked = {"model_id": "openai-codex/gpt-5.5", "temperature": 0.5, "max_output_tokens": 99}
        events, _ = await run(server, **asked, instructions="Be kind.")
        upstream.handshakes.append(Handshake(status=426))
        await run(server, **asked)
    thread_id = events[0].payload.thread_id  # type: ignore[union-attr]  # every run begins so
    over_socket, over_http = upstream.requests
    assert ways_of(upstream) == ["socket", "http"]
    assert over_socket.headers["openai-beta"] == "responses_websockets=2026-02-06"
    assert over_http.headers["openai-beta"] == "responses=experimental"
    for request in (over_socket, over_http):
        assert request.headers["chatgpt-account-id"] == ACCOUNT
        assert request.headers["originator"] == "tailrace"
        assert not {"temperature", "max_output_tokens"} & request.body.keys()
        assert (request.body["store"], request.body["stream"]) == (False, True)
    assert over_socket.body["instructions"] == "Be kind."
    assert {over_socket.headers[name] for name in ("session-id", "thread-id", "x-client-request-id")} == {thread_id}
    assert over_socket.body["prompt_cache_key"] == thread_id
    assert over_http.body["instructions"] == ""
