"""`/v1/responses` over HTTP: every endpoint, in front of each upstream wire, with bad input and clients that vanish."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tailrace.dialects.responses.sealed import seal_items, unseal_items
from tailrace.fold.compaction import compaction_item, compaction_of
from tailrace.schema import codec
from tailrace.testing.moves import Burst, Call, Fail, Gate, HttpError, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.wire.sse import SseParser
from tests.support.linting import broken
from tests.support.server import PROVIDERS, Served, serving, settings

Json = dict[str, Any]
LOOK = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


async def call(server: Served, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Json]:
    """One request; the status and the JSON of its answer."""
    status, said, _ = await send(server, method, path, body, **headers)
    return status, codec.decode_any(said)


async def send(
    server: Served, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    data = body if isinstance(body, bytes) or body is None else codec.encode(body)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.url + path, data=data, headers=headers) as reply,
    ):
        return reply.status, await reply.read(), dict(reply.headers)


async def create(server: Served, **body: Any) -> Json:
    status, said = await call(server, "POST", "/v1/responses", {"model": "responses/m", "input": "hi", **body})
    assert status == 200, said
    return said


async def stream(server: Served, **body: Any) -> tuple[bytes, list[Json]]:
    asked = {"model": "responses/m", "input": "hi", "stream": True, **body}
    _, data, _ = await send(server, "POST", "/v1/responses", asked)
    return data, events(data)


def events(data: bytes) -> list[Json]:
    parser = SseParser()
    said = [*parser.feed(data), *parser.close()]
    return [codec.decode_any(event.data) for event in said if event.data != b"[DONE]"]


def text_of(response: Json) -> str:
    return "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])


@pytest.mark.parametrize("wire", PROVIDERS[:3])  # Gemini's arguments are objects, and its calls sealed thoughts
async def test_a_stream_is_legal_and_ends_in_what_a_retrieval_gives(server: Served, wire: str):
    """Reasoning, text and two calls: the linter finds nothing, and the terminal response is the stored one."""
    server.upstream.enqueue(
        [Reasoning("Hm. Let me see."), Text("Café 😀"), Call("look", '{"place":"é"}'), Call("look", '{"place":""}')]
    )
    data, said = await stream(server, model=f"{wire}/m", tools=[LOOK])
    assert broken("responses", data, endpoint=True) == set()
    last = said[-1]["response"]
    assert [item["type"] for item in last["output"]] == ["reasoning", "message", "function_call", "function_call"]
    assert (await call(server, "GET", f"/v1/responses/{last['id']}"))[1] == last


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_whole_and_streamed_say_the_same(server: Served, wire: str):
    """Rule 7: but for ids and times, a plain answer is the stream, folded."""
    server.upstream.enqueue(*[[Reasoning("Hm."), Text("Hello"), Call("look", '{"place":"x"}', call_id="c1")]] * 2)
    whole = await create(server, model=f"{wire}/m", tools=[LOOK])
    _, said = await stream(server, model=f"{wire}/m", tools=[LOOK])
    strip = {"id", "created_at", "completed_at", "usage", "encrypted_content"}
    assert strip_keys(whole, strip) == strip_keys(said[-1]["response"], strip)


def strip_keys(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: strip_keys(inner, names) for key, inner in value.items() if key not in names}
    return [strip_keys(inner, names) for inner in value] if isinstance(value, list) else value


async def test_the_wire_form_of_the_stream(server: Served):
    """LF, no cursor of ours, names as types, `[DONE]` last."""
    _, data, headers = await send(
        server, "POST", "/v1/responses", {"model": "responses/m", "input": "hi", "stream": True}
    )
    assert headers["Content-Type"].startswith("text/event-stream")
    assert b"\r" not in data
    assert b"\nid:" not in data
    assert data.endswith(b"data: [DONE]\n\n")


async def test_a_run_cut_at_every_event_and_resumed_loses_and_doubles_nothing(server: Served):
    """`starting_after=N` gives exactly what is behind N, of an ordinary stored response."""
    server.upstream.enqueue([Reasoning("Hm."), Text("Hello"), Call("look", '{"place":"x"}')])
    _, said = await stream(server, tools=[LOOK])
    path = f"/v1/responses/{said[-1]['response']['id']}?stream=true"
    assert events((await send(server, "GET", path))[1]) == said
    for cut in range(len(said)):
        assert events((await send(server, "GET", f"{path}&starting_after={cut}"))[1]) == said[cut + 1 :]


async def test_a_live_run_can_be_read_by_many_and_in_another_dialect(server: Served):
    """A client drops out in mid-stream; others read on from any cursor, in this protocol and in others."""
    server.upstream.enqueue([Text("first"), Gate("g"), Burst(40)])
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{server.url}/v1/responses", json={"model": "responses/m", "input": "x", "stream": True}
        ) as reply,
    ):
        head = await reply.content.readuntil(b"output_text.delta")
    run_id = events(head.rpartition(b"event:")[0])[0]["response"]["id"]
    path = f"/v1/responses/{run_id}?stream=true"
    readers = [asyncio.create_task(send(server, "GET", f"{path}&starting_after={n}")) for n in (0, 0, 2, 3)]
    other = asyncio.create_task(send(server, "GET", f"/api/v2/stream/{run_id}?dialect=native&after=4"))
    await server.upstream.gate("g").reached.wait()
    server.upstream.gate("g").open()
    read = [events((await reader)[1]) for reader in readers]
    whole = events((await send(server, "GET", path))[1])
    assert read == [whole[1:], whole[1:], whole[3:], whole[4:]]
    assert events((await other)[1])[-1]["type"] == "response_done"
    assert broken("responses", (await send(server, "GET", f"/api/v2/stream/{run_id}?dialect=responses"))[1]) == set()


async def test_in_the_background(server: Served):
    """Queued at once, in progress meanwhile, completed at last; resumable from its first event."""
    server.upstream.enqueue([Text("a"), Gate("g"), Text("b")])
    begun = await create(server, background=True)
    path = f"/v1/responses/{begun['id']}"
    assert (begun["status"], begun["output"]) == ("queued", [])
    assert begun["background"] is True
    await server.upstream.gate("g").reached.wait()
    assert (await call(server, "GET", path))[1]["status"] == "in_progress"
    server.upstream.gate("g").open()
    said = events((await send(server, "GET", f"{path}?stream=true"))[1])
    assert [event["type"] for event in said[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert text_of((await call(server, "GET", path))[1]) == "ab"


async def test_any_run_can_be_cancelled(server: Served):
    """In the background or not: the provider's socket closes, what came stays, a second time changes nothing."""
    server.upstream.enqueue([Text("a half"), Gate("never")])
    reading = asyncio.create_task(stream(server))
    record = await server.upstream.received()
    await server.upstream.gate("never").reached.wait()
    (run,) = await newest(server)
    for _ in range(2):
        status, said = await call(server, "POST", f"/v1/responses/{run['id']}/cancel")
        assert (status, said["status"]) == (200, "cancelled")
    async with asyncio.timeout(20):
        await record.disconnected.wait()
    _, told = await reading
    assert (told[-1]["type"], told[-1]["response"]) == ("response.incomplete", said)
    assert (said["output"][0]["status"], text_of(said)) == ("incomplete", "a half")


async def newest(server: Served) -> list[Json]:
    return (await call(server, "GET", "/api/v2/runs?limit=1"))[1]["runs"]


async def test_a_deleted_response_is_gone(server: Served):
    """Its events too; and nothing can go on from it."""
    said = await create(server)
    path = f"/v1/responses/{said['id']}"
    assert await call(server, "DELETE", path) == (200, {"id": said["id"], "object": "response", "deleted": True})
    for status, error in (await call(server, "GET", path), await call(server, "GET", f"{path}?stream=true")):
        assert (status, error["error"]["type"]) == (404, "invalid_request_error")
    status, error = await call(
        server, "POST", "/v1/responses", {"model": "responses/m", "input": "x", "previous_response_id": said["id"]}
    )
    assert (status, error["error"]["code"]) == (400, "previous_response_not_found")
    assert error["error"]["param"] == "previous_response_id"


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_k26_a_tool_loop_goes_on_from_the_previous_response(server: Served, wire: str):
    """The run ends with its calls; the next request brings the output alone, and the model is given all of it."""
    server.upstream.enqueue([Text("Looking."), Call("look", '{"place":"x"}', call_id="c1")])
    first = await create(server, model=f"{wire}/m", tools=[LOOK], input="where")
    assert first["status"] == "completed"
    output = {"type": "function_call_output", "call_id": "c1", "output": "there"}
    second = await create(server, model=f"{wire}/m", tools=[LOOK], input=[output], previous_response_id=first["id"])
    assert text_of(second).startswith("The tool answered:\n\n> there")
    assert second["previous_response_id"] == first["id"]
    items = (await call(server, "GET", f"/v1/responses/{second['id']}/input_items"))[1]["data"]
    assert [(item["type"], item["call_id"], item["output"]) for item in items] == [
        ("function_call_output", "c1", "there")
    ]


async def test_two_answers_may_go_on_from_one_response(server: Served):
    """A branch each, at the same time; neither sees the other."""
    first = await create(server, input="remember cobalt")
    server.upstream.enqueue([Gate("g"), Text("one")], [Gate("g"), Text("two")])
    both = [asyncio.create_task(create(server, previous_response_id=first["id"])) for _ in range(2)]
    await server.upstream.received(3)
    server.upstream.gate("g").open()
    assert sorted([text_of(await one) for one in both]) == ["one", "two"]
    again = await create(server, input="what did i say", previous_response_id=first["id"])
    assert "remember cobalt" in text_of(again)
    assert len((await call(server, "GET", "/api/v2/threads"))[1]["threads"]) == 1


async def test_an_output_without_its_call_is_refused(server: Served):
    """Before any effect, naming the call."""
    output = {"type": "function_call_output", "call_id": "nobody", "output": "x"}
    status, error = await call(server, "POST", "/v1/responses", {"model": "responses/m", "input": [output]})
    assert (status, error["error"]["param"]) == (400, "input")
    assert "nobody" in error["error"]["message"]
    assert server.upstream.requests == []


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_a_client_that_keeps_the_conversation_sends_all_of_it(server: Served, wire: str):
    """`store: false`: every item goes back in, sealed reasoning too; nothing is kept here."""
    server.upstream.enqueue([Reasoning("Hm."), Call("look", '{"place":"x"}', call_id="c1")])
    include = ["reasoning.encrypted_content"]
    first = await create(server, model=f"{wire}/m", tools=[LOOK], input="where", store=False, include=include)
    assert (await call(server, "GET", f"/v1/responses/{first['id']}"))[0] == 404
    given = [
        {"role": "user", "content": "where"},
        *first["output"],
        {"type": "function_call_output", "call_id": "c1", "output": "there"},
    ]
    second = await create(server, model=f"{wire}/m", tools=[LOOK], input=given, store=False, include=include)
    assert "there" in text_of(second)


async def test_items_can_be_referred_to_by_their_ids_alone(server: Served):
    """As the AI SDK does in a tool loop: no previous response is named."""
    server.upstream.enqueue([Call("look", '{"place":"x"}', call_id="c1")])
    first = await create(server, model="chat/m", tools=[LOOK], input="where")
    given = [
        {"role": "user", "content": "where"},
        {"type": "item_reference", "id": first["output"][0]["id"]},
        {"type": "function_call_output", "call_id": "c1", "output": "there"},
    ]
    assert "there" in text_of(await create(server, model="chat/m", tools=[LOOK], input=given))


async def test_input_items_are_paged(server: Served):
    """Newest first unless asked otherwise; `after` goes on behind an item."""
    given = [{"role": "user", "content": text} for text in "abc"]
    path = f"/v1/responses/{(await create(server, input=given))['id']}/input_items"

    async def page(query: str) -> tuple[list[str], bool]:
        _, said = await call(server, "GET", f"{path}?{query}")
        return [item["content"][0]["text"] for item in said["data"]], said["has_more"]

    assert await page("") == (["c", "b", "a"], False)
    assert await page("order=asc&limit=2") == (["a", "b"], True)
    _, first = await call(server, "GET", f"{path}?order=asc&limit=1")
    assert await page(f"order=asc&after={first['last_id']}") == (["b", "c"], False)
    status, error = await call(server, "GET", f"{path}?after=nobody")
    assert (status, error["error"]["param"]) == (400, "after")


async def test_input_tokens_are_estimated(server: Served):
    """With what the previous response holds."""
    first = await create(server, input="x" * 400)
    asked = {"model": "responses/m", "input": "y" * 40}
    _, alone = await call(server, "POST", "/v1/responses/input_tokens", asked)
    _, chained = await call(
        server, "POST", "/v1/responses/input_tokens", {**asked, "previous_response_id": first["id"]}
    )
    assert alone == {"object": "response.input_tokens", "input_tokens": 14}
    assert chained["input_tokens"] > 114


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_a_conversation_is_compacted_and_goes_on(server: Served, wire: str):
    """The user's messages and one compaction item; given back, the model has the summary."""
    server.upstream.enqueue([Text("They like slate.")])
    given = [
        {"role": "user", "content": "I like slate"},
        {"role": "assistant", "content": "Noted: slate. " * 20},
        {"role": "user", "content": "And chalk"},
    ]
    status, said = await call(
        server, "POST", "/v1/responses/compact", {"model": f"{wire}/m", "input": given, "prompt_cache_key": "k"}
    )
    assert (status, said["object"]) == (200, "response.compaction")
    *messages, compaction = said["output"]
    assert [message["role"] for message in messages] == ["user", "user"]
    (sealed,) = unseal_items(compaction["encrypted_content"])
    assert compaction_of(sealed).summary == "They like slate."
    again = [*said["output"], {"role": "user", "content": "Go on"}]
    answer = await create(server, model=f"{wire}/m", input=again)
    assert "I like slate" in str(server.upstream.requests[-1].body)
    assert "They like slate." in str(server.upstream.requests[-1].body)
    assert "Noted: slate." not in str(server.upstream.requests[-1].body)
    assert (await newest(server))[0]["id"] == answer["id"]  # compaction leaves no run behind


async def test_c68_a_conversation_that_gets_no_shorter_is_handed_over_as_it_is(server: Served):
    """Its item holds it whole, and stands alone: given back, the model has it."""
    server.upstream.enqueue([Text("They like slate, and it was noted that they do.")])
    given = [{"role": "user", "content": "I like slate"}, {"role": "assistant", "content": "Noted."}]
    _, said = await call(server, "POST", "/v1/responses/compact", {"model": "responses/m", "input": given})
    (compaction,) = said["output"]
    assert compaction["type"] == "compaction"
    answer = await create(
        server, model="responses/m", input=[compaction, {"role": "user", "content": "what did i say"}]
    )
    assert "I like slate" in text_of(answer)
    assert "Noted." in str(server.upstream.requests[-1].body)


async def test_what_a_response_goes_on_from_is_summed_up_with_it(server: Served):
    """The user's earlier words are kept, too, and what the summary takes the place of is all of it."""
    server.upstream.enqueue([Text("Noted: slate. " * 20)], [Text("They like slate.")])
    first = await create(server, model="responses/m", input="I like slate")
    asked = {"model": "responses/m", "input": "And chalk", "previous_response_id": first["id"]}
    _, said = await call(server, "POST", "/v1/responses/compact", asked)
    *messages, compaction = said["output"]
    assert [message["content"][0]["text"] for message in messages] == ["I like slate", "And chalk"]
    (sealed,) = unseal_items(compaction["encrypted_content"])
    assert compaction_of(sealed).summary == "They like slate."


async def test_a_native_runs_compaction_is_the_responses_apis_own(server: Served):
    """Read in this dialect and given back with what came before it, the next request begins with it."""
    item = {"id": "cmp_1", "type": "compaction", "encrypted_content": seal_items([compaction_item("cmp_1", "Slate.")])}
    given = [{"role": "user", "content": "I like slate"}, {"role": "assistant", "content": "Noted."}, item]
    await create(server, model="responses/m", input=[*given, {"role": "user", "content": "Go on"}])
    said = [each["content"] for each in server.upstream.requests[-1].body["input"]]
    assert ["Noted." in str(said), "Slate." in str(said), "I like slate" in str(said)] == [False, True, True]


async def test_compaction_needs_a_model_and_tells_its_failure(server: Served):
    """A 400 that names it; a provider's failure in the usual envelope."""
    status, error = await call(server, "POST", "/v1/responses/compact", {"input": "x"})
    assert (status, error["error"]["param"]) == (400, "model")
    server.upstream.enqueue([HttpError(400, message="no")])
    status, error = await call(server, "POST", "/v1/responses/compact", {"model": "responses/m", "input": "x"})
    assert (status, error["error"]["message"]) == (400, "no")


async def test_the_open_responses_form_is_asked_for_by_a_header(server: Served):
    """`OpenResponses-Version`: its own names for reasoning; the log says so, so that a replay has them, too."""
    server.upstream.enqueue([Reasoning("Hm."), Text("Hi")])
    asked = {"model": "chat/m", "input": "x", "stream": True}
    _, data, _ = await send(server, "POST", "/v1/responses", asked, **{"OpenResponses-Version": "2026-04-24"})
    kinds = {event["type"] for event in events(data)}
    assert "response.reasoning.delta" in kinds
    assert "response.reasoning_text.delta" not in kinds
    run_id = events(data)[0]["response"]["id"]
    assert (await send(server, "GET", f"/v1/responses/{run_id}?stream=true"))[1] == data


# --- bad input and faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"\xff\xfe", None),
        (b"[]", None),
        ({"input": "x"}, "model"),
        ({"model": "nobody", "input": "x"}, "model"),
        ({"model": "responses/other", "input": "x"}, "model"),
        ({"model": "responses/m"}, "input"),
        ({"model": "responses/m", "input": 5}, "input"),
        ({"model": "responses/m", "input": "x", "surprise": 1}, "surprise"),
        ({"model": "responses/m", "input": "x", "temperature": "hot"}, "temperature"),
        ({"model": "responses/m", "input": "x", "previous_response_id": "r" * 500}, "previous_response_id"),
        ({"model": "responses/m", "input": "x", "conversation": "nobody"}, "conversation"),
        ({"model": "messages/m", "input": "x", "presence_penalty": 1}, "presence_penalty"),
        ({"model": "messages/m", "input": "x", "text": {"verbosity": "low"}}, "text.verbosity"),
        ({"model": "chat/m", "input": "x", "tools": [{"type": "web_search"}]}, "tools[0]"),
    ],
)
async def test_k19_wrong_requests_have_the_vendors_envelope(server: Served, body: Any, param: str | None):
    """JSON with message, type, param and code; nothing is asked of any provider."""
    status, error = await call(server, "POST", "/v1/responses", body)
    assert status in {400, 404}, error
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert error["error"]["param"] == param
    assert server.upstream.requests == []


async def test_unknown_places_and_wrong_parameters_of_a_path(server: Served):
    """404, 405 and 400 in the vendor's envelope, too."""
    for method, path, status in [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/responses/nobody", 404),
        ("GET", "/v1/responses/nobody?stream=true", 404),
        ("GET", "/v1/responses/nobody/input_items", 404),
        ("POST", "/v1/responses/nobody/cancel", 404),
        ("DELETE", "/v1/responses/nobody", 404),
        ("PUT", "/v1/responses", 405),
        ("GET", "/v1/responses/nobody?stream=true&starting_after=-1", 400),
    ]:
        answer = await call(server, method, path)
        assert (answer[0], set(answer[1]["error"])) == (status, {"message", "type", "param", "code"}), path


async def test_a_body_over_the_limit_and_a_missing_key(tmp_path: Path, upstream: ScriptedUpstream):
    """413 and 401, as the vendor words them."""
    given = settings(tmp_path, upstream, server={"api_keys": ["right"], "max_body_bytes": 1000})
    async with serving(given, upstream) as server:
        status, error = await call(server, "POST", "/v1/responses", {"model": "responses/m", "input": "x"})
        assert (status, error["error"]["code"]) == (401, "invalid_api_key")
        headers = {"Authorization": "Bearer right"}
        status, error = await call(server, "POST", "/v1/responses", b" " * 2000, **headers)
        assert (status, error["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("upstream_status", "status", "code"),
    [(400, 400, "invalid_value"), (401, 502, "provider_authentication"), (404, 404, "not_found"),
     (429, 429, "rate_limit_exceeded"), (500, 502, "server_error"), (503, 503, "server_is_overloaded")],
)  # fmt: skip
async def test_k18_a_providers_failure_has_a_status_of_its_own(
    tmp_path: Path, upstream: ScriptedUpstream, upstream_status: int, status: int, code: str
):
    """Whole: the envelope and a status; streamed: the events each SDK raises on. The message is the provider's."""
    async with serving(settings(tmp_path, upstream, upstream={"attempts": 1}), upstream) as server:
        upstream.enqueue(*[[HttpError(upstream_status, message="because")]] * 2)
        told = await call(server, "POST", "/v1/responses", {"model": "responses/m", "input": "x"})
        assert (told[0], told[1]["error"]["code"], told[1]["error"]["message"]) == (status, code, "because")
        data, said = await stream(server)
        assert broken("responses", data, endpoint=True) == set()
        assert [event["type"] for event in said[-2:]] == ["error", "response.failed"]
        assert said[-1]["response"]["error"] == {"code": code, "message": "because"}


async def test_when_to_come_back_is_passed_on(tmp_path: Path, upstream: ScriptedUpstream):
    """A rate limit's `retry-after`."""
    async with serving(settings(tmp_path, upstream, upstream={"attempts": 1}), upstream) as server:
        upstream.enqueue([HttpError(429, retry_after=7)])
        status, _, headers = await send(server, "POST", "/v1/responses", {"model": "responses/m", "input": "x"})
        assert (status, headers.get("Retry-After") or headers.get("retry-after")) == (429, "7")


async def test_k24_a_failure_in_mid_stream_keeps_what_came(tmp_path: Path, upstream: ScriptedUpstream):
    """The text so far as an incomplete item, then the error, then the failed response."""
    async with serving(settings(tmp_path, upstream, upstream={"attempts": 1}), upstream) as server:
        upstream.enqueue([Text("a half"), Fail()])
        data, said = await stream(server)
        assert broken("responses", data, endpoint=True) == set()
        last = said[-1]["response"]
        assert (last["status"], last["output"][0]["status"], text_of(last)) == ("failed", "incomplete", "a half")
        assert (await call(server, "GET", f"/v1/responses/{last['id']}"))[1] == last


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("is_stored", [True, False])
async def test_f15_a_client_that_vanishes(server: Served, is_stored: bool, is_streamed: bool):
    """A stored run goes on to its end; one that is not stored stops, and its provider is let go within a second."""
    server.upstream.enqueue([Text("a"), Gate("g"), Text("b")])
    body = {"model": "responses/m", "input": "x", "stream": is_streamed, "store": is_stored}
    asking = asyncio.create_task(send(server, "POST", "/v1/responses", body))
    record = await server.upstream.received()
    await server.upstream.gate("g").reached.wait()
    asking.cancel()
    if not is_stored:
        async with asyncio.timeout(2):
            await record.disconnected.wait()
        return
    server.upstream.gate("g").open()
    async with asyncio.timeout(20):
        await record.answered.wait()
    run_id = (await newest(server))[0]["id"]
    said = events((await send(server, "GET", f"/v1/responses/{run_id}?stream=true"))[1])
    assert text_of(said[-1]["response"]) == "ab"


async def test_k22_characters_are_never_split_and_long_arguments_come_whole(server: Served):
    """Eight kilobytes of arguments, of characters of four bytes."""
    arguments = codec.encode({"place": "😀é" * 4000}).decode()
    server.upstream.enqueue([Call("look", arguments)])
    _, said = await stream(server, model="chat/m", tools=[LOOK])
    deltas = [event["delta"] for event in said if event["type"] == "response.function_call_arguments.delta"]
    assert "".join(deltas) == arguments == said[-1]["response"]["output"][0]["arguments"]


async def test_k8_an_answer_that_hit_its_limit_is_incomplete(server: Served):
    """And one that ended with calls is completed."""
    said = await create(server, input="length")
    assert (said["status"], said["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


async def test_f24_a_trace_id_changes_nothing(server: Served):
    """Headers of tracers choose no other form."""
    server.upstream.enqueue(*[[Text("Hi")]] * 2)
    body = {"model": "responses/m", "input": "x"}
    _, plain = await call(server, "POST", "/v1/responses", body)
    _, traced = await call(server, "POST", "/v1/responses", body, **{"x-trace-id": "t", "x-copilot-trace-id": "t"})
    strip = {"id", "created_at", "completed_at"}
    assert strip_keys(plain, strip) == strip_keys(traced, strip)


async def test_models_are_listed_for_both_sdks(server: Served):
    """By the names that a request takes; one at a time, too."""
    _, said = await call(server, "GET", "/v1/models")
    assert {"responses/m", "chat/m", "messages/m"} <= {model["id"] for model in said["data"]}
    assert (await call(server, "GET", "/v1/models/chat/m"))[1]["owned_by"] == "chat"
    status, error = await call(server, "GET", "/v1/models/nobody")
    assert (status, error["error"]["code"]) == (404, "model_not_found")
