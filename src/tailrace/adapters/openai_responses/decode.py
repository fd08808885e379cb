"""What OpenAI's Responses API answers (https://platform.openai.com/docs/api-reference/responses-streaming), and those
who copy it.

An item is known by its place in the output and by its id; gateways lose or rewrite either. `response.output_item.done`
is authoritative for an item; one that is seen there only, or in the final response only, is published too (C20).
"""

from collections.abc import Callable
from typing import Any

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.collect import OpenItem
from tailrace.adapters.counts import Counts, openai_counts
from tailrace.adapters.errors import http_error, stream_error
from tailrace.adapters.growing import GrowingCall, GrowingMessage, GrowingReasoning
from tailrace.adapters.reading import (
    Json,
    as_text,
    count_in,
    dict_in,
    dicts_in,
    index_in,
    list_in,
    text_in,
    unknown_news,
)
from tailrace.adapters.stream import StreamDecoder
from tailrace.schema import codec
from tailrace.schema.errors import ProviderError
from tailrace.schema.items import ItemType, Part, ProviderItem, RefusalPart, TextPart
from tailrace.schema.response import FinishReason

_KINDS: dict[str, ItemType] = {
    "message": "message",
    "reasoning": "reasoning",
    "function_call": "function_call",
    "custom_tool_call": "function_call",
}

_INCOMPLETE: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}

# Fields of the response object that are read elsewhere, or that only repeat the request.
_KNOWN = frozenset(
    {
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "error",
        "incomplete_details",
        "model",
        "output",
        "output_text",
        "usage",
        "background",
        "conversation",
        "frequency_penalty",
        "include",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "parallel_tool_calls",
        "presence_penalty",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "store",
        "stream",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)


class _Slot:
    """An item of the output: where it stands, and what it has grown to. One of the last four is set, by its kind."""

    def __init__(self, wire_id: str, announced: Json, item: OpenItem) -> None:
        self.wire_id = wire_id
        self.announced = announced
        self.item = item
        self.kind: ItemType = _KINDS.get(text_in(announced, "type"), "provider_item")
        self.is_cut = False  # the provider says so itself
        self.message: GrowingMessage | None = None
        self.reasoning: GrowingReasoning | None = None
        self.call: GrowingCall | None = None
        if self.kind == "message":
            self.message = GrowingMessage(item)
        elif self.kind == "reasoning":
            self.reasoning = GrowingReasoning(item)
        elif self.kind == "function_call":
            self.call = GrowingCall(
                item,
                name=text_in(announced, "name"),
                call_id=text_in(announced, "call_id"),
                is_custom=text_in(announced, "type") == "custom_tool_call",
            )


class ResponsesDecoder(StreamDecoder):
    """Decodes openai-responses (adapters/base.py Decoder)."""

    ANSWER = ("output",)

    def __init__(self, context: DecodeContext) -> None:
        super().__init__(context)
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}
        self._by_id: dict[str, _Slot] = {}
        self._usage: Json = {}

    def _event(self, event: Json) -> None:
        name = event.get("type")
        if not isinstance(name, str):
            name = ""
        handler = _EVENTS.get(name)
        if handler is not None:
            handler(self, event)
        elif name in _QUIET:
            return
        elif not name and event.get("error"):
            self._on_error(event)
        else:
            self._collector.event(name or "event", event)

    def _answer(self, answer: Json) -> None:
        status = text_in(answer, "status")
        if status in {"queued", "in_progress"}:
            self._fail(ProviderError("protocol_error", f"the answer is not an end: its status is {status}"))
        else:
            self._on_terminal({"response": answer})

    def _counts(self) -> Counts:
        return openai_counts(self._usage, "input_tokens", "output_tokens")

    # --- which item ----------------------------------------------------------------------------------------------

    def _known(self, wire_id: str, index: int | None) -> _Slot | None:
        """The item with this id, or in this place; where they differ, the id holds."""
        by_id = self._by_id.get(wire_id)
        by_index = self._by_index.get(index) if index is not None else None
        if by_index is not None and (by_id is None or by_index.wire_id == wire_id):
            return by_index
        return by_id

    def _growing(self, event: Json, wire_type: str) -> _Slot | None:
        """The open item of this type that a delta belongs to; None where it is late, or fits no such item.

        A delta whose item was never announced announces it; one that names nothing belongs to the newest.
        """
        index = event.get("output_index")
        slot = self._by_index.get(index) if type(index) is int else None
        if slot is None or slot.wire_id != event.get("item_id"):  # else both say the same, as they should
            slot = self._sought(text_in(event, "item_id"), index_in(event, "output_index"), wire_type)
        kind = _KINDS.get(wire_type, "provider_item")
        return slot if slot is not None and slot.item.is_open and slot.kind == kind else None

    def _sought(self, wire_id: str, index: int | None, wire_type: str) -> _Slot | None:
        kind = _KINDS.get(wire_type, "provider_item")
        slot = self._known(wire_id, index)
        if slot is None and index is None:
            slot = next((slot for slot in reversed(self._slots) if slot.item.is_open and slot.kind == kind), None)
        if slot is None and kind != "provider_item":
            slot = self._announce({"type": wire_type, "id": wire_id}, index)
        return slot

    def _announce(self, item: Json, index: int | None) -> _Slot:
        wire_type, wire_id = text_in(item, "type"), text_in(item, "id")
        kind = _KINDS.get(wire_type, "provider_item")
        opened = self._collector.start(
            kind,
            wire_id,
            name=text_in(item, "name") or None if kind == "function_call" else None,
            call_id=text_in(item, "call_id") or None if kind == "function_call" else None,
            provider_type=wire_type if kind == "provider_item" else None,
            is_custom=wire_type == "custom_tool_call",
        )
        slot = _Slot(wire_id, item, opened)
        self._by_index[len(self._slots) if index is None else index] = slot
        self._slots.append(slot)
        if wire_id:
            self._by_id[wire_id] = slot
        return slot

    # --- items ---------------------------------------------------------------------------------------------------

    def _on_begin(self, event: Json) -> None:
        response = dict_in(event, "response")
        self._response_id = text_in(response, "id") or self._response_id
        self._model_id = text_in(response, "model") or self._model_id
        self._usage = dict_in(response, "usage") or self._usage

    def _on_added(self, event: Json) -> None:
        item, index = dict_in(event, "item"), index_in(event, "output_index")
        wire_id = text_in(item, "id")
        known = self._known(wire_id, index)
        if known is None or not wire_id or known.wire_id != wire_id:  # otherwise a repetition
            self._announce(item, index)

    def _on_done(self, event: Json) -> None:
        item, index = dict_in(event, "item"), index_in(event, "output_index")
        kind = _KINDS.get(text_in(item, "type"), "provider_item")
        slot = self._known(text_in(item, "id"), index)
        if slot is None and index is None:
            slot = next((slot for slot in self._slots if slot.item.is_open and slot.kind == kind), None)
        is_another = slot is not None and not slot.item.is_open and text_in(item, "id") not in {"", slot.wire_id}
        if slot is None or slot.kind != kind or is_another:
            slot = self._announce(item, index)
        if slot.item.is_open:
            self._complete(slot, item)
        else:
            self._late(event)

    def _late(self, event: Json) -> None:
        """An event of an item that has ended, or of none that there is: kept, and changes nothing (C36)."""
        self._collector.event(text_in(event, "type"), event)

    def _complete(self, slot: _Slot, item: Json) -> None:
        """The item as its provider finally has it. A call that was cut stays open until the reason is known."""
        if slot.message is not None:
            slot.message.done(self._parts(item) or None, text_in(item, "phase") or None)
        elif slot.reasoning is not None:
            slot.reasoning.done(
                _texts(item, "summary"),
                _texts(item, "content"),
                self._collector.opaque("encrypted_content", item.get("encrypted_content")),
            )
        elif slot.call is not None:
            self._complete_call(slot, slot.call, item)
        else:
            slot.item.done(
                ProviderItem(
                    id=slot.item.id,
                    provider_type=text_in(slot.announced, "type"),
                    data=item,
                    correlation_id=slot.item.correlation_id,
                )
            )

    def _complete_call(self, slot: _Slot, call: GrowingCall, item: Json) -> None:
        call.name = text_in(item, "name") or call.name
        call.call_id = text_in(item, "call_id") or call.call_id
        arguments = as_text(item.get("input" if call.is_custom else "arguments"))
        if item.get("status") == "incomplete" or not call.name:
            call.item.catch_up(arguments)
            slot.is_cut = True
            return
        call.done(
            arguments,
            namespace=text_in(item, "namespace") or None,
            # Who called: a program of the model's, say. It must go back with the call.
            opaque=self._collector.opaque("caller", item.get("caller")),
        )

    def _parts(self, item: Json) -> list[Part]:
        parts: list[Part] = []
        for part in dicts_in(item, "content"):
            if part.get("type") == "refusal":
                parts.append(RefusalPart(refusal=text_in(part, "refusal")))
            elif isinstance(part.get("text"), str):
                annotations, logprobs = dicts_in(part, "annotations"), list_in(part, "logprobs")
                parts.append(TextPart(text=part["text"], annotations=annotations or None, logprobs=logprobs or None))
            else:
                self._collector.event("content_part", part)
        return parts

    # --- deltas --------------------------------------------------------------------------------------------------

    def _on_text(self, event: Json) -> None:
        slot = self._growing(event, "message")
        if slot is None or slot.message is None:
            self._late(event)
            return
        key = event.get("content_index")
        key = key if type(key) is int else 0
        if "delta" not in event:
            slot.message.text(key, _rest(event, "text", slot.message.sent(key)))
            return
        delta, logprobs = event["delta"], event.get("logprobs")
        if isinstance(delta, str):
            slot.message.text(key, delta)
        if logprobs and isinstance(logprobs, list):
            slot.message.logprobs(key, logprobs)

    def _on_refusal(self, event: Json) -> None:
        slot = self._growing(event, "message")
        if slot is None or slot.message is None:
            self._late(event)
            return
        key = index_in(event, "content_index") or 0
        slot.message.refusal(key, text_in(event, "delta"))
        if "delta" not in event:
            slot.message.refusal(key, _rest(event, "refusal", slot.message.sent(key)))

    def _on_annotation(self, event: Json) -> None:
        slot = self._growing(event, "message")
        if slot is None or slot.message is None:
            self._late(event)
        else:
            slot.message.annotation(index_in(event, "content_index") or 0, dict_in(event, "annotation"))

    def _on_summary(self, event: Json) -> None:
        slot = self._growing(event, "reasoning")
        if slot is None or slot.reasoning is None:
            self._late(event)
            return
        key = index_in(event, "summary_index") or 0
        slot.reasoning.summary(key, text_in(event, "delta"))
        if "delta" not in event:
            slot.reasoning.summary(key, _rest(event, "text", slot.reasoning.sent(key, of_summary=True)))

    def _on_reasoning(self, event: Json) -> None:
        slot = self._growing(event, "reasoning")
        if slot is None or slot.reasoning is None:
            self._late(event)
            return
        key = index_in(event, "content_index") or 0
        slot.reasoning.text(key, text_in(event, "delta"))
        if "delta" not in event:
            slot.reasoning.text(key, _rest(event, "text", slot.reasoning.sent(key, of_summary=False)))

    def _on_arguments(self, event: Json) -> None:
        wire_type = "custom_tool_call" if "custom" in text_in(event, "type") else "function_call"
        slot = self._growing(event, wire_type)
        if slot is None or slot.call is None:
            self._collector.blanks.take(text_in(event, "item_id"), text_in(event, "delta"))
            self._late(event)
        elif "delta" in event:
            slot.call.arguments(text_in(event, "delta"))
        else:
            slot.item.catch_up(as_text(event.get("input" if slot.call.is_custom else "arguments")))

    def _on_input(self, event: Json) -> None:
        """A provider's own tool is given its input (a program, a command, a patch), piece by piece."""
        slot = self._growing(event, "")
        if slot is None or not text_in(event, "delta"):
            self._late(event)
        else:
            slot.item.grow(text_in(event, "delta"), "input", index_in(event, "command_index") or None)

    # --- the end -------------------------------------------------------------------------------------------------

    def _on_error(self, event: Json) -> None:
        """Over a WebSocket an error says the status that it would have over HTTP, and may say the headers."""
        status = count_in(event, "status")
        if status is None:
            self._fail(stream_error(event))
            return
        headers = {name: str(value) for name, value in dict_in(event, "headers").items()}
        self._fail(http_error(status, headers, codec.encode(event)))

    def _on_terminal(self, event: Json) -> None:
        self._on_begin(event)
        response = dict_in(event, "response")
        self._collector.note(unknown_news(response, _KNOWN))
        status = text_in(response, "status") or text_in(event, "type").rpartition(".")[2]
        if status in {"failed", "cancelled"}:
            error = response.get("error") or {"message": f"the provider says that the response is {status}"}
            self._fail(stream_error({"error": error}))
            return
        reason = self._reason(response, status)
        self._publish(list_in(response, "output"))
        for slot in self._slots:
            if slot.item.is_open:
                self._settle(slot, reason)
        if reason == "stop" and response.get("end_turn") is False and not self._collector.calls:
            reason = "pause"  # the provider wants to go on; the caller asks it to
        self._finish(reason)

    def _reason(self, response: Json, status: str) -> FinishReason:
        if status != "incomplete":
            return "stop"
        named = text_in(dict_in(response, "incomplete_details"), "reason")
        if named and named not in _INCOMPLETE:
            self._collector.note({"incomplete_details": response["incomplete_details"]})
        return _INCOMPLETE.get(named, "length")

    def _publish(self, output: list[Any]) -> None:
        """Items that the stream has not shown, and ends that it has not (C20). Gateways give new ids here: then the
        place and the kind say that an item is known."""
        items = [item for item in output if isinstance(item, dict)]
        ids = {text_in(item, "id") for item in items} - {""}
        for place, item in enumerate(items):
            kind = _KINDS.get(text_in(item, "type"), "provider_item")
            slot = self._by_id.get(text_in(item, "id"))
            if slot is None:
                slot = self._by_index.get(place)
                if slot is not None and slot.wire_id in ids:  # it comes under its own id
                    slot = None
            if slot is None or slot.kind != kind:
                slot = self._announce(item, None)
            if slot.item.is_open:
                self._complete(slot, item)

    def _settle(self, slot: _Slot, reason: FinishReason) -> None:
        """End an item that its provider left open. What was cut may be shown, never run (C19)."""
        if slot.call is not None:
            if slot.call.is_whole and not slot.is_cut:
                slot.call.done()
            else:
                slot.item.cancel(reason if reason != "stop" else "incomplete")
        elif slot.kind == "provider_item" and reason != "stop":
            slot.item.cancel(reason)
        else:
            # What is encrypted belongs to the whole item, which never came.
            self._complete(slot, {**slot.announced, "encrypted_content": None})


def _texts(item: Json, key: str) -> list[str]:
    return [part["text"] for part in dicts_in(item, key) if text_in(part, "text")]


def _rest(event: Json, key: str, sent: str) -> str:
    """What a `done` event has beyond the deltas, where they are its beginning."""
    whole = text_in(event, key)
    return whole[len(sent) :] if whole.startswith(sent) else ""


_EVENTS: dict[str, Callable[[ResponsesDecoder, Json], None]] = {
    "response.created": ResponsesDecoder._on_begin,
    "response.in_progress": ResponsesDecoder._on_begin,
    "response.queued": ResponsesDecoder._on_begin,
    "response.output_item.added": ResponsesDecoder._on_added,
    "response.output_item.done": ResponsesDecoder._on_done,
    "response.output_text.delta": ResponsesDecoder._on_text,
    "response.output_text.done": ResponsesDecoder._on_text,
    "response.output_text.annotation.added": ResponsesDecoder._on_annotation,
    "response.refusal.delta": ResponsesDecoder._on_refusal,
    "response.refusal.done": ResponsesDecoder._on_refusal,
    "response.reasoning_summary_text.delta": ResponsesDecoder._on_summary,
    "response.reasoning_summary_text.done": ResponsesDecoder._on_summary,
    "response.reasoning_text.delta": ResponsesDecoder._on_reasoning,
    "response.reasoning_text.done": ResponsesDecoder._on_reasoning,
    "response.function_call_arguments.delta": ResponsesDecoder._on_arguments,
    "response.function_call_arguments.done": ResponsesDecoder._on_arguments,
    "response.custom_tool_call_input.delta": ResponsesDecoder._on_arguments,
    "response.custom_tool_call_input.done": ResponsesDecoder._on_arguments,
    "response.code_interpreter_call_code.delta": ResponsesDecoder._on_input,
    "response.mcp_call_arguments.delta": ResponsesDecoder._on_input,
    "response.shell_call_command.delta": ResponsesDecoder._on_input,
    "response.apply_patch_call_operation_diff.delta": ResponsesDecoder._on_input,
    "response.completed": ResponsesDecoder._on_terminal,
    "response.incomplete": ResponsesDecoder._on_terminal,
    "response.failed": ResponsesDecoder._on_terminal,
    "response.cancelled": ResponsesDecoder._on_terminal,
    "response.done": ResponsesDecoder._on_terminal,
    "error": ResponsesDecoder._on_error,
}

# Nothing new: signs of life, and wholes of what the deltas and the final item say.
_QUIET = frozenset(
    {
        "ping",
        "keepalive",
        "response.heartbeat",
        "response.content_part.added",
        "response.content_part.done",
        "response.reasoning_part.added",
        "response.reasoning_part.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.code_interpreter_call_code.done",
        "response.mcp_call_arguments.done",
        "response.shell_call_command.added",
        "response.shell_call_command.done",
        "response.shell_call_output_content.done",
        "response.apply_patch_call_operation_diff.done",
    }
)
