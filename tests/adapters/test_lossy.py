"""Proxies that lose, rewrite or repeat parts of a stream: the same items come out, or what is lost is told."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import pytest

from tailrace.schema import codec
from tailrace.schema.items import MessageItem, ReasoningItem
from tailrace.testing.moves import Call, Move, Reasoning, Text
from tailrace.testing.wires import messages, responses
from tailrace.testing.wires.base import Memory, ScriptedWire, Ticket, steps
from tailrace.testing.wires.plan import make_plan
from tailrace.wire.sse import SseParser
from tests.support.decoding import Heard, hear, sse

Json = dict[str, Any]
Events = list[Json]
ANSWER: list[Move] = [
    Reasoning("Let me see."),
    Text("It is caf\u00e9 time."),
    Call("weather", '{"city":"Paris"}', call_id="c1"),
    Call("now", '{"zone":"Oslo"}', call_id="c2"),
]


def said(wire: ScriptedWire) -> Events:
    """The answer's events."""
    plan = make_plan(ANSWER, 10)
    body = {"model": "m", "include": ["reasoning.encrypted_content"]}
    stream = b"".join(
        s for s in steps(plan, wire.renderer(plan, Ticket("s", 1), body, Memory())) if isinstance(s, bytes)
    )
    return [codec.decode_any(event.data) for event in SseParser().feed(stream)]


def told(heard: Heard) -> list[tuple[str, ...]]:
    """What the items say, ids aside."""
    texts = [item for item in heard.items if isinstance(item, MessageItem | ReasoningItem)]
    return [*((type(item).__name__, item.content) for item in texts), *heard.calls]


def without(*kinds: str) -> Callable[[Events], Events]:
    return lambda events: [event for event in events if not event["type"].startswith(kinds)]


def without_numbers(events: Events) -> Events:
    return [{key: value for key, value in event.items() if key != "sequence_number"} for event in events]


def with_new_ids(events: Events) -> Events:
    """Each event names its item anew, as gateways do that encrypt ids."""
    changed = []
    for number, event in enumerate(events):
        item = event.get("item")
        ids: Json = {"item_id": f"x{number}"} if "item_id" in event else {}
        changed.append({**event, **ids, **({"item": {**item, "id": f"x{number}"}} if item else {})})
    return changed


def without_places(events: Events) -> Events:
    return [{key: value for key, value in event.items() if key != "output_index"} for event in events]


def without_output(events: Events) -> Events:
    return [
        {**event, "response": {**event["response"], "output": []}} if event["type"] == "response.completed" else event
        for event in events
    ]


LOSSES: dict[str, Callable[[Events], Events]] = {
    "no parts": without("response.content_part.", "response.reasoning_summary_part."),
    "done without added": without("response.output_item.added"),
    "added without done": without("response.output_item.done"),
    "wholes without deltas": lambda events: [e for e in events if not e["type"].endswith(".delta")],
    "deltas without wholes": lambda events: [e for e in events if not e["type"].endswith("_text.done")],
    "no sequence numbers": without_numbers,
    "new ids in each event": with_new_ids,
    "no places": without_places,
    "no output at the end": without_output,
    "output at the end only": lambda events: [e for e in events if "response" in e],
}
NOTHING = ("no output at the end", "output at the end only")  # is left where both are lost


@pytest.mark.parametrize(
    "losses", [some for count in (1, 2) for some in combinations(LOSSES, count) if some != NOTHING], ids=" + ".join
)
def test_what_a_proxy_loses_of_a_responses_stream_is_made_up_for(losses: Sequence[str]):
    """As long as something still says what an item is: one loss, or two at a time."""
    whole = said(responses.WIRE)
    events = whole
    for loss in losses:
        events = LOSSES[loss](events)
    heard = hear("openai-responses", sse(*events))
    assert told(heard) == told(hear("openai-responses", sse(*whole)))
    assert heard.step_done.finish_reason == "tool_calls"


def test_what_comes_after_an_item_s_end_changes_nothing():
    """Late deltas, and a second end: kept as events of the provider's."""
    events = said(responses.WIRE)
    done = next(at for at, event in enumerate(events) if event["type"] == "response.output_item.done" and at > 20)
    late = [
        {**event, "late": True} for event in events[:done] if event.get("output_index") == events[done]["output_index"]
    ]
    late = [event for event in late if "arguments" in event["type"] or "text" in event["type"]]
    assert late
    heard = hear("openai-responses", sse(*events[: done + 1], *late, events[done], *events[done + 1 :]))
    assert told(heard) == told(hear("openai-responses", sse(*events)))
    kept = [event["data"] for event in map(codec.to_builtins, heard.payloads) if event.get("type") == "provider_event"]
    assert sum(bool(data.get("late")) for data in kept if isinstance(data, dict)) == len(late)


def test_what_comes_after_a_block_s_end_changes_nothing():
    """The same on the Messages wire."""
    events = said(messages.WIRE)
    late = [event for event in events if event["type"] == "content_block_delta"]
    at = next(at for at, event in enumerate(events) if event["type"] == "message_delta")
    heard = hear("anthropic-messages", sse(*events[:at], *late, *events[at:]))
    assert told(heard) == told(hear("anthropic-messages", sse(*events)))
    assert len(heard.events("content_block_delta")) == len(late)
