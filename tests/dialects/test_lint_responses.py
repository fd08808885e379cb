"""The rules of a Responses stream: each with a stream that breaks it and no other."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.dialects.responses.lint_events import REQUIRED
from tailrace.schema import codec
from tests.support.linting import broken, event_rules, framed

Json = dict[str, Any]
Events = list[Json]
USAGE = {
    "input_tokens": 3, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 7,
}  # fmt: skip
RESPONSE: Json = {
    "id": "resp_1", "object": "response", "created_at": 1, "completed_at": None, "status": "in_progress",
    "incomplete_details": None, "model": "m", "previous_response_id": None, "instructions": None, "output": [],
    "error": None, "tools": [], "tool_choice": "auto", "truncation": "disabled", "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}}, "top_p": 1.0, "presence_penalty": 0, "frequency_penalty": 0,
    "top_logprobs": 0, "temperature": 1.0, "reasoning": None, "usage": None, "max_output_tokens": None,
    "max_tool_calls": None, "store": True, "background": False, "service_tier": "default", "metadata": {},
    "safety_identifier": None, "prompt_cache_key": None,
}  # fmt: skip
THOUGHT: Json = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}]}
TEXT: Json = {"type": "output_text", "text": "Hello", "annotations": []}
MESSAGE: Json = {"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": [TEXT]}
CALL: Json = {
    "type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed",
}  # fmt: skip
R, M, F = ({"item_id": name, "output_index": index} for index, name in enumerate(("rs", "msg", "fc")))
S, C = {**R, "summary_index": 0}, {**M, "content_index": 0}


def snapshot(kind: str, **fields: Any) -> Json:
    return {"type": f"response.{kind}", "response": {**RESPONSE, **fields}}


def item(kind: str, index: int, value: Json, **fields: Any) -> Json:
    return {"type": f"response.output_item.{kind}", "output_index": index, "item": {**value, **fields}}


LEGAL: Events = [
    snapshot("created"),
    snapshot("in_progress"),
    item("added", 0, THOUGHT, summary=[]),
    {"type": "response.reasoning_summary_part.added", **S, "part": {"type": "summary_text", "text": ""}},
    {"type": "response.reasoning_summary_text.delta", **S, "delta": "Hm."},
    {"type": "response.reasoning_summary_text.done", **S, "text": "Hm."},
    {"type": "response.reasoning_summary_part.done", **S, "part": {"type": "summary_text", "text": "Hm."}},
    item("done", 0, THOUGHT),
    item("added", 1, MESSAGE, status="in_progress", content=[]),
    {"type": "response.content_part.added", **C, "part": {**TEXT, "text": ""}},
    {"type": "response.output_text.delta", **C, "delta": "Hel"},
    {"type": "response.output_text.delta", **C, "delta": "lo"},
    {"type": "response.output_text.done", **C, "text": "Hello"},
    {"type": "response.content_part.done", **C, "part": TEXT},
    item("done", 1, MESSAGE),
    item("added", 2, CALL, status="in_progress", arguments=""),
    {"type": "response.function_call_arguments.delta", **F, "delta": "{"},
    {"type": "response.function_call_arguments.delta", **F, "delta": "}"},
    {"type": "response.function_call_arguments.done", **F, "name": "f", "arguments": "{}"},
    item("done", 2, CALL),
    snapshot("completed", status="completed", completed_at=2, output=[THOUGHT, MESSAGE, CALL], usage=USAGE),
]
FAILED = snapshot("failed", status="failed", error={"code": "server_error", "message": "no"})
ERROR = {"type": "error", "code": "server_error", "message": "no", "param": None}


def numbered(events: Events) -> Events:
    """Copies with sequence numbers where none are given."""
    return [{"sequence_number": number, **event} for number, event in enumerate(codec.decode_any(codec.encode(events)))]


def put(index: int, *path: str | int, value: Any) -> Callable[[Events], None]:
    """Replace what stands at a path of the event at `index`."""

    def spoil(events: Events) -> None:
        place: Any = events
        for key in (index, *path)[:-1]:
            place = place[key]
        place[(index, *path)[-1]] = value

    return spoil


def take(index: int, *path: str | int) -> Callable[[Events], None]:
    def spoil(events: Events) -> None:
        place: Any = events
        for key in (index, *path)[:-1]:
            place = place[key]
        del place[(index, *path)[-1]]

    return spoil


def add(index: int, event: Json) -> Callable[[Events], None]:
    return lambda events: events.insert(index, event)


def both(*spoils: Callable[[Events], None]) -> Callable[[Events], None]:
    def spoil(events: Events) -> None:
        for one in spoils:
            one(events)

    return spoil


def everywhere(old: str, new: str) -> Callable[[Events], None]:
    """Replace in the JSON of all events."""

    def spoil(events: Events) -> None:
        events[:] = codec.decode_any(codec.encode(events).decode().replace(old, new))

    return spoil


NOTE = {"type": "response.output_text.annotation.added", **C, "annotation_index": 0, "annotation": {}}
CUT = {**MESSAGE, "status": "incomplete"}
INCOMPLETE = snapshot("incomplete", status="incomplete", incomplete_details={"reason": "max_output_tokens"})

SPOILT: list[tuple[str, Callable[[Events], None]]] = [
    ("sequence", put(10, "sequence_number", value=9)),
    ("sequence", put(20, "sequence_number", value=21)),
    ("sequence", lambda events: [event.update(sequence_number=n + 1) for n, event in enumerate(events)] and None),
    ("event-type", add(5, {"type": "response.thinking.delta", **S})),
    ("shape", take(1, "response", "output")),
    ("shape", add(11, {"type": "response.output_text.delta", **C, "delta": 5})),
    ("shape", add(15, item("added", 2, CALL, arguments={}))),
    ("shape", add(9, {"type": "response.content_part.added", **C, "part": {"type": "output_text", "text": ""}})),
    ("after-terminal", add(21, snapshot("in_progress"))),
    ("after-terminal", add(21, LEGAL[20])),
    ("created-first", take(0)),
    ("created-first", add(1, LEGAL[0])),
    ("constant", put(20, "response", "id", value="resp_2")),
    ("status", put(1, "response", "status", value="completed")),
    ("outcome", put(20, "response", "error", value={"code": "x", "message": "y"})),
    ("outcome", lambda events: events.__setitem__(20, snapshot("failed", status="failed"))),
    ("required-keys", take(0, "response", "safety_identifier")),
    ("required-keys", put(0, "response", "top_p", value=None)),
    ("never-null", put(0, "response", "text", value={"verbosity": None})),
    ("never-null", both(put(14, "item", "phase", value=None), put(20, "response", "output", 1, "phase", value=None))),
    ("usage", put(20, "response", "usage", value=None)),
    ("usage", put(20, "response", "usage", "total_tokens", value=6)),
    ("error-shape", both(add(20, {"type": "error", "error": {"code": "x"}}), put(21, value=FAILED))),
    ("error-then-failed", add(20, ERROR)),
    ("item-index", everywhere('"output_index":2', '"output_index":3')),
    ("item-open", add(10, {**NOTE, "output_index": 7})),
    ("item-open", add(15, NOTE)),
    ("item-constant", put(10, "item_id", value="other")),
    ("item-constant", both(put(14, "item", "role", value="user"),
                           put(20, "response", "output", 1, "role", value="user"))),
    ("item-constant", everywhere('"fc"', '"msg"')),
    ("item-closed", both(take(19), take(19, "response", "output", 2))),
    ("item-status", put(8, "item", "status", value="completed")),
    ("item-status", both(put(14, "item", "status", value="in_progress"),
                         put(20, "response", "output", 1, "status", value="in_progress"))),
    ("incomplete-last", lambda events: events.__setitem__(slice(14, 21), [
        item("done", 1, CUT), snapshot("completed", status="completed", output=[THOUGHT, CUT], usage=USAGE)])),
    ("part-index", everywhere('"content_index":0', '"content_index":1')),
    ("part-open", add(10, {**NOTE, "content_index": 3})),
    ("part-open", add(14, {"type": "response.output_text.delta", **C, "delta": "lo"})),
    ("part-open", add(13, {"type": "response.output_text.delta", **C, "delta": "lo"})),
    ("part-open", add(10, {"type": "response.refusal.delta", **C, "delta": ""})),
    ("part-closed", take(13)),
    ("text-done", put(11, "delta", value="lo!")),
    ("text-done", take(12)),
    ("part-text", put(13, "part", "text", value="Hell")),
    ("item-text", both(put(14, "item", "content", 0, "text", value="Hell"),
                       put(20, "response", "output", 1, "content", 0, "text", value="Hell"))),
    ("item-text", both(put(14, "item", "content", value=[]), put(20, "response", "output", 1, "content", value=[]))),
    ("item-text", both(put(7, "item", "summary", value=[]), put(20, "response", "output", 0, "summary", value=[]))),
    ("arguments-done", put(17, "delta", value="]")),
    ("arguments-done", add(19, LEGAL[18])),
    ("item-arguments", take(18)),
    ("item-arguments", both(put(19, "item", "arguments", value="{ }"),
                            put(20, "response", "output", 2, "arguments", value="{ }"))),
    ("final-output", take(20, "response", "output", 0)),
    ("final-output", put(20, "response", "output", 1, "content", 0, "text", value="Hell")),
    ("terminal", take(20)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "spoil"), SPOILT)
def test_each_rule_is_broken_alone(rule, spoil):
    """One stream per rule breaks it and nothing else."""
    events = codec.decode_any(codec.encode(LEGAL))
    spoil(events)
    assert broken("responses", framed("responses", numbered(events))) == {rule}


def test_every_rule_is_shown_to_be_broken():
    """No rule is without a stream that breaks it."""
    assert {rule for rule, _ in SPOILT} == event_rules("responses")


def test_there_are_31_required_keys():
    """Open Responses, ResponseResource."""
    assert len(REQUIRED) == 31


REASON = {"item_id": "rs", "output_index": 0, "content_index": 0}


def raw_reasoning(name: str) -> Events:
    """A model's own reasoning, under either name of its events."""
    said = {**THOUGHT, "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    return [
        LEGAL[0],
        item("added", 0, said, content=[]),
        {"type": "response.content_part.added", **REASON, "part": {"type": "reasoning_text", "text": ""}},
        {"type": f"response.{name}.delta", **REASON, "delta": "Hm."},
        {"type": f"response.{name}.done", **REASON, "text": "Hm."},
        {"type": "response.content_part.done", **REASON, "part": {"type": "reasoning_text", "text": "Hm."}},
        item("done", 0, said),
        snapshot("completed", status="completed", output=[said], usage=USAGE),
    ]


SEARCH: Json = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {}}


@pytest.mark.parametrize(
    "events",
    [
        LEGAL,
        [snapshot("created", status="queued"), snapshot("queued", status="queued"), *LEGAL[1:]],
        [*LEGAL[:2], *[LEGAL[1]] * 3, *LEGAL[2:]],
        [*LEGAL[:12], ERROR, FAILED],
        [LEGAL[0], {"type": "error", "error": {"type": "server_error", "code": None, "message": "no"}}, FAILED],
        [*LEGAL[:14], item("done", 1, CUT),
         {**INCOMPLETE, "response": {**INCOMPLETE["response"], "output": [THOUGHT, CUT]}}],
        raw_reasoning("reasoning_text"),
        raw_reasoning("reasoning"),
        [*LEGAL[:20], {"type": "acme:note", "anything": 1}, LEGAL[20]],
        [*LEGAL[:2], item("added", 0, SEARCH, status="in_progress"),
         {"type": "response.web_search_call.searching", "item_id": "ws", "output_index": 0}, item("done", 0, SEARCH),
         snapshot("completed", status="completed", output=[SEARCH], usage=USAGE)],
    ],
    ids=["whole", "queued", "repeated in_progress", "flat error", "nested error", "incomplete", "OpenAI's reasoning",
         "Open Responses' reasoning", "extension", "provider's tool"],
)  # fmt: skip
def test_what_the_specifications_allow_is_legal(events):
    """Both vocabularies, both forms of an error, extensions, and tools that the provider runs."""
    assert broken("responses", framed("responses", numbered(events))) == set()


@given(st.integers(0, len(LEGAL) - 1), st.data())
def test_no_value_in_any_field_makes_it_raise(index: int, data: st.DataObject):
    """Each field of a legal stream replaced by something else, or left out."""
    events = numbered(LEGAL)
    place: Any = events[index]
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not place[key] or not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(st.sampled_from([None, 0, -1, "", True, [], {}, [[]], [{}], {"type": "x"}]))
    broken("responses", framed("responses", events))
