"""Server-sent events: the WHATWG rules, split anywhere, and the writer's own frames."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema.errors import ProviderError
from tailrace.wire.sse import SseEvent, SseParser, comment, frame, retry

STREAM = (
    ": hello\n\n"
    "event: add\ndata: 73857293\n\n"
    'data: {"text":"caf\u00e9 \U0001f600"}\n\n'
    "id: 7\ndata: first\ndata: second\n\n"
    "event: ping\n\n"
    "retry: 1500\ndata\n\n"
    "data:no blank\nunknown: field\n\n\n"
    "id: 8\n\n"
    "data: last\n\n"
).encode()
EVENTS = [
    SseEvent(b"73857293", "add"),
    SseEvent('{"text":"caf\u00e9 \U0001f600"}'.encode()),
    SseEvent(b"first\nsecond", id="7"),
    SseEvent(b"", id="7"),
    SseEvent(b"no blank", id="7"),
    SseEvent(b"last", id="8"),
]


def parse(data: bytes, cuts: list[int] | None = None, limit: int = 1000) -> list[SseEvent]:
    parser = SseParser(limit)
    edges = [0, *sorted(cuts or []), len(data)]
    events = [event for start, end in pairwise(edges) for event in parser.feed(data[start:end])]
    return events + parser.close()


def feed_all(parser: SseParser, data: bytes, size: int, into: list[SseEvent]) -> None:
    for start in range(0, len(data) + size, size):
        into += parser.feed(data[start : start + size])
    parser.close()


def test_a_stream_is_read_by_the_rules():
    """Comments, fields without a colon, unknown fields, several data lines, ids that last and events without data."""
    assert parse(STREAM) == EVENTS


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_c7_all_line_ends_give_the_same_events(end):
    """LF, CRLF and CR end lines alike."""
    assert parse(STREAM.replace(b"\n", end)) == EVENTS


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_c6_a_split_at_any_byte_changes_nothing(end):
    """Cut in two at each offset: within a character, between CR and LF, within the blank line."""
    data = STREAM.replace(b"\n", end)
    assert all(parse(data, [cut]) == EVENTS for cut in range(len(data) + 1))
    assert parse(data, list(range(len(data)))) == EVENTS


@given(
    st.lists(st.sampled_from([b"data: x", b"data:y", b"id: 1", b"id: \x00", b": c", b"event: e", b"", b"", b"dat"])),
    st.lists(st.integers(0, 200)),
    st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=1),
)
def test_splitting_and_line_ends_never_matter(lines, cuts, ends):
    """Whatever the lines are, however they end and wherever they are cut, the same events come out."""
    mixed = b"".join(line + ends[number % len(ends)] for number, line in enumerate(lines))
    plain = b"".join(line + b"\n" for line in lines)
    # A CR that ends one line before an empty line's LF would be a CRLF: then the two texts differ in earnest.
    if b"\r\n" not in {a + b for a, b in zip(ends, ends[1:] + ends[:1], strict=True)}:
        assert parse(mixed, [cut for cut in cuts if cut < len(mixed)]) == parse(plain)


def test_a_third_line_end_changes_nothing_wherever_the_bytes_are_cut():
    """Two blank lines between events, read in any three pieces: the same events."""
    data = b"data: one\n\n\ndata: two\n\n"
    cuts = [[first, second] for first in range(len(data)) for second in range(first, len(data))]
    assert all(parse(data, pair) == [SseEvent(b"one"), SseEvent(b"two")] for pair in cuts)


def test_a_leading_bom_is_passed_over_once():
    """One BOM at the start, also split; a second one is part of the field's name."""
    data = b"\xef\xbb\xbfdata: x\n\n"
    assert [parse(data, [cut]) for cut in range(4)] == [[SseEvent(b"x")]] * 4
    assert parse(b"\xef\xbb\xbf" + data) == []


def test_c8_the_end_dispatches_what_lacks_its_blank_line():
    """The last event counts at the end of the bytes, with and without its line's end."""
    assert parse(b"data: x") == parse(b"data: x\n") == [SseEvent(b"x")]
    assert parse(b"event: only a name") == []


def test_an_id_with_nul_and_a_retry_that_is_no_number_are_passed_over():
    """The rules for `id` and `retry`."""
    parser = SseParser()
    assert parser.feed(b"id: a\x00b\nretry: soon\ndata: x\n\n") == [SseEvent(b"x")]
    assert parser.retry is None
    parser.feed(b"retry: 20\n\n")
    assert parser.retry == 20


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_an_event_over_the_limit_is_refused_behind_those_before_it(size):
    """However it is split: first the events before it, then the error, and again on every later call."""
    data = b"data: ok\n\n" + b"data: " + b"x" * 30 + b"\n\n"
    parser = SseParser(max_event_bytes=20)
    events: list[SseEvent] = []
    with pytest.raises(ProviderError) as caught:
        feed_all(parser, data, size, events)
    assert events == [SseEvent(b"ok")]
    assert caught.value.code == "protocol_error"
    with pytest.raises(ProviderError):
        parser.feed(b"")


def test_an_event_of_just_the_limit_passes():
    """The blank line around an event does not count, wherever the bytes are cut."""
    data = b"\n" + b"data: " + b"x" * 14 + b"\n\n\n"
    assert all(parse(data, [cut], limit=20) == [SseEvent(b"x" * 14)] for cut in range(len(data)))


@given(
    st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1), st.integers(0)
)
def test_what_is_framed_is_read_back(text, number):
    """A frame goes through the parser unchanged, with its name and id."""
    data = text.encode()
    assert parse(frame("item_delta", data, number), limit=10**6) == [SseEvent(data, "item_delta", str(number))]
    assert parse(frame("item_delta", data), limit=10**6) == [SseEvent(data, "item_delta")]


def test_frames_refuse_line_breaks():
    """A line break in a field would end it early and let its text speak for the server."""
    for breaking in ("a\nb", "a\rb"):
        with pytest.raises(ValueError, match="line break"):
            frame("x", breaking.encode())
        with pytest.raises(ValueError, match="line break"):
            frame(breaking, b"{}")
        with pytest.raises(ValueError, match="line break"):
            comment(breaking)


def test_comments_and_retry_are_read_by_nobody():
    """A comment gives no event; the reconnection time is taken."""
    parser = SseParser()
    assert parser.feed(comment("alive") + retry(1000)) == []
    assert parser.retry == 1000
