"""The official `openai` SDK, unmodified, on `/v1/responses` in front of each upstream wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from tailrace.testing.moves import Call, Fail, Gate, HttpError, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import PROVIDERS, Served, serving, settings

LOOK = {
    "type": "function",
    "name": "look",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture
async def once(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Served]:
    """A server that asks a provider once, however it answers."""
    async with serving(settings(tmp_path / "once", upstream, upstream={"attempts": 1}), upstream) as served:
        yield served


@pytest.fixture
async def client(once: Served) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{once.url}/v1", api_key="k", max_retries=0) as made:
        yield made


def said(response: Response) -> list[tuple[str, str]]:
    """What a response amounts to, without ids."""
    told = []
    for item in response.output:
        if item.type == "message":
            told.append(("message", "".join(part.text for part in item.content if part.type == "output_text")))
        elif item.type == "reasoning":
            parts = [*item.summary, *(item.content or [])]
            told.append(("reasoning", "".join(part.text for part in parts)))
        elif item.type == "function_call":
            told.append((item.call_id, f"{item.name}{item.arguments}"))
    return told


async def with_sync(once: Served, work: Callable[[OpenAI], Any]) -> Any:
    """The synchronous client, in a thread of its own."""

    def run() -> Any:
        with OpenAI(base_url=f"{once.url}/v1", api_key="k", max_retries=0) as made:
            return work(made)

    return await asyncio.to_thread(run)


@pytest.mark.parametrize("wire", PROVIDERS[:3])  # Gemini's arguments are objects, and its calls sealed thoughts
async def test_the_stream_helper_adds_up_to_the_whole(client: AsyncOpenAI, once: Served, wire: str):
    """Reasoning, text, two calls: what the SDK accumulates is what it gets without a stream, and the sync one, too."""
    script = [
        Reasoning("Hm."),
        Text("Café 😀"),
        Call("look", '{"place":"é"}', call_id="c1"),
        Call("look", '{"place":""}', call_id="c2"),
    ]
    once.upstream.enqueue(script, script, script)
    asked: dict[str, Any] = {"model": f"{wire}/m", "input": "hi", "tools": [LOOK]}
    async with client.responses.stream(**asked) as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_response()
    whole = await client.responses.create(**asked)

    def work(sync: OpenAI) -> Response:
        with sync.responses.stream(**asked) as events:
            return events.get_final_response()

    synchronous = await with_sync(once, work)
    assert said(streamed) == said(whole) == said(synchronous)
    assert said(whole) == [
        ("reasoning", "Hm."), ("message", "Café 😀"), ("c1", 'look{"place":"é"}'), ("c2", 'look{"place":""}'),
    ]  # fmt: skip
    assert {"response.output_text.delta", "response.function_call_arguments.delta"} <= set(kinds)


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_a_tool_loop_in_both_ways(client: AsyncOpenAI, once: Served, wire: str):
    """With the previous response, and with the whole conversation kept by the client."""
    once.upstream.enqueue([Reasoning("Hm."), Call("look", '{"place":"x"}', call_id="c1")])
    first = await client.responses.create(
        model=f"{wire}/m", input="where", tools=[LOOK], include=["reasoning.encrypted_content"]
    )
    output: Any = {"type": "function_call_output", "call_id": "c1", "output": "there"}
    chained = await client.responses.create(
        model=f"{wire}/m", input=[output], tools=[LOOK], previous_response_id=first.id
    )
    kept: Any = [
        {"role": "user", "content": "where"},
        *(item.model_dump(exclude_none=True) for item in first.output),
        output,
    ]
    whole = await client.responses.create(model=f"{wire}/m", input=kept, tools=[LOOK], store=False)
    assert "there" in chained.output_text
    assert whole.output_text == chained.output_text


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_an_ordinary_stream_is_resumed_by_its_cursor(client: AsyncOpenAI, once: Served, wire: str):
    """Dropped in the middle, gone on from with `starting_after`, at every cut; with the helper by its id, too."""
    once.upstream.enqueue([Text("Hello, and more."), Call("look", '{"place":"x"}')])
    events = [
        event async for event in await client.responses.create(model=f"{wire}/m", input="x", stream=True, tools=[LOOK])
    ]
    response_id = events[0].response.id  # type: ignore[union-attr]  # the first event is response.created
    for cut in range(0, len(events), 3):
        rest = [event async for event in await client.responses.retrieve(response_id, stream=True, starting_after=cut)]
        assert rest == events[cut + 1 :]
    async with client.responses.stream(response_id=response_id, starting_after=2) as stream:
        assert [event.sequence_number async for event in stream] == [event.sequence_number for event in events[3:]]
        final = await stream.get_final_response()
    assert said(final) == said(await client.responses.retrieve(response_id))


async def test_in_the_background_polled_streamed_and_cancelled(client: AsyncOpenAI, once: Served):
    """Begun, seen in progress, cancelled, listed, deleted."""
    once.upstream.enqueue([Text("a"), Gate("g"), Text("b")])
    begun = await client.responses.create(model="chat/m", input="x", background=True)
    await once.upstream.gate("g").reached.wait()
    assert (await client.responses.retrieve(begun.id)).status == "in_progress"
    cancelled = await client.responses.cancel(begun.id)
    assert cancelled.status == "cancelled"
    items = await client.responses.input_items.list(begun.id)
    assert [item.type for item in items.data] == ["message"]
    await client.responses.delete(begun.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(begun.id)


async def test_counting_compacting_and_models(client: AsyncOpenAI, once: Served):
    """The smaller endpoints."""
    assert (await client.responses.input_tokens.count(model="chat/m", input="x" * 40)).input_tokens == 14
    once.upstream.enqueue([Text("Summary.")])
    compacted = await client.responses.compact(model="chat/m", input=[{"role": "user", "content": "hi"}])
    # The SDK has no type for a user's message in an output, and warns where it writes one.
    dumped = [item.model_dump(exclude_none=True, warnings=False) for item in compacted.output]
    kept: Any = [*dumped, {"role": "user", "content": "x"}]
    assert (await client.responses.create(model="chat/m", input=kept)).status == "completed"
    assert "chat/m" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("chat/m")).owned_by == "chat"


async def test_conversations(client: AsyncOpenAI, once: Served):
    """Made with items, gone on from, listed, changed, deleted."""
    conversation = await client.conversations.create(items=[{"role": "user", "content": "remember tin"}])
    answer = await client.responses.create(model="chat/m", input="what did i say", conversation=conversation.id)
    assert "remember tin" in answer.output_text
    await client.conversations.items.create(conversation.id, items=[{"role": "user", "content": "more"}])
    listed = [item async for item in client.conversations.items.list(conversation.id, order="asc")]
    assert [item.type for item in listed] == ["message"] * 4
    assert (await client.conversations.items.retrieve(listed[0].id or "", conversation_id=conversation.id)) == listed[0]
    assert (await client.conversations.update(conversation.id, metadata={"a": "b"})).metadata == {"a": "b"}
    assert (await client.conversations.delete(conversation.id)).deleted


class Place(BaseModel):
    """What a structured answer is to be."""

    name: str


@pytest.mark.parametrize("wire", ["responses", "chat"])
async def test_structured_answers_are_parsed(client: AsyncOpenAI, once: Served, wire: str):
    """`text.format` reaches the provider, and the SDK parses the answer."""
    once.upstream.enqueue([Text('{"name":"Oslo"}')])
    parsed = await client.responses.parse(model=f"{wire}/m", input="x", text_format=Place)
    assert parsed.output_parsed == Place(name="Oslo")


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_failures_raise_what_they_should(client: AsyncOpenAI, once: Served, wire: str):
    """Before the answer by status; in mid-stream as an APIError; in the helper as no completed response."""
    once.upstream.enqueue([HttpError(429)], [Text("a"), Fail()], [Text("a"), Fail()])
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model=f"{wire}/m", input="x")
    with pytest.raises(openai.APIError):
        async for _ in await client.responses.create(model=f"{wire}/m", input="x", stream=True):
            pass
    with pytest.raises(openai.APIError):
        async with client.responses.stream(model=f"{wire}/m", input="x") as stream:
            await stream.get_final_response()
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model=f"{wire}/m", input="x", previous_response_id="resp_nobody")
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_over_a_websocket(client: AsyncOpenAI, once: Served, wire: str):
    """Two turns on one connection, nothing stored."""
    async with client.responses.connect() as connection:
        previous: dict[str, Any] = {}
        texts = []
        for asked in ("remember tin", "what did i say"):
            await connection.response.create(model=f"{wire}/m", input=asked, store=False, **previous)
            async for event in connection:
                if event.type == "response.completed":
                    previous = {"previous_response_id": event.response.id}
                    texts.append(event.response.output_text)
                    break
        assert "remember tin" in texts[1]
