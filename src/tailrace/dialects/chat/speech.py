"""What a chat message says, told piece by piece: the text of several items as one, and calls by their index. Pure.

The protocol has one `content`, one `refusal` and one `reasoning_content` per answer, so that items which grow at the
same time take turns here: the pieces of a later one wait until the earlier has ended.
"""

from collections.abc import Iterator
from typing import Any

from tailrace.dialects.chat.details import detail_of
from tailrace.dialects.chat.words import BETWEEN, annotation_of, call_of
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.schema.items import FunctionCallItem, MessageItem, ReasoningItem, RefusalPart, TextPart

Json = dict[str, Any]
Piece = tuple[str, Any]  # field, value: a text to append, or a list to extend

LISTS = frozenset({"annotations", "logprobs", "reasoning_details"})


def message_pieces(item: MessageItem) -> Iterator[Piece]:
    """A whole message: its text and its refusal, then what is attached to the text."""
    if item.parts is None:
        yield "content", item.content
        return
    texts = [part for part in item.parts if isinstance(part, TextPart)]
    refusal = "".join(part.refusal for part in item.parts if isinstance(part, RefusalPart))
    yield "content", "".join(part.text for part in texts)
    yield "refusal", refusal
    found = [annotation_of(each) for part in texts for each in part.annotations or ()]
    yield "annotations", [each for each in found if each is not None]
    yield "logprobs", [each for part in texts for each in part.logprobs or ()]


def reasoning_pieces(item: ReasoningItem, index: int) -> Iterator[Piece]:
    """Whole reasoning, the `index`-th of its answer."""
    yield "reasoning_content", item.content
    detail = detail_of(item, index)
    yield "reasoning_details", [] if detail is None else [detail]


def delta_piece(channel: str | None, text: str, main: str) -> Piece | None:
    """A delta as a piece; None for a channel that this protocol has no word for.

    Annotations are told at the end of their message, all at once: the official SDK adds up no second list of them.
    """
    match channel:
        case None:
            return main, text
        case "refusal":
            return "refusal", text
        case "logprobs":
            logprobs = _attached(text)
            return ("logprobs", logprobs) if isinstance(logprobs, list) else None
        case _:
            return None


def _attached(text: str) -> Any:
    """The JSON that stands in a delta; None for what is none, lest a log of others' making end a stream."""
    try:
        return codec.decode_any(text)
    except InvalidJson:
        return None


class Lane:
    """One stream of text out of several items."""

    def __init__(self) -> None:
        self.said: set[str] = set()  # fields of which something was sent
        self._waiting: dict[str, list[Piece]] = {}  # by item, in the order they began; the first one speaks
        self._ended: set[str] = set()
        self._sent: dict[str, Any] = {}  # of the item that speaks, by field

    def begin(self, item_id: str) -> None:
        """An item begins."""
        self._waiting[item_id] = []

    def grow(self, item_id: str, piece: Piece) -> Iterator[Json]:
        """An item grows: the deltas that may be sent now."""
        if next(iter(self._waiting), None) == item_id:
            yield from self._send(piece)
        else:
            self._waiting[item_id].append(piece)

    def end(self, item_id: str, final: Iterator[Piece]) -> Iterator[Json]:
        """An item has ended as `final`, of which only what is missing is sent: the deltas that may be sent now."""
        self._waiting[item_id] += [(f"final {field}", value) for field, value in final]
        self._ended.add(item_id)
        while self._waiting:
            speaker, pieces = next(iter(self._waiting.items()))
            for piece in pieces:
                yield from self._send(piece)
            pieces.clear()
            if speaker not in self._ended:
                return
            del self._waiting[speaker]
            self._sent = {}

    def _send(self, piece: Piece) -> Iterator[Json]:
        field, value = piece
        if field.startswith("final "):
            field = field.removeprefix("final ")
            value = _missing(self._sent.get(field), value)
        if not value:
            return
        starts = field not in self._sent
        self._sent.setdefault(field, []).extend([value] if field not in LISTS else value)
        if starts and field in self.said and field not in LISTS:
            value = BETWEEN + value
        self.said.add(field)
        yield {field: value}


def _missing(sent: list[Any] | None, final: Any) -> Any:
    """What of `final` has not been sent: nothing where something else was, because that cannot be taken back."""
    if isinstance(final, list):
        return final[len(sent or ()) :]
    text = "".join(sent or ())
    return final[len(text) :] if final.startswith(text) else ""


class Call:
    """One tool call on its way out. It has a place (`index`) from its first chunk on."""

    def __init__(self, *, custom: bool, legacy: bool, held: bool) -> None:
        self.index: int | None = None
        self._custom = custom
        self._legacy = legacy
        self._held = held
        self._waiting: list[str] = []
        self._sent: list[str] = []

    def open(self, index: int, call_id: str, name: str) -> Iterator[Json]:
        """Name and id are known: they are sent once, with what has come of the arguments."""
        self.index = index
        text = "".join(self._waiting)
        self._sent = [text]
        call = call_of(call_id, name, text, custom=self._custom)
        yield {"function_call": call["function"]} if self._legacy else {"tool_calls": [{"index": index, **call}]}

    def grow(self, text: str) -> Iterator[Json]:
        """The next piece of the arguments: an increment, because it came as a delta."""
        if not text:
            return
        if self.index is None:
            self._waiting.append(text)
            return
        self._sent.append(text)
        if self._legacy:
            yield {"function_call": {"arguments": text}}
        elif self._custom:
            yield {"tool_calls": [{"index": self.index, "custom": {"input": text}}]}
        else:
            yield {"tool_calls": [{"index": self.index, "function": {"arguments": text}}]}

    def end(self, item: FunctionCallItem, next_index: int) -> Iterator[Json]:
        """The call is whole: what has not been sent of it."""
        if self.index is None:
            self._waiting = [item.arguments]
            yield from self.open(next_index, item.call_id, item.name)
        else:
            yield from self.grow(_missing(self._sent, item.arguments))

    @property
    def held(self) -> bool:
        """Is the call shown only when it is whole?"""
        return self._held
