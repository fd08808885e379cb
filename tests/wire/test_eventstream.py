"""AWS's binary event stream, split anywhere and broken anywhere."""

import struct
import time
from binascii import crc32
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema.errors import ProviderError
from tailrace.wire.eventstream import EventStreamParser, Message, event, exception, frame

# The specification's own example of an empty frame, byte for byte.
EMPTY = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff")
EVERY_TYPE = {
    "yes": True,
    "no": False,
    "int": -7,
    "long": 2**40,
    "bytes": b"\x00\xff",
    ":event-type": "contentBlockDelta",
    "time": datetime(2026, 11, 28, 13, 30, 1, 250_000, tzinfo=UTC),
    "uuid": UUID("0190f0a0-0000-7000-8000-000000000001"),
}
FRAMES = [({}, b""), (EVERY_TYPE, b'{"a":"caf\xc3\xa9"}'), ({":event-type": "x"}, b"y" * 300)]
DATA = b"".join(frame(headers, payload) for headers, payload in FRAMES)
MESSAGES = [Message(headers, payload) for headers, payload in FRAMES]


def parse(data: bytes, cuts: list[int], limit: int = 1000) -> list[Message]:
    parser = EventStreamParser(limit)
    edges = [0, *sorted(cuts), len(data)]
    found = [message for start, end in pairwise(edges) for message in parser.feed(data[start:end])]
    return found + parser.close()


def refused(data: bytes, size: int, limit: int = 1000) -> tuple[list[Message], str]:
    """What came before the frame that was refused, and why it was."""
    parser, found = EventStreamParser(limit), []

    def feed_all() -> None:
        for start in range(0, len(data), size):
            found.extend(parser.feed(data[start : start + size]))
        parser.close()

    with pytest.raises(ProviderError) as caught:
        feed_all()
    assert caught.value.code == "protocol_error"
    with pytest.raises(ProviderError):
        parser.feed(EMPTY)  # it stays refused
    return found, caught.value.message


def raw(headers: bytes, payload: bytes = b"", *, headers_length: int | None = None, length: int | None = None) -> bytes:
    """A frame with right checksums and lengths that may lie."""
    said = struct.pack(
        ">II",
        16 + len(headers) + len(payload) if length is None else length,
        len(headers) if headers_length is None else headers_length,
    )
    said += struct.pack(">I", crc32(said)) + headers + payload
    return said + struct.pack(">I", crc32(said))


@given(st.lists(st.integers(0, len(DATA))))
def test_frames_are_the_same_however_they_are_split(cuts):
    """With headers of every type."""
    assert parse(DATA, cuts) == MESSAGES


def test_byte_by_byte():
    """As slowly as can be."""
    assert parse(DATA, list(range(len(DATA)))) == MESSAGES


def test_the_empty_frame_of_the_specification():
    """Written and read."""
    assert frame({}, b"") == EMPTY
    assert parse(EMPTY, []) == [Message({}, b"")]


def test_events_and_exceptions_have_the_headers_of_the_services():
    """What kind of message it is, which one, and that it is JSON."""
    heard = parse(event("metadata", b"{}") + exception("throttlingException", b'{"message":"slow"}'), [])
    assert heard[0].headers == {
        ":event-type": "metadata",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    assert heard[1].text(":exception-type") == "throttlingException"
    assert heard[1].text(":event-type") == ""
    assert heard[1].payload == b'{"message":"slow"}'


small = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=20),
    st.text(max_size=20),
    st.uuids(),
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)).map(
        lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
    ),
)


@given(st.dictionaries(st.text(min_size=1, max_size=20), small, max_size=5), st.binary(max_size=50))
def test_what_is_written_is_read(headers, payload):
    """Any headers of any type."""
    assert parse(frame(headers, payload), [5], limit=10_000) == [Message(headers, payload)]


def test_small_numbers_of_other_writers_are_read():
    """Types 2 and 3, which ours never writes."""
    headers = b"\x01a\x02\xff" + b"\x01b\x03\x80\x00"
    assert parse(raw(headers), []) == [Message({"a": -1, "b": -32768}, b"")]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("at", range(len(EMPTY)))
def test_one_wrong_bit_is_noticed_behind_the_frames_before_it(at, size):
    """Wherever it is; and first come the frames that are whole."""
    bad = bytearray(event("x", b"{}"))
    bad[at if at < 12 else at - len(EMPTY)] ^= 1
    found, message = refused(EMPTY + bytes(bad) + EMPTY, size)
    assert found == [Message({}, b"")]
    assert "checksum" in message


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "bad",
    [
        raw(b"", length=15),
        raw(b"", length=0),
        raw(b"", headers_length=1),
        raw(b"\x05ab"),  # a name that ends behind the headers
        raw(b"\x01a"),  # a name and no type
        raw(b"\x01a\x0a"),  # no type
        raw(b"\x01a\x04\x00"),
        raw(b"\x01a\x07\x00\x09ab"),
        raw(b"\x01a\x07\x00\x01\xff"),  # no UTF-8
        raw(b"\x01a\x09\x00"),
        raw(b"\x01a\x08" + b"\x7f" * 8),  # a time that no calendar has
    ],
)
def test_lengths_and_headers_that_lie_are_refused(bad, size):
    """By what they say, not by what follows."""
    assert refused(EMPTY + bad, size)[0] == [Message({}, b"")]


def test_a_frame_over_the_limit_is_refused_by_its_length():
    """Before it has come; one of just the limit passes."""
    long = event("x", b"y" * 300)
    assert parse(long, [20], limit=len(long))
    found, message = refused(EMPTY + long[:12], 1000, limit=len(long) - 1)
    assert found == [Message({}, b"")]
    assert "longer than" in message


def test_a_cut_frame_is_none():
    """Cut anywhere: what was whole before it, and no error; the end of the bytes speaks for itself."""
    data = EMPTY + event("x", b"{}")
    for cut in range(len(EMPTY), len(data)):
        assert parse(data[:cut], [3]) == [Message({}, b"")]


@pytest.mark.parametrize("headers", [{"": 1}, {"n" * 256: 1}, {"a": "x" * 0x8000}])
def test_what_the_format_cannot_say_is_not_written(headers):
    """A name or a value too long."""
    with pytest.raises(ValueError, match="header"):
        frame(headers, b"")


def test_a_great_frame_in_small_pieces_takes_linear_time():
    """8 MB in pieces of 1 kB: nothing is looked at twice."""
    data = event("x", b"y" * 8_000_000)
    parser = EventStreamParser()
    began = time.process_time()
    found = [message for start in range(0, len(data), 1000) for message in parser.feed(data[start : start + 1000])]
    assert len(found) == 1
    assert time.process_time() - began < 2
