"""What Anthropic's Messages API answers (https://platform.claude.com/docs/en/build-with-claude/streaming).

A content block is an item: text a message, thinking a reasoning, `tool_use` a function call, and every other type a
provider item, whole. Blocks are known by their index.
"""

from collections.abc import Callable

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.collect import OpenItem
from tailrace.adapters.counts import Counts, anthropic_counts
from tailrace.adapters.errors import stream_error
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
from tailrace.schema.items import ItemType, Opaque, ProviderItem
from tailrace.schema.response import FinishReason

_KINDS: dict[str, ItemType] = {
    "text": "message",
    "thinking": "reasoning",
    "redacted_thinking": "reasoning",
    "tool_use": "function_call",
}

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "pause",
    "refusal": "refusal",
}

# The type of block that a delta belongs to, for one whose block never began.
_DELTA_BLOCKS = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
}

_MESSAGE_KNOWN = frozenset({"id", "type", "role", "content", "model", "stop_reason", "usage"})
_END_KNOWN = frozenset({"type", "usage", "delta"})


class _Block:
    """A content block: how it began and what it has grown to. One of the last four is set, by its type."""

    def __init__(self, data: Json, item: OpenItem) -> None:
        self.data = dict(data)
        self.type = text_in(data, "type")
        self.item = item
        self.kind: ItemType = _KINDS.get(self.type, "provider_item")
        self.has_stopped = False
        self.signature = text_in(data, "signature")
        self.message = GrowingMessage(item) if self.kind == "message" else None
        self.reasoning = GrowingReasoning(item) if self.kind == "reasoning" else None
        self.call: GrowingCall | None = None
        if self.kind == "function_call":
            self.call = GrowingCall(item, name=text_in(data, "name"), call_id=text_in(data, "id"))


class MessagesDecoder(StreamDecoder):
    """Decodes anthropic-messages (adapters/base.py Decoder)."""

    ANSWER = ("content",)

    def __init__(self, context: DecodeContext) -> None:
        super().__init__(context)
        self._blocks: list[_Block] = []  # in the order in which they began
        self._by_index: dict[int, _Block] = {}
        self._stop_reason = ""
        self._usage: Json = {}

    def _event(self, event: Json) -> None:
        handler = _EVENTS.get(text_in(event, "type"))
        if handler is not None:
            handler(self, event)
        elif event.get("error"):
            self._on_error(event)
        elif event.get("type") != "ping":
            self._late(event)

    def _answer(self, answer: Json) -> None:
        self._begin(answer)
        for index, block in enumerate(dicts_in(answer, "content")):
            self._on_block_start({"index": index, "content_block": block})
            self._on_block_stop({"index": index})
        self._stop_reason = text_in(answer, "stop_reason")
        self._on_message_stop(answer)

    def _counts(self) -> Counts:
        return anthropic_counts(self._usage)

    def _late(self, event: Json) -> None:
        """An event that nobody knows, or that comes for no open block: kept, and changes nothing (C36)."""
        self._collector.event(text_in(event, "type") or "event", event)

    # --- the message ---------------------------------------------------------------------------------------------

    def _on_message_start(self, event: Json) -> None:
        """The message begins; once more, where a gateway that lost its provider has asked again: then what was open
        will never be whole, and indexes begin anew."""
        for block in self._open_blocks():
            block.item.cancel("interrupted")
        self._by_index.clear()
        self._begin(dict_in(event, "message"))
        self._tell_usage(self._counts())

    def _begin(self, message: Json) -> None:
        self._response_id = text_in(message, "id")
        self._model_id = text_in(message, "model")
        self._count(dict_in(message, "usage"))
        self._collector.note(unknown_news(message, _MESSAGE_KNOWN))

    def _on_message_delta(self, event: Json) -> None:
        delta = dict_in(event, "delta")
        self._stop_reason = text_in(delta, "stop_reason") or self._stop_reason
        self._count(dict_in(event, "usage"))
        self._collector.note(unknown_news(delta, frozenset({"stop_reason"})))
        self._collector.note(unknown_news(event, _END_KNOWN))

    def _count(self, usage: Json) -> None:
        """Counts are cumulative; one that a later event leaves out stays as it was (A8)."""
        self._usage = {**self._usage, **{key: value for key, value in usage.items() if value is not None}}

    def _on_message_stop(self, _event: Json) -> None:
        reason = _REASONS.get(self._stop_reason)
        if reason is None and self._stop_reason:
            self._collector.note({"stop_reason": self._stop_reason})
        for block in self._open_blocks():
            self._settle(block, reason or "stop")
        self._finish(reason or "stop")

    def _on_error(self, event: Json) -> None:
        self._fail(stream_error(event))

    # --- blocks --------------------------------------------------------------------------------------------------

    def _open_blocks(self) -> list[_Block]:
        return [block for block in self._blocks if block.item.is_open]

    def _block(self, event: Json) -> _Block | None:
        index = index_in(event, "index")
        return self._by_index.get(index) if index is not None else None

    def _on_block_start(self, event: Json) -> None:
        index = index_in(event, "index")
        if index is None:
            self._late(event)
            return
        data = dict_in(event, "content_block")
        kind = _KINDS.get(text_in(data, "type"), "provider_item")
        is_call = kind == "function_call"
        item = self._collector.start(
            kind,
            text_in(data, "id"),
            name=text_in(data, "name") or None if is_call else None,
            call_id=text_in(data, "id") if is_call else None,
            provider_type=text_in(data, "type") if kind == "provider_item" else None,
        )
        block = self._by_index[index] = _Block(data, item)
        self._blocks.append(block)
        if block.message is not None:
            block.message.text(0, text_in(data, "text"))
            for citation in dicts_in(data, "citations"):
                block.message.annotation(0, citation)
        elif block.reasoning is not None:
            block.reasoning.text(0, text_in(data, "thinking"))

    def _on_delta(self, event: Json) -> None:
        delta = dict_in(event, "delta")
        delta_type = text_in(delta, "type")
        block = self._block(event)
        if block is None and delta_type in _DELTA_BLOCKS:
            block_type = _DELTA_BLOCKS[delta_type]
            self._on_block_start({"index": event.get("index"), "content_block": {"type": block_type}})
            block = self._block(event)
        take = _DELTAS.get(delta_type)
        if block is None or take is None or block.has_stopped or not take(block, delta):
            if delta_type == "input_json_delta":
                self._collector.blanks.take(block.item.id if block else "", text_in(delta, "partial_json"))
            self._late(event)

    def _on_block_stop(self, event: Json) -> None:
        block = self._block(event)
        if block is None or block.has_stopped:
            self._late(event)
            return
        block.has_stopped = True
        # Input that is no JSON may have been cut: the stop reason will tell.
        if block.kind in {"message", "reasoning"} or is_json(_input(block)):
            self._complete(block)

    def _settle(self, block: _Block, reason: FinishReason) -> None:
        """End a block that is open at the end of the message. What was cut may be shown, never run (C19)."""
        has_ended_well = reason in {"stop", "tool_calls"}
        if block.kind in {"message", "reasoning"} or (has_ended_well and (block.has_stopped or is_json(_input(block)))):
            self._complete(block)
        else:
            block.item.cancel("incomplete" if has_ended_well else reason)

    def _complete(self, block: _Block) -> None:
        if block.message is not None:
            block.message.done()
        elif block.reasoning is not None:
            block.reasoning.done(opaque=self._opaque(block))
        elif block.call is not None:
            block.call.done(_input(block), opaque=self._caller(block))
        else:
            block.item.done(
                ProviderItem(
                    id=block.item.id,
                    provider_type=block.type,
                    data=_whole(block),
                    text=block.item.sent() or None,
                    correlation_id=block.item.correlation_id,
                )
            )

    def _opaque(self, block: _Block) -> Opaque | None:
        if block.type == "redacted_thinking":
            return self._collector.opaque("redacted_thinking", block.data.get("data"))
        return self._collector.opaque("signature", block.signature)

    def _caller(self, block: _Block) -> Opaque | None:
        """Who called, where that is not the model itself but a program of its: it must go back with the call."""
        caller = dict_in(block.data, "caller")
        return self._collector.opaque("caller", caller) if caller.get("type", "direct") != "direct" else None


def _input(block: _Block) -> str:
    """The input's JSON text: as its deltas have it, or as the block began; "" where it may not have come yet."""
    sent = block.item.sent("input") if block.call is None else block.call.sent
    if sent:
        return sent
    given = block.data.get("input")
    if block.kind == "provider_item" and not is_news(given):
        return "{}"  # most provider's blocks have no input at all
    return as_text(given) if is_news(given) else ""


def _whole(block: _Block) -> Json:
    """A provider's block with what its deltas brought."""
    text, sent = block.item.sent(), block.item.sent("input")
    whole = {**block.data, "content": text} if text else block.data
    if not sent:
        return whole
    return {**whole, "input": codec.decode_any(sent) if is_json(sent) else sent}


# --- deltas: True where the block can take them -----------------------------------------------------------------


def _text(block: _Block, delta: Json) -> bool:
    if block.message is None:
        return False
    block.message.text(0, text_in(delta, "text"))
    return True


def _citation(block: _Block, delta: Json) -> bool:
    if block.message is None:
        return False
    block.message.annotation(0, dict_in(delta, "citation"))
    return True


def _thinking(block: _Block, delta: Json) -> bool:
    if block.reasoning is None:
        return False
    block.reasoning.text(0, text_in(delta, "thinking"))
    return True


def _signature(block: _Block, delta: Json) -> bool:
    block.signature = text_in(delta, "signature") or block.signature
    return block.reasoning is not None


def _partial_input(block: _Block, delta: Json) -> bool:
    text = text_in(delta, "partial_json")
    if block.call is not None:
        block.call.arguments(text)
    elif block.kind == "provider_item":
        block.item.grow(text, "input")
    else:
        return False
    return True


def _compaction(block: _Block, delta: Json) -> bool:
    if block.kind != "provider_item":
        return False
    block.item.grow(text_in(delta, "content"))
    block.data.update(unknown_news(delta, frozenset({"type", "content"})))
    return True


_DELTAS: dict[str, Callable[[_Block, Json], bool]] = {
    "text_delta": _text,
    "citations_delta": _citation,
    "thinking_delta": _thinking,
    "signature_delta": _signature,
    "input_json_delta": _partial_input,
    "compaction_delta": _compaction,
}

_EVENTS: dict[str, Callable[[MessagesDecoder, Json], None]] = {
    "message_start": MessagesDecoder._on_message_start,
    "content_block_start": MessagesDecoder._on_block_start,
    "content_block_delta": MessagesDecoder._on_delta,
    "content_block_stop": MessagesDecoder._on_block_stop,
    "message_delta": MessagesDecoder._on_message_delta,
    "message_stop": MessagesDecoder._on_message_stop,
    "error": MessagesDecoder._on_error,
}
