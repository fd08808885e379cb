"""A run as chat completion chunks: a pure fold of its log (https://platform.openai.com/docs/api-reference/chat-streaming).

The role comes first, when the model is asked; then what it says, thinks and calls, as it comes; one chunk with the
finish reason; the counts in a chunk without choices, where they were asked for. An error is the frame that the vendor's
clients raise on. Provider items and events have no word here: they stay in the native view.

A call that was broken off in the middle (its worker was lost, its provider asked anew) cannot be unsaid, and its client
would run it with the answer's end: so the stream ends with an error instead.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tailrace.dialects.base import Dialect, Frame, View
from tailrace.dialects.chat.speech import Call, Json, Lane, delta_piece, message_pieces, reasoning_pieces
from tailrace.dialects.chat.words import Echo, cancelled, error_of, finish_of, usage_of
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import (
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemError,
    ItemStart,
    Payload,
    ProviderEvent,
    ResponseDone,
    ResponseError,
    ResponseStart,
    StepDone,
    StepStart,
    TurnAborted,
    UsageUpdate,
)
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem, MessageItem, ReasoningItem
from tailrace.schema.response import ErrorInfo, FinishReason, Usage

BROKEN = ErrorInfo(code="interrupted", message="a tool call was broken off; send the request again", retryable=True)
CUT: frozenset[FinishReason] = frozenset({"length", "content_filter", "refusal"})  # clients expect half a call then
FIELDS = {"message": "content", "reasoning": "reasoning_content"}  # item type -> where its main text goes


class ChatEncoder:
    """Chunks of one run. Items from before the first step are the request's, and not shown."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._head: Json = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
        self._echo = Echo()
        self._asked = False  # has a model been asked yet?
        self._usage: Usage | None = None
        self._lanes = {"message": Lane(), "reasoning": Lane()}
        self._texts: dict[str, str] = {}  # open messages and reasoning: item id -> item type
        self._thoughts: list[str] = []  # reasoning items in the order they began
        self._calls: dict[str, Call] = {}
        self._called = 0
        self._is_broken = False  # was half of a call sent that never became whole?
        self._unanswered: set[str] = set()

    def encode(self, batch: Batch) -> list[Frame]:
        """The chunks of this batch."""
        made: list[Frame] = []
        for seq, payload in enumerate(batch.payloads, batch.first_seq):
            handle = _HANDLERS.get(type(payload))
            if handle is not None:
                made += [Frame(seq, "", codec.encode(data)) for data in handle(self, payload)]
        return made

    # --- the run --------------------------------------------------------------------------------------------------

    def _on_start(self, event: ResponseStart) -> Iterable[Json]:
        self._head.update(id=event.response_id, created=event.created_at // 1000, model=event.model_id)
        return ()

    def _on_provider_event(self, event: ProviderEvent) -> Iterable[Json]:
        ours = event.provider_id == "tailrace" and event.name == "asked" and not self._asked
        if ours and event.data["protocol"] == "chat":
            self._echo = codec.convert(event.data["asked"], Echo)
            self._head["model"] = self._echo.model
        return ()

    def _on_step_start(self, event: StepStart) -> Iterable[Json]:
        if not self._asked:
            self._asked = True
            yield self._chunk({"role": "assistant"})

    def _on_usage(self, event: UsageUpdate | StepDone) -> Iterable[Json]:
        self._usage = event.usage or self._usage
        return ()

    def _on_done(self, event: ResponseDone) -> Iterable[Json]:
        if self._is_broken and event.finish_reason not in CUT:
            yield error_of(BROKEN)
            return
        said = self._lanes["message"].said
        refused = "refusal" in said
        finish = finish_of(event.finish_reason, calls=bool(self._unanswered), refused=refused, legacy=self._echo.legacy)
        # An answer without a word is empty, and not missing.
        delta = {} if said or self._called else {"content": ""}
        yield self._chunk(delta, finish)
        usage = event.usage or self._usage
        if self._echo.include_usage and usage is not None:
            yield {**self._head, "choices": [], "usage": usage_of(usage)}

    def _on_error(self, event: ResponseError) -> Iterable[Json]:
        yield error_of(event.error)

    def _on_aborted(self, event: TurnAborted) -> Iterable[Json]:
        yield cancelled(event.reason)

    # --- items ----------------------------------------------------------------------------------------------------

    def _on_item_start(self, event: ItemStart) -> Iterable[Json]:
        if not self._asked:
            return
        kind, item_id = event.item_type, event.item_id
        detail = self._view.detail(kind)
        if kind in self._lanes and event.origin in {None, "agent"} and detail == "full":
            self._texts[item_id] = kind
            if kind == "reasoning":
                self._thoughts.append(item_id)
            self._lanes[kind].begin(item_id)
            yield from self._grown(item_id, None, event.initial_content or "")
        elif kind == "function_call" and detail != "none" and not (self._echo.legacy and self._called):
            yield from self._call_begun(event, held=detail == "summary")

    def _call_begun(self, event: ItemStart, *, held: bool) -> Iterator[Json]:
        call = self._calls[event.item_id] = Call(custom=event.kind == "custom", legacy=self._echo.legacy, held=held)
        yield from map(self._chunk, call.grow(event.arguments or ""))
        if event.name and event.call_id and not held:
            yield from map(self._chunk, call.open(self._called, event.call_id, event.name))
            self._called += 1

    def _on_item_delta(self, event: ItemDelta) -> Iterable[Json]:
        if event.item_id in self._calls:
            return map(self._chunk, self._calls[event.item_id].grow(event.delta_content))
        return self._grown(event.item_id, event.channel, event.delta_content)

    def _grown(self, item_id: str, channel: str | None, text: str) -> Iterator[Json]:
        kind = self._texts.get(item_id)
        piece = delta_piece(channel, text, FIELDS[kind]) if kind is not None else None
        if kind is not None and piece is not None:
            yield from map(self._chunk, self._lanes[kind].grow(item_id, piece))

    def _on_item_done(self, event: ItemDone) -> Iterable[Json]:
        item, item_id = event.final_item, event.item_id
        if isinstance(item, FunctionCallItem):
            self._unanswered.add(item.call_id)
            call = self._calls.pop(item_id, None)
            if call is not None:
                begun = call.index is not None
                yield from map(self._chunk, call.end(item, self._called))
                self._called += not begun
        elif isinstance(item, FunctionCallOutputItem):
            self._unanswered.discard(item.call_id)
        elif item_id in self._texts:
            lane = self._lanes[self._texts.pop(item_id)]
            if isinstance(item, MessageItem):
                yield from map(self._chunk, lane.end(item_id, message_pieces(item)))
            elif isinstance(item, ReasoningItem):
                yield from map(self._chunk, lane.end(item_id, reasoning_pieces(item, self._thoughts.index(item_id))))

    def _on_item_lost(self, event: ItemError | ItemCancelled) -> Iterable[Json]:
        """What was sent of it stands; a call is not one to be answered."""
        call = self._calls.pop(event.item_id, None)
        self._is_broken = self._is_broken or (call is not None and call.index is not None)
        kind = self._texts.pop(event.item_id, None)
        return map(self._chunk, self._lanes[kind].end(event.item_id, iter(()))) if kind is not None else ()

    # --- chunks ---------------------------------------------------------------------------------------------------

    def _chunk(self, delta: Json, finish: str | None = None) -> Json:
        """A chunk; token probabilities stand beside the delta."""
        logprobs = {"content": delta.pop("logprobs"), "refusal": None} if "logprobs" in delta else None
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        usage = {"usage": None} if self._echo.include_usage else {}
        return {**self._head, "choices": [choice], **usage}


_HANDLERS: dict[type[Payload], Callable[[ChatEncoder, Any], Iterable[Json]]] = {
    ResponseStart: ChatEncoder._on_start,
    ProviderEvent: ChatEncoder._on_provider_event,
    StepStart: ChatEncoder._on_step_start,
    StepDone: ChatEncoder._on_usage,
    UsageUpdate: ChatEncoder._on_usage,
    ItemStart: ChatEncoder._on_item_start,
    ItemDelta: ChatEncoder._on_item_delta,
    ItemDone: ChatEncoder._on_item_done,
    ItemError: ChatEncoder._on_item_lost,
    ItemCancelled: ChatEncoder._on_item_lost,
    ResponseDone: ChatEncoder._on_done,
    ResponseError: ChatEncoder._on_error,
    TurnAborted: ChatEncoder._on_aborted,
}

CHAT = Dialect("chat", ChatEncoder, closing=b"data: [DONE]\n\n")
