"""The free text in `{"input": "…"}`, as it comes: what a model writes for a free-text tool where the wire knows only
functions (adapters/tools.py)."""

import re

from tailrace.adapters.pieces import Pieces
from tailrace.schema import codec

# The longest run of whole characters: an escape, or a surrogate pair, that has only half come must wait. Line breaks
# that some hosts leave unescaped are taken as they stand, though JSON forbids them (RFC 8259 §7).
_CHARACTERS = re.compile(
    r'(?:[^"\\]++'
    r'|\\["\\/bfnrt]'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})*+"
)
_HEAD = re.compile(r'\s*+\{\s*+"input"\s*+:\s*+"')
_WHOLE = re.compile(rf'{_HEAD.pattern}(?P<text>{_CHARACTERS.pattern})"\s*+\}}\s*+|\s*+\{{\s*+\}}\s*+')
_LONGEST_ESCAPE = len(r"\ud83d\ude00")
_LONGEST_HEAD = 256  # white space included; what is longer is another object
_CONTROLS = {code: f"\\u{code:04x}" for code in range(0x20)}


class FreeText:
    """Takes the object's JSON text piece by piece and gives the free text in it, as far as it has come."""

    def __init__(self) -> None:
        self._raw = Pieces()
        self._waiting = ""
        self._state = "head"  # then "text", then "end"; "other" where it is no such object

    @property
    def raw(self) -> str:
        """All that was fed."""
        return str(self._raw)

    def feed(self, piece: str) -> str:
        """The free text that this piece adds."""
        self._raw.add(piece)
        if self._state in {"end", "other"}:
            return ""
        self._waiting += piece
        if self._state == "head" and not self._begins():
            return ""
        return self._more()

    @staticmethod
    def whole(raw: str) -> str:
        """The text, now that the object has ended as `raw`: `raw` itself where it is another object, or none."""
        whole = _WHOLE.fullmatch(raw)
        return _decoded(whole["text"] or "") if whole else raw

    def _begins(self) -> bool:
        head = _HEAD.match(self._waiting)
        if head is not None:
            self._state = "text"
            self._waiting = self._waiting[head.end() :]
        elif len(self._waiting) > _LONGEST_HEAD:
            self._state = "other"
        return head is not None

    def _more(self) -> str:
        run = _CHARACTERS.match(self._waiting)
        end = run.end() if run else 0
        said, self._waiting = self._waiting[:end], self._waiting[end:]
        if self._waiting.startswith('"'):
            self._state = "end"
        elif len(self._waiting) >= _LONGEST_ESCAPE:
            self._state = "other"  # no escape of JSON's
        return _decoded(said)


def _decoded(characters: str) -> str:
    return str(codec.decode_any(f'"{characters.translate(_CONTROLS)}"'))
