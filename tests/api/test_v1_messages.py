"""`POST /v1/messages` over real sockets, in front of each upstream wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tailrace.dialects.messages.whole import MessageFold
from tailrace.fold.compaction import compaction_item
from tailrace.schema import codec
from tailrace.testing.moves import Call, Cut, Fail, Finish, Gate, HttpError, Reasoning, Spent, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.linting import broken
from tests.support.server import PROVIDERS, WORDED, Served, serving, settings

TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
USER = {"role": "user", "content": "hello"}
COUNT = "/v1/messages/count_tokens?beta=true"


@pytest.fixture
async def once(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Served]:
    """A server that asks a provider once, however it answers."""
    async with serving(settings(tmp_path / "once", upstream, upstream={"attempts": 1}), upstream) as served:
        yield served


@asynccontextmanager
async def posting(
    server: Served, body: Any, path: str = "/v1/messages", **headers: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    given = {"model": "messages/m", "max_tokens": 4096, "messages": [USER]}
    data = body if isinstance(body, bytes) else codec.encode({**given, **body})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}{path}", data=data, headers=named) as reply,
    ):
        yield reply


async def post(server: Served, **body: Any) -> tuple[int, Any]:
    """A request that does not stream: status and answer."""
    async with posting(server, body) as reply:
        return reply.status, codec.decode_any(await reply.read())


async def refused(server: Served, body: Any) -> tuple[int, Any]:
    """Status and error, which has the vendor's form."""
    async with posting(server, body) as reply:
        told = codec.decode_any(await reply.read())
    assert told["type"] == "error"
    return reply.status, told["error"]


async def stream(server: Served, **body: Any) -> list[Any]:
    """A request that streams: its events, in a form that the vendor's clients take, pings aside."""
    async with posting(server, {"stream": True, **body}) as reply:
        assert reply.status == 200
        return events_of(await reply.read())


def events_of(data: bytes) -> list[Any]:
    assert broken("messages", data, endpoint=True) == set()
    frames = [frame for frame in data.decode().split("\n\n") if frame and not frame.startswith(":")]
    events = [codec.decode_any(frame.partition("\ndata: ")[2]) for frame in frames]
    return [event for event in events if event["type"] != "ping"]


def folded(events: list[Any]) -> Any:
    fold = MessageFold()
    fold.take(events)
    return fold.message


def without_id(message: Any) -> Any:
    return {name: value for name, value in message.items() if name != "id"}


# --- answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", PROVIDERS[:3])  # Gemini's arguments are objects, and its calls sealed thoughts
async def test_f21_whole_and_streamed_are_the_same_message(server: Served, wire: str):
    """Text, thinking and a call, with counts: one answer in two forms."""
    moves = [Reasoning("hm"), Text("Café 😀"), Call("look", '{"at":"it"}', call_id="call_1"), Spent(9, 5)]
    server.upstream.enqueue(moves, moves)
    asked = {"model": f"{wire}/m", "tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 2048}}
    status, whole = await post(server, **asked)
    assert status == 200
    read = folded(await stream(server, **asked))
    assert [block["type"] for block in whole["content"]] == ["thinking", "text", "tool_use"]
    assert whole["content"][2] == {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "it"}}
    assert (whole["stop_reason"], whole["usage"]["output_tokens"], whole["model"]) == ("tool_use", 5, f"{wire}/m")
    thoughts, *rest = whole["content"]
    assert rest == read["content"][1:]
    assert thoughts["thinking"] == read["content"][0]["thinking"]
    names = {"content", "id"}
    assert {k: v for k, v in whole.items() if k not in names} == {k: v for k, v in read.items() if k not in names}


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_k26_the_answer_ends_with_its_calls_and_goes_on_with_their_results(server: Served, wire: str):
    """The first request ends when the calls are whole; the second brings the results, thinking and all."""
    calls = [Call("look", '{"at":"1"}', call_id="c1"), Call("look", '{"at":"2"}', call_id="c2")]
    server.upstream.enqueue([Reasoning("hm"), *calls], [Text("seen")])
    asked = {"model": f"{wire}/m", "tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 2048}}
    _, first = await post(server, **asked)
    results = [{"type": "tool_result", "tool_use_id": f"c{at}", "content": f"r{at}"} for at in (1, 2)]
    history = [USER, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": results}]
    status, second = await post(server, messages=history, **asked)
    assert (status, second["content"]) == (200, [{"type": "text", "text": "seen"}])
    sent = codec.encode(server.upstream.requests[-1].body).decode()
    assert sent.index("r1") < sent.index("r2")
    assert len(server.upstream.requests) == 2


async def test_signed_thinking_reaches_its_provider_byte_for_byte(server: Served):
    """The upstream refuses thinking that did not come back as it was sent; so the second turn proves it."""
    server.upstream.enqueue([Reasoning("hm"), Reasoning("xx", redacted=True), Call("look", "{}")], [Text("seen")])
    asked = {"tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 2048}}
    _, first = await post(server, **asked)
    use = first["content"][-1]
    results = [{"type": "tool_result", "tool_use_id": use["id"], "content": "r"}]
    history = [USER, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": results}]
    assert (await post(server, messages=history, **asked))[0] == 200
    sent = server.upstream.requests[-1].body["messages"][1]["content"]
    assert sent == first["content"]


@pytest.mark.parametrize(
    ("before", "after"), [("responses", "messages"), ("chat", "messages"), ("messages", "responses")]
)
async def test_a_conversation_moves_to_another_provider(server: Served, before: str, after: str):
    """Its thinking is not signed by the new one, and is not sent there as if it were."""
    server.upstream.enqueue([Reasoning("hm"), Call("look", "{}", call_id="c1")], [Text("seen")])
    asked = {"tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 2048}}
    _, first = await post(server, model=f"{before}/m", **asked)
    results = [{"type": "tool_result", "tool_use_id": "c1", "content": "r"}]
    history = [USER, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": results}]
    status, _ = await post(server, messages=history, model=f"{after}/m", **asked)
    assert status == 200
    assert first["content"][0]["signature"].encode() not in codec.encode(server.upstream.requests[-1].body)


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_a_summary_of_ours_is_one_again(server: Served, wire: str):
    """A run that was summed up, read in this dialect and given back: the provider gets the summary, and what came
    after it."""
    summary = {"type": "compaction", **compaction_item("cmp_1", "They like slate.").data}
    said = [{"type": "text", "text": "Noted."}, summary, {"type": "text", "text": "Go on."}]
    talk = [{"role": "user", "content": "I like slate"}, {"role": "assistant", "content": said}]
    status, _ = await post(server, model=f"{wire}/m", messages=[*talk, {"role": "user", "content": "And chalk"}])
    body = str(server.upstream.requests[-1].body)
    places = [body.find(text) for text in ("I like slate", "They like slate.", "Go on.", "And chalk")]
    assert (status, places) == (200, sorted(places))
    assert (places[0] > 0, "Noted." in body) == (True, False)


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_f12_k16_system_and_roles_reach_the_provider(server: Served, wire: str):
    """Every message under its role, in order; the system prompt whole."""
    server.upstream.enqueue([Text("ok")])
    history = [
        {"role": "user", "content": "Q1"},
        {"role": "assistant", "content": "A1"},
        {"role": "system", "content": "reminder"},
        {"role": "user", "content": [{"type": "text", "text": "Q2"}]},
    ]
    status, _ = await post(server, model=f"{wire}/m", messages=history, system="be brief")
    assert status == 200
    sent = codec.encode(server.upstream.requests[-1].body).decode()
    places = [sent.index(f'"{text}"') for text in ("Q1", "A1", "reminder", "Q2")]
    assert places == sorted(places)
    assert '"be brief"' in sent


async def test_what_the_vendor_caches_is_marked_there(server: Served):
    """Marks of tools, system and messages reach the vendor's wire, and nobody else's."""
    mark = {"type": "ephemeral"}
    asked = {
        "tools": [{**TOOL, "cache_control": mark}],
        "system": [{"type": "text", "text": "s", "cache_control": mark}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": mark}]}],
    }
    server.upstream.enqueue(*[[Text("ok")]] * 3)
    for wire in PROVIDERS:
        assert (await post(server, model=f"{wire}/m", **asked))[0] == 200
        sent = server.upstream.requests[-1].body
        marks = codec.encode(sent).count(b'"cache_control"')
        assert marks == (3 if wire == "messages" else 0)


async def test_f24_headers_and_query_change_nothing(server: Served):
    """Betas, versions and traces are tolerated."""
    server.upstream.enqueue([Text("ok")], [Text("ok")])
    _, plain = await post(server)
    async with posting(
        server, {"context_management": {"edits": []}, "betas": ["x"]}, "/v1/messages?beta=true",
        anthropic_version="2023-06-01", anthropic_beta="context-management-2025-06-27", x_trace_id="t",
    ) as reply:  # fmt: skip
        assert reply.status == 200
        assert without_id(await reply.json()) == without_id(plain)


async def test_the_run_is_readable_in_other_dialects_and_by_its_cursor(server: Served):
    """`request-id` and the message's id are the run's."""
    server.upstream.enqueue([Text("a text of some length")])
    async with posting(server, {}) as reply:
        answer = await reply.json()
        run_id = reply.headers["request-id"]
    assert run_id == answer["id"]
    async with aiohttp.ClientSession() as session:
        url = f"{server.url}/api/v2/stream/{run_id}"
        for dialect in ("native", "upserts", "chat", "messages"):
            async with session.get(url, params={"dialect": dialect}) as reply:
                data = await reply.read()
                assert data.strip()
        told = [frame.partition(b"\ndata: ")[2] for frame in data.split(b"\n\n") if b"event: " in frame]
        events = [codec.decode_any(each) for each in told]
        assert folded([event for event in events if event["type"] != "ping"]) == answer
        for cursor in [line[4:] for line in data.split(b"\n") if line.startswith(b"id: ")]:
            async with session.get(url, params={"dialect": "messages", "after": cursor.decode()}) as reply:
                rest = (await reply.read()).partition(b"retry: 1000\n\n")[2]
            seen = data[: data.index(b"id: %b\n" % cursor)]
            assert rest == data[len(seen) :].partition(b"\n\n")[2]


async def test_a_silent_stream_says_ping(tmp_path: Path, upstream: ScriptedUpstream):
    """The vendor's own keep-alive."""
    quick = {"keep_alive_s": 0.05}
    async with serving(settings(tmp_path / "data", upstream, server=quick), upstream) as server:
        upstream.enqueue([Gate("go"), Text("x")])
        async with posting(server, {"stream": True}) as reply:
            first = await asyncio.wait_for(reply.content.readuntil(b"\n\n"), 20)
            upstream.gate("go").open()
            events_of(first + await reply.read())
    assert first == b'event: ping\ndata: {"type":"ping"}\n\n'


# --- a client that goes away --------------------------------------------------------------------------------------


async def test_k23_a_run_goes_on_without_its_client(server: Served):
    """It is stored: it can be read to its end."""
    server.upstream.enqueue([Call("look", '{"at":"somewhere far away"}'), Gate("go"), Text("the end")])
    async with posting(server, {"stream": True, "tools": [TOOL]}) as reply:
        await reply.content.readuntil(b"input_json_delta")
        run_id = reply.headers["request-id"]
    server.upstream.gate("go").open()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/api/v2/stream/{run_id}", params={"dialect": "messages"}) as reply,
    ):
        data = await reply.read()
    assert broken("messages", data) == set()
    assert b"message_stop" in data


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "odd"}]}]}, "messages.0.content.0.type"),
        ({"model": "chat/m", "top_k": 5}, "top_k"),
        ({"model": "responses/m", "stop_sequences": ["x"]}, "stop_sequences"),
        ({"model": "chat/m", "mcp_servers": [{}]}, "mcp_servers"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
        ({"model": "chat/m", "tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools.0.type"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_f13_f14_what_cannot_be_is_refused_before_anything_is_sent(
    server: Served, body: Any, named: str, streamed: bool
):
    """A status and the vendor's envelope with the parameter's name, also where a stream was asked for; nothing ran."""
    status, error = await refused(server, {"stream": streamed, **body})
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["message"].startswith(f"{named}:")
    assert server.upstream.requests == []


async def test_a_model_that_nobody_has_is_not_found(server: Served):
    """With the vendor's status for it."""
    body = codec.encode({"model": "nobody/has-it", "messages": [USER]})
    for path, sent in (("/v1/messages", {"model": "nobody/has-it"}), (COUNT, body)):
        async with posting(server, sent, path) as reply:
            assert reply.status == 404
            assert (await reply.json())["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"model":"\xff\xfe"}', b"[" * 50_000])
async def test_k19_broken_bodies_are_told_in_the_vendors_envelope(server: Served, body: bytes):
    """JSON, always."""
    status, error = await refused(server, body)
    assert (status, error["type"]) == (400, "invalid_request_error")


async def test_k19_too_large_and_without_a_key(tmp_path: Path, upstream: ScriptedUpstream):
    """What the server itself refuses is told the same way."""
    limits = {"max_body_bytes": 1000, "api_keys": ["k"]}
    async with serving(settings(tmp_path / "data", upstream, server=limits), upstream) as server:
        status, error = await refused(server, {})
        assert (status, error["type"]) == (401, "authentication_error")
        async with posting(server, {"system": "x" * 2000}, x_api_key="k") as reply:
            assert reply.status == 413
            assert (await reply.json())["error"]["type"] == "request_too_large"


@pytest.mark.parametrize("wire", PROVIDERS)
@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (401, 502, "api_error"),
        (429, 429, "rate_limit_error"),
        (500, 502, "api_error"),
        (529, 529, "overloaded_error"),
    ],
)
async def test_k17_k18_a_providers_refusal_keeps_its_words(once: Served, wire: str, status: int, told: int, kind: str):
    """Its message, and a status that says whose fault it is: our key at the provider is not the caller's."""
    once.upstream.enqueue([HttpError(status, message="these very words")])
    answered, error = await refused(once, {"model": f"{wire}/m"})
    assert (answered, error["type"]) == (told, kind)
    assert "these very words" in error["message"]


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_k10_a_provider_that_dies_is_told_once(once: Served, wire: str):
    """A whole JSON error, whether or not anything had come."""
    once.upstream.enqueue([Cut()], [Text("half"), Cut()])
    for _ in range(2):
        status, error = await refused(once, {"model": f"{wire}/m"})
        assert (status, error["type"]) == (502, "api_error")


@pytest.mark.parametrize("wire", WORDED)
async def test_f5_f23_an_error_in_mid_stream_ends_it_as_one(once: Served, wire: str):
    """The event that the vendor's clients raise on, then the end; never a stop reason."""
    once.upstream.enqueue([Text("half of it"), Fail("rate_limited", "slow down")])
    events = await stream(once, model=f"{wire}/m")
    assert events[-1]["error"] == {"type": "rate_limit_error", "message": "slow down"}
    assert {"message_delta", "message_stop"}.isdisjoint(event["type"] for event in events)


async def test_k9_what_was_spent_is_kept_when_the_stream_dies(once: Served):
    """The run's usage is what the provider had told by then."""
    once.upstream.enqueue([Text("half of it"), Spent(9, 5), Fail()])
    async with posting(once, {"stream": True}) as reply:
        run_id = reply.headers["request-id"]
        await reply.read()
    async with aiohttp.ClientSession() as session, session.get(f"{once.url}/api/v2/runs/{run_id}") as reply:
        run = await reply.json()
    assert run["status"] == "error"
    assert run["usage"]["prompt_tokens"] == 9


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_k8_f16_a_limit_is_told_as_one(server: Served, wire: str):
    """Streamed and whole: the stop reason is the limit's."""
    server.upstream.enqueue(*[[Text("as far as it went"), Finish("length")]] * 2)
    _, whole = await post(server, model=f"{wire}/m")
    assert whole["stop_reason"] == "max_tokens"
    assert folded(await stream(server, model=f"{wire}/m"))["stop_reason"] == "max_tokens"


# --- counting ----------------------------------------------------------------------------------------------------


async def test_tokens_are_counted_without_asking_anybody(server: Served):
    """An estimate for any provider's model; `max_tokens` has no place there."""
    async with posting(server, codec.encode({"model": "chat/m", "messages": [USER]}), COUNT) as reply:
        assert (reply.status, await reply.json()) == (200, {"input_tokens": 6})
    async with posting(server, codec.encode({"model": "chat/m", "messages": [USER], "max_tokens": 5}), COUNT) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["message"] == "max_tokens: Extra inputs are not permitted"
    assert server.upstream.requests == []
