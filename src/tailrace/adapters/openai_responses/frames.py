"""The Responses API over a WebSocket: each text frame is one event, the JSON that SSE has behind `data:`.

What a frame says of itself, as far as the way to the provider must know it. What it means to a reader is the decoder's
to say (decode.py), which is given it as the server-sent event that it would have been.
"""

import re
from typing import Any, Literal

from msgspec import Struct

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson

Problem = Literal["stale", "limit"]
Verdict = Literal["take", "drop", "refuse"]

DONE = frozenset({"response.completed", "response.done"})
TERMINAL = DONE | {"response.incomplete", "response.failed", "response.cancelled", "error"}
# That it was asked for, signs of life and asides.
_ASIDES = frozenset(
    {"response.created", "response.queued", "response.in_progress", "response.heartbeat", "response.metadata"}
)

_STALE = re.compile(
    r"previous[ _]response.*\b(not found|invalid|expired|stale|not supported|unsupported|cannot be used)",
    re.IGNORECASE | re.DOTALL,
)


class Frame(Struct, frozen=True):
    """The fields that the way looks at, of whatever type the provider made them; the rest is not read."""

    type: Any = ""
    sequence_number: Any = None
    response: Any = None
    response_id: Any = None
    item: Any = None
    output_index: Any = None
    error: Any = None
    code: Any = None
    message: Any = None

    @property
    def kind(self) -> str:
        """The event's type."""
        return self.type if isinstance(self.type, str) else ""

    @property
    def is_telling(self) -> bool:
        """Does it say anything of the answer? One of which nothing was told can be asked for again."""
        return self.is_terminal or (self.kind.startswith("response.") and self.kind not in _ASIDES)

    @property
    def is_terminal(self) -> bool:
        """Does the answer end with it?"""
        return self.kind in TERMINAL

    @property
    def is_failure(self) -> bool:
        """Does it say what went wrong?"""
        return self.kind in {"error", "response.failed"}

    @property
    def place(self) -> int | None:
        """Where its item stands in the output."""
        return _whole(self.output_index)

    @property
    def answer_id(self) -> str | None:
        """The id of the response that it says it belongs to; most frames do not say."""
        named = self.response.get("id") if isinstance(self.response, dict) else self.response_id
        return named if isinstance(named, str) and named else None

    @property
    def count(self) -> int | None:
        """Its `sequence_number`."""
        return _whole(self.sequence_number)

    @property
    def problem(self) -> Problem | None:
        """What only the way itself can mend: the previous response is not there any more, or the connection's time is
        up. Some endpoints say the former in words alone."""
        if not self.is_failure:
            return None
        error = self.response.get("error") if isinstance(self.response, dict) else self.error
        named = error if isinstance(error, dict) else {"code": self.code, "message": self.message}
        words = (named.get("code"), named.get("type"))
        if "websocket_connection_limit_reached" in words:
            return "limit"
        is_stale = "previous_response_not_found" in words or _STALE.search(str(named.get("message") or ""))
        return "stale" if is_stale else None


def _whole(number: object) -> int | None:
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def read_frame(data: bytes) -> Frame | None:
    """What a frame says of itself; None where it is no JSON object."""
    try:
        return codec.decode(data, Frame)
    except InvalidJson:
        return None


def as_sse(data: bytes) -> bytes:
    """The frame as a server-sent event. A line break in JSON is mere space: in a string it would be escaped."""
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    return b"data: %b\n\n" % data


class Guard:
    """Which frames of a connection belong to the answer that is being waited for: one after another, each with an id
    and a count of its own."""

    __slots__ = ("_count", "_id", "_prior_count", "_prior_id")

    def __init__(self) -> None:
        self._id: str | None = None
        self._count: int | None = None
        self._prior_id: str | None = None
        self._prior_count: int | None = None

    def begin(self) -> None:
        """Another response has been asked for."""
        if self._id is not None:
            self._prior_id, self._prior_count = self._id, self._count
        self._id = self._count = None

    def judge(self, frame: Frame) -> Verdict:
        """`drop` what still comes of the response before; `refuse` what comes of another, or out of order."""
        named = frame.answer_id
        if named is not None and named == self._prior_id:
            return "drop"
        if named is not None:
            if self._id not in {None, named}:
                return "refuse"
            self._id = named
        return self._counted(frame)

    def _counted(self, frame: Frame) -> Verdict:
        count = frame.count
        if count is None or frame.kind == "error":
            return "take"
        if self._id is None and self._prior_count is not None and count > self._prior_count:
            return "drop"  # it counts on from the response before: this one has not begun
        if self._count is not None and count <= self._count:
            return "refuse"
        self._count = count
        return "take"
