"""Is this native stream legal? Each violation names the rule it breaks."""

from collections.abc import Iterator
from typing import NamedTuple

from tailrace.fold.grammar import Grammar
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.schema.events import Event


class Violation(NamedTuple):
    """What is wrong with the `number`-th frame (from 1; 0: with the stream as a whole)."""

    number: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"event {self.number}: {self.rule}: {self.message}" if self.number else f"{self.rule}: {self.message}"


class Linter:
    """Takes a stream frame by frame (`name` and `cursor` where it came as SSE), then its end.

    A stream that was resumed begins at any seq: what needs the beginning is then not checked.
    """

    def __init__(self) -> None:
        self._grammar = Grammar()
        self._count = 0
        self._last: Event | None = None
        self._partial = False

    def frame(self, data: bytes, name: str | None = None, cursor: str | None = None) -> Iterator[Violation]:
        """The violations that this frame shows."""
        self._count += 1
        try:
            event = codec.decode_event(data)
        except InvalidJson as error:
            yield Violation(self._count, "schema", f"{error.message} at `{error.field}`" if error.field else str(error))
            return
        if name is not None and name != event.type:
            yield self._found("event-name", f"`event: {name}` on a frame of type {event.type}")
        if cursor is not None and cursor != str(event.seq):
            yield self._found("cursor", f"`id: {cursor}` on a frame with seq {event.seq}")
        yield from self._envelope(event)
        yield from self._order(event)
        self._last = event

    def end(self) -> Iterator[Violation]:
        """The violations that the end of the stream shows."""
        if self._last is None:
            yield Violation(0, "empty", "no event at all")
        elif not self._partial and self._grammar.run != "ended":
            yield Violation(0, "terminal", f"the stream ends with {self._last.type}, which is not a terminal event")

    def _envelope(self, event: Event) -> Iterator[Violation]:
        if event.event_id != codec.event_id(event.run_id, event.seq):
            yield self._found(
                "event-id", f"{event.event_id} is not derived from run {event.run_id} and seq {event.seq}"
            )
        last = self._last
        if last is None:
            self._partial = event.seq > 1
            return
        if event.seq != last.seq + 1:
            yield self._found("seq", f"seq {event.seq} follows {last.seq}")
        if event.run_id != last.run_id:
            yield self._found("run-id", f"run {event.run_id} follows run {last.run_id}")
        if event.timestamp < last.timestamp:
            yield self._found("timestamp", f"{event.timestamp} follows {last.timestamp}")

    def _order(self, event: Event) -> Iterator[Violation]:
        if self._partial:
            return
        violation = self._grammar.accept(event.payload)
        if violation is not None:
            yield self._found("order", violation)

    def _found(self, rule: str, message: str) -> Violation:
        return Violation(self._count, rule, message)
