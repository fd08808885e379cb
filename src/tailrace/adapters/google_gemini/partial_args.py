"""A function call's arguments in pieces, as Vertex AI streams them on demand (`partialArgs`): each a value and the JSON
Path (RFC 9535) of its place; a string may come in several. Source: "Streaming function call arguments" in
https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling."""

import re
from itertools import pairwise
from typing import Any

from tailrace.adapters.reading import Json, text_in

_STEP = re.compile(
    r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d{1,9})\]|\['(?P<single>(?:[^'\\]|\\.)*)'\]|\[\"(?P<double>(?:[^\"\\]|\\.)*)\"\]"
)
_ESCAPED = re.compile(r"\\(.)")
_MOST_STEPS = 64  # a provider decides how deep it goes


class _Pieces(list[str]):
    """A string as far as it has come."""


class PartialArguments:
    """Puts the pieces together. `is_whole` is False once one of them had no place that could be found."""

    def __init__(self) -> None:
        self.is_whole = True
        self._root: Json = {}

    def take(self, piece: Json) -> None:
        """One of `partialArgs`."""
        steps = _steps(text_in(piece, "jsonPath"))
        try:
            self._put(steps, piece)
        except _Misplaced:
            self.is_whole = False

    def value(self) -> Any:
        """The arguments so far."""
        return _joined(self._root)

    def _put(self, steps: list[str | int], piece: Json) -> None:
        if not steps:
            raise _Misplaced
        node: Any = self._root
        for step, following in pairwise(steps):
            node = _child(node, step, [] if isinstance(following, int) else {})
        text = piece.get("stringValue")
        if isinstance(text, str):
            pieces = _child(node, steps[-1], _Pieces())
            if not isinstance(pieces, _Pieces):
                raise _Misplaced
            pieces.append(text)
            return
        values = (piece[name] for name in ("numberValue", "boolValue") if name in piece)
        value = next(values, None)
        _child(node, steps[-1], value)
        node[steps[-1]] = value


class _Misplaced(Exception):
    """The path leads nowhere, or through a value that has no inside."""


def _steps(path: str) -> list[str | int]:
    """The steps of a path such as `$.rows[0].name`; none where it is another kind of path."""
    steps: list[str | int] = []
    at = 1
    while path.startswith("$") and at < len(path) and len(steps) < _MOST_STEPS:
        step = _STEP.match(path, at)
        if step is None:
            return []
        at = step.end()
        index, name = step["index"], step["name"] or step["single"] or step["double"] or ""
        steps.append(int(index) if index is not None else _ESCAPED.sub(r"\1", name))
    return steps if at == len(path) else []


def _child(node: Any, step: str | int, empty: Any) -> Any:
    """What stands at `step`, `empty` if nothing did; an array grows by one place at a time."""
    if isinstance(step, str) and type(node) is dict:
        return node.setdefault(step, empty)
    if isinstance(step, int) and type(node) is list and step <= len(node):
        if step == len(node):
            node.append(empty)
        return node[step]
    raise _Misplaced


def _joined(node: Any) -> Any:
    if isinstance(node, _Pieces):
        return "".join(node)
    if isinstance(node, dict):
        return {name: _joined(inner) for name, inner in node.items()}
    return [_joined(inner) for inner in node] if isinstance(node, list) else node
