"""Partial JSON: what a JSON text that still grows says so far, as a value. For showing tool arguments as they come.

The text is read token by token (RFC 8259); the reader remembers the last place at which closing the open brackets would
have made a whole document, and closes them there.
"""

import re
from typing import Any

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson

# The longest run of whole characters of a string: an escape, or a surrogate pair, that has only half come is left out.
_STRING = re.compile(
    r'"(?:[^"\\\x00-\x1f]++'
    r'|\\["\\/bfnrt]'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})*+"
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_SPACE = re.compile(r"[ \t\n\r]*+")
_WORDS = ("true", "false", "null")
_CLOSER = {"{": "}", "[": "]"}


def parse_partial(text: str) -> Any:
    """The value that the beginning `text` of a JSON text stands for; None where nothing can be said yet.

    A string or number that has not ended is shown as far as it has come, and a member once its value has begun. What
    follows a place that no JSON goes on from is left out. Linear in the text; never raises.
    """
    try:
        return codec.decode_any(_Reader(text).completed())
    except (InvalidJson, RecursionError):  # nothing yet; or nested deeper than the decoder goes
        return None


class _Reader:
    """Reads tokens up to the end of the text, or to the first thing that cannot stand where it stands.

    Only opening a bracket and ending a value change what is open, and both leave a safe place: so what is open at the
    end is what is open at the last safe place.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[str] = []
        self._safe_to = 0  # the text is kept up to here
        self._tail = ""  # what ends a scalar that was cut

    def completed(self) -> str:
        """The text up to the last safe place, with all that is open there closed."""
        wanted: str | None = "value"
        while wanted:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            wanted = self._step(wanted, self._text[self._at : self._at + 1])
        closers = [_CLOSER[bracket] for bracket in reversed(self._open)]
        return self._text[: self._safe_to] + self._tail + "".join(closers)

    def _step(self, wanted: str, char: str) -> str | None:
        """Read the token that begins with `char`; what is wanted next, None where it ends here."""
        if not char:
            return None
        if char in "]}":
            return self._close(char) if wanted in {"first value", "first key", "comma"} else None
        if wanted == "comma":
            return self._comma() if char == "," else None
        if wanted == "colon":
            return self._pass("value") if char == ":" else None
        if wanted in {"key", "first key"}:
            return self._key() if char == '"' else None
        return self._value(char)

    def _pass(self, wanted: str) -> str:
        self._at += 1
        return wanted

    def _comma(self) -> str | None:
        if not self._open:
            return None
        return self._pass("key" if self._open[-1] == "{" else "value")

    def _close(self, char: str) -> str | None:
        if not self._open or _CLOSER[self._open[-1]] != char:
            return None
        self._open.pop()
        return self._whole(self._at + 1)

    def _whole(self, end: int) -> str:
        self._at = self._safe_to = end
        return "comma"

    def _key(self) -> str | None:
        end = self._string_end()
        if self._text[end : end + 1] != '"':
            return None
        self._at = end + 1
        return "colon"

    def _value(self, char: str) -> str | None:
        if char in _CLOSER:
            self._open.append(char)
            self._whole(self._at + 1)
            return "first key" if char == "{" else "first value"
        if char == '"':
            end = self._string_end()
            if self._text[end : end + 1] == '"':
                return self._whole(end + 1)
            self._safe_to, self._tail = end, '"'
            return None
        number = _NUMBER.match(self._text, self._at)
        return self._whole(number.end()) if number else self._word()

    def _word(self) -> str | None:
        for word in _WORDS:
            begun = self._text[self._at : self._at + len(word)]
            if begun == word:
                return self._whole(self._at + len(word))
            if word.startswith(begun):  # the text ends within it
                self._safe_to, self._tail = self._at, word
                break
        return None

    def _string_end(self) -> int:
        string = _STRING.match(self._text, self._at)
        return string.end() if string else self._at
