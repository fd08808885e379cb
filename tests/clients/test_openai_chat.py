"""The official `openai` SDK, unmodified, on `/v1/chat/completions` in front of each upstream wire."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from tailrace.testing.moves import Call, Fail, Finish, Gate, HttpError, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import PROVIDERS, WORDED, Served, serving, settings

TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
USER = {"role": "user", "content": "hello"}


@pytest.fixture
async def once(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Served]:
    """A server that asks a provider once, however it answers."""
    async with serving(settings(tmp_path / "once", upstream, upstream={"attempts": 1}), upstream) as served:
        yield served


@pytest.fixture
async def client(once: Served) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{once.url}/v1", api_key="k", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_text_whole_and_streamed(client: AsyncOpenAI, once: Served, wire: str):
    """The same text either way, with counts where they are asked for."""
    once.upstream.enqueue(*[[Text("Café 😀 time.")]] * 2)
    whole = await client.chat.completions.create(model=f"{wire}/m", messages=[USER])
    pieces, usage = [], None
    async for chunk in await client.chat.completions.create(
        model=f"{wire}/m", messages=[USER], stream=True, stream_options={"include_usage": True}
    ):
        pieces += [choice.delta.content or "" for choice in chunk.choices]
        usage = chunk.usage or usage
    assert whole.choices[0].message.content == "".join(pieces) == "Café 😀 time."
    assert len(pieces) > 2
    assert usage is not None
    assert whole.usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_the_stream_helper_adds_up_to_the_whole(client: AsyncOpenAI, once: Served, wire: str):
    """Two parallel calls behind a text: what the SDK accumulates is what it gets without a stream."""
    script = [
        Text("Let me look."),
        Call("look", '{"place":"é"}', call_id="c1"),
        Call("look", '{"place":""}', call_id="c2"),
    ]
    once.upstream.enqueue(script, script)
    async with client.chat.completions.stream(model=f"{wire}/m", messages=[USER], tools=[TOOL]) as stream:
        events = [event.type async for event in stream]
        streamed = await stream.get_final_completion()
    whole = await client.chat.completions.create(model=f"{wire}/m", messages=[USER], tools=[TOOL])
    assert said(streamed) == said(whole)
    assert said(whole)["calls"] == [("c1", "look", '{"place":"é"}'), ("c2", "look", '{"place":""}')]
    assert {"content.delta", "content.done", "tool_calls.function.arguments.delta"} <= set(events)
    assert events.count("tool_calls.function.arguments.done") == 2


def said(completion: ChatCompletion) -> dict[str, object]:
    choice = completion.choices[0]
    return {
        "content": choice.message.content,
        "calls": [
            (call.id, call.function.name, call.function.arguments)
            for call in choice.message.tool_calls or ()
            if call.type == "function"
        ],
        "finish_reason": choice.finish_reason,
    }


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_a_tool_loop_with_reasoning(client: AsyncOpenAI, once: Served, wire: str):
    """The message goes back as the SDK has it, so that a provider that wants its reasoning back gets it."""
    once.upstream.enqueue([Reasoning("Hm."), Call("look", '{"place":"Rome"}')])
    asked = {"model": f"{wire}/m", "tools": [TOOL], "reasoning_effort": "low"}
    async with client.chat.completions.stream(messages=[USER], **asked) as stream:
        first = (await stream.get_final_completion()).choices[0].message
    assert first.model_extra is not None
    assert first.model_extra["reasoning_content"] == "Hm."
    assert first.tool_calls is not None
    echoed = first.model_dump(exclude_none=True)
    for call in echoed["tool_calls"]:
        call["function"].pop("parsed_arguments", None)
    answer = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "It rains."}
    second = await client.chat.completions.create(messages=[USER, echoed, answer], **asked)
    assert "It rains." in (second.choices[0].message.content or "")


class Place(BaseModel):
    name: str


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_structured_output_is_parsed(client: AsyncOpenAI, once: Served, wire: str):
    """`parse` sends a schema and reads the answer by it."""
    once.upstream.enqueue([Text('{"name":"Rome"}')])
    completion = await client.chat.completions.parse(model=f"{wire}/m", messages=[USER], response_format=Place)
    assert completion.choices[0].message.parsed == Place(name="Rome")


@pytest.mark.parametrize("wire", ["responses", "chat"])
async def test_a_refusal(client: AsyncOpenAI, once: Served, wire: str):
    """In its own field, streamed as well."""
    once.upstream.enqueue([Text("I will not."), Finish("refusal")])
    async with client.chat.completions.stream(model=f"{wire}/m", messages=[USER]) as stream:
        message = (await stream.get_final_completion()).choices[0].message
    assert (message.content, message.refusal) == (None, "I will not.")


async def unfinished(stream: AsyncStream[ChatCompletionChunk]) -> None:
    async for chunk in stream:
        assert chunk.choices[0].finish_reason is None


@pytest.mark.parametrize("wire", WORDED)
async def test_an_error_in_mid_stream_raises(client: AsyncOpenAI, once: Served, wire: str):
    """The SDK raises on the error frame, with its message and code; nothing looks whole."""
    once.upstream.enqueue([Text("half of it"), Fail("rate_limited", "slow down")])
    stream = await client.chat.completions.create(model=f"{wire}/m", messages=[USER], stream=True)
    with pytest.raises(openai.APIError, match="slow down") as caught:
        await unfinished(stream)
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
async def test_a_providers_refusal_raises_its_kind(
    client: AsyncOpenAI, once: Served, status: int, kind: type[openai.APIStatusError]
):
    """By the status, with the provider's words."""
    once.upstream.enqueue([HttpError(status, message="these very words")])
    with pytest.raises(kind, match="these very words"):
        await client.chat.completions.create(model="chat/m", messages=[USER])


async def test_a_wrong_parameter_raises_and_is_named(client: AsyncOpenAI):
    """Before anything runs."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="chat/m", messages=[USER], n=2)
    assert caught.value.param == "n"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="chat/m", messages=[USER], extra_body={"colour": "red"})
    assert caught.value.param == "colour"


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_closing_the_stream_stops_what_is_not_kept(client: AsyncOpenAI, once: Served, wire: str):
    """`store=False`: the provider's socket is closed within a second."""
    once.upstream.enqueue([Text("a text of some length"), Gate("never")])
    stream = await client.chat.completions.create(model=f"{wire}/m", messages=[USER], stream=True, store=False)
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    await stream.close()
    await asyncio.wait_for((await once.upstream.received()).disconnected.wait(), 1)


async def test_legacy_functions(client: AsyncOpenAI, once: Served):
    """`functions` and `function_call`, and the `function` role on the way back."""
    once.upstream.enqueue([Call("look", '{"place":"Rome"}')])
    functions = [{"name": "look", "parameters": TOOL["function"]["parameters"]}]  # type: ignore[index]  # a plain dict
    first = await client.chat.completions.create(model="chat/m", messages=[USER], functions=functions)
    choice = first.choices[0]
    assert choice.finish_reason == "function_call"
    assert choice.message.function_call is not None
    assert choice.message.function_call.arguments == '{"place":"Rome"}'
    answer = {"role": "function", "name": "look", "content": "It rains."}
    second = await client.chat.completions.create(
        model="chat/m", messages=[USER, choice.message, answer], functions=functions
    )
    assert "It rains." in (second.choices[0].message.content or "")
