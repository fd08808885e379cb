"""What the linter remembers of a Responses stream: its items, their parts, and what their deltas have added up to."""

from dataclasses import dataclass, field
from typing import Any

from tailrace.dialects.lint import Event, number_of
from tailrace.dialects.responses.lint_events import ARGUMENTS, SNAPSHOTS, TERMINAL, TEXTS


@dataclass(slots=True)
class Part:
    """A part of an item's content or summary: `whole` is what its text's done said."""

    kind: str
    text: str = ""
    whole: str | None = None
    is_open: bool = True


@dataclass(slots=True)
class Item:
    """An item of the output: as it was added, as it was done, and what came in between.

    `parts`: by the name of their index. `pieces`: what the deltas of its arguments (its code, its input) add up to;
    `whole`: what their done said, for the field `whole_key`.
    """

    added: Event
    done: Event | None = None
    parts: dict[str, dict[int, Part]] = field(default_factory=lambda: {"content_index": {}, "summary_index": {}})
    pieces: str = ""
    whole: str | None = None
    whole_key: str = ""


class Stream:
    """How far a Responses stream has come."""

    def __init__(self) -> None:
        self.next_number = 0
        self.has_begun = False
        self.has_error = False
        self.terminal = ""
        self.head: Event | None = None
        self.items: dict[int, Item] = {}  # by output_index, in the order they were added

    @property
    def ended(self) -> bool:
        """See lint.State."""
        return bool(self.terminal)

    def item(self, event: Event) -> Item | None:
        """The item that the event is about, if it was added."""
        return self.items.get(event.get("output_index", -1))

    def part(self, event: Event) -> Part | None:
        """The part that the event is about, if it was added."""
        item, key = self.item(event), index_key(event)
        if item is None or key is None:
            return None
        return item.parts[key].get(event[key])

    def skip(self, event: Event) -> None:
        """See lint.State."""
        number = number_of(event.get("sequence_number"))
        self.next_number = self.next_number + 1 if number is None else number + 1

    def take(self, event: Event) -> None:
        """See lint.State."""
        self.skip(event)
        self.has_begun = True
        kind = event["type"]
        if kind in SNAPSHOTS:
            self.head = self.head or event["response"]
            self.terminal = kind if kind in TERMINAL else ""
        elif kind == "error":
            self.has_error = True
        elif kind == "response.output_item.added":
            self.items[event["output_index"]] = Item(event["item"])
        else:
            self._grow(kind, event)

    def _grow(self, kind: str, event: Event) -> None:
        item, part, key = self.item(event), self.part(event), index_key(event)
        if item is None:
            return
        prefix, _, phase = kind.rpartition(".")
        if kind == "response.output_item.done":
            item.done = event["item"]
        elif kind.endswith("_part.added") and key is not None:
            item.parts[key][event[key]] = Part(event["part"]["type"])
        elif kind.endswith("_part.done") and part is not None:
            part.is_open = False
        elif prefix in TEXTS and part is not None:
            part.text += event.get("delta", "")
            part.whole = event[TEXTS[prefix][1]] if phase == "done" else part.whole
        elif prefix in ARGUMENTS:
            item.pieces += event.get("delta", "")
            if phase == "done":
                item.whole_key = ARGUMENTS[prefix]
                item.whole = event[item.whole_key]


def index_key(event: Event) -> str | None:
    """How the event names its part, if it names one."""
    return next((key for key in ("content_index", "summary_index") if key in event), None)


def texts_of(parts: list[Any]) -> list[tuple[str, str | None]]:
    """Each part's type, and its text if it is one of words."""
    return [(part["type"], part.get("text", part.get("refusal"))) for part in parts]


def next_index(numbered: dict[int, Any]) -> int:
    """The index that the next one should have."""
    return next(reversed(numbered), -1) + 1
