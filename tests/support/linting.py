"""Streams for the linter: events framed as a dialect's vendor frames them, and the rules that a stream breaks."""

from collections.abc import Iterable
from typing import Any

from tailrace.dialects.lint import Linter
from tailrace.dialects.linters import RULESETS
from tailrace.schema import codec

Json = dict[str, Any]
NAMED = frozenset({"native", "responses", "messages", "upserts"})
DONE = frozenset({"responses", "chat"})


def framed(dialect: str, events: Iterable[Json]) -> bytes:
    """The events as the dialect's frames, with the `[DONE]` of those that have it."""
    frames = []
    for event in events:
        name = f"event: {event.get('type')}\n" if dialect in NAMED else ""
        frames.append(name.encode() + b"data: " + codec.encode(event) + b"\n\n")
    return b"".join([*frames, b"data: [DONE]\n\n" if dialect in DONE else b""])


def broken(dialect: str, data: bytes, *, endpoint: bool = False) -> set[str]:
    """The names of the rules that this stream breaks."""
    linter = Linter(RULESETS[dialect], endpoint=endpoint)
    return {violation.rule for violation in [*linter.feed(data), *linter.close()]}


def event_rules(dialect: str) -> set[str]:
    """The names of a dialect's own rules, those of its framing aside."""
    return {rule.name for rule in RULESETS[dialect].rules}
