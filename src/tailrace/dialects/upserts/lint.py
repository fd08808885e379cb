"""The rules of the upserts stream (contract §4, `upserts`)."""

from collections.abc import Iterator

from tailrace.dialects.framing import Framing
from tailrace.dialects.lint import Event, Rule, Ruleset, Shape, misfits

_ITEM: Shape = {
    "item_id": str,
    "item_type": str,
    "change": frozenset({"created", "updated", "completed"}),
    "version": int,
    "content": str,
}
SHAPES: dict[str, Shape] = {
    "item_upsert": _ITEM,
    "turn_started": {"turn_id": str, "thread_id": str, "model_id": str, "provider_id": str},
    "turn_complete": {"status": str, "finish_reason": str},
    "turn_error": {"error": {"code": str, "message": str}},
    "turn_aborted": {"reason": str},
}
LAST = frozenset({"turn_complete", "turn_error", "turn_aborted"})


class Stream:
    """How far an upserts stream has come: each item's newest frame."""

    def __init__(self) -> None:
        self.items: dict[str, Event] = {}
        self.has_begun = False
        self.ended = False

    def take(self, event: Event) -> None:
        """See lint.State."""
        self.has_begun = True
        self.ended = event["type"] in LAST
        if event["type"] == "item_upsert":
            self.items[event["item_id"]] = event

    def skip(self, event: Event) -> None:
        """See lint.State."""
        del event


def _shape(_: Stream, event: Event) -> Iterator[str]:
    shape = SHAPES.get(str(event.get("type")))
    if shape is None:
        yield f"{event.get('type')!r} is no type of this dialect"
    else:
        yield from misfits(event, shape)


def _after_end(stream: Stream, event: Event) -> Iterator[str]:
    if stream.ended:
        yield f"{event['type']} behind the end of the turn"


def _turn(stream: Stream, event: Event) -> Iterator[str]:
    if (event["type"] == "turn_started") == stream.has_begun:
        yield "a second turn_started" if stream.has_begun else f"the stream begins with {event['type']}"


def _change(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"] != "item_upsert":
        return
    before = stream.items.get(event["item_id"])
    if before is None and event["change"] == "updated":
        yield f"item {event['item_id']!r} is updated before it is created"
    elif before is not None and (event["change"] == "created" or before["change"] == "completed"):
        yield f"item {event['item_id']!r} is {event['change']} after it was {before['change']}"


def _version(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"] != "item_upsert":
        return
    before = stream.items.get(event["item_id"], {"version": 0})["version"]
    if event["version"] != before + 1:
        yield f"version {event['version']} of item {event['item_id']!r} follows {before}"


def _terminal(stream: Stream) -> Iterator[str]:
    if not stream.ended:
        yield "the stream ends without turn_complete, turn_error or turn_aborted"


_CLAUSE = "contract §4, upserts"
RULES: tuple[Rule[Stream], ...] = (
    Rule("shape", "A frame is of a known type and has its fields.", _CLAUSE, _shape, gate=True),
    Rule("after-terminal", "Nothing follows the end of the turn.", _CLAUSE, _after_end, gate=True),
    Rule("turn-first", "The stream begins with turn_started, which comes once.", _CLAUSE, _turn),
    Rule("change", "An item is created, updated, completed, in this order.", _CLAUSE, _change),
    Rule("version", "An item's frames count from 1.", _CLAUSE, _version),
    Rule("terminal", "The stream ends with turn_complete, turn_error or turn_aborted.", _CLAUSE, at_end=_terminal),
)
FRAMING = Framing(named="contract §4", no_done="contract §4", ids="cursor")
RULESET = Ruleset("upserts", FRAMING, RULES, Stream)
