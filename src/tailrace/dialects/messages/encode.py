"""A run as a Messages stream (https://platform.claude.com/docs/en/build-with-claude/streaming).

The model's items become content blocks, in the order in which they began. One block is open at a time: where items
interleave, what a later one says waits until the ones before it have ended. The message begins with what is known of
its cost by then, which is nothing unless the provider told it early; `message_delta` has the whole.

A call that was broken off (its worker was lost, its provider asked anew) cannot be unsaid, and its client would run it.
So a message that would go on behind one ends with an error there, unless it was cut by its own end: then the
`stop_reason` says so. Told as a whole, the message goes on without it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from tailrace.dialects.base import Detail, Dialect, Frame, View
from tailrace.dialects.messages.blocks import Block, Json, Thinker, block_of
from tailrace.dialects.messages.errors import error_body
from tailrace.dialects.messages.words import Notes, stop_of, usage_of
from tailrace.fold import usage
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
from tailrace.schema.items import MessageItem, RefusalPart
from tailrace.schema.response import Usage

Events = Iterator[Json]

NAME = "messages"
PING: Json = {"type": "ping"}
BROKEN = "a tool call was broken off; send the request again"
UNSAY = "unsay"  # only where the message is told as a whole: what it says of the blocks at `indexes` does not hold

_CUT = frozenset({"length", "content_filter", "refusal"})


class MessagesEncoder:
    """Turns a run's log into frames. A view's `summary` says a block in one piece, when it is whole.

    `unsays`: whoever takes the events can still leave out a call that was broken off.
    """

    def __init__(self, view: View, *, unsays: bool = False) -> None:
        self._view = view
        self._unsays = unsays
        self._broken: list[int] = []
        self._is_over = False
        self._id = ""
        self._model = ""
        self._thinker: Thinker | None = None  # None before the first model call: what stands there is the request's
        self._has_begun = False
        self._known: Usage | None = None
        self._spent: list[Usage | None] = []
        self._notes = Notes()
        self._blocks: dict[str, Block] = {}  # by item
        self._shortened: dict[str, Detail] = {}
        self._waiting: deque[Block] = deque()
        self._index = -1

    def encode(self, batch: Batch) -> list[Frame]:
        """The frames of this batch."""
        return [Frame(seq, event["type"], codec.encode(event)) for seq, event in self.events(batch)]

    def events(self, batch: Batch) -> Iterator[tuple[int, Json]]:
        """What this batch says, each event with the log's seq that it stands at."""
        for seq, payload in enumerate(batch.payloads, batch.first_seq):
            for event in self._events(payload):
                yield seq, event

    def _events(self, payload: Payload) -> Events:
        handler = _HANDLERS.get(type(payload)) if not self._is_over else None
        return handler(self, payload) if handler is not None else iter(())

    # --- what is not shown, but must be known --------------------------------------------------------------------

    def _on_start(self, start: ResponseStart) -> Events:
        self._id, self._model = start.response_id, start.model_id
        return iter(())

    def _on_provider(self, event: ProviderEvent) -> Events:
        data = event.data
        if event.provider_id != "tailrace":
            self._notes.take(event.name, data)
        elif event.name == "asked" and data.get("protocol") == NAME:
            self._model = data["asked"].get("model") or self._model
        return iter(())

    def _on_step(self, step: StepStart) -> Events:
        self._thinker = Thinker(step.provider_id, step.model_id)
        return iter(())

    def _on_step_done(self, step: StepDone) -> Events:
        self._spent.append(step.usage)
        return iter(())

    # --- the message ---------------------------------------------------------------------------------------------

    def _on_usage(self, update: UsageUpdate) -> Events:
        self._known = update.usage
        yield from self._begin()

    def _begin(self) -> Events:
        if self._has_begun:
            return
        self._has_begun = True
        message: Json = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(self._known),
        }
        yield {"type": "message_start", "message": message}
        yield PING

    def _on_done(self, done: ResponseDone) -> Events:
        yield from self._begin()
        if done.finish_reason not in _CUT:
            yield from self._mend()
        if self._is_over:
            return
        spent = done.usage or usage.total(self._spent) or self._known
        yield {
            "type": "message_delta",
            "delta": {**stop_of(done.finish_reason, self._notes), **self._notes.delta},
            "usage": {**usage_of(spent), **self._notes.usage},
            **self._notes.event,
        }
        yield {"type": "message_stop"}

    def _on_error(self, failed: ResponseError) -> Events:
        yield error_body(failed.error.code, failed.error.message, self._id)

    def _on_aborted(self, aborted: TurnAborted) -> Events:
        yield error_body("cancelled", f"the run was called off: {aborted.reason}", self._id)

    # --- blocks --------------------------------------------------------------------------------------------------

    def _on_item(self, start: ItemStart) -> Events:
        detail = self._view.detail(start.item_type)
        if self._thinker is None or detail == "none":
            return
        block = block_of(start, self._thinker)
        if block is None:
            return
        yield from self._mend()
        if self._is_over:
            return
        self._blocks[start.item_id] = block
        self._shortened[start.item_id] = detail
        self._waiting.append(block)
        yield from self._begin()
        yield from self._flow()

    def _on_delta(self, delta: ItemDelta) -> Events:
        block = self._blocks.get(delta.item_id)
        if block is not None and self._shortened[delta.item_id] == "full":
            block.grow(delta)
            yield from self._flow()

    def _on_end(self, end: ItemDone | ItemError | ItemCancelled) -> Events:
        block = self._blocks.pop(end.item_id, None)
        if block is not None:
            final = end.final_item if isinstance(end, ItemDone) else None
            self._notes.refused |= isinstance(final, MessageItem) and _is_refusal(final)
            block.end(final)
            yield from self._flow()

    def _flow(self) -> Events:
        """What may be said now: all of the first block, and of each further one when those before it have ended."""
        while self._waiting:
            block = self._waiting[0]
            for event in block.out:
                self._index += event.type == "content_block_start"
                said: Json = {"type": event.type, "index": self._index}
                yield {**said, event.field: event.value} if event.field else said
            block.out.clear()
            if not block.is_done:
                return
            self._waiting.popleft()
            if block.is_broken:
                self._broken.append(self._index)

    def _mend(self) -> Events:
        """The message is to go on: what of calls that were broken off?"""
        if self._broken and self._unsays:
            yield {"type": UNSAY, "indexes": self._broken}
            self._broken = []
        elif self._broken:
            self._is_over = True
            yield error_body("interrupted", BROKEN, self._id)


def _is_refusal(item: MessageItem) -> bool:
    return any(isinstance(part, RefusalPart) for part in item.parts or ())


_HANDLERS: dict[type, Callable[[MessagesEncoder, Any], Events]] = {
    ResponseStart: MessagesEncoder._on_start,
    ProviderEvent: MessagesEncoder._on_provider,
    StepStart: MessagesEncoder._on_step,
    StepDone: MessagesEncoder._on_step_done,
    UsageUpdate: MessagesEncoder._on_usage,
    ItemStart: MessagesEncoder._on_item,
    ItemDelta: MessagesEncoder._on_delta,
    ItemDone: MessagesEncoder._on_end,
    ItemError: MessagesEncoder._on_end,
    ItemCancelled: MessagesEncoder._on_end,
    ResponseDone: MessagesEncoder._on_done,
    ResponseError: MessagesEncoder._on_error,
    TurnAborted: MessagesEncoder._on_aborted,
}

MESSAGES = Dialect(NAME, MessagesEncoder)
