"""The scripted upstream refuses what the vendors refuse: each wire's own strictness, with its own words."""

import pytest
from yarl import URL

from tailrace.schema import codec
from tailrace.testing.moves import Call, Reasoning, Text
from tests.support.asking import (
    BEDROCK,
    GEMINI,
    MESSAGES,
    OLLAMA,
    PATHS,
    RESPONSES,
    SCHEMA,
    asking,
    post,
    stream,
    text,
    whole,
    with_outputs,
)

every_wire = pytest.mark.parametrize("wire", PATHS)


@every_wire
async def test_a_call_without_its_output_is_refused(up, client, wire):
    """400 in the vendor's form; the queued script is kept for the next request."""
    body = asking(wire, "weather", tools=True)
    answer = await whole(client, up, wire, body)
    request = with_outputs(wire, body, answer, "sunny")
    for history in (request.get("input"), request.get("messages"), request.get("contents")):
        if history:
            history.pop()
    up.enqueue([Text("kept")])
    status, _, raw = await post(client, up, wire, request)
    assert status == 400
    assert any(word in raw for word in (b"call", b"tool", b"function"))
    assert text(wire, await whole(client, up, wire, body)) == "kept"


@every_wire
async def test_an_output_without_its_call_is_refused(up, client, wire):
    """Nobody asked for it."""
    body = asking(wire, "weather", tools=True)
    request = with_outputs(wire, body, await whole(client, up, wire, body), "sunny")
    name = {RESPONSES: "input", GEMINI: "contents"}.get(wire, "messages")
    kept = [request[name][0], request[name][-1]]
    status, _, _ = await post(client, up, wire, {**request, name: kept})
    assert status == 400


@pytest.mark.parametrize("redacted", [False, True])
async def test_c18_thinking_before_a_tool_use_must_come_back_unchanged(up, client, redacted):
    """Left out, altered or moved behind: refused. Byte for byte: taken."""
    up.enqueue([Reasoning("hm, naïve?", redacted=redacted), Text("ok"), Call("get_weather", '{"city": "Oslo"}')])
    body = asking(MESSAGES, "x", tools=True)
    answer = await whole(client, up, MESSAGES, body)
    request = with_outputs(MESSAGES, body, answer, "rain")
    assert (await post(client, up, MESSAGES, request))[0] == 200

    thinking, *others = answer["content"]
    field = "data" if redacted else "signature"
    altered = {**thinking, field: thinking[field][:-3] + "AA="}
    for content in (others, [altered, *others]):
        status, _, raw = await post(
            client, up, MESSAGES, with_outputs(MESSAGES, body, {**answer, "content": content}, "rain")
        )
        assert status == 400, content
        assert b"invalid_request_error" in raw
    if not redacted:
        forged = {**answer, "content": [{**thinking, "thinking": "hm, naive?"}, *others]}
        assert (await post(client, up, MESSAGES, with_outputs(MESSAGES, body, forged, "rain")))[0] == 400


async def test_c18_the_streamed_thinking_is_asked_for_as_well(up, client):
    """A stream is remembered like a whole answer; another model may be told nothing of it."""
    body = asking(MESSAGES, "think about the weather", tools=True)
    events = await stream(client, up, MESSAGES, body)
    (use,) = [e["content_block"] for e in events if e.get("content_block", {}).get("type") == "tool_use"]
    answer = {"content": [{**use, "input": {"city": "Paris"}}]}
    request = with_outputs(MESSAGES, body, answer, "rain")
    assert (await post(client, up, MESSAGES, request))[0] == 400
    assert (await post(client, up, MESSAGES, {**request, "model": "other"}))[0] == 200


@pytest.mark.parametrize("redacted", [False, True])
async def test_c18_reasoning_before_a_tool_use_of_converse(up, client, redacted):
    """The same on Bedrock: left out or altered it is refused, byte for byte it is taken."""
    up.enqueue([Reasoning("hm, naïve?", redacted=redacted), Call("get_weather", '{"city": "Oslo"}')])
    body = asking(BEDROCK, "x", tools=True)
    answer = await whole(client, up, BEDROCK, body)
    assert (await post(client, up, BEDROCK, with_outputs(BEDROCK, body, answer, "rain")))[0] == 200
    thought, *others = answer["output"]["message"]["content"]
    if redacted:
        altered = {"reasoningContent": {"redactedContent": "QUJD"}}
    else:
        text_block = thought["reasoningContent"]["reasoningText"]
        altered = {"reasoningContent": {"reasoningText": {**text_block, "text": "hm, naive?"}}}
    for content in (others, [altered, *others]):
        forged = {"output": {"message": {"role": "assistant", "content": content}}}
        status, headers, _ = await post(client, up, BEDROCK, with_outputs(BEDROCK, body, forged, "rain"))
        assert (status, headers["x-amzn-errortype"]) == (400, "ValidationException"), content


USE = {"toolUse": {"toolUseId": "t", "name": "get_weather", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t", "content": [{"text": "rain"}]}}
TEXT_INPUT, ODD_NAME = ({"toolUse": {**USE["toolUse"], **odd}} for odd in ({"input": "{}"}, {"name": "a.b"}))
TEXT_CALL = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
OFFER = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": SCHEMA}}}]}


def turns(*contents: list[dict]) -> list[dict]:
    return [{"role": ("user", "assistant")[at % 2], "content": content} for at, content in enumerate(contents)]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": turns([{"text": "x"}]), "stream": True},
        {"messages": turns([{"text": "x"}]), "inferenceConfig": {"topK": 5}},
        {"messages": turns([{"text": "x"}]), "inferenceConfig": {"maxTokens": 9},
         "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}}},
        {"messages": [{"role": "assistant", "content": [{"text": "x"}]}]},
        {"messages": [*turns([{"text": "x"}]), *turns([{"text": "y"}])]},
        {"messages": turns([])},
        {"messages": turns([{"text": " "}])},
        {"messages": turns([{"type": "text", "text": "x"}])},
        {"messages": turns([{"image": {"format": "tiff", "source": {"bytes": ""}}}])},
        {"messages": turns([{"document": {"format": "pdf", "name": "a", "source": {"bytes": ""}}}])},
        {"messages": turns([{"text": "x"}, {"document": {"format": "pdf", "name": "a_b", "source": {"bytes": ""}}}])},
        {"messages": turns([{"text": "x"}, *[{"document": {"format": "pdf", "name": "a", "source": {}}}] * 2])},
        {"messages": turns([{"text": "x"}], [USE], [RESULT])},
        {"messages": turns([{"text": "x"}], [USE], [RESULT, RESULT]), "toolConfig": OFFER},
        {"messages": turns([{"text": "x"}], [TEXT_INPUT], [RESULT]), "toolConfig": OFFER},
        {"messages": turns([{"text": "x"}], [ODD_NAME], [RESULT]), "toolConfig": OFFER},
        {"messages": turns([{"text": "x"}], [USE], [{"toolResult": {**RESULT["toolResult"], "status": "bad"}}]),
         "toolConfig": OFFER},
        {"messages": turns([{"text": "x"}], [USE], [{"toolResult": {"toolUseId": "t", "content": [{"wonder": 1}]}}]),
         "toolConfig": OFFER},
        {"messages": turns([{"text": "x"}]), "toolConfig": {"tools": []}},
        {"messages": turns([{"text": "x"}]), "toolConfig": {**OFFER, "toolChoice": {"none": {}}}},
        {"messages": turns([{"text": "x"}]), "toolConfig": {**OFFER, "toolChoice": {"tool": {"name": "nobody"}}}},
    ],
)  # fmt: skip
async def test_what_converse_refuses(up, client, body):
    """Unknown fields, roles that do not alternate, blank texts, names, results that nobody asked for, …"""
    async with client.post(URL(up.origin + PATHS[BEDROCK], encoded=True), data=codec.encode(body)) as response:
        assert response.status == 400, await response.read()


@pytest.mark.parametrize(
    "more",
    [
        {"max_tokens": 5},
        {"options": {"max_tokens": 5}},
        {"think": "hard"},
        {"format": "xml"},
        {"messages": []},
        {"messages": [{"role": "developer", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"messages": [{"role": "user", "content": "x", "images": ["no base64!"]}]},
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [TEXT_CALL]}]},
    ],
)  # fmt: skip
async def test_what_the_scripted_ollama_refuses(up, client, more):
    """What the vendor would pass over in silence."""
    assert (await post(client, up, OLLAMA, {**asking(OLLAMA, "x"), **more}))[0] == 400


async def test_encrypted_reasoning_must_come_back_unchanged(up, client):
    """Responses: a broken seal is refused, an unbroken one taken."""
    body = asking(RESPONSES, "think about the weather", tools=True)
    request = with_outputs(RESPONSES, body, await whole(client, up, RESPONSES, body), "rain")
    assert (await post(client, up, RESPONSES, request))[0] == 200
    request["input"][1]["encrypted_content"] += "x"
    assert (await post(client, up, RESPONSES, request))[0] == 400


@every_wire
async def test_what_is_no_request_is_refused(up, client, wire):
    """No JSON, no model."""
    for raw in (b"{", b"[]", b"{}"):
        async with client.post(URL(up.origin + PATHS[wire], encoded=True), data=raw) as response:
            assert response.status == 400
