"""The framing of every dialect: each rule, with a stream that breaks it and no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.dialects.framing import EMPTY, OPEN_BODY, WRONG_TYPE
from tailrace.dialects.lint import Linter, Violation, misfits
from tailrace.dialects.linters import RULESETS
from tailrace.dialects.table import DIALECTS
from tailrace.schema import codec
from tests.support.linting import broken, framed

MESSAGE = {
    "id": "m", "type": "message", "role": "assistant", "model": "x", "content": [], "stop_reason": None,
    "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip
MESSAGES = [
    {"type": "message_start", "message": MESSAGE},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 1},
    },
    {"type": "message_stop"},
]
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x"}
CHAT = [{**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "é"}, "finish_reason": "stop"}]}]
M, C = framed("messages", MESSAGES), framed("chat", CHAT)
FIRST = M.partition(b"\n\n")[0] + b"\n\n"

SPOILT = [
    ("utf-8", "messages", b": \xff\n\n" + M),
    ("lf", "messages", M.replace(b"\n", b"\r\n")),
    ("lf", "messages", M.replace(b"\n", b"\r")),
    ("field", "messages", M.replace(b"data:", b"note: x\ndata:", 1)),
    ("one-data", "messages", M.replace(b'"message_start",', b'"message_start",\ndata: ')),
    ("one-data", "messages", b"event: ping\n\n" + M),
    ("json", "chat", b"data: hello\n\n" + C),
    ("json", "chat", b"data: [1]\n\n" + C),
    ("json", "messages", b"event: ping\ndata: \xc3\n\n".replace(b"\xc3", b"{") + M),
    ("blank-line", "messages", M[:-1]),
    ("event-name", "messages", M.replace(b"event: message_stop", b"event: message_end")),
    ("event-name", "messages", M.replace(b"event: message_stop\n", b"")),
    ("no-event-name", "chat", b"event: chunk\n" + C),
    ("done-marker", "chat", C.replace(b"data: [DONE]\n\n", b"")),
    ("done-marker", "chat", C + b"data: [DONE]\n\n"),
    ("no-done-marker", "messages", M + b"data: [DONE]\n\n"),
    ("cursor", "messages", M.replace(b"event", b"id: x\nevent", 1)),
    ("cursor", "messages", M.replace(b"event", b"id: 7\nevent")),
    ("empty", "messages", b": hello\n\n"),
    ("empty", "chat", b""),
]


@pytest.mark.parametrize(("rule", "dialect", "data"), SPOILT, ids=lambda value: value if isinstance(value, str) else "")
def test_each_rule_of_form_is_broken_alone(rule, dialect, data):
    """One stream per rule breaks it and nothing else."""
    assert broken(dialect, data) == {rule}


def test_an_endpoint_names_no_id():
    """Elsewhere a cursor of ours is legal, because `/api/v2/stream` and `encode` have it in every dialect."""
    data = M.replace(b"event", b"id: 1\nevent", 1)
    assert broken("messages", data, endpoint=True) == {"no-id"}
    assert broken("messages", data) == set()


def test_what_only_a_connection_shows():
    """The content type, and a body that goes on behind the end."""
    linter = Linter(RULESETS["messages"])
    assert [v.rule for v in linter.content_type("application/json; x")] == [WRONG_TYPE.name]
    assert not list(linter.content_type("Text/Event-Stream; charset=utf-8"))
    assert not linter.ended
    assert linter.feed(M) == []
    assert linter.ended
    assert [v.rule for v in linter.close(is_open=True)] == [OPEN_BODY.name]


def test_every_framing_rule_is_shown_to_be_broken():
    """No rule of form is without a stream that breaks it."""
    names = {rule.name for ruleset in RULESETS.values() for rule in ruleset.framing.rules}
    assert names == {rule for rule, _, _ in SPOILT} | {"no-id", WRONG_TYPE.name, OPEN_BODY.name}
    assert EMPTY.name in names


@pytest.mark.parametrize("dialect", RULESETS)
def test_rules_have_one_name_a_demand_and_a_clause(dialect):
    """A table with a row for each rule."""
    table = RULESETS[dialect].table()
    assert len({name for name, _, _ in table}) == len(table)
    assert all(name and demand.endswith((".", "…")) and clause for name, demand, clause in table)


def test_every_dialect_has_rules():
    """What can be read can be judged."""
    assert set(DIALECTS) <= set(RULESETS)


@pytest.mark.parametrize("data", [M, M + b": late\n\n", b"\n\nretry: 5\n\n: hi\n\n" + M, b"\xef\xbb\xbf" + M])
def test_comments_retries_blank_lines_and_a_bom_are_legal(data):
    """What readers pass over is no violation."""
    assert broken("messages", data) == set()


def test_a_violation_says_where():
    """Frames count without comments; lines count all."""
    linter = Linter(RULESETS["messages"])
    (violation,) = linter.feed(b": hi\n\n" + FIRST + b"event: ping\ndata: {\n\n")
    assert violation == Violation("json", "'{' is not the JSON of an object", 2, 6)
    assert str(violation) == "json: frame 2, line 6: '{' is not the JSON of an object"


@given(st.lists(st.integers(1, 40)), st.sampled_from([data for _, _, data in SPOILT]))
def test_the_verdict_does_not_depend_on_the_pieces(sizes: list[int], data: bytes):
    """Bytes split anywhere, inside CRLF and characters too."""
    whole, split = Linter(RULESETS["messages"]), Linter(RULESETS["messages"])
    found, rest = [], data
    for size in sizes:
        found += split.feed(rest[:size])
        rest = rest[size:]
    found += [*split.feed(rest), *split.close()]
    assert found == [*whole.feed(data), *whole.close()]


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_it_raise(data: bytes):
    """Whatever a server says is judged."""
    for dialect in RULESETS:
        broken(dialect, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["messages", "chat"]), st.data())
def test_no_value_in_any_field_makes_it_raise(dialect: str, data: st.DataObject):
    """Each field of a legal stream replaced by any JSON."""
    events = codec.decode_any(codec.encode(MESSAGES if dialect == "messages" else CHAT))
    event = data.draw(st.sampled_from(events))
    while True:
        key = data.draw(st.sampled_from(sorted(event)))
        if not isinstance(event[key], dict) or not event[key] or data.draw(st.booleans()):
            break
        event = event[key]
    event[key] = data.draw(JSON)
    broken(dialect, framed(dialect, events))


def test_json_lines_are_judged_without_their_framing():
    """A WebSocket's messages, or what `tail` prints: no names, no cursor; `[DONE]` may stand there."""
    lines = b"".join(codec.encode(event) + b"\r\n" for event in MESSAGES)
    assert broken("messages", b"\n" + lines) == set()
    assert broken("messages", lines + b"{\n") == {"json"}
    assert broken("chat", codec.encode(CHAT[0]) + b"\n[DONE]\n") == set()


def test_a_misfit_names_the_path_and_what_was_wanted():
    """Paths as in `a.b[0]`; a boolean is no number; an optional field may be absent, and not null."""
    shape = {"a": {"b": [int]}, "c?": str, "d": (str, type(None)), "e": frozenset({"x"})}
    assert list(misfits({"a": {"b": [1, True]}, "c": None, "d": 5, "e": "y"}, shape)) == [
        "`a.b[1]` is a boolean, not an integer", "`c` is null, not a string", "`d` is 5, not a string or null",
        "`e` is 'y', not one of x",
    ]  # fmt: skip
    assert list(misfits({"a": [], "d": None, "e": "x"}, shape)) == ["`a` is a list, not an object"]
    assert list(misfits({}, {"f": int})) == ["`f` is missing"]
