"""Streams that run away are stopped; tables, code and long texts are not."""

import re
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tailrace.adapters.breakers import (
    MOST_ALIKE,
    MOST_BLANK_CHARS,
    MOST_BLANK_EVENTS,
    MOST_REPEATS,
    MOST_STALE,
    WINDOW,
    BlankArguments,
    Circling,
    Repetition,
)
from tailrace.schema.errors import ProviderError
from tailrace.schema.events import ItemDone
from tailrace.schema.items import FunctionCallItem
from tests.support.decoding import CONTEXT, hear, sse

BLANK = st.text(" \t\n\r", max_size=80)


def trips(text: str, size: int = 7, watch: type[Repetition] = Repetition) -> ProviderError | None:
    guard = watch("item")
    try:
        for at in range(0, len(text), size):
            guard.take(text[at : at + size])
    except ProviderError as error:
        return error
    return None


def blanked(pieces: list[tuple[str, str]]) -> tuple[ProviderError | None, int]:
    """What the breaker says, and after how many pieces."""
    breaker = BlankArguments()
    for taken, (call, piece) in enumerate(pieces, 1):
        try:
            breaker.take(call, piece)
        except ProviderError as error:
            return error, taken
    return None, len(pieces)


# --- blank arguments ----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("abc"), BLANK), min_size=MOST_BLANK_EVENTS, max_size=MOST_BLANK_EVENTS + 40))
def test_blanks_in_a_row_trip_however_calls_take_turns(pieces):
    """256 pieces of an answer, or 16,384 characters, whichever comes first."""
    error, events = blanked(pieces)
    chars = sum(len(piece) for _, piece in pieces[:events])
    assert error is not None
    assert error.code == "malformed_call"
    last = pieces[events - 1][0]
    assert error.details == {"breaker": "whitespace", "events": events, "chars": chars, "item": last}
    assert events == MOST_BLANK_EVENTS or chars >= MOST_BLANK_CHARS


def test_a_call_is_counted_by_itself_where_another_goes_on():
    """The one that makes sense does not hide the one that does not."""
    error, taken = blanked([piece for number in range(300) for piece in (("good", f"{number},"), ("bad", "\n"))])
    assert error is not None
    assert error.details == {"breaker": "whitespace", "events": 256, "chars": 256, "item": "bad"}
    assert taken == 512


@given(st.lists(st.text(" \n{}x", max_size=300), max_size=600))
def test_only_blanks_in_a_row_count(pieces):
    """Whatever stands between them begins the count anew."""
    runs = re.findall(r"b+", "".join("b" if not piece.strip() else "x" for piece in pieces))
    assume(all(len(run) < MOST_BLANK_EVENTS for run in runs) and sum(map(len, pieces)) < MOST_BLANK_CHARS)
    assert blanked([("c", piece) for piece in pieces]) == (None, len(pieces))


CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f"}


def blanks_of(wire: str, number: int, *, closed: bool) -> bytes:
    """A call whose arguments are that many pieces of blanks; `closed`: they come after its end."""
    if wire == "openai-responses":
        where = {"item_id": "fc_1", "output_index": 0}
        end = {"type": "response.output_item.done", "output_index": 0, "item": {**CALL, "arguments": "{}"}}
        delta = {"type": "response.function_call_arguments.delta", **where, "delta": "\n\n"}
        added = {"type": "response.output_item.added", "output_index": 0, "item": {**CALL, "arguments": ""}}
        return sse(added, *([end] if closed else []), *[delta] * number)
    if wire == "anthropic-messages":
        begun = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "  "}}
        head = [
            {"type": "message_start", "message": {"id": "m", "model": "m"}},
            {"type": "content_block_start", "index": 0, "content_block": begun},
        ]
        whole = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}}
        stop = {"type": "content_block_stop", "index": 0}
        return sse(*head, *([whole, stop] if closed else []), *[delta] * number)
    entry = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}
    pieces = [entry, *[{"index": 0, "function": {"arguments": " \t"}}] * number]
    return sse(*({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]} for piece in pieces))


@pytest.mark.parametrize("chunk", [None, 97])
@pytest.mark.parametrize(
    ("wire", "closed"),
    [
        ("openai-responses", False),
        ("openai-responses", True),
        ("anthropic-messages", False),
        ("anthropic-messages", True),
        ("openai-chat-completions", False),
    ],
)
def test_blank_arguments_break_the_answer_off_on_every_wire(wire: str, closed: bool, chunk: int | None):
    """The call never counts as finished, unless it was before."""
    heard = hear(wire, blanks_of(wire, MOST_BLANK_EVENTS + 50, closed=closed), chunk=chunk)
    error = heard.response.error
    assert error is not None
    assert error.code == "malformed_call"
    assert error.details is not None
    assert (error.details["breaker"], error.details["events"]) == ("whitespace", MOST_BLANK_EVENTS)
    finished = [p for p in heard.payloads if isinstance(p, ItemDone) and isinstance(p.final_item, FunctionCallItem)]
    assert len(finished) == closed
    fewer = hear(wire, blanks_of(wire, MOST_BLANK_EVENTS - 10, closed=closed), chunk=chunk)
    assert fewer.response.error is not None
    assert fewer.response.error.code == "stream_interrupted"


# --- repetition ---------------------------------------------------------------------------------------------------


@given(st.text(min_size=12, max_size=WINDOW), st.integers(1, 400), st.text(max_size=3000))
@example("I should check this again. ", 5, "")
@example("\u00fcber \u00fcber und ", 5, "x" * 900)
def test_a_tail_that_repeats_itself_trips(unit: str, size: int, before: str):
    """However it is cut, and whatever came before; a little after the 180th time."""
    assume(len(min_period(unit)) >= 12 and not before.endswith(min_period(unit)))
    error = trips(before + unit * (MOST_REPEATS + 100), size)
    assert error is not None
    assert error.code == "repetition"
    assert error.details is not None
    assert error.details["breaker"] == "repetition"
    assert trips(before + min_period(unit) * (MOST_REPEATS - 1), size) is None


def min_period(unit: str) -> str:
    """The shortest text that `unit` is a repetition of."""
    return unit[: (unit + unit).find(unit, 1)]


cells = st.lists(st.text("abc 019-|.,%", max_size=12), min_size=1, max_size=5)


@given(st.lists(cells, min_size=1, max_size=6), st.integers(100, 600))
def test_tables_do_not_trip(rows, number):
    """Rows that are alike but for a count, with their rule; and hundreds of them."""
    body = [f"| {at} | {' | '.join(rows[at % len(rows)])} |\n" for at in range(number)]
    assert trips("| n | what |\n|---|---|\n" + "".join(body)) is None


@pytest.mark.parametrize(
    "text",
    [
        "-" * 4000,
        " " * 4000,
        "=" * 120 + "\n" + "a line\n" * 100,
        "static const int table[] = {\n" + "    0x00, 0x00, 0x00, 0x00,\n" * 128 + "};\n",
        "0, " * 2048,
        "".join(f"    case {n}: return handle_{n}();\n" for n in range(2000)),
        "".join(f"<tr><td>{n}</td><td>0.00</td></tr>\n" for n in range(2000)),
        "lorem ipsum dolor sit amet\n" * 150,
    ],
)
def test_rules_padding_and_code_do_not_trip(text: str):
    """What people ask for."""
    assert trips(text) is None


@given(st.text("ab", max_size=6), st.integers(2, 60), st.data())
def test_it_trips_only_on_what_repeats(unit: str, size: int, data: st.DataObject):
    """Text of small variety: where it trips, the text so far does end in 180 times the same."""
    noise = data.draw(st.text("ab", min_size=1, max_size=3000))
    text = noise + unit * 200 + noise
    guard, said = Repetition("i"), ""
    try:
        for at in range(0, len(text), size):
            said += text[at : at + size]
            guard.take(text[at : at + size])
    except ProviderError:
        spans = ((period, period * MOST_REPEATS) for period in range(1, WINDOW + 1))
        assert any(said[-span:] == said[-period:] * MOST_REPEATS for period, span in spans)


def test_short_units_trip_when_nobody_can_want_so_many():
    """A megabyte of blanks, or of one word."""
    assert trips(" " * 1_000_000, 1000) is None
    assert trips(" " * 1_100_000, 1000) is not None
    assert trips("the " * 300_000, 1000) is not None


def test_a_repetition_breaks_the_answer_off():
    """The text stays as far as it came."""
    piece = {"choices": [{"index": 0, "delta": {"content": "Let me think about it. "}}]}
    heard = hear("openai-chat-completions", sse(*[piece] * 1000))
    assert heard.response.error is not None
    assert heard.response.error.code == "repetition"
    assert len(heard.deltas()) < 250


# --- thoughts in circles ------------------------------------------------------------------------------------------

SAID = "Wait, let me check once more whether the third line of the file is really the one that number {} breaks. "
ROUND = [
    "Perhaps the cache is stale and has to be dropped before the test is run. ", "No, the log says that it was empty. ",
    "Then the clock of the other machine must be late by some seconds. ", "But both of them ask the same server. ",
    "So the request itself has to be another one than we thought. ", "It has the same digest, though, as before. ",
    "Then only the answer is left, and that one was recorded. ", "The recording was made on another day, however. ",
]  # fmt: skip
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
VERSES = [
    f"Sentence {a} tells of {b} things, and the {c} of them is new: {a}.\n"
    for a, b, c in zip(WORDS, WORDS[3:] + WORDS, WORDS[9:] + WORDS, strict=False)
]


@given(st.integers(1, 60))
def test_thoughts_that_are_nearly_the_same_are_broken_off(size: int):
    """Sixteen alike in a row, but for a word; or eight that were all said before. However they are cut."""
    alike = trips("".join(SAID.format(number) for number in range(40)), size, Circling)
    assert alike is not None
    assert (alike.code, alike.details) == (
        "repetition", {"breaker": "similarity", "segments": MOST_ALIKE, "item": "item"}
    )  # fmt: skip
    stale = trips("".join(f"{said}Hm {number}. " for number in range(9) for said in ROUND), size, Circling)
    assert stale is not None
    assert stale.details == {"breaker": "similarity", "segments": MOST_STALE, "item": "item"}
    assert trips("".join(ROUND) * 3, size) is None


def test_thoughts_that_get_on_are_left_alone():
    """Once round is none too many, and neither are short lines, or steps that each say something."""
    assert trips("".join(ROUND), watch=Circling) is None
    assert trips("".join(VERSES), watch=Circling) is None
    assert trips("".join(f"{number}: no.\n" for number in range(200)), watch=Circling) is None
    assert trips("a" * 50_000, 100, Circling) is None


@pytest.mark.parametrize("circling", [True, False])
def test_only_the_thoughts_of_providers_that_ask_for_it_are_watched_so(circling: bool):
    """What is said aloud may well be a list."""
    pieces = [SAID.format(number) for number in range(40)]
    thought = [{"choices": [{"index": 0, "delta": {"reasoning_content": piece}}]} for piece in pieces]
    said = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    context = replace(CONTEXT, quirks={"circling": circling})
    for deltas, broken in ((thought, circling), (said, False)):
        heard = hear("openai-chat-completions", sse(*deltas), context=context)
        assert heard.response.error is not None
        assert (heard.response.error.code == "repetition") is broken
