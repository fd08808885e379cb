"""Partial JSON: every beginning of every document says something sensible."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema import codec
from tailrace.wire.partial_json import parse_partial

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


def escaped(text: str) -> str:
    """The same document with every character beyond ASCII escaped, as some providers write it."""
    units = text.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)


def begins(shown: object, whole: object) -> bool:
    """Is `shown` what `whole` looked like while it grew?"""
    if isinstance(whole, str):
        return isinstance(shown, str) and whole.startswith(shown)
    if isinstance(whole, list):
        if not isinstance(shown, list) or len(shown) > len(whole):
            return False
        return shown[:-1] == whole[: len(shown) - 1] if len(shown) > 1 else True
    if isinstance(whole, dict):
        return isinstance(shown, dict) and shown.keys() <= whole.keys()
    return True


@given(DOCUMENTS)
def test_every_prefix_parses_and_the_whole_is_exact(document):
    """Whatever is cut off, the rest is a value that the whole could have grown from; nothing cut off is the value."""
    plain = codec.encode(document).decode()
    for text in (plain, codec.encode_pretty(document), escaped(plain)):
        assert parse_partial(text) == codec.decode_any(text)
        for end in range(len(text)):
            shown = parse_partial(text[:end])
            assert shown is None or begins(shown, document)


@given(st.text())
def test_it_never_raises(text):
    """Also on what is no beginning of any JSON."""
    parse_partial(text)
    parse_partial('{"a": [' + text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("  ", None),
        ("-", None),
        ("x", None),
        ("{", {}),
        ('{"ci', {}),
        ('{"city"', {}),
        ('{"city":', {}),
        ('{"city":"', {"city": ""}),
        ('{"city":"Par', {"city": "Par"}),
        ('{"city":"a\\', {"city": "a"}),
        ('{"city":"a\\u00', {"city": "a"}),
        ('{"city":"\\ud83d', {"city": ""}),
        ('{"city":"\\ud83d\\ude00', {"city": "\U0001f600"}),
        ('{"path":"c:\\\\ud83d', {"path": "c:\\ud83d"}),
        ('{"city":"Paris","n":1', {"city": "Paris", "n": 1}),
        ('{"city":"Paris","n":1.', {"city": "Paris", "n": 1}),
        ('{"on":tr', {"on": True}),
        ('{"on":nul', {"on": None}),
        ("[1,[2,", [1, [2]]),
        ('[{"a":1},', [{"a": 1}]),
        ('{"a":1}}', {"a": 1}),
        ("[1 2]", [1]),
        ("[1}", [1]),
    ],
)
def test_examples(text, value):
    """What is shown of arguments as they grow."""
    assert parse_partial(text) == value


def test_deep_and_long_texts_are_no_trouble():
    """Deeper than the decoder goes, nothing is shown; a long string is read once."""
    assert parse_partial("[" * 100_000) is None
    assert parse_partial('["' + "a" * 1_000_000) == ["a" * 1_000_000]
    assert math.isclose(parse_partial("1e300"), 1e300)
