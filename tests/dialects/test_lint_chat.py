"""The rules of a stream of chat completion chunks: each with a stream that breaks it and no other."""

from collections.abc import Callable
from typing import Any

import pytest

from tailrace.schema import codec
from tests.support.linting import broken, event_rules, framed

Events = list[dict[str, Any]]
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}


def call(index: int, arguments: str, **head: Any) -> dict[str, Any]:
    name = {"name": head.pop("name")} if "name" in head else {}
    return chunk({"tool_calls": [{"index": index, **head, "function": {**name, "arguments": arguments}}]})


LEGAL: Events = [
    chunk({"role": "assistant", "content": "", "refusal": None}),
    chunk({"reasoning_content": "Hm."}),
    chunk({"content": "Hello"}),
    call(0, "", id="a", type="function", name="f"),
    call(0, '{"x":'),
    call(0, "1}"),
    call(1, "", id="b", type="function", name="g"),
    call(1, "{}"),
    chunk({}, "tool_calls"),
    {**HEAD, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}},
]
ERROR = {"error": {"message": "no", "type": "server_error", "param": None, "code": None}}


def choice(at: int, **fields: Any) -> Callable[[Events], None]:
    return lambda events: events[at]["choices"][0].update(fields)


def fields(at: int, **values: Any) -> Callable[[Events], None]:
    return lambda events: events[at].update(values)


def piece(at: int, **values: Any) -> Callable[[Events], None]:
    return lambda events: events[at]["choices"][0]["delta"]["tool_calls"][0].update(values)


def cut(index: int) -> Callable[[Events], None]:
    return lambda events: events.pop(index) and None


def add(index: int, event: dict[str, Any]) -> Callable[[Events], None]:
    return lambda events: events.insert(index, event)


SPOILT: list[tuple[str, Callable[[Events], None]]] = [
    ("shape", lambda events: events[2].pop("created") and None),
    ("shape", choice(2, delta={"content": 5})),
    ("shape", add(9, {"error": {"type": "server_error"}})),
    ("after-terminal", lambda events: events.append(events[9])),
    ("after-terminal", lambda events: events.insert(9, ERROR)),
    ("object", fields(2, object="chat.completion")),
    ("constant", fields(2, id="other")),
    ("constant", fields(9, created=2)),
    ("one-choice", choice(2, index=1)),
    ("choices-empty", fields(2, choices=[])),
    ("role", choice(0, delta={"content": ""})),
    ("role", choice(2, delta={"role": "assistant", "content": "Hello"})),
    ("call-index", lambda events: [one["choices"][0]["delta"]["tool_calls"][0].update(index=2) for one in events[6:8]]),
    ("call-start", piece(5, id="a")),
    ("call-start", lambda events: events[6]["choices"][0]["delta"]["tool_calls"][0].pop("id") and None),
    ("finish", add(9, chunk({"content": "more"}))),
    ("finish", add(9, chunk({}, "stop"))),
    ("finish-reason", choice(8, finish_reason="tired")),
    ("finish-calls", lambda events: events.__delitem__(slice(3, 8))),
    ("call-arguments", piece(5, function={"arguments": "1"})),
    ("usage", lambda events: events[9]["usage"].update(total_tokens=6)),
    ("usage", lambda events: events[9]["usage"].pop("prompt_tokens") and None),
    ("usage-last", lambda events: events[8].update(usage=events.pop()["usage"])),
    ("terminal", lambda events: events.__delitem__(slice(8, 10))),
]


@pytest.mark.parametrize(("rule", "spoil"), SPOILT)
def test_each_rule_is_broken_alone(rule, spoil):
    """One stream per rule breaks it and nothing else."""
    events = codec.decode_any(codec.encode(LEGAL))
    spoil(events)
    assert broken("chat", framed("chat", events)) == {rule}


def test_every_rule_is_shown_to_be_broken():
    """No rule is without a stream that breaks it."""
    assert {rule for rule, _ in SPOILT} == event_rules("chat")


@pytest.mark.parametrize(
    "events",
    [
        LEGAL,
        LEGAL[:9],
        [*LEGAL[:5], ERROR],
        [*LEGAL[:5], chunk({}, "length")],
        [ERROR],
        [LEGAL[0], chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({}, "function_call")],
        [
            LEGAL[0],
            chunk({"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": ""}}]}),
            chunk({"tool_calls": [{"index": 0, "custom": {"input": "free text"}}]}),
            chunk({}, "tool_calls"),
        ],
    ],
    ids=["whole", "no usage", "error", "cut", "error only", "legacy call", "custom call"],
)
def test_what_the_vendor_streams_is_legal(events):
    """Without usage, with an error as the end, with a call that was cut, with older and newer kinds of calls."""
    assert broken("chat", framed("chat", events)) == set()
