"""The scripted upstream: each wire's bytes over a real socket, words, gates, faults and what is recorded."""

import asyncio

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema import codec
from tailrace.testing.moves import (
    Burst,
    Call,
    Cut,
    Fail,
    Finish,
    Gate,
    KeepAlive,
    Paced,
    Pause,
    Reasoning,
    Spent,
    Stall,
    Text,
)
from tailrace.testing.upstream import WIRES, ScriptedUpstream
from tailrace.testing.wires.base import Memory, Ticket, is_sealed, sign, steps
from tailrace.testing.wires.plan import make_plan
from tests.support.asking import (
    BEDROCK,
    CHAT,
    GEMINI,
    KEEP_ALIVES,
    MESSAGES,
    OLLAMA,
    PATHS,
    RESPONSES,
    asking,
    calls,
    deltas,
    frames,
    post,
    reason,
    sent,
    stream,
    text,
    whole,
    with_outputs,
)

every_wire = pytest.mark.parametrize("wire", PATHS)


# --- answers ------------------------------------------------------------------------------------------------------


@every_wire
async def test_a_greeting_gets_markdown_in_many_pieces(up, client, wire):
    """The default answer quotes the prompt and says what can be tried; stream and whole agree."""
    pieces = deltas(wire, await stream(client, up, wire, asking(wire, "good morning")))
    assert len(pieces) > 100
    assert "> good morning" in "".join(pieces)
    assert "`weather`" in "".join(pieces)
    answer = await whole(client, up, wire, asking(wire, "good morning"))
    assert text(wire, answer) == "".join(pieces)


@every_wire
async def test_weather_calls_the_offered_tool_and_tells_its_output(up, client, wire):
    """A call with arguments that fit the schema; then a text that quotes the output."""
    body = asking(wire, "How is the weather?", tools=True)
    answer = await whole(client, up, wire, body)
    ((call_id, name, arguments),) = calls(wire, answer)
    assert (name, arguments) == ("get_weather", {"city": "Paris"})
    assert call_id
    assert reason(wire, answer) in {"completed", "tool_use", "tool_calls", "stop", "STOP"}
    then = await whole(client, up, wire, with_outputs(wire, body, answer, "sunny, 21 degrees"))
    assert "sunny, 21 degrees" in text(wire, then)
    assert calls(wire, then) == []


@every_wire
async def test_without_tools_nothing_is_called(up, client, wire):
    """What was not offered cannot be called."""
    assert calls(wire, await whole(client, up, wire, asking(wire, "weather, in parallel"))) == []


@every_wire
async def test_parallel_makes_three_calls_and_wants_three_outputs(up, client, wire):
    """Distinct ids, distinct arguments."""
    body = asking(wire, "parallel please", tools=True)
    answer = await whole(client, up, wire, body)
    made = calls(wire, answer)
    assert len({call[0] for call in made}) == 3
    assert [call[2]["city"] for call in made] == ["Paris", "Oslo", "Lima"]
    told = text(wire, await whole(client, up, wire, with_outputs(wire, body, answer, "one", "two", "three")))
    assert "1. one\n2. two\n3. three" in told


@every_wire
async def test_what_was_said_is_remembered_by_the_history(up, client, wire):
    """The upstream keeps nothing: what it recalls, the request told it."""
    turns = ["remember the Blue door", "ok", "what did I say?"]
    assert "remember: the Blue door" in text(wire, await whole(client, up, wire, asking(wire, turns[0])))
    assert "- remember the Blue door" in text(wire, await whole(client, up, wire, asking(wire, *turns)))


@every_wire
async def test_a_long_answer_has_five_thousand_numbered_pieces(up, client, wire):
    """None lost, none doubled."""
    pieces = deltas(wire, await stream(client, up, wire, asking(wire, "a long one")))
    assert [int(piece) for piece in pieces] == list(range(1, 5001))
    assert len(deltas(wire, await stream(client, up, wire, asking(wire, "long 60")))) == 60


@every_wire
@pytest.mark.parametrize("prompt", ["empty", "hit the length"])
async def test_odd_endings(up, client, wire, prompt):
    """No text at all; a text that ran into its limit."""
    answer = await whole(client, up, wire, asking(wire, prompt))
    pieces = deltas(wire, await stream(client, up, wire, asking(wire, prompt)))
    assert "".join(pieces) == text(wire, answer)
    if prompt == "empty":
        assert pieces == []
        assert reason(wire, answer) in {"completed", "end_turn", "stop", "STOP"}
    else:
        assert reason(wire, answer) in {"max_output_tokens", "max_tokens", "length", "MAX_TOKENS"}


@every_wire
async def test_slow_pauses_before_each_piece(up, client, wire):
    """The pauses add up to the length of the stream."""
    start = asyncio.get_running_loop().time()
    await stream(client, up, wire, asking(wire, "slow 10, long 20"))
    assert asyncio.get_running_loop().time() - start >= 0.19


@every_wire
async def test_the_same_requests_get_the_same_bytes_and_no_id_twice(client, wire):
    """Ids follow from the seed and the count."""
    runs = []
    for _ in range(2):
        async with ScriptedUpstream(seed="s") as up:
            body = asking(wire, "think about the weather", tools=True)
            runs.append([(await post(client, up, wire, body))[2] for _ in range(2)])
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]


@every_wire
async def test_usage_is_an_estimate_or_what_the_script_says(up, client, wire):
    """Both ways in the wire's own words."""
    up.enqueue([Text("x" * 40)], [Text("a"), Spent(100, 20, cached=30, reasoning=5)])
    first, second = [
        answer.get("usage") or answer.get("usageMetadata") or answer
        for answer in [await whole(client, up, wire, asking(wire, "hi")) for _ in range(2)]
    ]
    outputs = ("output_tokens", "completion_tokens", "candidatesTokenCount", "outputTokens", "eval_count")
    assert [first[name] for name in outputs if name in first] == [10]
    if wire == MESSAGES:
        assert (second["input_tokens"], second["cache_read_input_tokens"], second["output_tokens"]) == (70, 30, 20)
    elif wire == BEDROCK:
        assert (second["inputTokens"], second["cacheReadInputTokens"], second["totalTokens"]) == (70, 30, 120)
    else:
        assert 100 in second.values()
        totals = [second[name] for name in ("total_tokens", "totalTokenCount") if name in second]
        assert totals == ([] if wire == OLLAMA else [120])


async def test_the_responses_stream_is_numbered_and_whole(up, client):
    """Sequence numbers without a gap; the last event carries the response that the parts add up to."""
    up.enqueue([Reasoning("hm"), Text("hello"), Call("f", '{"a": 1}')])
    events = await stream(client, up, RESPONSES, asking(RESPONSES, "x"))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert events[-1]["response"]["output"] == done
    assert [item["type"] for item in done] == ["reasoning", "message", "function_call"]
    assert is_sealed(done[0]["encrypted_content"])
    assert "".join(e["delta"] for e in events if e["type"].endswith("arguments.delta")) == '{"a": 1}'


async def test_encrypted_reasoning_comes_only_when_asked_for(up, client):
    """As with the vendor: `include` names it."""
    up.enqueue([Reasoning("hm")])
    body = asking(RESPONSES, "x")
    del body["include"]
    assert "encrypted_content" not in (await whole(client, up, RESPONSES, body))["output"][0]


async def test_the_messages_stream_signs_its_thinking(up, client):
    """A thinking block ends with its signature; a redacted one is nothing but data."""
    up.enqueue([Reasoning("hm, well"), Reasoning("secret", redacted=True), Text("so"), Call("f")])
    events = await stream(client, up, MESSAGES, asking(MESSAGES, "x"))
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "redacted_thinking", "text", "tool_use"]
    given = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta.get("thinking", "") for delta in given) == "hm, well"
    assert [delta["signature"] for delta in given if delta["type"] == "signature_delta"] == [sign("hm, well")]
    assert not [delta for delta in given if delta["type"] == "input_json_delta"]  # no arguments, no delta
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


async def test_the_chat_stream_counts_its_calls_and_its_tokens(up, client):
    """Calls carry their index; usage comes in a last chunk without choices, when asked for."""
    up.enqueue([Reasoning("hm"), Text("a"), Call("f", "{}"), Call("g", "{}")])
    events = await stream(client, up, CHAT, asking(CHAT, "x"))
    parts = [part for event in events for choice in event["choices"] for part in choice["delta"].get("tool_calls", ())]
    assert {part["index"] for part in parts} == {0, 1}
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["total_tokens"] > 0
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert any(event["choices"][0]["delta"].get("reasoning_content") for event in events[:-1])


@every_wire
async def test_a_refusal_is_said_in_the_wires_way(up, client, wire):
    """Responses and chat have a field for it, messages a stop reason."""
    up.enqueue([Text("I will not."), Finish("refusal")], [Text("I will not."), Finish("refusal")])
    answer = await whole(client, up, wire, asking(wire, "x"))
    events = await stream(client, up, wire, asking(wire, "x"))
    if wire == MESSAGES:
        assert answer["stop_reason"] == "refusal"
    elif wire == GEMINI:
        assert reason(wire, answer) == events[-1]["candidates"][0]["finishReason"] == "SAFETY"
    elif wire == BEDROCK:
        assert answer["stopReason"] == "content_filtered"
    elif wire == OLLAMA:
        assert text(wire, answer) == "".join(deltas(wire, events)) == "I will not."
    elif wire == RESPONSES:
        assert answer["output"][0]["content"] == [{"type": "refusal", "refusal": "I will not."}]
        assert "".join(e["delta"] for e in events if e["type"] == "response.refusal.delta") == "I will not."
    else:
        assert answer["choices"][0]["message"]["refusal"] == "I will not."


async def test_models_are_listed(up, client):
    """One list for both vendors' SDKs."""
    async with client.get(f"{up.origin}/v1/models") as response:
        listed = await response.json()
    assert [model["id"] for model in listed["data"]] == ["demo"]


# --- control ------------------------------------------------------------------------------------------------------


@every_wire
async def test_a_gate_freezes_the_stream(up, client, wire):
    """Nothing behind the gate comes before it opens."""
    up.enqueue([Text("before", chunk=99), Gate("g"), Text(" after", chunk=99)])
    async with sent(client, up, wire, asking(wire, "x")) as response:
        await up.gate("g").reached.wait()
        first = await response.content.readany()
        assert b"before" in first
        assert b"after" not in first
        assert not up.requests[0].answered.is_set()
        up.gate("g").open()
        rest = await response.read()
    assert "".join(deltas(wire, frames(wire, first + rest))) == "before after"


async def test_a_script_may_be_a_function_of_the_request(up, client):
    """Enqueued scripts win over it, it wins over words."""
    up.script = lambda asked: [Text(f"{asked.wire}: {asked.user_texts[-1]} ({len(asked.tools)} tools)")]
    up.enqueue([Text("first")])
    body = asking(CHAT, "hello", tools=True)
    assert text(CHAT, await whole(client, up, CHAT, body)) == "first"
    assert text(CHAT, await whole(client, up, CHAT, body)) == f"{CHAT}: hello (1 tools)"


async def test_requests_are_recorded_without_keys(up, client):
    """Wire, path, body and headers; a key is masked."""
    keys = {"Authorization": "Bearer sk-1234567", "x-api-key": "sk-1234567", "Anthropic-Version": "2023-06-01"}
    body = asking(MESSAGES, "x")
    async with client.post(f"{up.url}/messages", data=codec.encode(body), headers=keys) as response:
        await response.read()
    request = up.requests[0]
    assert (request.wire, request.path, request.body) == (MESSAGES, "/v1/messages", body)
    assert (request.headers["authorization"], request.headers["x-api-key"]) == ("***", "***")
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.answered.is_set()
    assert not request.closed


@pytest.mark.parametrize("script", [[Text("a"), Stall()], [Text("a"), Gate("g")], [Paced(0.01, (Burst(999),))]])
async def test_a_client_that_goes_is_noticed(up, client, script):
    """In a stall, at a gate, between pieces: `disconnected` is set."""
    up.enqueue(script)
    response = await sent(client, up, CHAT, asking(CHAT, "x"))
    await response.content.readany()
    response.close()
    await asyncio.wait_for(up.requests[0].disconnected.wait(), 2)
    assert up.requests[0].closed


async def test_keep_alives_are_bytes_without_events(up, client):
    """A comment on OpenAI's wires, a ping on Anthropic's; the others have none."""
    for wire in PATHS:
        up.enqueue([Text("a"), KeepAlive(), Text("b")])
        _, _, raw = await post(client, up, wire, asking(wire, "x"))
        sign, times = KEEP_ALIVES.get(wire, (b"alive", 0))
        assert raw.count(sign) == times
        assert "".join(deltas(wire, frames(wire, raw))) == "ab"


async def test_closing_ends_what_is_under_way(client):
    """A stalled, a gated and a paced stream do not hold the server back."""
    async with ScriptedUpstream() as up:
        up.enqueue([Text("a"), Stall()], [Text("a"), Gate("g")], [Paced(1, (Burst(99),))], [Stall()])
        posts = [sent(client, up, CHAT, asking(CHAT, "x")) for _ in range(4)]
        tasks = [asyncio.create_task(read_anyhow(sent)) for sent in posts]
        await up.received(4)
        start = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - start < 1.5
    await asyncio.gather(*tasks)
    assert not any(request.closed for request in up.requests)


async def read_anyhow(sent):
    try:
        async with sent as response:
            return await response.read()
    except aiohttp.ClientError:
        return None


# --- faults -------------------------------------------------------------------------------------------------------


@every_wire
async def test_an_error_in_mid_stream_is_the_last_thing_said(up, client, wire):
    """In the wire's own form; no regular end behind it."""
    events = await stream(client, up, wire, asking(wire, "error"))
    if wire == RESPONSES:
        assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
        assert events[-1]["response"]["error"]["code"] == "server_error"
    else:
        assert "error" in events[-1]
    status, _, raw = await post(client, up, wire, asking(wire, "error", stream=False))
    assert status == 500
    assert {"error", "message"} & codec.decode_any(raw).keys()


@every_wire
@pytest.mark.parametrize(("code", "word"), [("overloaded", "overloaded"), ("rate_limited", "rate_limit")])
async def test_the_kind_of_an_error_is_told(up, client, wire, code, word):
    """A canonical code becomes the vendor's."""
    if wire == GEMINI:
        word = {"overloaded": "UNAVAILABLE", "rate_limited": "RESOURCE_EXHAUSTED"}[code]
    up.enqueue([Fail(code, "no")])
    if wire == OLLAMA:
        word = "no"  # it has but a text
    elif wire == BEDROCK:
        word = {"overloaded": "serviceUnavailableException", "rate_limited": "throttlingException"}[code]
    events = await stream(client, up, wire, asking(wire, "x"))
    assert word in codec.encode(events[-1]).decode()


@every_wire
@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
async def test_http_errors_by_word(up, client, wire, status):
    """Status, Retry-After and the vendor's error body."""
    got, headers, raw = await post(client, up, wire, asking(wire, f"http {status} retry-after 7"))
    assert (got, headers["retry-after"]) == (status, "7")
    said = codec.decode_any(raw)
    if wire == BEDROCK:
        assert said["message"]
        assert headers["x-amzn-ErrorType"].endswith("Exception")
    elif wire == OLLAMA:
        assert said["error"]
    else:
        assert said["error"]["status" if wire == GEMINI else "type"]
    _, headers, _ = await post(client, up, wire, asking(wire, f"http {status}"))
    assert "retry-after" not in headers


@every_wire
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("script", [[Cut()], [Text("abc"), Cut()]], ids=["before headers", "in the body"])
async def test_a_cut_breaks_the_connection(up, client, wire, streaming, script):
    """Before the headers, and in the middle of the body."""
    up.enqueue(script)
    with pytest.raises(aiohttp.ClientError) as caught:
        await post(client, up, wire, asking(wire, "x", stream=streaming))
    in_body = len(script) > 1
    assert isinstance(caught.value, aiohttp.ClientPayloadError if in_body else aiohttp.ServerDisconnectedError)


async def test_words_for_faults(up, client):
    """`cut` and `stall` do what they say."""
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(client, up, CHAT, asking(CHAT, "cut"))
    async with sent(client, up, CHAT, asking(CHAT, "stall")) as response:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.read(), 0.05)


@every_wire
@pytest.mark.parametrize("prompt", ["http 500", "cut it", "please stall"])
async def test_the_demo_has_no_faults(client, wire, prompt):
    """Without faults such words get a friendly text; `error` works all the same."""
    async with ScriptedUpstream(faults=False) as up:
        assert "demo" in text(wire, await whole(client, up, wire, asking(wire, prompt)))
        events = await stream(client, up, wire, asking(wire, "error"))
    assert "error" in codec.encode(events[-1]).decode()


# --- pure parts ---------------------------------------------------------------------------------------------------

pieces = st.text(max_size=30)
moves = st.one_of(
    st.builds(Text, pieces, st.integers(1, 9)),
    st.builds(Reasoning, pieces, st.integers(1, 9), st.booleans()),
    st.builds(Call, st.just("f"), st.sampled_from(["", "{}", '{"a":"é"}']), chunk=st.integers(1, 9)),
    st.builds(Burst, st.integers(0, 5)),
    st.just(KeepAlive()),
    st.just(Pause(0.0)),
)


@given(st.lists(moves, max_size=8), st.sampled_from(WIRES))
def test_a_stream_adds_up_to_the_whole_answer(script, wire):
    """Whatever the script: the pieces of text, joined, are the text of the non-streaming answer."""
    body = {**asking(wire.name, "x"), "model": "m"}
    plan = make_plan(script, 10)
    renderer = wire.renderer(plan, Ticket("s", 1), body, Memory())
    raw = b"".join(step for step in steps(plan, renderer) if isinstance(step, bytes))
    assert "".join(deltas(wire.name, frames(wire.name, raw))) == text(wire.name, renderer.whole())
