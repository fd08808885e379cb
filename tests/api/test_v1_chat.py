"""`POST /v1/chat/completions` over real sockets, in front of each upstream wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tailrace.schema import codec
from tailrace.testing.moves import Burst, Call, Cut, Fail, Finish, Gate, HttpError, Reasoning, Spent, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.chat import folded
from tests.support.linting import broken
from tests.support.server import PROVIDERS, Served, serving, settings

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
USER = {"role": "user", "content": "hello"}


@pytest.fixture
async def once(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Served]:
    """A server that asks a provider once, however it answers."""
    async with serving(settings(tmp_path / "once", upstream, upstream={"attempts": 1}), upstream) as served:
        yield served


@asynccontextmanager
async def posting(server: Served, body: Any, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    data = body if isinstance(body, bytes) else codec.encode({"model": "responses/m", "messages": [USER], **body})
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/v1/chat/completions", data=data, headers=headers) as reply,
    ):
        yield reply


async def post(server: Served, **body: Any) -> tuple[int, Any]:
    """A request that does not stream: status and answer."""
    async with posting(server, body) as reply:
        return reply.status, codec.decode_any(await reply.read())


async def stream(server: Served, **body: Any) -> list[Any]:
    """A request that streams: its chunks, in a form that the vendor's clients take."""
    async with posting(server, {"stream": True, **body}) as reply:
        assert reply.status == 200
        data = await reply.read()
    assert broken("chat", data, endpoint=True) == set()
    return chunks_of(data)


def chunks_of(data: bytes) -> list[Any]:
    frames = [frame for frame in data.decode().split("\n\n") if frame and not frame.startswith(":")]
    assert frames.pop() == "data: [DONE]"
    return [codec.decode_any(frame.removeprefix("data: ")) for frame in frames]


async def refused(server: Served, body: Any) -> tuple[int, Any]:
    async with posting(server, body) as reply:
        assert reply.content_type == "application/json"
        return reply.status, codec.decode_any(await reply.read())["error"]


# --- answers ------------------------------------------------------------------------------------------------------

SCRIPT = [
    Reasoning("Let me see."),
    Text("Café 😀 time."),
    Call("look", '{"a" : 1}', call_id="c1"),
    Call("look", call_id="c2"),
    Spent(20, 9, cached=3, reasoning=4),
]


@pytest.mark.parametrize("wire", PROVIDERS[:3])  # Gemini's arguments are objects, and its calls sealed thoughts
async def test_streamed_or_whole_the_answer_is_the_same(server: Served, wire: str):
    """Reasoning, text, two calls and counts, on each wire; only id and date differ."""
    server.upstream.enqueue(SCRIPT, SCRIPT)
    asked = {"model": f"{wire}/m", "tools": [TOOL]}
    streamed = folded(await stream(server, **asked, stream_options={"include_usage": True}))
    status, whole = await post(server, **asked)
    assert status == 200
    assert whole["id"].startswith("chatcmpl-")
    for answer in (streamed, whole):
        del answer["id"], answer["created"]
        for detail in answer["choices"][0]["message"].get("reasoning_details", ()):
            del detail["data"], detail["id"]
    assert streamed == whole
    choice = whole["choices"][0]
    assert (whole["model"], choice["finish_reason"]) == (f"{wire}/m", "tool_calls")
    message = choice["message"]
    assert (message["content"], message["reasoning_content"]) == ("Café 😀 time.", "Let me see.")
    calls = [(call["id"], call["function"]["arguments"]) for call in message["tool_calls"]]
    assert calls == [("c1", '{"a" : 1}'), ("c2", "{}")]
    assert (whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"]) == (20, 9)


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_f8_f12_k16_what_was_said_reaches_the_provider_once_and_by_whom(server: Served, wire: str):
    """One request upstream for one here; each role's words are in it; the instructions, too."""
    said = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "Q1"},
        {"role": "assistant", "content": "A1"},
        {"role": "user", "content": [{"type": "text", "text": "Q2"}]},
    ]
    assert (await post(server, model=f"{wire}/m", messages=said))[0] == 200
    (record,) = server.upstream.requests
    sent = codec.encode(record.body).decode()
    places = [sent.index(text) for text in ("Q1", "A1", "Q2")]
    assert places == sorted(places)
    assert "be brief" in sent


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_k26_a_tool_loop(server: Served, wire: str):
    """The first answer ends with its calls; the next request brings the outputs, and the model sees them."""
    server.upstream.enqueue([Text("Let me look."), Call("look", '{"a":1}')])
    _, first = await post(server, model=f"{wire}/m", tools=[TOOL])
    message = first["choices"][0]["message"]
    output = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "It rains."}
    _, second = await post(server, model=f"{wire}/m", tools=[TOOL], messages=[USER, message, output])
    assert "It rains." in second["choices"][0]["message"]["content"]
    assert second["choices"][0]["finish_reason"] == "stop"


async def test_k26_sealed_reasoning_goes_back_to_the_provider_that_wants_it(server: Served):
    """The Messages wire refuses a tool loop whose signed thinking is lost: a returned message brings it back."""
    server.upstream.enqueue([Reasoning("Hm."), Call("look", '{"a":1}')])
    asked = {"model": "messages/m", "tools": [TOOL], "reasoning_effort": "low"}
    _, first = await post(server, **asked)
    message = first["choices"][0]["message"]
    output = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "It rains."}
    status, second = await post(server, **asked, messages=[USER, message, output])
    assert status == 200, second
    assert "It rains." in second["choices"][0]["message"]["content"]


async def test_a_provider_is_asked_for_what_the_client_asked_for(server: Served):
    """On the same wire, the parameters come out as they came in."""
    schema = {"name": "answer", "schema": {"type": "object", "properties": {}}, "strict": True}
    asked = {
        "temperature": 0.5, "top_p": 0.9, "stop": ["x"], "seed": 7, "frequency_penalty": 0.1, "presence_penalty": 0.2,
        "logprobs": True, "top_logprobs": 2, "reasoning_effort": "low", "tools": [TOOL], "tool_choice": "auto",
        "parallel_tool_calls": False, "response_format": {"type": "json_schema", "json_schema": schema},
        "logit_bias": {"5": 1.0}, "user": "u",
    }  # fmt: skip
    assert (await post(server, model="chat/m", **asked))[0] == 200
    sent = server.upstream.requests[0].body
    assert {name: sent.get(name) for name in asked if name != "tools"} == {
        name: value for name, value in asked.items() if name != "tools"
    }
    assert sent["tools"][0]["function"]["name"] == "look"


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_f16_an_answer_that_hit_its_limit_says_so(server: Served, wire: str):
    """The finish reason is the provider's, streamed or whole."""
    server.upstream.enqueue(*[[Text("half of"), Finish("length")]] * 2)
    assert folded(await stream(server, model=f"{wire}/m"))["choices"][0]["finish_reason"] == "length"
    assert (await post(server, model=f"{wire}/m"))[1]["choices"][0]["finish_reason"] == "length"


async def test_f6_answers_at_the_same_time_keep_apart(server: Served):
    """Each request reads its own run and nothing else."""
    texts = [f"answer {number} " * 20 for number in range(6)]
    server.upstream.script = lambda asked: [Text(texts[int(asked.user_texts[-1])])]
    asked = [stream(server, messages=[{"role": "user", "content": str(number)}]) for number in range(6)]
    answers = [folded(received)["choices"][0]["message"]["content"] for received in await asyncio.gather(*asked)]
    assert answers == texts


async def test_f24_headers_of_tracing_change_nothing_in_the_answer(server: Served):
    """They are for the trace."""
    headers = {"x-trace-id": "t", "x-copilot-trace-id": "t", "user-agent": "obsidian/1.0"}
    async with posting(server, {"messages": [{"role": "user", "content": "remember me"}]}, **headers) as reply:
        answer = codec.decode_any(await reply.read())
    assert answer["choices"][0]["message"]["content"] == "I will remember: me\n"


# --- resume and disconnect ----------------------------------------------------------------------------------------


async def view(server: Served, run_id: str, query: str = "") -> bytes:
    path = f"{server.url}/api/v2/stream/{run_id}?dialect=chat{query}"
    async with aiohttp.ClientSession() as session, session.get(path) as reply:
        assert reply.status == 200
        return await reply.read()


def data_of(body: bytes) -> list[str]:
    return [line for line in body.decode().split("\n") if line.startswith("data: ") and line != "data: [DONE]"]


async def test_a_run_can_be_read_again_from_any_event(server: Served):
    """The same chunks later, from the first or from any other on."""
    server.upstream.enqueue(SCRIPT)
    received = await stream(server, tools=[TOOL])
    run_id = received[0]["id"]
    body = await view(server, run_id)
    again = data_of(body)
    assert [codec.decode_any(line.removeprefix("data: ")) for line in again] == received
    seqs = [int(line.removeprefix("id: ")) for line in body.decode().split("\n") if line.startswith("id: ")]
    for seq in seqs:
        rest = data_of(await view(server, run_id, f"&after={seq}"))
        assert again[len(again) - len(rest) :] == rest
        assert len(rest) < len(again)


@asynccontextmanager
async def half_read(server: Served, **body: Any) -> AsyncIterator[str]:
    """A stream that is left when its first text has come; the run's id."""
    async with posting(server, {"stream": True, **body}) as reply:
        while b'"content"' not in (line := await reply.content.readline()):
            pass
        yield codec.decode_any(line.removeprefix(b"data: "))["id"]


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_k23_f15_a_run_that_is_not_kept_stops_when_its_client_goes(server: Served, wire: str):
    """The provider's socket is closed within a second, and nothing is left."""
    server.upstream.enqueue([Text("a text of some length"), Gate("never")])
    async with half_read(server, model=f"{wire}/m", store=False):
        record = await server.upstream.received()
    await asyncio.wait_for(record.disconnected.wait(), 1)


async def test_k23_a_run_that_is_kept_goes_on_without_its_client(server: Served):
    """It can be read to its end, by another client."""
    server.upstream.enqueue([Text("a text of some length"), Gate("go"), Text(" and its end")])
    async with half_read(server) as run_id:
        pass
    server.upstream.gate("go").open()
    assert b"ts end" in await view(server, run_id)


async def test_a_cancelled_run_ends_its_stream_with_an_error(server: Served):
    """Called off from elsewhere: the reader's stream ends, and does not look whole."""
    server.upstream.enqueue([Text("a text of some length"), Gate("never")])
    async with posting(server, {"stream": True}) as reply:
        while b'"content"' not in (line := await reply.content.readline()):
            pass
        await server.client.cancel(codec.decode_any(line.removeprefix(b"data: "))["id"])
        rest = await asyncio.wait_for(reply.read(), 2)
    assert chunks_of(b"\n".join(rest.split(b"\n")[1:]))[-1]["error"]["code"] == "cancelled"


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"colour": "red"}, "colour"),
        ({"model": "nobody/has-it"}, "model"),
        ({"model": "messages/m", "seed": 1}, "seed"),
        ({"model": "messages/m", "logit_bias": {"5": 1}}, "logit_bias"),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": ""}]}, "messages[0].tool_call_id"),
        ({"tools": [{"type": "function", "name": "flat"}]}, "tools[0]"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_f13_f14_what_cannot_be_is_refused_before_anything_is_sent(
    server: Served, body: Any, param: str, streamed: bool
):
    """A status and the vendor's envelope with the parameter's name, also where a stream was asked for; nothing ran."""
    status, error = await refused(server, {"stream": streamed, **body})
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["param"].startswith(param)
    assert server.upstream.requests == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"model":"\xff\xfe"}', b"[" * 50_000])
async def test_k19_broken_bodies_are_told_in_the_vendors_envelope(server: Served, body: bytes):
    """JSON, always."""
    status, error = await refused(server, body)
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert set(error) == {"message", "type", "param", "code"}


async def test_k19_too_large_and_without_a_key(tmp_path: Path, upstream: ScriptedUpstream):
    """What the server itself refuses is told the same way."""
    limits = {"max_body_bytes": 1000, "api_keys": ["k"]}
    async with serving(settings(tmp_path / "data", upstream, server=limits), upstream) as server:
        assert (await refused(server, {}))[0] == 401
        async with posting(server, {"user": "x" * 2000}, authorization="Bearer k") as reply:
            assert reply.status == 413
            assert (await reply.json())["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("wire", PROVIDERS)
@pytest.mark.parametrize(("status", "told"), [(400, 400), (401, 502), (429, 429), (500, 502)])
async def test_k17_k18_a_providers_refusal_keeps_its_words(once: Served, wire: str, status: int, told: int):
    """Its message, and a status that says whose fault it is: our key at the provider is not the caller's."""
    once.upstream.enqueue([HttpError(status, message="these very words")])
    answered, error = await refused(once, {"model": f"{wire}/m"})
    assert answered == told
    assert "these very words" in error["message"]


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_k10_a_provider_that_dies_is_told_once(once: Served, wire: str):
    """A whole JSON error, whether or not anything had come."""
    once.upstream.enqueue([Cut()], [Text("half"), Cut()])
    for _ in range(2):
        status, error = await refused(once, {"model": f"{wire}/m"})
        assert (status, error["type"]) == (502, "server_error")


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_f5_f23_an_error_in_mid_stream_ends_it_as_one(once: Served, wire: str):
    """The frame that the vendor's clients raise on, then the end; never a finish reason."""
    once.upstream.enqueue([Text("half of it"), Fail("rate_limited", "slow down")])
    *chunks, last = await stream(once, model=f"{wire}/m")
    assert last["error"]["message"] == "slow down"
    assert all(choice["finish_reason"] is None for chunk in chunks for choice in chunk["choices"])


async def test_k9_what_a_broken_answer_cost_is_recorded(once: Served):
    """Counts that came before the stream died stand in the run."""
    once.upstream.enqueue([Text("half of it"), Fail()])
    *_, last = chunks = await stream(once, model="messages/m")
    assert "error" in last
    assert ((await once.client.run(chunks[0]["id"])).usage) is not None


async def test_k21_a_reader_that_does_not_read_stalls_nobody(server: Served):
    """A large answer, unread: the run ends all the same, and another reader has it all."""
    server.upstream.enqueue([Burst(3000)])
    async with posting(server, {"stream": True}) as slow:
        run_id = codec.decode_any((await slow.content.readline()).removeprefix(b"data: "))["id"]
        assert b"3000" in await asyncio.wait_for(view(server, run_id), 20)
