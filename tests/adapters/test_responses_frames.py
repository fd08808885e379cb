"""The Responses API's events as frames of a WebSocket."""

import pytest

from tailrace.adapters.openai_responses.frames import Guard, as_sse, read_frame
from tailrace.schema import codec
from tailrace.wire.sse import SseParser


def told(kind="response.output_text.delta", **fields):
    frame = read_frame(codec.encode({"type": kind, **fields}))
    assert frame is not None
    return frame


def of(response_id, count=None, kind="response.created"):
    return told(kind, response={"id": response_id}, sequence_number=count)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"null", b"7", b"\xff", b'{"type": "x"} {}'])
def test_what_is_no_json_object_is_no_frame(data):
    assert read_frame(data) is None


@pytest.mark.parametrize("wrong", [None, [], {}, "x", -1, 1.5, True])
def test_a_field_of_another_type_says_nothing(wrong):
    """So that an event half understood costs one field and never the stream."""
    frame = told(wrong, response=wrong, sequence_number=wrong, output_index=wrong, error=wrong, item=wrong)
    assert not frame.is_terminal
    assert frame.answer_id is None
    assert frame.problem is None
    assert Guard().judge(frame) == "take"


@pytest.mark.parametrize(
    "text",
    ['{"a": "x"}', '{\n  "a": "x\\ny"\r\n}', '{"a": "é 😀"}', '{\r"a":\n[1,\n2]}'],
    ids=["flat", "pretty", "é", "cr"],
)
def test_a_frame_is_one_event_of_a_stream_however_it_is_laid_out(text):
    """A line break in JSON is mere space."""
    (event,) = SseParser().feed(as_sse(text.encode()))
    assert codec.decode_any(event.data) == codec.decode_any(text)


def test_signs_of_life_and_asides_say_nothing_of_the_answer():
    """What does: its events, whatever tool they are of, and its end."""
    for kind in ("response.output_text.delta", "response.web_search_call.searching", "error"):
        assert told(kind).is_telling
    for kind in (
        "keepalive",
        "ping",
        "response.created",
        "response.in_progress",
        "response.queued",
        "response.metadata",
        "codex.rate_limits",
    ):
        assert not told(kind).is_telling


def test_a_guard_takes_one_answer_after_another():
    """Each with an id and a count of its own; frames that name neither belong to it."""
    guard = Guard()
    for response_id in ("r1", "r2"):
        guard.begin()
        assert guard.judge(of(response_id, 0)) == "take"
        assert guard.judge(told(sequence_number=1)) == "take"
        assert guard.judge(told()) == "take"
        assert guard.judge(of(response_id, 7, "response.completed")) == "take"


def test_a_guard_drops_what_still_comes_of_the_answer_before():
    """By its id, at any time; by its count, until the new answer has begun. An error is always heard."""
    guard = Guard()
    guard.begin()
    guard.judge(of("r1", 0))
    guard.judge(of("r1", 9, "response.completed"))
    guard.begin()
    assert guard.judge(told(sequence_number=10)) == "drop"
    assert guard.judge(of("r1", 9, "response.completed")) == "drop"
    assert guard.judge(told("error", sequence_number=11)) == "take"
    assert guard.judge(of("r2", 0)) == "take"
    assert guard.judge(told(sequence_number=10)) == "take"
    assert guard.judge(of("r1", 11)) == "drop"
    guard.begin()
    assert guard.judge(told("error")) == "take"


@pytest.mark.parametrize("late", [of("r3", 2), told(sequence_number=1), told(sequence_number=0)])
def test_a_guard_refuses_another_answer_and_a_count_that_goes_back(late):
    guard = Guard()
    guard.begin()
    guard.judge(of("r1", 0))
    guard.judge(told(sequence_number=1))
    assert guard.judge(late) == "refuse"
