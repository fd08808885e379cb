"""What vendors refuse on every wire: unknown fields, ids and names of another form, schemas that are not strict.

A rule that is broken raises `Refused`; `complaint` makes the vendor's sentence of it.
"""

import re
from collections.abc import Callable, Container, Iterator
from typing import Any

from tailrace.testing.wires.base import Json, Memory

NAME = re.compile(r"[a-zA-Z0-9_-]+")


class Refused(Exception):
    """The request breaks a rule; the text says which."""


def require(condition: object, message: str) -> None:
    """Raises Refused where the condition does not hold."""
    if not condition:
        raise Refused(message)


def complaint(check: Callable[[Json, Memory], None]) -> Callable[[Json, Memory], str | None]:
    """A wire's `complaint` (base.py) of its check, which raises Refused."""

    def complain(body: Json, memory: Memory) -> str | None:
        try:
            check(body, memory)
        except Refused as refused:
            return str(refused)
        return None

    return complain


def only(value: object, known: Container[str], where: str) -> Json:
    """The object. Raises Refused where it is none, or has a field that is not `known`."""
    if not isinstance(value, dict):
        raise Refused(f"{where}: expected an object")
    for key in value:
        require(key in known, f"{where}.{key}: unknown field")
    return value


def objects(value: object, where: str) -> list[Json]:
    """The list of objects that it must be."""
    require(isinstance(value, list) and all(isinstance(each, dict) for each in value), f"{where}: expected objects")
    return value if isinstance(value, list) else []


def text(value: object, where: str, *, least: int = 0, most: int | None = None) -> str:
    """The text, of so many characters at least and at most."""
    if not isinstance(value, str):
        raise Refused(f"{where}: expected a string")
    require(len(value) >= least, f"{where}: too short")
    require(most is None or len(value) <= most, f"{where}: longer than {most} characters")
    return value


def name(value: object, where: str, most: int) -> str:
    """A tool's name."""
    found = text(value, where, least=1, most=most)
    require(NAME.fullmatch(found), f"{where}: does not match ^[a-zA-Z0-9_-]+$")
    return found


def strict(schema: object, where: str) -> None:
    """A strict schema: each object closed, with all its properties required (OpenAI's structured outputs)."""
    for inner in _schemas(schema):
        if inner.get("type") == "object" or "properties" in inner:
            properties = inner.get("properties") or {}
            require(inner.get("additionalProperties") is False, f"{where}: 'additionalProperties' must be false")
            require(set(inner.get("required") or ()) == set(properties), f"{where}: 'required' must have every key")


def _schemas(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
        for key, inner in value.items():
            if key in {"properties", "$defs", "definitions"}:
                for each in inner.values():
                    yield from _schemas(each)
            elif key in {"items", "anyOf"}:
                yield from _schemas(inner)
    elif isinstance(value, list):
        for each in value:
            yield from _schemas(each)
