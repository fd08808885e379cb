"""Items as they grow on the wire: compact deltas of the log, inflated into the API's full sequences.

Per item: added, its parts with their deltas, done (Open Responses, "Streaming"). What the final item has beyond the
deltas is sent as a last delta, so that the deltas add up to what `done` says.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from tailrace.dialects.responses.items import (
    ItemStatus,
    Json,
    call_type,
    item_id,
    reasoning_part,
    refusal_part,
    said_item,
    summary_part,
    text_part,
)
from tailrace.dialects.responses.whole import Form
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.schema.events import ItemDelta, ItemStart
from tailrace.schema.items import (
    CancelledItem,
    FunctionCallItem,
    MessageItem,
    OutputItem,
    Part,
    ReasoningItem,
    RefusalPart,
    TextPart,
)

Emit = Callable[[str, Json], None]  # an event's type, and its fields


class Growing(ABC):
    """An item that is open. `index` is its place in the output, None until it is announced."""

    def __init__(self, start: ItemStart, response_id: str, form: Form, emit: Emit, claim: Callable[[], int]) -> None:
        self.index: int | None = None
        self.id = item_id(start.item_id, start.item_type, response_id)
        self._start = start
        self._response_id = response_id
        self._form = form
        self._emit = emit
        self._claim = claim

    @abstractmethod
    def begin(self) -> None:
        """Announce it, as far as that can be done yet."""

    @abstractmethod
    def grow(self, delta: ItemDelta) -> None:
        """Say what the delta brings."""

    @abstractmethod
    def _so_far(self) -> OutputItem:
        """What has been said of it."""

    @abstractmethod
    def _settle(self, final: OutputItem) -> None:
        """Say what the final item has beyond the deltas, and end what is open of it."""

    def cut(self) -> Json | None:
        """It will never be whole: it ends incomplete, as far as it came. None where nobody has heard of it."""
        if self.index is None:
            return None
        return self.finish(self._so_far(), "incomplete")

    def finish(self, final: OutputItem, status: ItemStatus = "completed") -> Json | None:
        """It is whole; as it stands in the output. None where the API has no word for it."""
        self._settle(final)
        said = said_item(final, self._response_id, sealed=self._form.sealed, status=status)
        if said is not None:
            self._announce({**said, "status": "in_progress"} if "status" in said else said)
            self._emit("response.output_item.done", {"output_index": self.index, "item": said})
        return said

    def _announce(self, item: Json) -> None:
        if self.index is None:
            self.index = self._claim()
            self._emit("response.output_item.added", {"output_index": self.index, "item": item})

    def _say(self, event: str, **fields: Any) -> None:
        """An event of this item."""
        self._emit(event, {"item_id": self.id, "output_index": self.index, **fields})


class Message(Growing):
    """A message: parts of text, or refusals, in the order in which they come."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._places: dict[tuple[int, bool], int] = {}  # part of the log, and is it a refusal -> content_index
        self._texts: list[list[str]] = []
        self._refusals: set[int] = set()
        self._annotations: list[list[Json]] = []
        self._logprobs: list[list[Any]] = []

    def begin(self) -> None:
        """A message is known from the first."""
        said = {"id": self.id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        self._announce(said)
        if self._start.initial_content:
            self._text(0, self._start.initial_content)

    def grow(self, delta: ItemDelta) -> None:
        """Text, a refusal, or what belongs to text."""
        part = delta.part or 0
        match delta.channel:
            case None:
                self._text(part, delta.delta_content)
            case "refusal":
                place = self._place(part, is_refusal=True)
                self._texts[place].append(delta.delta_content)
                self._say("response.refusal.delta", content_index=place, delta=delta.delta_content)
            case "annotation":
                self._annotate(part, _json(delta.delta_content))
            case "logprobs":
                place, logprobs = self._place(part), _json(delta.delta_content)
                self._logprobs[place].extend(logprobs)
                self._say("response.output_text.delta", content_index=place, delta="", logprobs=logprobs)
            case _:
                pass  # an image: the API's messages have none

    def _text(self, part: int, text: str) -> None:
        place = self._place(part)
        self._texts[place].append(text)
        self._emit(  # as `_say` does, for nearly every frame is one of these
            "response.output_text.delta",
            {"item_id": self.id, "output_index": self.index, "content_index": place, "delta": text, "logprobs": []},
        )

    def _annotate(self, part: int, annotation: Json) -> None:
        place = self._place(part)
        known = self._annotations[place]
        self._say(
            "response.output_text.annotation.added",
            content_index=place,
            annotation_index=len(known),
            annotation=annotation,
        )
        known.append(annotation)

    def _place(self, part: int, *, is_refusal: bool = False) -> int:
        place = self._places.get((part, is_refusal))
        if place is None:
            place = self._places[part, is_refusal] = len(self._texts)
            self._texts.append([])
            self._annotations.append([])
            self._logprobs.append([])
            if is_refusal:
                self._refusals.add(place)
            empty = refusal_part("") if is_refusal else text_part("")
            self._say("response.content_part.added", content_index=place, part=empty)
        return place

    def _so_far(self) -> OutputItem:
        parts: list[Part] = []
        for place, texts in enumerate(self._texts):
            text = "".join(texts)
            annotations, logprobs = self._annotations[place] or None, self._logprobs[place] or None
            is_refusal = place in self._refusals
            part = (
                RefusalPart(refusal=text)
                if is_refusal
                else TextPart(text=text, annotations=annotations, logprobs=logprobs)
            )
            parts.append(part)
        return MessageItem(id=self._start.item_id, content="", parts=parts)

    def _settle(self, final: OutputItem) -> None:
        if not isinstance(final, MessageItem):
            return
        parts = final.parts if final.parts is not None else [TextPart(text=final.content)]
        for number, part in enumerate(parts):
            if isinstance(part, TextPart):
                place = self._place(number)
                rest = _rest(part.text, self._texts[place])
                if rest:
                    self._text(number, rest)
                for annotation in (part.annotations or [])[len(self._annotations[place]) :]:
                    self._annotate(number, annotation)
                self._end(place, text_part(part.text, part.annotations, part.logprobs))
            elif isinstance(part, RefusalPart):
                place = self._place(number, is_refusal=True)
                self._end(place, refusal_part(part.refusal))

    def _end(self, place: int, part: Json) -> None:
        if place in self._refusals:
            self._say("response.refusal.done", content_index=place, refusal=part.get("refusal", ""))
        else:
            text, logprobs = part.get("text", ""), part.get("logprobs", [])
            self._say("response.output_text.done", content_index=place, text=text, logprobs=logprobs)
        self._say("response.content_part.done", content_index=place, part=part)


class Reasoning(Growing):
    """Reasoning: parts of a summary, or the model's own text. Deltas with a part are a summary's.

    A summary's parts are told apart by their number; a delta without one is a blank line between them, or own text
    where there is no summary (adapters/growing.py). Own text beside a summary is no part of the final item: not told.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._summaries: list[list[str]] = []
        self._own: list[str] | None = None

    def begin(self) -> None:
        """Reasoning is known from the first."""
        said = {"id": self.id, "type": "reasoning", "status": "in_progress", "summary": [], "content": []}
        self._announce(said)
        if self._start.initial_content:
            self._text(self._start.initial_content)

    def grow(self, delta: ItemDelta) -> None:
        """A piece of a summary, or of own text."""
        if delta.channel is not None:
            return
        if delta.part is not None:
            self._summary(delta.part, delta.delta_content)
        elif not self._summaries:
            self._text(delta.delta_content)

    def _summary(self, part: int, text: str) -> None:
        while len(self._summaries) <= part:
            self._end_summary()
            self._summaries.append([])
            place = len(self._summaries) - 1
            self._say("response.reasoning_summary_part.added", summary_index=place, part=summary_part(""))
        if text and part == len(self._summaries) - 1:  # an earlier part has ended
            self._summaries[part].append(text)
            self._say("response.reasoning_summary_text.delta", summary_index=part, delta=text)

    def _end_summary(self) -> None:
        if self._summaries:
            place = len(self._summaries) - 1
            text = "".join(self._summaries[place])
            self._say("response.reasoning_summary_text.done", summary_index=place, text=text)
            self._say("response.reasoning_summary_part.done", summary_index=place, part=summary_part(text))

    def _text(self, text: str) -> None:
        if self._own is None:
            self._own = []
            self._say("response.content_part.added", content_index=0, part=reasoning_part(""))
        self._own.append(text)
        self._say(self._name("delta"), content_index=0, delta=text)

    def _name(self, what: str) -> str:
        """Where OpenAI and Open Responses differ."""
        return f"response.reasoning.{what}" if self._form.open_responses else f"response.reasoning_text.{what}"

    def _so_far(self) -> OutputItem:
        summaries = ["".join(texts) for texts in self._summaries]
        return ReasoningItem(id=self._start.item_id, content="".join(self._own or ()), summary_parts=summaries or None)

    def _settle(self, final: OutputItem) -> None:
        if not isinstance(final, ReasoningItem):
            return
        for part, text in enumerate(final.summary_parts or ()):
            sent = self._summaries[part] if part < len(self._summaries) else []
            self._summary(part, _rest(text, sent))
        self._end_summary()
        if not final.summary_parts and final.content:
            rest = _rest(final.content, self._own or ())
            if rest:
                self._text(rest)
        if self._own is not None:
            text = "".join(self._own)
            self._say(self._name("done"), content_index=0, text=text)
            self._say("response.content_part.done", content_index=0, part=reasoning_part(text))


class Call(Growing):
    """A call. It is announced when its name and its `call_id` are known.

    A custom tool's input is told when it is whole: some wires carry it in a wrapping that only the final item lacks.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._sent: list[str] = []

    def begin(self) -> None:
        """A call without a name or a `call_id` waits for its end."""
        name, call_id = self._start.name, self._start.call_id
        if name and call_id and self._form.allows(name):
            self._announce(self._empty(name, call_id, is_custom=self._start.kind == "custom"))
            if self._start.arguments:
                self._arguments(self._start.arguments)

    def _empty(self, name: str, call_id: str, *, is_custom: bool) -> Json:
        return {
            "id": self.id,
            "type": call_type(is_custom),
            "status": "in_progress",
            "call_id": call_id,
            "name": name,
            "input" if is_custom else "arguments": "",
        }

    def grow(self, delta: ItemDelta) -> None:
        """A piece of the arguments."""
        if self.index is not None and delta.channel is None:
            self._arguments(delta.delta_content)

    def _arguments(self, text: str) -> None:
        if self._start.kind != "custom":
            self._sent.append(text)
            self._say("response.function_call_arguments.delta", delta=text)

    def _so_far(self) -> OutputItem:
        start = self._start
        return FunctionCallItem(
            id=start.item_id,
            name=start.name or "",
            arguments="".join(self._sent),
            call_id=start.call_id or "",
            kind=start.kind,
        )

    def finish(self, final: OutputItem, status: ItemStatus = "completed") -> Json | None:
        """As any item, but not of a tool that is not allowed. A call keeps the type that it was announced with."""
        if isinstance(final, FunctionCallItem):
            if not self._form.allows(final.name):
                return None
            if self.index is not None:
                final = replace(final, kind=self._start.kind)
        return super().finish(final, status)

    def _settle(self, final: OutputItem) -> None:
        if not isinstance(final, FunctionCallItem):
            return
        is_custom = final.kind == "custom"
        self._announce(self._empty(final.name, final.call_id, is_custom=is_custom))
        if is_custom:
            if final.arguments:
                self._say("response.custom_tool_call_input.delta", delta=final.arguments)
            self._say("response.custom_tool_call_input.done", input=final.arguments)
            return
        rest = _rest(final.arguments, self._sent)
        if rest:
            self._say("response.function_call_arguments.delta", delta=rest)
        self._say("response.function_call_arguments.done", name=final.name, arguments=final.arguments)


class Other(Growing):
    """An item that is told when it is whole, or not at all."""

    def begin(self) -> None:
        """Not yet."""

    def grow(self, delta: ItemDelta) -> None:
        """Not yet."""

    def _so_far(self) -> OutputItem:
        return CancelledItem(id=self._start.item_id)

    def _settle(self, final: OutputItem) -> None:
        pass


KINDS: dict[str, type[Growing]] = {"message": Message, "reasoning": Reasoning, "function_call": Call}


def _rest(whole: str, sent: Sequence[str]) -> str:
    """What is missing of the whole; nothing where the deltas said something else (the final item decides)."""
    so_far = "".join(sent)
    return whole[len(so_far) :] if whole.startswith(so_far) else ""


def _json(text: str) -> Any:
    try:
        return codec.decode_any(text)
    except InvalidJson:
        return {}
