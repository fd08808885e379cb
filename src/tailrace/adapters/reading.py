"""Tolerant reading of a provider's JSON: a field that is absent, or of another type than it should be, is empty.

So an event half understood costs one field and never the stream.
"""

from typing import Any

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson

Json = dict[str, Any]

LEADING = b" \t\r\n\xef\xbb\xbf"  # blanks and a BOM, before a body
_NOTHING = (None, "", 0, False)


def text_in(source: Json, key: str) -> str:
    """The string at `key`; "" where there is none."""
    value = source.get(key)
    return value if isinstance(value, str) else ""


def dict_in(source: Json, key: str) -> Json:
    """The object at `key`; {} where there is none."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def list_in(source: Json, key: str) -> list[Any]:
    """The array at `key`; [] where there is none."""
    value = source.get(key)
    return value if isinstance(value, list) else []


def dicts_in(source: Json, key: str) -> list[Json]:
    """The objects of the array at `key`."""
    found = source.get(key)
    return [value for value in found if isinstance(value, dict)] if isinstance(found, list) else []


def count_in(source: Json, key: str) -> int | None:
    """The number at `key` as a count, a negative one as 0; None where there is none."""
    value = source.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(int(value), 0)


def index_in(source: Json, key: str) -> int | None:
    """The whole number at `key`."""
    value = source.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_text(value: object) -> str:
    """A string as it is, anything else as its JSON; nothing as "". For arguments that come as an object (A14)."""
    if isinstance(value, str):
        return value
    return "" if value is None else codec.encode(value).decode()


def is_news(value: object) -> bool:
    """Does this value say anything? Nulls, zeros, and what is empty all the way down do not."""
    waiting = [value]
    while waiting:  # not recursive: a provider decides how deep it is
        inner = waiting.pop()
        if isinstance(inner, dict):
            waiting.extend(inner.values())
        elif isinstance(inner, list):
            waiting.extend(inner)
        elif inner not in _NOTHING:
            return True
    return False


def unknown_news(source: Json, known: frozenset[str]) -> Json:
    """The fields that are not `known` and say something."""
    if source.keys() <= known:  # the usual event says nothing unknown
        return {}
    return {key: value for key, value in source.items() if key not in known and value and is_news(value)}


def is_json(text: str) -> bool:
    """Is this a whole JSON text?"""
    try:
        codec.decode_any(text)
    except (InvalidJson, RecursionError):
        return False
    return True
