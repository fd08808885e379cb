"""The rules of the native stream: the envelope, and the grammar of events (contract §3, §4)."""

from collections.abc import Iterator

from tailrace.dialects.framing import Framing
from tailrace.dialects.lint import Event, Rule, Ruleset
from tailrace.fold.grammar import Grammar
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.schema.events import Event as NativeEvent


class Stream:
    """How far a native stream has come. One that was resumed begins at any seq: its order is then not checked."""

    def __init__(self) -> None:
        self.grammar = Grammar()
        self.last: NativeEvent | None = None
        self.is_partial = False

    @property
    def ended(self) -> bool:
        """See lint.State."""
        return self.grammar.run == "ended"

    def take(self, event: Event) -> None:
        """See lint.State."""
        known = codec.convert(event, NativeEvent)
        if self.last is None:
            self.is_partial = known.seq > 1
        if not self.is_partial:
            self.grammar.accept(known.payload)
        self.last = known

    def skip(self, event: Event) -> None:
        """See lint.State."""
        del event


def _schema(_: Stream, event: Event) -> Iterator[str]:
    try:
        codec.convert(event, NativeEvent)
    except InvalidJson as error:
        yield f"{error.message} at `{error.field}`" if error.field else error.message


def _type(_: Stream, event: Event) -> Iterator[str]:
    inner = event["payload"]["type"]
    if event["type"] != inner:
        yield f"`type` is {event['type']!r}, but `payload.type` is {inner!r}"


def _event_id(_: Stream, event: Event) -> Iterator[str]:
    run_id, seq = event["run_id"], event["seq"]
    if event["event_id"] != codec.event_id(run_id, seq):
        yield f"{event['event_id']} is not derived from run {run_id} and seq {seq}"


def _seq(stream: Stream, event: Event) -> Iterator[str]:
    if stream.last is None:
        if event["seq"] < 1:
            yield f"seq {event['seq']}: the first is 1"
    elif event["seq"] != stream.last.seq + 1:
        yield f"seq {event['seq']} follows {stream.last.seq}"


def _run_id(stream: Stream, event: Event) -> Iterator[str]:
    if stream.last is not None and event["run_id"] != stream.last.run_id:
        yield f"run {event['run_id']} follows run {stream.last.run_id}"


def _timestamp(stream: Stream, event: Event) -> Iterator[str]:
    if stream.last is not None and event["timestamp"] < stream.last.timestamp:
        yield f"{event['timestamp']} follows {stream.last.timestamp}"


def _order(stream: Stream, event: Event) -> Iterator[str]:
    is_resumed = stream.is_partial or (stream.last is None and event["seq"] > 1)
    violation = None if is_resumed else stream.grammar.check(codec.convert(event, NativeEvent).payload)
    if violation is not None:
        yield violation


def _terminal(stream: Stream) -> Iterator[str]:
    if stream.last is not None and not stream.is_partial and not stream.ended:
        yield f"the stream ends with {stream.last.type}, which is not a terminal event"


RULES: tuple[Rule[Stream], ...] = (
    Rule("schema", "An event has its type's fields, each of its kind.", "contract §1 to §3", _schema, gate=True),
    Rule("type", "`type` equals `payload.type`.", "contract §3", _type),
    Rule("event-id", "`event_id` is derived from run_id and seq.", "contract §3", _event_id),
    Rule("seq", "`seq` rises by one (from 1, but where the stream was resumed).", "contract §3", _seq),
    Rule("run-id", "All events are of one run.", "contract §3", _run_id),
    Rule("timestamp", "Time does not go back.", "contract §3", _timestamp),
    Rule("order", "Events come in the order that the grammar allows.", "contract §3, order", _order),
    Rule("terminal", "The stream ends with a terminal event.", "contract §3, order", at_end=_terminal),
)
FRAMING = Framing(named="contract §4", no_done="contract §4", ids="seq")
RULESET = Ruleset("native", FRAMING, RULES, Stream)
