"""What is done about a model call that failed: as a table, and over real sockets as every reader sees it."""

from pathlib import Path

import pytest

from tailrace.client.client import Client
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.runs.recovery import RETRIED, Again, GiveUp, Move, Restart, Shown, Tries, recover, shown_of
from tailrace.schema.errors import ProviderError
from tailrace.schema.events import Event, ItemCancelled, ItemDelta, ItemDone, ItemStart, Payload, ProviderEvent
from tailrace.schema.items import CancelledItem, FunctionCallItem, MessageItem, ReasoningItem
from tailrace.schema.response import Response
from tailrace.testing.moves import Call, Cut, HttpError, Reasoning, Text
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
    ("code", "shown", "tries", "move"),
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
def test_the_way_out(code: str, shown: Shown, tries: Tries, move: Move):
    """Unseen: again. Seen: anew in the open, where that is allowed. Whole: never."""
    assert recover(ProviderError(code, "m"), shown, tries, 0.0, POLICY, lambda: 0.0) == move


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
