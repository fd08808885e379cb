"""The rules of the native and the upserts stream: each with a stream that breaks it and no other."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from tailrace.dialects.base import View, sse
from tailrace.dialects.native.encode import NATIVE
from tailrace.dialects.upserts.encode import UPSERTS
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import ItemDelta, ItemDone, ItemStart, Payload, ResponseDone, TraceContext
from tailrace.schema.items import MessageItem
from tests.support.events import START, runs
from tests.support.linting import broken, event_rules, framed

Events = list[dict[str, Any]]
TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")
PAYLOADS: list[Payload] = [
    START,
    ItemStart(item_id="a", item_type="message"),
    ItemDelta(item_id="a", delta_content="x"),
    ItemDone(item_id="a", final_item=MessageItem(id="a", content="x")),
    ResponseDone(response_id="r", status="complete", finish_reason="stop"),
]


def batch(payloads: list[Payload]) -> Batch:
    return Batch("r", 1, 5, TRACE, payloads=payloads)


def native() -> Events:
    return [codec.to_builtins(event) for event in batch(PAYLOADS).events()]


def derived(events: Events) -> None:
    """Ids that fit, so that nothing but what was changed is wrong."""
    for event in events:
        event["event_id"] = codec.event_id(event["run_id"], event["seq"])


def put(index: int, **fields: Any) -> Callable[[Events], None]:
    return lambda events: events[index].update(fields)


def renamed(events: Events) -> None:
    events[3].update(run_id="other")
    derived(events)


def skipped(events: Events) -> None:
    for event in events[2:]:
        event["seq"] += 1
    derived(events)


def from_zero(events: Events) -> None:
    for event in events:
        event["seq"] -= 1
    derived(events)


def cut(index: int) -> Callable[[Events], None]:
    return lambda events: events.pop(index) and None


def unstarted(events: Events) -> None:
    """A delta of an item that nobody began."""
    events[2]["payload"]["item_id"] = "b"


SPOILT = [
    ("schema", lambda events: events.append({**events[4], "seq": 6, "payload": {"type": "response_done"}})),
    ("schema", lambda events: events.append({"seq": 6, "type": "x"})),
    ("type", put(2, type="item_done")),
    ("event-id", put(0, event_id="x")),
    ("seq", skipped),
    ("seq", from_zero),
    ("run-id", renamed),
    ("timestamp", put(4, timestamp=4)),
    ("order", unstarted),
    ("terminal", cut(4)),
]


@pytest.mark.parametrize(("rule", "spoil"), SPOILT)
def test_each_native_rule_is_broken_alone(rule, spoil):
    """One stream per rule breaks it and nothing else."""
    events = native()
    spoil(events)
    assert broken("native", framed("native", events)) == {rule}


def test_the_native_cursor_is_the_seq():
    """An `id` that is not its event's seq."""
    data = framed("native", native())
    assert broken("native", b"id: 2\n" + data) == {"cursor"}
    assert broken("native", b"id: 1\n" + data) == set()


def test_every_native_rule_is_shown_to_be_broken():
    """No rule is without a stream that breaks it."""
    assert {rule for rule, _ in SPOILT} == event_rules("native")


def test_a_native_stream_may_have_been_resumed():
    """A stream that begins in the middle is checked as far as that goes."""
    assert broken("native", framed("native", native()[2:])) == set()
    assert broken("native", framed("native", native()[2:4])) == set()


@given(runs())
def test_what_we_encode_is_legal(payloads: list[Payload]):
    """Every legal run is clean in both dialects, but for the missing end where it was cut off."""
    assert NATIVE.shared is not None
    assert broken("native", NATIVE.shared(batch(payloads))) <= {"terminal"}
    assert broken("upserts", sse(UPSERTS.encoder(View()).encode(batch(payloads)))) <= {"terminal"}


ITEM = {"type": "item_upsert", "item_id": "a", "item_type": "message", "content": "x"}
UPSERTED: Events = [
    {"type": "turn_started", "turn_id": "t", "thread_id": "h", "model_id": "m", "provider_id": "p"},
    {**ITEM, "change": "created", "version": 1},
    {**ITEM, "change": "updated", "version": 2},
    {**ITEM, "change": "completed", "version": 3},
    {"type": "turn_complete", "status": "complete", "finish_reason": "stop"},
]
SPOILT_UPSERTS = [
    ("shape", lambda events: events.insert(1, {"type": "item_started"})),
    ("shape", lambda events: events.insert(1, {**ITEM, "version": 1})),
    ("after-terminal", lambda events: events.append({**ITEM, "change": "completed", "version": 4})),
    ("turn-first", cut(0)),
    ("turn-first", lambda events: events.insert(1, events[0])),
    ("change", put(1, change="updated")),
    ("change", put(2, change="created")),
    ("change", put(2, change="completed")),
    ("version", put(2, version=3)),
    ("terminal", cut(4)),
]


@pytest.mark.parametrize(("rule", "spoil"), SPOILT_UPSERTS)
def test_each_upserts_rule_is_broken_alone(rule, spoil):
    """One stream per rule breaks it and nothing else."""
    events = codec.decode_any(codec.encode(UPSERTED))
    spoil(events)
    assert broken("upserts", framed("upserts", events)) == {rule}


def test_every_upserts_rule_is_shown_to_be_broken():
    """No rule is without a stream that breaks it; and what breaks none is legal."""
    assert {rule for rule, _ in SPOILT_UPSERTS} == event_rules("upserts")
    assert broken("upserts", framed("upserts", UPSERTED)) == set()
