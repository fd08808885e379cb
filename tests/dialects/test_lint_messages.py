"""The rules of a Messages stream: each with a stream that breaks it and no other."""

from collections.abc import Callable
from typing import Any

import pytest

from tailrace.schema import codec
from tests.support.linting import broken, event_rules, framed

Events = list[dict[str, Any]]


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **grown: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": grown}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


LEGAL: Events = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
            "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1},
        },
    },
    {"type": "ping"},
    start(0, type="thinking", thinking="", signature=""),
    delta(0, type="thinking_delta", thinking="Hm."),
    delta(0, type="signature_delta", signature="s"),
    stop(0),
    start(1, type="text", text=""),
    delta(1, type="text_delta", text="Hello"),
    stop(1),
    start(2, type="tool_use", id="t", name="n", input={}),
    delta(2, type="input_json_delta", partial_json=""),
    delta(2, type="input_json_delta", partial_json='{"a":'),
    delta(2, type="input_json_delta", partial_json="1}"),
    stop(2),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None},
     "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]  # fmt: skip
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def at(index: int, *path: str, value: Any) -> Callable[[Events], None]:
    """Replace what stands at a path of the event at `index`."""

    def spoil(events: Events) -> None:
        place = events[index]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return spoil


def without(index: int, *path: str) -> Callable[[Events], None]:
    def spoil(events: Events) -> None:
        place = events[index]
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return spoil


def cut(index: int) -> Callable[[Events], None]:
    return lambda events: events.pop(index) and None


def add(index: int, event: dict[str, Any]) -> Callable[[Events], None]:
    return lambda events: events.insert(index, event)


SPOILT: list[tuple[str, Callable[[Events], None]]] = [
    ("event-type", add(6, {"type": "content_block_pause"})),
    ("shape", at(7, "delta", "text", value=None)),
    ("shape", add(9, {"type": "content_block_stop"})),
    ("shape", add(9, start(2, type="tool_use", id="t", name="n", input="{}"))),
    ("after-terminal", add(16, {"type": "ping"})),
    ("after-terminal", lambda events: events.extend([ERROR])),
    ("start-first", cut(0)),
    ("start-first", add(1, LEGAL[0])),
    ("start-empty", at(0, "message", "stop_reason", value="end_turn")),
    ("start-empty", at(0, "message", "content", value=[{"type": "text", "text": "Hello"}])),
    ("block-index", lambda events: [event.update(index=event["index"] + 1) for event in events if "index" in event]),
    ("one-open-block", lambda events: events.insert(8, events.pop(9))),
    ("one-open-block", cut(13)),
    ("one-open-block", at(7, "index", value=0)),
    ("block-empty", at(6, "content_block", "text", value="Hel")),
    ("delta-type", at(7, "delta", value={"type": "input_json_delta", "partial_json": "x"})),
    ("signature", cut(4)),
    ("signature", lambda events: events.insert(3, events.pop(4))),
    ("input-json", at(12, "delta", "partial_json", value="1")),
    ("input-json", lambda events: [events[11].__setitem__("delta", {"type": "input_json_delta", "partial_json": "["}),
                                   events[12].__setitem__("delta", {"type": "input_json_delta", "partial_json": "]"})]),
    ("delta-last", lambda events: events.insert(6, events.pop(14))),
    ("delta-last", cut(14)),
    ("stop-reason", at(14, "delta", "stop_reason", value="tired")),
    ("stop-reason", at(14, "delta", "stop_reason", value=None)),
    ("usage", without(0, "message", "usage")),
    ("usage", without(14, "usage", "output_tokens")),
    ("usage-rises", at(14, "usage", "output_tokens", value=0)),
    ("terminal", cut(15)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "spoil"), SPOILT)
def test_each_rule_is_broken_alone(rule, spoil):
    """One stream per rule breaks it and nothing else."""
    events = codec.decode_any(codec.encode(LEGAL))
    spoil(events)
    assert broken("messages", framed("messages", events)) == {rule}


def test_every_rule_is_shown_to_be_broken():
    """No rule is without a stream that breaks it."""
    assert {rule for rule, _ in SPOILT} == event_rules("messages")


@pytest.mark.parametrize(
    "events",
    [
        LEGAL,
        [LEGAL[1], *LEGAL],
        [ERROR],
        [*LEGAL[:8], ERROR],
        [*LEGAL[:12], stop(2), {**LEGAL[14], "delta": {"stop_reason": "max_tokens", "stop_sequence": None}}, LEGAL[15]],
        [LEGAL[0], start(0, type="redacted_thinking", data="x"), stop(0), *LEGAL[14:]],
        [LEGAL[0], start(0, type="web_search_tool_result", tool_use_id="t", content=[]), stop(0), *LEGAL[14:]],
    ],
    ids=["whole", "ping first", "error only", "error", "cut call", "redacted", "tool result"],
)  # fmt: skip
def test_what_the_vendor_streams_is_legal(events):
    """Pings anywhere, an error as the end, input that was cut at max_tokens, blocks that come whole."""
    assert broken("messages", framed("messages", events)) == set()
