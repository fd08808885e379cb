"""What Bedrock's Converse answers (https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-call.html).

Content blocks are known by their index; only those that need more than their first delta tells have a beginning of
their own. Reasoning is an item, a `toolUse` a function call, and what the provider did itself (a `toolUse` with a type,
its `toolResult`, an image, …) a provider item, whole, as it stands in a message. Blocks of text that follow one another
are parts of one message. A citation belongs to the text in its block, or, where there is none, to that before it.

The counts come last, behind the reason to stop.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.collect import OpenItem
from tailrace.adapters.counts import Counts, bedrock_counts
from tailrace.adapters.errors import stream_error
from tailrace.adapters.framing import EVENT_STREAM
from tailrace.adapters.growing import GrowingCall, GrowingMessage, GrowingReasoning
from tailrace.adapters.reading import (
    Json,
    as_text,
    dict_in,
    dicts_in,
    index_in,
    is_json,
    is_news,
    text_in,
    unknown_news,
)
from tailrace.adapters.stream import StreamDecoder
from tailrace.schema import codec
from tailrace.schema.errors import ProviderError
from tailrace.schema.items import Opaque, ProviderItem
from tailrace.schema.response import FinishReason

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
# "Reasons" that say that the answer broke off.
_BROKEN = frozenset({"malformed_model_output", "malformed_tool_use"})

_PLAIN_USE = frozenset({"", "tool_use"})  # of another type is what the provider itself carries out
_END_KNOWN = frozenset({"stopReason", "usage", "output", "p"})  # `p` is padding


class _Text:
    """A block of text: `key` is its part of the message. Citations wait for the text that they belong to."""

    def __init__(self, message: GrowingMessage, key: int, before: int | None) -> None:
        self.message = message
        self.item = message.item
        self.key = key
        self.before = before  # the part before it, if there is one
        self.has_text = False
        self.waiting: list[Json] = []

    def grow(self, text: str) -> None:
        if text:
            self.has_text = True
            self.message.text(self.key, text)
            self._tell(self.key)

    def cite(self, citation: Json) -> None:
        self.waiting.append(citation)
        if self.has_text:
            self._tell(self.key)

    def stop(self) -> None:
        self._tell(self.key if self.has_text or self.before is None else self.before)

    def _tell(self, key: int) -> None:
        for citation in self.waiting:
            self.message.annotation(key, citation)
        self.waiting = []


class _Thought:
    """A block of reasoning and what is to go back with it unread."""

    def __init__(self, reasoning: GrowingReasoning) -> None:
        self.reasoning = reasoning
        self.item = reasoning.item
        self.signature = ""
        self.redacted: list[str] = []


class _Own:
    """A block of the provider's own: its kind, how it began, and what its deltas brought."""

    def __init__(self, kind: str, data: Json, item: OpenItem) -> None:
        self.kind = kind
        self.data = dict(data)
        self.item = item
        self.more: list[Json] = []

    def whole(self) -> Json:
        """The block as it stands in a message."""
        sent = self.item.sent("input")
        data = {**self.data, **({"input": codec.decode_any(sent) if is_json(sent) else sent} if sent else {})}
        if self.kind == "toolUse":
            data.setdefault("input", {})
        elif self.more:
            data |= {"content": self.more} if self.kind == "toolResult" else _merged(self.more)
        return {self.kind: data}


_Block = _Text | _Thought | GrowingCall | _Own


class ConverseDecoder(StreamDecoder):
    """Decodes bedrock-converse (adapters/base.py Decoder)."""

    ANSWER = ("output",)
    FRAMING = EVENT_STREAM

    def __init__(self, context: DecodeContext) -> None:
        super().__init__(context)
        self._blocks: dict[int, _Block] = {}  # those that have begun and not stopped
        self._stopped: set[int] = set()
        self._cut: list[GrowingCall | _Own] = []  # those that have stopped before their input was whole
        self._message: GrowingMessage | None = None
        self._part: int | None = None  # the last part of it that has text
        self._stop_reason = ""
        self._usage: Json = {}

    def _event(self, event: Json) -> None:
        for name, data in event.items():
            handler = _EVENTS.get(name)
            if handler is None or not isinstance(data, dict):
                self._collector.event(name or "event", data)
            else:
                handler(self, data)

    def _answer(self, answer: Json) -> None:
        for index, block in enumerate(dicts_in(dict_in(dict_in(answer, "output"), "message"), "content")):
            for kind, data in block.items():
                self._whole_block(index, kind, data)
        self._on_message_stop(answer)
        self._on_metadata(answer)

    def _counts(self) -> Counts:
        return bedrock_counts(self._usage)

    # --- the message ---------------------------------------------------------------------------------------------

    def _on_message_start(self, data: Json) -> None:
        """The message begins; once more, where a gateway that lost its provider has asked again: then what is open will
        never be whole, and indexes begin anew."""
        begun = [block.item for block in (*self._blocks.values(), *self._cut)]
        for item in dict.fromkeys(begun if self._message is None else [self._message.item, *begun]):
            item.cancel("interrupted")
        self._blocks.clear()
        self._stopped.clear()
        self._cut.clear()
        self._message = self._part = None
        self._collector.note(unknown_news(data, frozenset({"role", "p"})))

    def _on_message_stop(self, data: Json) -> None:
        self._stop_reason = text_in(data, "stopReason") or "end_turn"
        self.ending = True
        self._collector.note(unknown_news(data, _END_KNOWN))

    def _on_metadata(self, data: Json) -> None:
        self._usage = dict_in(data, "usage")
        self._collector.note(unknown_news(data, _END_KNOWN))
        if self._stop_reason:
            self._settle()

    def _on_error(self, data: Json) -> None:
        self._fail(stream_error({"error": data}))

    def _end(self) -> None:
        """The bytes have ended: well, if the reason to stop has come, though the counts have not."""
        if self._stop_reason:
            self._settle()
        else:
            super()._end()

    def _settle(self) -> None:
        if self._stop_reason in _BROKEN:
            self._fail(ProviderError("server_error", f"the answer broke off: {self._stop_reason}"))
            return
        reason = _REASONS.get(self._stop_reason)
        if reason is None:
            self._collector.note({"stopReason": self._stop_reason})
        self._end_blocks(reason or "stop")
        self._finish(reason or "stop")

    def _end_blocks(self, reason: FinishReason) -> None:
        """End what is open at the end of the message. A call that was cut may be shown, never run (C19)."""
        has_ended_well = reason in {"stop", "tool_calls"}
        stopped = list(self._cut)
        for index in list(self._blocks):
            self._on_block_stop({"contentBlockIndex": index})
        self._end_message()
        for block in self._cut:
            if has_ended_well and block in stopped:
                self._complete(block)
            else:
                block.item.cancel("incomplete" if has_ended_well else reason)

    # --- blocks --------------------------------------------------------------------------------------------------

    def _on_block_start(self, data: Json) -> None:
        index, start = index_in(data, "contentBlockIndex"), dict_in(data, "start")
        kind = next((kind for kind in start if isinstance(start[kind], dict)), "")
        is_free = index not in self._blocks and index not in self._stopped
        if index is not None and kind and is_free:
            self._begin(index, kind, start[kind])
        elif not is_free or index is None or is_news(start):
            self._collector.event("contentBlockStart", data)

    def _begin(self, index: int, kind: str, data: Json) -> None:
        self._end_message()
        if kind == "toolUse" and text_in(data, "type") in _PLAIN_USE:
            name, call_id = text_in(data, "name"), text_in(data, "toolUseId")
            item = self._collector.start("function_call", call_id, name=name or None, call_id=call_id)
            self._blocks[index] = GrowingCall(item, name=name, call_id=call_id)
        else:
            item = self._collector.start("provider_item", provider_type=kind)
            self._blocks[index] = _Own(kind, data, item)

    def _on_delta(self, data: Json) -> None:
        index, delta = index_in(data, "contentBlockIndex"), data.get("delta")
        if index is None or index in self._stopped or not isinstance(delta, dict):
            self._collector.event("contentBlockDelta", data)  # it comes late, or nobody can read it (C36)
            return
        for kind, value in delta.items():
            take = _DELTAS.get(kind, ConverseDecoder._other)
            if not take(self, index, kind, value):
                self._collector.event("contentBlockDelta", data)

    def _on_block_stop(self, data: Json) -> None:
        """A block is whole. One that never began (of empty text) has nothing to say."""
        index = index_in(data, "contentBlockIndex")
        if index is None or index in self._stopped:
            self._collector.event("contentBlockStop", data)
            return
        self._stopped.add(index)
        block = self._blocks.pop(index, None)
        match block:
            case _Text():
                block.stop()
                self._part = block.key if block.has_text else self._part
            case GrowingCall() | _Own() if not _is_whole(block):
                self._cut.append(block)
            case _Thought() | GrowingCall() | _Own():
                self._complete(block)

    def _complete(self, block: _Thought | GrowingCall | _Own) -> None:
        if isinstance(block, _Thought):
            block.reasoning.done(opaque=self._opaque(block))
        elif isinstance(block, GrowingCall):
            block.done()
        else:
            item = block.item
            item.done(ProviderItem(id=item.id, provider_type=block.kind, data=block.whole()))

    def _opaque(self, block: _Thought) -> Opaque | None:
        """Kinds of this wire alone: a signature by the word of the Messages API would be taken for one of that."""
        if block.redacted:
            return self._collector.opaque("redacted_content", _joined(block.redacted))
        return self._collector.opaque("reasoning_signature", block.signature)

    def _end_message(self) -> None:
        """What comes now is no text: the message is whole, unless a block of it has not stopped."""
        if self._message is not None and not any(isinstance(block, _Text) for block in self._blocks.values()):
            self._message.done()
            self._message = self._part = None

    def _visible(self, index: int) -> _Text | None:
        block = self._blocks.get(index)
        if block is None:
            if self._message is None:
                self._message = GrowingMessage(self._collector.start("message"))
            block = self._blocks[index] = _Text(self._message, index, self._part)
        return block if isinstance(block, _Text) else None

    # --- deltas: True where the block can take them --------------------------------------------------------------

    def _text(self, index: int, _kind: str, value: object) -> bool:
        if value == "":
            return True
        block = self._visible(index) if isinstance(value, str) else None
        if block is None:
            return False
        block.grow(str(value))
        return True

    def _citation(self, index: int, _kind: str, value: object) -> bool:
        block = self._visible(index) if isinstance(value, dict) else None
        if block is None or not isinstance(value, dict):
            return False
        block.cite(value)
        return True

    def _reasoning(self, index: int, _kind: str, value: object) -> bool:
        block = self._blocks.get(index)
        if block is None and isinstance(value, dict):
            self._end_message()
            block = self._blocks[index] = _Thought(GrowingReasoning(self._collector.start("reasoning")))
        if not isinstance(block, _Thought) or not isinstance(value, dict):
            return False
        block.reasoning.text(0, text_in(value, "text"))
        block.signature += text_in(value, "signature")
        if text_in(value, "redactedContent"):
            block.redacted.append(text_in(value, "redactedContent"))
        return not unknown_news(value, frozenset({"text", "signature", "redactedContent"}))

    def _input(self, index: int, _kind: str, value: object) -> bool:
        block = self._blocks.get(index)
        text = text_in(value, "input") if isinstance(value, dict) else ""
        if isinstance(block, GrowingCall):
            block.arguments(text)
        elif isinstance(block, _Own) and block.kind == "toolUse":
            block.item.grow(text, "input")
        else:
            return False
        return True

    def _other(self, index: int, kind: str, value: object) -> bool:
        """A delta of a block of the provider's own, which may be its first sign."""
        if index not in self._blocks:
            self._begin(index, kind, {})
        block = self._blocks[index]
        if not isinstance(block, _Own) or block.kind != kind:
            return False
        block.more += [piece for piece in (value if isinstance(value, list) else [value]) if isinstance(piece, dict)]
        return True

    # --- a whole answer ------------------------------------------------------------------------------------------

    def _whole_block(self, index: int, kind: str, data: object) -> None:
        """A block of a non-streaming answer, as its deltas would have brought it."""
        if kind == "text":
            self._text(index, kind, data)
        elif not isinstance(data, dict):
            self._collector.event(kind, data)
        elif kind == "reasoningContent":
            self._reasoning(index, kind, {**dict_in(data, "reasoningText"), **data, "reasoningText": None})
        elif kind == "citationsContent":
            for citation in dicts_in(data, "citations"):
                self._citation(index, "citation", citation)
            self._text(index, "text", "".join(text_in(piece, "text") for piece in dicts_in(data, "content")))
        elif kind == "toolUse":
            self._begin(index, kind, unknown_news(data, frozenset({"input"})))
            self._input(index, kind, {"input": as_text(data.get("input")) if is_news(data.get("input")) else ""})
        else:
            self._begin(index, kind, data)
        if index in self._blocks:
            self._on_block_stop({"contentBlockIndex": index})


def _is_whole(block: GrowingCall | _Own) -> bool:
    """Is the input, where it has one, a whole JSON text?"""
    return (
        block.is_whole
        if isinstance(block, GrowingCall)
        else block.kind != "toolUse" or is_json(block.item.sent("input"))
    )


def _merged(pieces: list[Json]) -> Json:
    """What several deltas of a block say, if they say different things; else all of them."""
    merged: Json = {}
    for piece in pieces:
        if merged.keys() & piece.keys():
            return {"deltas": pieces}
        merged |= piece
    return merged


def _joined(pieces: list[str]) -> str:
    """Base64 in pieces as one; byte for byte as it came where it came in one."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return b64encode(b"".join(b64decode(piece, validate=True) for piece in pieces)).decode()
    except ValueError:
        return "".join(pieces)


_Take = Callable[[ConverseDecoder, int, str, object], bool]
_DELTAS: dict[str, _Take] = {
    "text": ConverseDecoder._text,
    "citation": ConverseDecoder._citation,
    "reasoningContent": ConverseDecoder._reasoning,
    "toolUse": ConverseDecoder._input,
}

_EVENTS: dict[str, Callable[[ConverseDecoder, Json], None]] = {
    "messageStart": ConverseDecoder._on_message_start,
    "contentBlockStart": ConverseDecoder._on_block_start,
    "contentBlockDelta": ConverseDecoder._on_delta,
    "contentBlockStop": ConverseDecoder._on_block_stop,
    "messageStop": ConverseDecoder._on_message_stop,
    "metadata": ConverseDecoder._on_metadata,
    "error": ConverseDecoder._on_error,
}
