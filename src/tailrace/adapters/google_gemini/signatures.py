"""Thought signatures: what a Gemini model thought, encrypted, on the part that it led to (`thoughtSignature`).

They must come back on the same part, unchanged, and only to the model that they are of
(https://ai.google.dev/gemini-api/docs/thought-signatures). A message bears its own; any other part has a reasoning item
before it, as on the wires where encrypted reasoning stands by itself: so clients that keep their conversation bring it
back, whatever protocol they speak. The kind of the continuation data names the part.
"""

_PREFIX = "thoughtSignature/"


def kind_of(part: str) -> str:
    """The kind of the continuation data that belongs to a part of this name (`functionCall`, `text`, …)."""
    return _PREFIX + part


def part_of(kind: str) -> str | None:
    """The name of the part that continuation data of this kind belongs to; None where it is no signature."""
    return kind.removeprefix(_PREFIX) if kind.startswith(_PREFIX) else None
