"""How a stream is framed: its frames as they are read, line by line, and the rules that their form obeys.

What a frame means is read by wire/sse.py, which takes all that WHATWG HTML §9.2 allows. A dialect's streams keep to
less, because readers in the field do: one that splits lines at LF only sees no event in a stream with CRLF.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.wire.sse import SseParser

DONE = b"[DONE]"
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")
_FIELDS = frozenset({b"", b"data", b"event", b"id", b"retry"})  # a comment is a field without a name


class Frame(NamedTuple):
    """What stands between two blank lines (or, of JSON lines, one line).

    `line`: where it begins, from 1. `raw`: as it came, with its line ends. `fields`: name and value, line by line.
    `data`: the data lines, joined. `value`: the object that they are the JSON of, if they are. `is_closed`: its blank
    line came.
    """

    line: int
    raw: bytes
    fields: list[tuple[bytes, bytes]]
    data: bytes | None
    value: dict[str, Any] | None
    is_closed: bool = True

    @property
    def is_event(self) -> bool:
        """Has it data or a name? Otherwise it is a comment, or says when to come back."""
        return self.data is not None or any(name == b"event" for name, _ in self.fields)

    def values(self, field: bytes) -> list[bytes]:
        """The values of the lines of this name."""
        return [value for name, value in self.fields if name == field]


class FrameReader:
    """Bytes in, split anywhere; frames out, comments included."""

    def __init__(self) -> None:
        self.is_framed = True  # server-sent events; otherwise JSON lines
        self._pending = b""
        self._lines: list[bytes] = []
        self._count = 0  # lines so far
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes."""
        self._pending += data
        if not self._has_begun and self._pending.lstrip():
            self._has_begun, self.is_framed = True, not self._pending.lstrip().startswith(b"{")
        pending, end = self._pending, 0
        for match in _LINE.finditer(pending):
            if match.end() == len(pending) and pending.endswith(b"\r"):
                break  # perhaps the first half of a CRLF
            end = match.end()
            yield from self._line(match[0])
        self._pending = pending[end:]

    def close(self) -> Iterator[Frame]:
        """The bytes have ended: what lacks its end."""
        rest, self._pending = self._pending, b""
        if rest:
            yield from self._line(rest)
        if self._lines:
            yield self._frame(is_closed=False)

    def _line(self, line: bytes) -> Iterator[Frame]:
        self._count += 1
        is_blank = not line.rstrip(b"\r\n")
        if self.is_framed:
            self._lines.append(line)
            if is_blank and len(self._lines) == 1:
                self._lines.clear()
            elif is_blank:
                yield self._frame(is_closed=True)
        elif not is_blank:
            yield Frame(self._count, line, [], line.strip(), _object(line))

    def _frame(self, *, is_closed: bool) -> Frame:
        lines, self._lines = self._lines, []
        raw = b"".join(lines)
        parser = SseParser()
        events = [*parser.feed(raw), *parser.close()]
        data = events[0].data if events else None
        fields = [_field(line) for line in lines if line.strip(b"\r\n")]
        value = _object(data) if data is not None else None
        return Frame(self._count - len(lines) + 1, raw, fields, data, value, is_closed)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.rstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf").partition(b":")
    return name, value.removeprefix(b" ")


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = codec.decode_any(data)
    except InvalidJson:
        return None
    return value if isinstance(value, dict) else None


# --- rules --------------------------------------------------------------------------------------------------------


class Sight:
    """What is remembered of a stream's frames."""

    def __init__(self) -> None:
        self.is_done = False  # [DONE] has been
        self.cursor: int | None = None


@dataclass(frozen=True, slots=True)
class FrameRule:
    """What the frames of a legal stream do, and the clause that says so (see lint.Rule)."""

    name: str
    demand: str
    clause: str
    check: Callable[[Sight, Frame], Iterable[str]] | None = None
    at_end: Callable[[Sight], Iterable[str]] | None = None


_WHATWG = "WHATWG HTML §9.2"
_CONTRACT = "contract §4"


def _utf8(_: Sight, frame: Frame) -> Iterator[str]:
    try:
        frame.raw.decode()
    except UnicodeDecodeError as error:
        yield f"{frame.raw[error.start : error.end]!r} is no UTF-8 ({error.reason})"


def _lf(_: Sight, frame: Frame) -> Iterator[str]:
    if b"\r" in frame.raw:
        yield "a line ends in CR" if b"\r\n" not in frame.raw else "a line ends in CRLF"


def _known_fields(_: Sight, frame: Frame) -> Iterator[str]:
    for name, _value in frame.fields:
        if name not in _FIELDS:
            yield f"{name.decode('utf-8', 'backslashreplace')!r} is no field of an event stream"


def _one_data(_: Sight, frame: Frame) -> Iterator[str]:
    count = len(frame.values(b"data"))
    if frame.is_event and count != 1:
        yield f"{count} data lines"


def _json(_: Sight, frame: Frame) -> Iterator[str]:
    if frame.data is not None and frame.value is None and frame.data != DONE:
        yield f"{frame.data[:40].decode('utf-8', 'backslashreplace')!r} is not the JSON of an object"


def _closed(_: Sight, frame: Frame) -> Iterator[str]:
    if not frame.is_closed:
        yield "the bytes end before its blank line: readers drop it"


def _names(frame: Frame) -> list[str]:
    return [name.decode("utf-8", "replace") for name in frame.values(b"event")]


def _named(_: Sight, frame: Frame) -> Iterator[str]:
    names, kind = _names(frame), frame.value.get("type") if frame.value is not None else None
    if frame.value is not None and names != [kind]:
        yield f"{' and '.join(f'`event: {name}`' for name in names) or 'no `event`'} on data of type {kind!r}"


def _unnamed(_: Sight, frame: Frame) -> Iterator[str]:
    if frame.is_event and _names(frame):
        yield f"`event: {_names(frame)[0]}`"


def _no_id(_: Sight, frame: Frame) -> Iterator[str]:
    for value in frame.values(b"id"):
        yield f"`id: {value.decode('utf-8', 'replace')}`"


def _cursor(sight: Sight, frame: Frame) -> Iterator[str]:
    for value in frame.values(b"id"):
        if not value.isdigit():
            yield f"`id: {value.decode('utf-8', 'replace')}` is not a number"
        elif sight.cursor is not None and int(value) <= sight.cursor:
            yield f"`id: {int(value)}` follows {sight.cursor}"


def _before_done(sight: Sight, frame: Frame) -> Iterator[str]:
    if sight.is_done and frame.is_event:
        yield "a frame behind [DONE]"


def _done(sight: Sight) -> Iterator[str]:
    if not sight.is_done:
        yield "the stream ends without `data: [DONE]`"


def _no_done(_: Sight, frame: Frame) -> Iterator[str]:
    if frame.data == DONE:
        yield "this protocol has no [DONE]"


def _seq(_: Sight, frame: Frame) -> Iterator[str]:
    seq = frame.value.get("seq") if frame.value is not None else None
    for value in frame.values(b"id"):
        if value != str(seq).encode():
            yield f"`id: {value.decode('utf-8', 'replace')}` on a frame with seq {seq}"


EMPTY = FrameRule("empty", "There is an event.", _CONTRACT)
WRONG_TYPE = FrameRule("content-type", "The stream comes as text/event-stream (looked at with a URL).", _WHATWG)
OPEN_BODY = FrameRule("body-ends", "The body ends right behind the last frame (looked at with a URL).", _CONTRACT)
JSON = FrameRule("json", "A frame's data is the JSON of an object.", _CONTRACT, _json)
NO_ID = FrameRule(
    "no-id", "An endpoint of this protocol names no `id` (looked at with --model).", "Open Responses, streaming", _no_id
)
CURSOR = FrameRule("cursor", "Where frames have an `id`, it is a number and rises.", _CONTRACT, _cursor)
SEQ = FrameRule("cursor", "A frame's `id` is its event's seq.", _CONTRACT, _seq)
_IDS = {"vendor": (CURSOR, NO_ID), "cursor": (CURSOR,), "seq": (SEQ,)}
_FORM = (
    FrameRule("utf-8", "The bytes are UTF-8.", _WHATWG, _utf8),
    FrameRule("lf", "Lines end in LF.", _CONTRACT, _lf),
    FrameRule("field", "A line is a comment, or data, event, id or retry.", _WHATWG, _known_fields),
    FrameRule("one-data", "A frame has one data line.", _CONTRACT, _one_data),
    JSON,
    FrameRule("blank-line", "Every frame ends in a blank line, the last one, too.", _WHATWG, _closed),
)


class Framing:
    """A dialect's framing: are its frames named by their type, does `[DONE]` end it, what is their `id`?

    `named` or `unnamed`, `done` or `no_done` give the clause that says so. `ids`: the event's `seq`, a `cursor`, or, as
    `vendor` says, none (but for a cursor of our own, contract §4).
    """

    def __init__(
        self, *, ids: Literal["vendor", "cursor", "seq"], named: str = "", unnamed: str = "", done: str = "",
        no_done: str = "",
    ) -> None:  # fmt: skip
        rules = list(_FORM)
        if named:
            rules.append(FrameRule("event-name", "A frame's `event` is its data's `type`.", named, _named))
        if unnamed:
            rules.append(FrameRule("no-event-name", "Frames have no `event`.", unnamed, _unnamed))
        if done:
            demand = "`data: [DONE]` is the last frame."
            rules.append(FrameRule("done-marker", demand, done, _before_done, _done))
        if no_done:
            rules.append(FrameRule("no-done-marker", "There is no `[DONE]`.", no_done, _no_done))
        self._has_done = bool(done)
        self._is_vendor = ids == "vendor"
        self.rules = (*rules, *_IDS[ids], EMPTY, WRONG_TYPE, OPEN_BODY)

    def begin(self, *, endpoint: bool) -> "FramingCheck":
        """The check of one stream (see lint.Linter)."""
        left_out = CURSOR if endpoint and self._is_vendor else NO_ID
        return FramingCheck([rule for rule in self.rules if rule is not left_out], has_done=self._has_done)


class FramingCheck:
    """Holds one stream's frames against rules."""

    def __init__(self, rules: list[FrameRule], *, has_done: bool) -> None:
        self._rules = rules
        self._has_done = has_done
        self._sight = Sight()

    def see(self, frame: Frame) -> Iterator[tuple[str, str]]:
        """The rules that this frame breaks, and how."""
        for rule in self._rules:
            if rule.check is not None:
                yield from ((rule.name, message) for message in rule.check(self._sight, frame))
        self._sight.is_done |= frame.data == DONE
        cursors = [value for value in frame.values(b"id") if value.isdigit()]
        if cursors:
            self._sight.cursor = int(cursors[-1])

    def json(self, frame: Frame) -> Iterator[tuple[str, str]]:
        """The same for a line of JSON, which has no frame."""
        return ((JSON.name, message) for message in _json(self._sight, frame))

    def at_end(self) -> Iterator[tuple[str, str]]:
        """The rules that the end of the bytes breaks, and how."""
        for rule in self._rules:
            if rule.at_end is not None:
                yield from ((rule.name, message) for message in rule.at_end(self._sight))

    def is_over(self, *, ended: bool) -> bool:
        """Is anything still to come?"""
        return self._sight.is_done or (ended and not self._has_done)
