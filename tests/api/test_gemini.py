"""Gemini end to end: the built-in providers against the scripted upstream, through a real server."""

from pathlib import Path

import pytest

from tailrace.fold.reducer import Reducer
from tailrace.schema.items import FunctionCallItem, MessageItem, Opaque, ReasoningItem
from tailrace.schema.response import Response
from tailrace.testing.moves import Call, Reasoning, Text
from tailrace.testing.performer import key_digest
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.testing.wires.base import sign
from tailrace.testing.wires.gemini_rules import UNSIGNED
from tests.support.server import Served, serving, settings
from tests.upstream.test_google_adc import account, token_server

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
ENVIRON = {"GEMINI_API_KEY": "k-not-to-be-seen"}


@pytest.fixture
async def gemini(tmp_path: Path, upstream: ScriptedUpstream):
    """A server whose provider `gemini` is the built-in one, but for its host."""
    environ = {**ENVIRON, "GOOGLE_GEMINI_BASE_URL": upstream.origin}
    async with serving(settings(tmp_path / "data", upstream), upstream, environ) as served:
        yield served


async def until(server: Served, run_id: str, status: str) -> Response:
    """The run once it has this status, as its stream shows."""
    state = Reducer()
    async for event in server.client.events(run_id):
        state.apply(event.seq, event.timestamp, event.payload)
        if state.status == status:
            break
    assert state.status == status
    return state.response()


async def answered(server: Served, run_id: str, output: str = "rain") -> tuple[FunctionCallItem, Response]:
    """The call that the run waits with, and the run after its output."""
    waiting = await until(server, run_id, "requires_action")
    (call,) = (item for item in waiting.output_items if isinstance(item, FunctionCallItem))
    await server.client.outputs(run_id, [{"call_id": call.call_id, "output": output}])
    return call, await until(server, run_id, "complete")


def parts(body, place):
    return body["contents"][place]["parts"]


@pytest.mark.parametrize("model", ["gemini-3-flash-preview", "gemini-2.5-flash"])
async def test_a_thread_with_thoughts_and_a_tool(gemini: Served, model: str):
    """Reasoning, text, a call and its output, then a second turn: what came back was signed and paired as Google wants,
    with its own ids or with those that were made up for it."""
    gemini.upstream.enqueue(
        [Reasoning("I must look."), Text("One moment."), Call("weather", '{"city":"Oslo"}')],
        [Reasoning("So it rains."), Text("Rain in Oslo.")],
    )
    asked = {"model_id": f"gemini/{model}", "tools": [WEATHER], "reasoning_effort": "low"}
    submitted = await gemini.client.submit(prompt="weather?", **asked)
    call, run = await answered(gemini, submitted["run_id"])
    assert (call.name, call.arguments) == ("weather", '{"city":"Oslo"}')
    assert (run.model_id, run.provider_id) == (model, "gemini")
    assert run.usage.reasoning_tokens > 0
    message = run.output_items[-1]
    assert isinstance(message, MessageItem)
    assert message.content == "Rain in Oslo."
    kind = "thoughtSignature/text"
    assert message.opaque == Opaque(provider_id="gemini", model_id=model, kind=kind, data=sign("Rain in Oslo."))
    assert [item.content for item in run.output_items if isinstance(item, ReasoningItem)] == [
        "I must look.", "", "So it rains.",
    ]  # fmt: skip

    then = await gemini.client.submit(prompt="what did I say?", thread_id=submitted["thread_id"], **asked)
    assert "weather?" in (await until(gemini, then["run_id"], "complete")).output_items[-1].content
    first, second, third = (request.body for request in gemini.upstream.requests)
    thinking = {"thinkingLevel": "low"} if model.startswith("gemini-3") else {"thinkingBudget": 2048}
    assert first["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, **thinking}
    said, called = parts(second, 1)
    assert said == {"text": "One moment."}
    assert called["functionCall"] == {"id": call.call_id, "name": "weather", "args": {"city": "Oslo"}}
    assert called["thoughtSignature"]
    assert parts(second, 2)[0]["functionResponse"]["id"] == call.call_id
    assert parts(third, 3) == [{"text": "Rain in Oslo.", "thoughtSignature": sign("Rain in Oslo.")}]
    assert gemini.upstream.requests[0].path == f"/v1beta/models/{model}:streamGenerateContent"


async def test_a_change_of_model_in_mid_thread(gemini: Served):
    """Another model is told of the call, but of no signature; the way back finds its own again."""
    gemini.upstream.enqueue([Reasoning("hm"), Call("weather", "{}")], [Text("Rain.")])
    asked = {"model_id": "gemini/gemini-3-flash-preview", "tools": [WEATHER]}
    submitted = await gemini.client.submit(prompt="weather?", **asked)
    await answered(gemini, submitted["run_id"])
    for model in ("gemini/gemini-3.1-pro-preview", "messages/m", "gemini/gemini-3-flash-preview"):
        then = await gemini.client.submit(prompt="and?", thread_id=submitted["thread_id"], model_id=model)
        await until(gemini, then["run_id"], "complete")
    *_, other, _, own = (request.body for request in gemini.upstream.requests)
    assert parts(other, 1)[0]["thoughtSignature"] in UNSIGNED
    assert parts(own, 1)[0]["thoughtSignature"] not in {*UNSIGNED, None}


async def test_vertex_with_a_service_account(tmp_path: Path, upstream: ScriptedUpstream):
    """Project and place stand in the address, a token in the header, asked for once; calls go without ids."""
    async with token_server() as google:
        environ = {
            **account(tmp_path, google), "GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "here",
            "GOOGLE_VERTEX_BASE_URL": upstream.origin,
        }  # fmt: skip
        async with serving(settings(tmp_path / "data", upstream), upstream, environ) as server:
            upstream.enqueue([Call("weather", "{}")], [Text("Rain.")])
            asked = {"model_id": "google-vertex/gemini-3-flash-preview", "tools": [WEATHER]}
            submitted = await server.client.submit(prompt="weather?", **asked)
            await answered(server, submitted["run_id"])
        assert len(google.forms) == 1
    request = upstream.requests[-1]
    base = "/v1/projects/p/locations/here/publishers/google"
    assert request.path == f"{base}/models/gemini-3-flash-preview:streamGenerateContent"
    assert request.headers["authorization"] == "***"
    assert parts(request.body, 1)[0]["functionCall"].keys() == {"name", "args"}
    assert parts(request.body, 2)[0]["functionResponse"].keys() == {"name", "response"}


async def test_vertex_in_express_mode(tmp_path: Path, upstream: ScriptedUpstream):
    """A key alone: no project in the address; the tier is asked for in a header."""
    environ = {"GOOGLE_CLOUD_API_KEY": "k", "GOOGLE_VERTEX_BASE_URL": upstream.origin}
    async with serving(settings(tmp_path / "data", upstream), upstream, environ) as server:
        model = "google-vertex-express/gemini-3-flash-preview"
        asked = {"model": model, "input": "hello", "service_tier": "priority"}
        assert (await server.client.request("POST", "/v1/responses", asked))["status"] == "completed"
    (request,) = upstream.requests
    assert request.path == "/v1/publishers/google/models/gemini-3-flash-preview:streamGenerateContent"
    assert (request.headers["x-goog-api-key"], request.key) == ("***", key_digest("k"))
    assert request.headers["x-vertex-ai-llm-shared-request-type"] == "priority"
