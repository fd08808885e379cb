"""Whole items, rate-limited by growth (contract §4, `upserts`).

A frame is due when an item has grown past the next threshold, when a second has passed in the log's own time since its
last frame, and when it ends. Only the log's timestamps count, no clock: a reader who comes back later gets the same
frames as one who stayed (design rule 1).
"""

from itertools import chain, repeat
from typing import Any

from tailrace.dialects.base import Dialect, Frame, View
from tailrace.fold.reducer import Reducer
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import (
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemError,
    ItemStart,
    Payload,
    ResponseDone,
    ResponseError,
    ResponseStart,
    TurnAborted,
)
from tailrace.schema.items import OutputItem

# Growth between frames, in estimated tokens; the last repeats.
GRADIENT = (10, 10, 20, 20, 50, 50, 50, 50, 100, 100, 200, 200, 500, 500, 1000, 1000, 2000)
CHARACTERS_PER_TOKEN = 4
MAX_SILENCE_MS = 1000

_MAIN_TEXT = {
    "function_call": "arguments",
    "function_call_output": "output",
    "script_execution": "code",
    "script_execution_output": "result",
    "provider_item": "text",
    "error": "message",
    "cancelled": "reason",
}


class _Growth:
    """When the next frame of one item is due, and how many there have been."""

    __slots__ = ("_steps", "_threshold", "characters", "last_frame", "version")

    def __init__(self, timestamp: int) -> None:
        self._steps = chain(GRADIENT, repeat(GRADIENT[-1]))
        self._threshold = next(self._steps)
        self.characters = 0
        self.last_frame = timestamp
        self.version = 0

    def is_due(self, timestamp: int) -> bool:
        """Is the item past its threshold, or silent for too long?"""
        tokens = -(-self.characters // CHARACTERS_PER_TOKEN)
        due = tokens > self._threshold
        while tokens > self._threshold:
            self._threshold += next(self._steps)
        return due or timestamp - self.last_frame >= MAX_SILENCE_MS


class UpsertEncoder:
    """Folds the log and says how its items stand. The view leaves out reasoning or tool items where it says `none`;
    `summary` shows their ends only."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._state = Reducer()
        self._growing: dict[str, _Growth] = {}
        self._held: set[str] = set()  # shown only when whole
        self._hidden: set[str] = set()  # not shown

    def encode(self, batch: Batch) -> list[Frame]:
        """The frames that fall due with this batch."""
        made: list[Frame] = []
        for offset, payload in enumerate(batch.payloads):
            seq = batch.first_seq + offset
            if self._state.apply(seq, batch.timestamp, payload):
                data = self._due(payload, batch.timestamp)
                if data is not None:
                    made.append(Frame(seq, data["type"], codec.encode(data)))
        return made

    def _due(self, payload: Payload, timestamp: int) -> dict[str, Any] | None:
        match payload:
            case ItemStart():
                self._begin(payload, timestamp)
                return None
            case ItemDelta(item_id=item_id):
                growth = self._growing[item_id]
                growth.characters += len(payload.delta_content)
                if item_id in self._held or not growth.is_due(timestamp):
                    return None
                return self._upsert(item_id, timestamp, "updated" if growth.version else "created")
            case ItemDone(item_id=item_id) | ItemError(item_id=item_id) | ItemCancelled(item_id=item_id):
                return self._upsert(item_id, timestamp, "completed")
            case _:
                return self._turn(payload)

    def _begin(self, start: ItemStart, timestamp: int) -> None:
        growth = self._growing[start.item_id] = _Growth(timestamp)
        growth.characters = len(start.initial_content or start.arguments or start.code or "")
        detail = self._view.detail(start.item_type)
        if detail == "none":
            self._hidden.add(start.item_id)
        elif start.origin == "user" or detail == "summary":
            self._held.add(start.item_id)

    def _upsert(self, item_id: str, timestamp: int, change: str) -> dict[str, Any] | None:
        item = self._state.item(item_id)
        growth = self._growing[item_id]
        if item is None or item_id in self._hidden:
            return None
        growth.version += 1
        growth.last_frame = timestamp
        return _upsert(item, change, growth.version)

    def _turn(self, payload: Payload) -> dict[str, Any] | None:
        match payload:
            case ResponseStart():
                return {"type": "turn_started", **_fields(payload, "turn_id", "thread_id", "model_id", "provider_id")}
            case ResponseDone():
                return {"type": "turn_complete", **_fields(payload, "status", "finish_reason", "usage")}
            case ResponseError():
                return {"type": "turn_error", "error": codec.to_builtins(payload.error)}
            case TurnAborted():
                return {"type": "turn_aborted", "reason": payload.reason}
            case _:
                return None


def _upsert(item: OutputItem, change: str, version: int) -> dict[str, Any]:
    fields = codec.to_builtins(item)
    item_type, item_id = fields.pop("type"), fields.pop("id")
    content = fields.get(_MAIN_TEXT.get(item_type, "content")) or ""
    head = {"type": "item_upsert", "item_id": item_id, "item_type": item_type, "change": change, "version": version}
    return {**head, "content": content, **fields}


def _fields(payload: Payload, *names: str) -> dict[str, Any]:
    known = codec.to_builtins(payload)
    return {name: known[name] for name in names if name in known}


UPSERTS = Dialect("upserts", UpsertEncoder)
