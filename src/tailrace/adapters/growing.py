"""Messages, reasoning and calls as deltas build them up, and what they are once whole: the same on every wire."""

from collections.abc import Iterable, Sequence

from tailrace.adapters.collect import OpenItem
from tailrace.adapters.free_text import FreeText
from tailrace.adapters.heal import Healer, Piece, Said, Thought
from tailrace.adapters.pieces import Pieces
from tailrace.adapters.reading import Json, as_text, is_json
from tailrace.schema.items import (
    FunctionCallItem,
    ImagePart,
    MessageItem,
    Opaque,
    Part,
    ReasoningItem,
    RefusalPart,
    TextPart,
)

BLANK_LINE = "\n\n"


class GrowingMessage:
    """A message, part by part. A part is named by any key of the wire's; parts stand in the order in which they came.

    A delta names its part from the second one on: the usual message has one, and its deltas stay short. Where the
    provider's quirks say so (`heal`), markup in the text becomes the reasoning and the calls that it stands for.
    """

    def __init__(self, item: OpenItem) -> None:
        self.item = item
        self._healing = Healing(item) if item.heals else None
        self._places: dict[int | str, int] = {}
        self._annotations: dict[int, list[Json]] = {}
        self._logprobs: dict[int, list[object]] = {}
        self._images: dict[int, str] = {}
        self._refusals: set[int] = set()

    def text(self, key: int | str, text: str) -> None:
        """Visible text."""
        place = self._places.setdefault(key, len(self._places))
        if self._healing is None:
            self.item.grow(text, None, place or None)
        else:
            self._healing.text(key, text, place)

    def refusal(self, key: int | str, text: str) -> None:
        """The model's refusal: a part of its own."""
        place = self._place(key)
        self._refusals.add(place)
        self.item.grow(text, "refusal", place or None)

    def annotation(self, key: int | str, annotation: Json) -> None:
        """A citation or the like, whole."""
        place = self._place(key)
        self._annotations.setdefault(place, []).append(annotation)
        self.item.grow(as_text(annotation), "annotation", place or None)

    def logprobs(self, key: int | str, logprobs: list[object]) -> None:
        """Token probabilities of the text that comes with them."""
        place = self._place(key)
        self._logprobs.setdefault(place, []).extend(logprobs)
        self.item.grow(as_text(logprobs), "logprobs", place or None)

    def image(self, key: int | str, url: str) -> None:
        """A picture that the model made, whole."""
        place = self._place(key)
        self._images[place] = url
        self.item.grow(url, "image", place or None)

    def sent(self, key: int | str) -> str:
        """A part's text so far, as the provider sent it."""
        if self._healing is not None and key in self._healing.raw:
            return str(self._healing.raw[key])
        place = self._place(key)
        return self.item.sent("refusal" if place in self._refusals else None, place or None)

    def done(self, parts: list[Part] | None = None, phase: str | None = None, opaque: Opaque | None = None) -> None:
        """The message is whole: of these parts, or of what the deltas add up to."""
        if self._healing is not None:
            parts = self._heal(parts or [])
            if not parts and not self.item.is_known:
                self.item.drop()
                return
        if parts is None:
            parts = [self._part(place) for place in range(len(self._places))]
        else:
            self._catch_up(parts)
        self.item.done(
            MessageItem(
                id=self.item.id,
                content="".join(_visible(part) for part in parts),
                parts=None if _is_plain(parts) else parts,
                phase=phase,
                opaque=opaque,
                correlation_id=self.item.correlation_id,
            )
        )

    def _heal(self, parts: list[Part]) -> list[Part]:
        """The message's parts as they should have been; `parts` are the provider's, which may say more than it sent."""
        for key, part in zip(self._keys(len(parts)), parts, strict=True):
            sent = self.sent(key)
            if isinstance(part, RefusalPart):
                self.refusal(key, part.refusal[len(sent) :] if part.refusal.startswith(sent) else "")
            elif isinstance(part, TextPart):
                self.text(key, part.text[len(sent) :] if part.text.startswith(sent) else "")
                for annotation in (part.annotations or [])[len(self._annotations.get(self._place(key), ())) :]:
                    self.annotation(key, annotation)
        if self._healing is not None:
            self._healing.close()
        return [self._part(place) for place in range(len(self._places)) if self.item.is_known]

    def _keys(self, count: int) -> list[int | str]:
        """The keys of the first `count` parts, in their order."""
        known = list(self._places)[:count]
        return [*known, *(f"more {place}" for place in range(len(known), count))]

    def _place(self, key: int | str) -> int:
        return self._places.setdefault(key, len(self._places))

    def _part(self, place: int) -> Part:
        if place in self._images:
            return ImagePart(url=self._images[place])
        if place in self._refusals:
            return RefusalPart(refusal=self.item.sent("refusal", place or None))
        return TextPart(
            text=self.item.sent(None, place or None),
            annotations=self._annotations.get(place),
            logprobs=self._logprobs.get(place),
        )

    def _catch_up(self, parts: list[Part]) -> None:
        for place, part in enumerate(parts):
            name = place or None
            if isinstance(part, RefusalPart):
                self.item.catch_up(part.refusal, "refusal", name)
            elif isinstance(part, TextPart):
                self.item.catch_up(part.text, None, name)
                for annotation in (part.annotations or [])[len(self._annotations.get(place, ())) :]:
                    self.item.grow(as_text(annotation), "annotation", name)
                if part.logprobs and place not in self._logprobs:
                    self.item.grow(as_text(part.logprobs), "logprobs", name)


def _visible(part: Part) -> str:
    if isinstance(part, TextPart):
        return part.text
    return part.refusal if isinstance(part, RefusalPart) else ""


def _is_plain(parts: list[Part]) -> bool:
    """Can plain text say it all?"""
    if not parts:
        return True
    first = parts[0]
    return len(parts) == 1 and isinstance(first, TextPart) and not first.annotations and not first.logprobs


class Healing:
    """What stands in a message's text and is none, on its way to where it belongs (adapters/heal.py)."""

    def __init__(self, item: OpenItem) -> None:
        self.raw: dict[int | str, Pieces] = {}  # the text of each part as the provider sent it
        self._item = item
        self._healer = Healer(item.heals)
        self._place = 0
        self._thoughts: GrowingReasoning | None = None

    def text(self, key: int | str, text: str, place: int) -> None:
        """The next piece of the part `key`, which stands at `place`."""
        self.raw.setdefault(key, Pieces()).add(text)
        self._place = place
        self._sort(self._healer.feed(text))

    def close(self) -> None:
        """There is no more."""
        self._sort(self._healer.close())
        self._end_thoughts()

    def _sort(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            if isinstance(piece, Thought):
                if self._thoughts is None:
                    self._thoughts = GrowingReasoning(self._item.beside("reasoning"))
                self._thoughts.text(0, piece.text)
                continue
            self._end_thoughts()
            if isinstance(piece, Said):
                self._item.grow(piece.text, None, self._place or None)
            else:
                call = GrowingCall(self._item.beside("function_call", name=piece.name), name=piece.name)
                call.arguments(piece.arguments)
                call.done()

    def _end_thoughts(self) -> None:
        if self._thoughts is not None:
            self._thoughts.done()
            self._thoughts = None


class GrowingReasoning:
    """Reasoning: the model's own text, or a summary in parts, or both; then the summary is what is shown.

    Both grow the main text, so that it folds to the final one: a blank line, in a delta of its own, stands between
    parts. A summary's deltas name their part. Own text that comes beside a summary has the channel `reasoning_text`.
    """

    def __init__(self, item: OpenItem) -> None:
        self.item = item
        self._summaries: dict[int | str, Pieces] = {}
        self._places: dict[int | str, int] = {}
        self._own: dict[int | str, Pieces] = {}

    def summary(self, key: int | str, text: str) -> None:
        """A piece of the summary part `key`."""
        if text:
            place = self._places.setdefault(key, len(self._places))
            self._grow(self._summaries, key, text, None, place)

    def text(self, key: int | str, text: str) -> None:
        """A piece of the model's own reasoning."""
        if text:
            self._grow(self._own, key, text, "reasoning_text" if self._summaries else None, None)

    def sent(self, key: int | str, *, of_summary: bool) -> str:
        """A part's text so far."""
        return str((self._summaries if of_summary else self._own).get(key, ""))

    def done(self, summaries: Sequence[str] = (), texts: Sequence[str] = (), opaque: Opaque | None = None) -> None:
        """The reasoning is whole: these parts; where there are none, what the deltas add up to."""
        self._catch_up(summaries, texts)
        summaries = summaries or _joined(self._summaries)
        shown = summaries or texts or _joined(self._own)
        self.item.done(
            ReasoningItem(
                id=self.item.id,
                content=BLANK_LINE.join(shown),
                summary_parts=list(summaries) or None,
                opaque=opaque,
                correlation_id=self.item.correlation_id,
            )
        )

    def _grow(
        self, parts: dict[int | str, Pieces], key: int | str, text: str, channel: str | None, place: int | None
    ) -> None:
        if key not in parts:
            if parts:
                self.item.grow(BLANK_LINE, channel)
            parts[key] = Pieces()
        parts[key].add(text)
        self.item.grow(text, channel, place)

    def _catch_up(self, summaries: Sequence[str], texts: Sequence[str]) -> None:
        keys = list(self._summaries)
        for place, text in enumerate(summaries):
            if place >= len(keys):
                self.summary(f"more {place}", text)
            elif place == len(keys) - 1:  # what stands behind the end of an earlier part cannot be sent any more
                sent = self.sent(keys[place], of_summary=True)
                self.summary(keys[place], text[len(sent) :] if text.startswith(sent) else "")
        if not self._own:
            for place, text in enumerate(texts):
                self.text(place, text)


def _joined(parts: dict[int | str, Pieces]) -> list[str]:
    return [str(pieces) for pieces in parts.values()]


class GrowingCall:
    """A function call. `name` and `call_id` may come late; what is known last holds.

    The name is the wire's; the item has its tool's own name and namespace. A call that stands for one of a free-text
    tool has the text itself as its arguments, in its deltas too (adapters/free_text.py).
    """

    def __init__(self, item: OpenItem, *, name: str = "", call_id: str = "", is_custom: bool = False) -> None:
        self.item = item
        self.name = name
        self.call_id = call_id
        self.is_custom = is_custom
        self._wrapped = FreeText() if item.callee(name).takes_text and not is_custom else None

    def arguments(self, text: str) -> None:
        """A piece of the arguments' JSON text, or of a custom tool's free text.

        Raises ProviderError (malformed_call) where they are blank without end.
        """
        self.item.weigh(text)
        self.item.grow(text if self._wrapped is None else self._wrapped.feed(text))

    @property
    def sent(self) -> str:
        """The arguments so far, as the provider sent them."""
        return self.item.sent() if self._wrapped is None else self._wrapped.raw

    @property
    def is_whole(self) -> bool:
        """Do the arguments so far make a whole JSON text? Free text may end anywhere."""
        return bool(self.name) and (self.is_custom or is_json(self.sent))

    def done(self, arguments: str = "", *, namespace: str | None = None, opaque: Opaque | None = None) -> None:
        """The call is whole, with these arguments or with what the deltas add up to; none at all is `{}` (C16)."""
        text = arguments or self.sent
        if not text.strip() and not self.is_custom:
            text = "{}"
        if self._wrapped is not None:
            text = self._wrapped.whole(text)
        self.item.catch_up(text)
        callee = self.item.callee(self.name)
        self.item.done(
            FunctionCallItem(
                id=self.item.id,
                name=callee.name,
                arguments=text,
                call_id=self.call_id or self.item.id,
                kind="custom" if self.is_custom or self._wrapped is not None else None,
                namespace=namespace or callee.namespace,
                opaque=opaque,
                correlation_id=self.item.correlation_id,
            )
        )
