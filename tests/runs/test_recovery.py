"""What is done about a model call that failed: as a table, and over real sockets as every reader sees it."""

import asyncio
from pathlib import Path

import pytest

from tailrace.client.client import Client, ClientError
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.runs.recovery import RETRIED, Again, GiveUp, Remedy, Restart, Shown, Tries, recover, shown_of
from tailrace.schema import codec
from tailrace.schema.errors import ProviderError
from tailrace.schema.events import Event, ItemCancelled, ItemDelta, ItemDone, ItemStart, Payload, ProviderEvent
from tailrace.schema.items import CancelledItem, FunctionCallItem, MessageItem, ReasoningItem
from tailrace.schema.response import Response
from tailrace.testing.moves import (
    Bytes,
    Call,
    Cut,
    Finish,
    Flood,
    HttpError,
    KeepAlive,
    Move,
    Pause,
    Reasoning,
    Spent,
    Stall,
    Text,
)
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.upstream.retry import RetryPolicy
from tests.support.events import START
from tests.support.server import WIRES, serving, settings

POLICY = RetryPolicy(attempts=3, restarts=1)
THOUGHT: list[Payload] = [
    ItemStart(item_id="r", item_type="reasoning"),
    ItemDelta(item_id="r", delta_content="hm"),
    ItemDone(item_id="r", final_item=ReasoningItem(id="r", content="hm")),
]
WORDS: list[Payload] = [ItemStart(item_id="m", item_type="message"), ItemDelta(item_id="m", delta_content="so")]
SAID: list[Payload] = [*WORDS, ItemDone(item_id="m", final_item=MessageItem(id="m", content="so"))]
BEGUN: list[Payload] = [ItemStart(item_id="c", item_type="function_call", name="f", call_id="c")]
CALL = FunctionCallItem(id="c", name="f", arguments="{}", call_id="c")
CALLED: list[Payload] = [*BEGUN, ItemDone(item_id="c", final_item=CALL)]
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.mark.parametrize(
    ("payloads", "shown"),
    [
        ([], "nothing"),
        (THOUGHT[:2], "thoughts"),
        ([*THOUGHT, *BEGUN], "thoughts"),
        (THOUGHT, "whole"),
        (WORDS, "words"),
        ([*THOUGHT, *WORDS], "words"),
        (SAID, "whole"),
        ([*SAID, *BEGUN], "whole"),
        (CALLED, "whole"),
        ([*CALLED, *WORDS], "whole"),
    ],
)
def test_what_was_shown_of_a_step(payloads: list[Payload], shown: Shown):
    """Items of earlier steps do not count; reasoning that is whole says and does nothing by itself."""
    state = Reducer()
    earlier: list[Payload] = [
        ItemStart(item_id="e", item_type="message"),
        ItemDone(item_id="e", final_item=MessageItem(id="e", content="")),
    ]
    for seq, payload in enumerate([START, *earlier, *payloads], 1):
        state.apply(seq, seq, payload)
    assert shown_of(state, 1) == shown


@pytest.mark.parametrize(
    ("code", "shown", "tries", "remedy"),
    [
        ("overloaded", "nothing", Tries(made=1), Again(0)),
        ("overloaded", "nothing", Tries(made=3), GiveUp()),
        ("authentication", "nothing", Tries(made=1), GiveUp()),
        ("stream_interrupted", "thoughts", Tries(made=1), Restart(0)),
        ("stream_interrupted", "words", Tries(made=1), Restart(0)),
        ("stream_interrupted", "words", Tries(made=2, restarts=1), GiveUp()),
        ("stream_interrupted", "words", Tries(made=1, is_itemised=False), GiveUp()),
        ("stream_interrupted", "whole", Tries(made=1), GiveUp()),
        ("invalid_request", "words", Tries(made=1), GiveUp()),
    ],
)
def test_the_way_out(code: str, shown: Shown, tries: Tries, remedy: Remedy):
    """Unseen: again. Seen: anew in the open, where that is allowed. Whole: never."""
    assert recover(ProviderError(code, "m"), shown, tries, 0.0, POLICY, lambda: 0.0) == remedy


def test_tries_share_one_budget_until_a_call_goes_well():
    """Time is counted from the first of them."""
    tries = Tries()
    tries.begin(100.0)
    tries.begin(110.0)
    assert (tries.since, tries.made) == (100.0, 2)
    error = ProviderError("overloaded", "m")
    assert recover(error, "nothing", tries, 161.0, POLICY, lambda: 0.0) == GiveUp()
    tries.forget()
    tries.begin(200.0)
    assert (tries.since, tries.made) == (200.0, 1)


@pytest.mark.parametrize(("shown", "move"), [("nothing", Again(0.0)), ("thoughts", GiveUp()), ("whole", GiveUp())])
def test_another_key_is_tried_at_once_as_long_as_nothing_was_shown(shown, move):
    """Also where the error would be hopeless with the same key."""
    tries = Tries()
    tries.begin(0.0)
    error = ProviderError("authentication", "m", retry_after=30.0)
    assert recover(error, shown, tries, 0.0, POLICY, lambda: 0.5, elsewhere=True) == move
    assert recover(error, shown, tries, 0.0, POLICY, lambda: 0.5) == GiveUp()


async def ran(client: Client, **body: object) -> tuple[list[Event], Response]:
    """Submit and read to the end; the log is legal and adds up to what is stored."""
    run_id = (await client.submit(**{"prompt": "x", **body}))["run_id"]
    events = [event async for event in client.events(run_id)]
    grammar, state = Grammar(), Reducer()
    for event in events:
        assert grammar.accept(event.payload) is None
        state.apply(event.seq, event.timestamp, event.payload)
    assert grammar.run == "ended"
    assert await client.run(run_id) == state.response()
    return events, state.response()


@pytest.mark.parametrize("wire", list(WIRES))
async def test_what_was_seen_is_said_anew_in_the_open(tmp_path: Path, upstream: ScriptedUpstream, wire: str):
    """Where restarts are allowed: the cut text is cancelled where it stands, a step of its own says it again, and the
    provider is asked as if the first had never been."""
    upstream.enqueue([Reasoning("Hm."), Text("half"), Cut()], [Text("whole")], [Text("later")])
    given = settings(tmp_path, upstream, upstream={"restarts": 1, "retry_total_s": 3.0})
    async with serving(given, upstream) as server:
        events, response = await ran(server.client, model_id=f"{wire}/m")
        first, second = upstream.requests
        await ran(server.client, model_id=f"{wire}/m", thread_id=response.thread_id)
    assert (response.status, response.finish_reason) == ("complete", "stop")
    assert [step.finish_reason for step in response.steps] == ["error", "stop"]
    cut, said = response.output_items[-2:]
    assert isinstance(cut, CancelledItem)
    assert isinstance(cut.partial, MessageItem)
    assert (cut.reason, cut.partial.content) == (RETRIED, "half")
    assert isinstance(said, MessageItem)
    assert said.content == "whole"
    names = [event.payload.name for event in events if isinstance(event.payload, ProviderEvent)]
    assert names.count("retry") == 1
    assert first.body == second.body
    assert "half" not in str(upstream.requests[2].body)


@pytest.mark.parametrize("restarts", [0, 5])
async def test_nothing_is_replayed_once_a_call_is_whole(tmp_path: Path, upstream: ScriptedUpstream, restarts: int):
    """However many restarts are allowed."""
    upstream.enqueue([Call("weather", '{"city":"Paris"}', call_id="c1"), Text("and"), Cut()])
    async with serving(settings(tmp_path, upstream, upstream={"restarts": restarts}), upstream) as server:
        _, response = await ran(server.client, tools=[WEATHER])
    assert len(upstream.requests) == 1
    assert response.error is not None
    assert response.error.code == "stream_interrupted"


async def test_invisible_tries_and_new_steps_share_one_budget(tmp_path: Path, upstream: ScriptedUpstream):
    """Three tries in all, whatever each showed."""
    upstream.script = lambda _: [HttpError(503)] if len(upstream.requests) % 2 else [Text("half"), Cut()]
    async with serving(settings(tmp_path, upstream, upstream={"restarts": 9, "attempts": 3}), upstream) as server:
        events, response = await ran(server.client)
    assert response.error is not None
    assert len(upstream.requests) == 3
    assert len(response.steps) == 2
    assert sum(isinstance(event.payload, ItemCancelled) for event in events) == 1


async def test_a_call_that_was_no_call_is_asked_for_again_twice(tmp_path: Path, upstream: ScriptedUpstream):
    """Each time in the open, on the same way; no finished call of it is ever in the log."""
    upstream.enqueue([Reasoning("Hm."), Flood(name="weather")], [Flood(name="weather")], [Text("No tool is needed.")])
    async with serving(settings(tmp_path, upstream), upstream) as server:
        events, response = await ran(server.client, tools=[WEATHER])
    assert (response.status, len(upstream.requests)) == ("complete", 3)
    assert [step.finish_reason for step in response.steps] == ["error", "error", "stop"]
    assert not any(isinstance(item, FunctionCallItem) for item in response.output_items)
    retries = [
        p.data for p in (event.payload for event in events) if isinstance(p, ProviderEvent) and p.name == "retry"
    ]
    assert [retry["error"]["details"]["breaker"] for retry in retries] == ["whitespace"] * 2


@pytest.mark.parametrize(
    ("protocol", "requests", "moves"),
    [
        ("native", 3, [Flood(name="weather")]),
        ("native", 1, [Text("Let me look."), Flood(name="weather")]),
        ("chat", 1, [Flood(name="weather")]),
    ],
)
async def test_a_model_that_cannot_stop_is_given_up(
    tmp_path: Path, upstream: ScriptedUpstream, protocol: str, requests: int, moves: list[Move]
):
    """After three times; after one where words were said, or where the client could not tell the calls apart."""
    upstream.script = lambda _: moves
    async with serving(settings(tmp_path, upstream), upstream) as server:
        if protocol == "native":
            _, response = await ran(server.client, tools=[WEATHER])
            assert response.error is not None
            assert response.error.code == "malformed_call"
        else:
            body = {"model": "responses/m", "messages": [{"role": "user", "content": "x"}]}
            with pytest.raises(ClientError) as refused:
                await server.client.request("POST", "/v1/chat/completions", body)
            assert refused.value.status == 502
    assert len(upstream.requests) == requests


@pytest.mark.parametrize("wire", list(WIRES))
async def test_an_empty_answer_is_asked_for_again(tmp_path: Path, upstream: ScriptedUpstream, wire: str):
    """Nobody sees the empty ones: one step, one answer."""
    upstream.enqueue([], [], [Text("Here I am.")])
    async with serving(settings(tmp_path, upstream), upstream) as server:
        _, response = await ran(server.client, model_id=f"{wire}/m")
    assert (response.status, len(response.steps), len(upstream.requests)) == ("complete", 1, 3)
    assert response.output_items[-1].content == "Here I am."  # type: ignore[union-attr]  # a message


@pytest.mark.parametrize(
    ("moves", "requests"), [([], 3), ([Spent(9, 2)], 1), ([Reasoning("Hm.")], 1), ([Finish("length")], 1)]
)
async def test_an_answer_that_stays_empty_is_taken_as_it_is(
    tmp_path: Path, upstream: ScriptedUpstream, moves: list[Move], requests: int
):
    """After two more tries; at once where the model spent something on it, thought, or was cut short."""
    upstream.script = lambda _: moves
    async with serving(settings(tmp_path, upstream), upstream) as server:
        _, response = await ran(server.client)
    assert (response.status, len(upstream.requests)) == ("complete", requests)


async def test_pings_and_facts_are_no_progress(tmp_path: Path, upstream: ScriptedUpstream):
    """Events that tell nothing of an item do not keep a silent provider alive; a provider's own tool may take long."""
    fact = Bytes(b'event: response.metadata\ndata: {"type": "response.metadata", "n": 1}\n\n')
    facts: list[Move] = [move for _ in range(40) for move in (fact, KeepAlive(), Pause(0.05))]
    tool = {"type": "web_search_call", "id": "ws_1", "status": "in_progress"}
    added = codec.encode({"type": "response.output_item.added", "output_index": 9, "item": tool})
    upstream.enqueue([Text("so"), *facts], [Bytes(b"data: %b\n\n" % added), *facts, Text("found")])
    async with serving(settings(tmp_path, upstream, upstream={"idle_s": 1.0}), upstream) as server:
        _, response = await ran(server.client)
        assert response.error is not None
        assert response.error.details == {"watchdog": "idle"}
        _, response = await ran(server.client)
        assert response.status == "complete"


@pytest.mark.slow
async def test_counts_that_never_come_are_not_waited_for(tmp_path: Path, upstream: ScriptedUpstream):
    """A host that says why it has finished, and then nothing more, has given its answer."""
    finish = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    upstream.enqueue([Text("All of it."), Bytes(b"data: %b\n\n" % codec.encode(finish)), Stall()])
    patient = {"first_event_s": 60.0, "idle_s": 60.0}
    async with serving(settings(tmp_path, upstream, upstream=patient), upstream) as server, asyncio.timeout(30):
        _, response = await ran(server.client, model_id="chat/m")
    assert (response.status, response.finish_reason) == ("complete", "stop")
    await asyncio.wait_for(upstream.requests[0].disconnected.wait(), 20)
