"""The official `anthropic` SDK, unmodified, on `/v1/messages` in front of each upstream wire."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool
from pydantic import BaseModel

from tailrace.schema import codec
from tailrace.testing.moves import Call, Fail, Finish, Gate, HttpError, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import PROVIDERS, WORDED, Served, serving, settings

TOOL = {
    "name": "look",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
USER = {"role": "user", "content": "hello"}
THINKING = {"type": "enabled", "budget_tokens": 2048}


@pytest.fixture
async def once(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Served]:
    """A server that asks a provider once, however it answers."""
    async with serving(settings(tmp_path / "once", upstream, upstream={"attempts": 1}), upstream) as served:
        yield served


@pytest.fixture
async def client(once: Served) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=once.url, api_key="k", max_retries=0) as made:
        yield made


def ask(wire, *messages, **fields):
    return {"model": f"{wire}/m", "max_tokens": 4096, "messages": list(messages) or [USER], **fields}


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_text_whole_and_streamed(client: AsyncAnthropic, once: Served, wire: str):
    """The same text either way, piece by piece where it streams."""
    once.upstream.enqueue(*[[Text("Café 😀 time.")]] * 3)
    whole = await client.messages.create(**ask(wire))
    async with client.messages.stream(**ask(wire)) as stream:
        pieces = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()
    raw = [event.type async for event in await client.messages.create(**ask(wire), stream=True)]
    assert whole.content[0].text == "".join(pieces) == final.content[0].text == "Café 😀 time."
    assert len(pieces) > 1
    assert whole.usage == final.usage
    assert (raw[0], raw[-1], final.stop_reason) == ("message_start", "message_stop", "end_turn")


def test_the_sdk_without_asyncio_works_too(tmp_path: Path):
    """A client in a thread of its own, as most scripts are."""

    def talk(url: str) -> str:
        with Anthropic(base_url=url, api_key="k", max_retries=0) as client, client.messages.stream(**ask("chat")) as s:
            return s.get_final_text()

    async def main() -> str:
        async with ScriptedUpstream() as upstream:
            upstream.enqueue([Text("said")])
            async with serving(settings(tmp_path / "data", upstream), upstream) as served:
                return await asyncio.to_thread(talk, served.url)

    assert asyncio.run(main()) == "said"


@pytest.mark.parametrize("wire", PROVIDERS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_thinking_and_tools_in_two_turns(client: AsyncAnthropic, once: Served, wire: str, streamed: bool):
    """What the SDK read goes back as it is; the provider finds its own thinking in it."""
    once.upstream.enqueue(
        [Reasoning("I must look."), Text("One moment."), Call("look", '{"place":"Oslo"}')], [Text("Rain.")]
    )
    messages = [USER]
    for turn in (1, 2):
        asked = ask(wire, *messages, tools=[TOOL], thinking=THINKING)
        if streamed:
            async with client.messages.stream(**asked) as stream:
                answer = await stream.get_final_message()
        else:
            answer = await client.messages.create(**asked)
        if turn == 1:
            thinking, text, *_, use = answer.content
            assert (thinking.thinking, text.text, use.input) == ("I must look.", "One moment.", {"place": "Oslo"})
            assert thinking.signature
            result = {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}
            messages += [answer.to_param(), {"role": "user", "content": [result]}]
    assert answer.content[0].text == "Rain."
    sent = str(once.upstream.requests[-1].body)
    if wire not in {"chat", "google"}:  # which take no thoughts back, or only sealed ones
        assert "I must look." in sent


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_the_sdks_own_tool_loop_runs(client: AsyncAnthropic, once: Served, wire: str):
    """The runner calls the tool and comes back with what it answered."""

    @beta_async_tool
    async def look(place: str) -> str:
        """Look at a place."""
        return f"rain in {place}"

    once.upstream.enqueue([Reasoning("hm"), Call("look", '{"place":"Oslo"}')], [Text("It rains.")])
    final = await client.beta.messages.tool_runner(**ask(wire), tools=[look], system="be brief").until_done()
    assert final.content[0].text == "It rains."
    first, second = (codec.encode(request.body).decode() for request in once.upstream.requests)
    assert "rain in Oslo" in second
    for said in ("be brief", "hello", '"look"', "Look at a place."):  # the thread holds what the SDK did not repeat
        assert said in first
        assert said in second


async def test_the_sdk_sends_all_anew_where_a_thread_is_lost(client: AsyncAnthropic, once: Served, tmp_path: Path):
    """It is told so in the code that it decides by."""

    @beta_async_tool
    async def look(place: str) -> str:
        """Look at a place."""
        response = await once.services.store.list_threads(tag=None, limit=9, cursor=None)
        for thread in response[0]:
            await once.client.request("DELETE", f"/api/v2/threads/{thread.thread_id}")
        return f"rain in {place}"

    once.upstream.enqueue([Call("look", '{"place":"Oslo"}')], [Text("It rains.")])
    final = await client.beta.messages.tool_runner(**ask("chat"), tools=[look]).until_done()
    assert final.content[0].text == "It rains."


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_answers_of_a_schema_are_parsed(client: AsyncAnthropic, once: Served, wire: str):
    """The schema of the SDK's `output_format` reaches the provider."""

    class Place(BaseModel):
        name: str

    once.upstream.enqueue([Text('{"name":"Oslo"}')])
    answer = await client.messages.parse(**ask(wire), output_format=Place)
    assert answer.parsed_output == Place(name="Oslo")
    assert "additionalProperties" in str(once.upstream.requests[-1].body)


@pytest.mark.parametrize("wire", PROVIDERS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
async def test_errors_are_the_sdks_own(
    client: AsyncAnthropic, once: Served, wire: str, status: int, kind: type[anthropic.APIStatusError]
):
    """The provider's words, in the exception that the SDK has for it."""
    once.upstream.enqueue([HttpError(status, message="these very words")])
    with pytest.raises(kind, match="these very words") as caught:
        await client.messages.create(**ask(wire))
    assert caught.value.request_id
    assert caught.value.type


@pytest.mark.parametrize("wire", WORDED)
async def test_errors_in_mid_stream_are_raised(client: AsyncAnthropic, once: Served, wire: str):
    """What had come is there; then the SDK raises."""
    once.upstream.enqueue([Text("half of it"), Fail("overloaded", "too much")])
    async with client.messages.stream(**ask(wire)) as stream:
        with pytest.raises(anthropic.APIStatusError, match="too much") as caught:
            await stream.get_final_message()
        assert stream.current_message_snapshot.content[0].text == "half of it"
    assert caught.value.type == "overloaded_error"


@pytest.mark.parametrize("wire", WORDED)
@pytest.mark.parametrize(("finish", "reason"), [("length", "max_tokens"), ("refusal", "refusal")])
async def test_ends_are_known_to_the_sdk(client: AsyncAnthropic, once: Served, wire: str, finish: str, reason: str):
    """Where a provider stops early, the stop reason says why."""
    once.upstream.enqueue([Text("so far"), Finish(finish)])
    async with client.messages.stream(**ask(wire)) as stream:
        final = await stream.get_final_message()
    assert (final.stop_reason, final.content[0].text) == (reason, "so far")


async def test_a_client_that_leaves_finds_its_run(client: AsyncAnthropic, once: Served):
    """The SDK closes its stream; the run goes on, and is whole under the message's id."""
    once.upstream.enqueue([Text("a text of some length"), Gate("go"), Text(" and its end")])
    async with client.messages.stream(**ask("messages")) as stream:
        async for _ in stream.text_stream:
            run_id = stream.current_message_snapshot.id
            break
    once.upstream.gate("go").open()
    seen = [event async for event in once.client.events(run_id)]
    assert seen[-1].type == "response_done"


async def test_tokens_are_counted(client: AsyncAnthropic):
    """More text costs more."""
    few = await client.messages.count_tokens(model="chat/m", messages=[USER])
    more = await client.messages.count_tokens(model="chat/m", messages=[USER], system="be brief", tools=[TOOL])
    assert 0 < few.input_tokens < more.input_tokens


@pytest.mark.parametrize("redacted", [False, True])
async def test_the_sdk_reads_from_us_what_it_reads_from_the_provider(
    upstream: ScriptedUpstream, tmp_path: Path, redacted: bool
):
    """Where dialect and wire are the same protocol: every block, byte for byte, and every count."""
    moves = [Reasoning("hm", redacted=redacted), Text("so"), Call("look", '{"place":"Oslo"}', call_id="toolu_1")]
    upstream.enqueue(moves, moves)
    asked = {"max_tokens": 4096, "messages": [USER], "tools": [TOOL], "thinking": THINKING}
    answers = []
    async with serving(settings(tmp_path / "data", upstream), upstream) as served:
        for url, model in ((upstream.origin, "m"), (served.url, "messages/m")):
            async with (
                AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client,
                client.messages.stream(model=model, **asked) as stream,
            ):
                answers.append(await stream.get_final_message())
    theirs, ours = answers
    assert ours.content == theirs.content
    assert ours.stop_reason == theirs.stop_reason
    assert ours.usage.output_tokens == theirs.usage.output_tokens
