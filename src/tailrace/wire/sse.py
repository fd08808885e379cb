"""Server-sent events: a push parser and a frame writer.

Parsing follows WHATWG HTML §9.2.5 and §9.2.6 (https://html.spec.whatwg.org/multipage/server-sent-events.html): CR, LF
and CRLF end lines, comments and unknown fields are passed over, `data` lines are joined by LF, one BOM may lead.

Intentional divergence:
1. An event whose closing blank line never came is dispatched by `close()`; the text discards it. Providers leave their
   last blank line out, and a decoder tells a whole last event from a cut one by its JSON.
2. `data` stays bytes. The text decodes the stream as UTF-8 first; here only whole events reach a decoder, so that a
   character may be split anywhere and JSON is read straight from the bytes.
3. An event has a greatest length, so that a stream without blank lines cannot fill the memory.
"""

from msgspec import Struct

from tailrace.schema.errors import ProviderError

_BOM = b"\xef\xbb\xbf"
_CR = ord("\r")  # a number is looked for eight times as fast as bytes of one
MAX_EVENT_BYTES = 64 * 1024 * 1024  # an image of the largest size that providers stream, in base64, fits twice


class SseEvent(Struct, frozen=True, gc=False):
    """One dispatched event. `id` is the last one the stream has named ("" where it has named none)."""

    data: bytes
    event: str = "message"
    id: str = ""


class SseParser:
    """Bytes in, split anywhere; events out. Linear in the bytes, however they are split.

    `retry` is the reconnection time that the stream asked for, in milliseconds, if it did.
    """

    __slots__ = ("_after_cr", "_head", "_lead", "_limit", "_name", "_pending", "_too_long", "last_event_id", "retry")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self._limit = max_event_bytes
        self._head: bytes | None = b""  # what may be the beginning of a BOM; None once the stream has begun
        self._after_cr = False
        self._pending = bytearray()  # lines end in LF here
        self._too_long = False
        self._lead = b"data: "  # how the usual event begins, up to its data, and the name that this gives it
        self._name = "message"

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that `data` completes.

        Raises ProviderError (protocol_error) for an event over the greatest length, in a call of its own: the events
        before it have been returned by then.
        """
        if self._too_long:
            self._refuse_too_long()
        if self._head is not None:
            data = self._begin(data)
        if self._after_cr or _CR in data:
            data = self._with_lf(data)
        elif not self._pending and data.startswith(self._lead) and data.endswith(b"\n\n"):
            at, end = len(self._lead), len(data) - 2
            if data.find(b"\n", at) == end <= self._limit:  # as nearly each read brings it: one event, like the last
                return [SseEvent(data[at:end], self._name, self.last_event_id)]
        if self._pending:
            data = self._complete(data)
        events, end = self._events(data)
        if end < len(data):
            self._keep(data[end:])
        if not events:
            self._refuse_too_long()
        return events

    def close(self) -> list[SseEvent]:
        """The bytes have ended: the event that lacks its blank line, if there is one. Raises as `feed` does."""
        self._refuse_too_long()
        events, _ = self._events(bytes(self._pending) + b"\n\n")
        self._pending.clear()
        self._refuse_too_long()
        return events

    def _events(self, data: bytes) -> tuple[list[SseEvent], int]:
        """The events of `data`, and where the last of them ends.

        Nearly every event begins as the one before it did, and has but one line of data: it is cut out as it stands.
        """
        events: list[SseEvent] = []
        start = 0
        while start < len(data):
            at = start + len(self._lead)
            if data.startswith(self._lead, start):
                end = data.find(b"\n", at)
                if end - start <= self._limit and data.startswith(b"\n\n", end):
                    events.append(SseEvent(data[at:end], self._name, self.last_event_id))
                    start = end + 2
                    continue
            end = data.find(b"\n\n", start)
            if end < 0:
                break
            self._block(data[start:end], events)
            start = end + 2
            if self._too_long:
                return events, len(data)
        return events, start

    def _complete(self, data: bytes) -> bytes:
        """What is pending with `data`, up to the last blank line; nothing where there is none yet."""
        seam = len(self._pending) - 1
        self._pending += data
        end = self._pending.rfind(b"\n\n", seam) + 2
        if end < 2:
            self._check_pending()
            return b""
        complete = bytes(self._pending[:end])
        del self._pending[:end]
        return complete

    def _keep(self, rest: bytes) -> None:
        self._pending[:0] = rest  # of a third line's end in a row, there is one before what is pending already
        self._check_pending()

    def _check_pending(self) -> None:
        # An LF at either end may belong to a blank line, so that it does not count.
        self._too_long = len(self._pending) > self._limit + 2

    def _block(self, block: bytes, events: list[SseEvent]) -> None:
        """The text's own rules, line by line."""
        if len(block) > self._limit and len(block.strip(b"\n")) > self._limit:
            self._too_long = True
            return
        data: list[bytes] = []
        name = b""
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value
            elif field == b"id" and b"\0" not in value:
                self.last_event_id = value.decode("utf-8", "replace")
            elif field == b"retry" and value.isdigit():
                self.retry = int(value[:18])
        if data:
            named = name.decode("utf-8", "replace") or "message"
            events.append(SseEvent(b"\n".join(data), named, self.last_event_id))
            self._lead = b"event: %b\ndata: " % name if name else b"data: "
            self._name = named

    def _begin(self, data: bytes) -> bytes:
        head = (self._head or b"") + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _with_lf(self, data: bytes) -> bytes:
        """CRLF and CR as LF; a CR at the end of the last bytes may have been the first half of a CRLF."""
        if not data:
            return data
        ends_in_cr = data.endswith(b"\r")
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = ends_in_cr
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _refuse_too_long(self) -> None:
        if self._too_long:
            raise ProviderError("protocol_error", f"an event is longer than {self._limit} bytes")


def frame(event: str, data: bytes, id: int | None = None) -> bytes:  # noqa: A002  # the field's name in the standard
    """One event as it is sent: `id` where there is one, `event`, `data`, a blank line.

    Raises ValueError for a line break in `event` or `data`: JSON has none, and it would end the line early.
    """
    if b"\n" in data or b"\r" in data:
        raise ValueError("data of an event frame may not hold a line break")
    head = _one_line(event)
    if id is None:
        return b"event: %s\ndata: %s\n\n" % (head, data)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (id, head, data)


def comment(text: str) -> bytes:
    """A comment: seen on the wire, by no reader. Raises ValueError for a line break."""
    return b": %s\n\n" % _one_line(text)


def retry(milliseconds: int) -> bytes:
    """How long a reader should wait before it comes back."""
    return b"retry: %d\n\n" % milliseconds


def _one_line(text: str) -> bytes:
    if "\n" in text or "\r" in text:
        raise ValueError("a field of an event frame may not hold a line break")
    return text.encode()
