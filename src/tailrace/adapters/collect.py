"""The payloads of one answer in the making: items get their ids, and begin, grow and end in a legal order."""

from collections.abc import Sequence

from tailrace.adapters.base import Callee, DecodeContext
from tailrace.adapters.breakers import BlankArguments, Circling, Repetition
from tailrace.adapters.pieces import Pieces
from tailrace.adapters.reading import Json, as_text
from tailrace.schema.events import ItemCancelled, ItemDelta, ItemDone, ItemStart, Payload, ProviderEvent
from tailrace.schema.items import FunctionCallItem, ItemType, Opaque, OutputItem


class OpenItem:
    """An item that has begun and not ended. `grow` it, then end it once with `done` or `cancel`.

    `correlation_id` is the provider's own id where the item could not bear it (it was taken).
    """

    __slots__ = ("_collector", "_repetition", "_sent", "_start", "correlation_id", "id", "is_open")

    def __init__(
        self, collector: "Collector", start: ItemStart, correlation_id: str | None, repetition: Repetition | None
    ) -> None:
        self.id = start.item_id
        self._start: ItemStart | None = start  # while nobody knows of it
        self.correlation_id = correlation_id
        self.is_open = True
        self._collector = collector
        self._repetition = repetition
        self._sent: dict[tuple[str | None, int | None], Pieces] = {}

    def begin(self) -> None:
        """Others hear of it, as they do at the latest when it grows or is whole."""
        if self._start is not None:
            self._collector.out.append(self._start)
            self._start = None

    @property
    def heals(self) -> Sequence[str]:
        """The kinds of markup that are to be looked for in its text."""
        return self._collector.heals

    def beside(self, item_type: ItemType, *, name: str | None = None) -> "OpenItem":
        """Another item, found in this one. A call has its item's id."""
        return self._collector.start(item_type, name=name, call_id="" if item_type == "function_call" else None)

    def grow(self, text: str, channel: str | None = None, part: int | None = None) -> None:
        """One delta; an empty one is nothing. Raises ProviderError (repetition) for a text that runs in circles."""
        if not text:
            return
        if channel is None and self._repetition is not None:
            self._repetition.take(text)
        if self._start is not None:
            self.begin()
        pieces = self._sent.get((channel, part))
        if pieces is None:
            pieces = self._sent[channel, part] = Pieces()
        pieces.add(text)
        self._collector.out.append(ItemDelta(item_id=self.id, delta_content=text, channel=channel, part=part))

    def weigh(self, arguments: str) -> None:
        """A piece of a call's arguments, as the wire has it. Raises ProviderError (malformed_call): endless blanks."""
        self._collector.blanks.take(self.id, arguments)

    def sent(self, channel: str | None = None, part: int | None = None) -> str:
        """What the deltas so far add up to."""
        return str(self._sent.get((channel, part), ""))

    def catch_up(self, text: str, channel: str | None = None, part: int | None = None) -> None:
        """Send what is missing of `text`; nothing where the deltas said something else (the final item decides)."""
        sent = self.sent(channel, part)
        if text.startswith(sent):
            self.grow(text[len(sent) :], channel, part)

    def callee(self, name: str) -> Callee:
        """The tool that this name means."""
        return self._collector.callee(name)

    def done(self, final: OutputItem) -> None:
        """It is whole."""
        self.begin()
        self.is_open = False
        self._collector.calls += isinstance(final, FunctionCallItem)
        self._collector.out.append(ItemDone(item_id=self.id, final_item=final))

    def cancel(self, reason: str) -> None:
        """It will never be whole."""
        self.is_open = False
        if self._start is None:
            self._collector.out.append(ItemCancelled(item_id=self.id, reason=reason))

    def drop(self) -> None:
        """It was none: nothing was said in it. Only where nobody has heard of it."""
        self.is_open = False

    @property
    def is_known(self) -> bool:
        """Have others heard of it?"""
        return self._start is None


class Collector:
    """Gathers payloads between two `take`s. `calls` counts the finished function calls."""

    def __init__(self, context: DecodeContext) -> None:
        self.out: list[Payload] = []
        self.calls = 0
        self.blanks = BlankArguments()
        self.heals: Sequence[str] = context.quirks.get("heal") or ()
        thoughts = Circling if context.quirks.get("circling") else Repetition
        self._watches: dict[ItemType, type[Repetition]] = {"message": Repetition, "reasoning": thoughts}
        self._context = context
        self._ids: set[str] = set()
        self._count = 0
        self._notes: Json = {}

    def take(self) -> list[Payload]:
        """What has been gathered since the last time."""
        out, self.out = self.out, []
        return out

    def start(
        self,
        item_type: ItemType,
        wanted_id: str = "",
        *,
        name: str | None = None,
        call_id: str | None = None,
        provider_type: str | None = None,
        is_custom: bool = False,
    ) -> OpenItem:
        """Begin an item, under the id that the provider gave it if that is free.

        A `call_id` of "" says that the provider gives its calls none: the item's own id serves. None: not known yet.
        A call's `name` is the wire's; its tool's own is told. `is_custom`: the wire itself says that it has free text.
        """
        item_id = self._name(wanted_id)
        callee = self.callee(name or "")
        if call_id is not None:
            call_id = call_id or item_id
        start = ItemStart(
            item_id=item_id,
            item_type=item_type,
            name=callee.name or name,
            call_id=call_id,
            provider_type=provider_type,
            kind="custom" if is_custom or callee.takes_text else None,
        )
        watch = self._watches.get(item_type)
        watched = watch(item_id) if watch is not None else None
        item = OpenItem(self, start, wanted_id if wanted_id and wanted_id != item_id else None, watched)
        if not (self.heals and item_type == "message"):  # of what looks like a message, the first words will tell
            item.begin()
        return item

    def callee(self, name: str) -> Callee:
        """The tool that this name of the wire's means."""
        return self._context.callees.get(name) or Callee(name)

    def _name(self, wanted: str) -> str:
        while not wanted or wanted in self._ids or wanted in self._context.taken_ids:
            self._count += 1
            wanted = f"{self._context.id_prefix}{self._count}"
        self._ids.add(wanted)
        return wanted

    def event(self, name: str, data: object) -> None:
        """What the schema has no word for, whole (design rule 3)."""
        self.out.append(ProviderEvent(provider_id=self._context.provider_id, name=name, data=data))

    def note(self, facts: Json) -> None:
        """Facts about the whole answer, told once at its end; one that changes is told each time it does."""
        for key, value in facts.items():
            if key in self._notes and self._notes[key] != value:
                self.event(key, self._notes[key])
            self._notes[key] = value

    def tell_notes(self, name: str) -> None:
        """All noted facts, as one event."""
        if self._notes:
            self.event(name, self._notes)
            self._notes = {}

    def opaque(self, kind: str, data: object) -> Opaque | None:
        """Continuation data, bound to where it came from; None where there is none."""
        text = as_text(data)
        if not text:
            return None
        return Opaque(provider_id=self._context.provider_id, model_id=self._context.model_id, kind=kind, data=text)
