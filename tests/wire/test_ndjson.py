"""JSON lines, split anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema.errors import ProviderError
from tailrace.wire.ndjson import NdjsonParser

DATA = '{"a":1}\r\n\n{"b":"caf\u00e9"}\n  \n{"c":3}'.encode()
LINES = [b'{"a":1}', '{"b":"caf\u00e9"}'.encode(), b'{"c":3}']


def parse(data: bytes, cuts: list[int], limit: int = 1000) -> list[bytes]:
    parser = NdjsonParser(limit)
    edges = [0, *sorted(cuts), len(data)]
    lines = [line for start, end in pairwise(edges) for line in parser.feed(data[start:end])]
    return lines + parser.close()


def feed_all(parser: NdjsonParser, data: bytes, size: int, into: list[bytes]) -> None:
    for start in range(0, len(data) + size, size):
        into += parser.feed(data[start : start + size])
    parser.close()


@given(st.lists(st.integers(0, len(DATA))))
def test_lines_are_the_same_however_they_are_split(cuts):
    """LF and CRLF, blank lines, and a last line without its end."""
    assert parse(DATA, cuts) == LINES


@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_line_over_the_limit_is_refused_behind_those_before_it(size):
    """First the lines before it, then the error."""
    data = b'{"a":1}\n' + b"x" * 30 + b"\n"
    parser = NdjsonParser(max_line_bytes=10)
    lines: list[bytes] = []
    with pytest.raises(ProviderError) as caught:
        feed_all(parser, data, size, lines)
    assert lines == [b'{"a":1}']
    assert caught.value.code == "protocol_error"


def test_a_line_of_just_the_limit_passes():
    """Its CRLF does not count."""
    assert all(parse(b"x" * 10 + b"\r\n", [cut], limit=10) == [b"x" * 10] for cut in range(13))
