"""The log as the Responses API streams it: `sequence_number` from 0 without gaps, one terminal event.

A pure fold of the log: the same log gives the same frames, to whoever reads it and whenever. What a response repeats of
its request stands in the log, too (`asked`, runs/drive.py `opening`).
"""

from collections.abc import Callable
from typing import Any

from tailrace.dialects.base import Dialect, Frame, View
from tailrace.dialects.openai_errors import error_object
from tailrace.dialects.responses.growing import KINDS, Growing, Other
from tailrace.dialects.responses.items import Json
from tailrace.dialects.responses.whole import (
    NOTHING_ASKED,
    Form,
    Standing,
    is_shown,
    response_object,
    standing,
)
from tailrace.fold.usage import total
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
from tailrace.schema.response import ErrorInfo, Usage

IN_PROGRESS = Standing("in_progress")
_TERMINAL = {
    "completed": "response.completed",
    "failed": "response.failed",
    "incomplete": "response.incomplete",
    "cancelled": "response.incomplete",  # the API has no event of its own for it
}


class ResponsesEncoder:
    """Inflates a run's events. Items that stand before the first step are the request's, and no output."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._frames: list[Frame] = []
        self._number = 0
        self._seq = 0
        self._timestamp = 0
        self._start: ResponseStart | None = None
        self._form = NOTHING_ASKED
        self._is_created = False
        self._has_begun = False
        self._open: dict[str, Growing] = {}
        self._output: dict[int, Json] = {}
        self._claimed = 0
        self._usages: dict[int, Usage | None] = {}
        self._step = 0
        self._now = Standing("queued")
        self._usage: Usage | None = None

    def encode(self, batch: Batch) -> list[Frame]:
        """The frames of this batch."""
        self._timestamp = batch.timestamp
        for seq, payload in enumerate(batch.payloads, batch.first_seq):
            self._seq = seq
            self._take(payload)
        frames, self._frames = self._frames, []
        return frames

    def _take(self, payload: Payload) -> None:
        if self._start is None:
            self._start = payload if isinstance(payload, ResponseStart) else None
            return
        if not self._is_created:
            self._create(payload)
        handler = _HANDLERS.get(type(payload))
        if handler is not None:
            handler(self, payload)

    def _create(self, payload: Payload) -> None:
        """The second event may say what was asked; then everything is known that the first frame repeats."""
        if isinstance(payload, ProviderEvent) and payload.provider_id == "tailrace" and payload.name == "asked":
            self._form = Form(payload.data["protocol"], payload.data["asked"])
        self._is_created = True
        waits = self._form.asked.get("background")
        self._state("response.created", Standing("queued") if waits else IN_PROGRESS)
        if waits:
            self._state("response.queued", Standing("queued"))

    def current(self) -> Json:
        """The response as of now: its whole items, and how it stands. Raises ValueError before there is one."""
        if self._start is None:
            raise ValueError("no response_start yet")
        start, output = self._start, [self._output[place] for place in sorted(self._output)]
        model = f"{start.provider_id}/{start.model_id}"
        return response_object(start.response_id, start.created_at, model, self._form, self._now, output, self._usage)

    # --- frames --------------------------------------------------------------------------------------------------

    def _emit(self, event: str, fields: Json) -> None:
        data = codec.encode({"type": event, "sequence_number": self._number, **fields})
        self._frames.append(Frame(self._seq, event, data))
        self._number += 1

    def _state(self, event: str, now: Standing, usage: Usage | None = None) -> None:
        self._now, self._usage = now, usage
        self._emit(event, {"response": self.current()})

    # --- one handler per event type ------------------------------------------------------------------------------

    def _on_step_start(self, event: StepStart) -> None:
        self._step = event.step
        if not self._has_begun:
            self._has_begun = True
            self._state("response.in_progress", IN_PROGRESS)

    def _on_step_done(self, event: StepDone) -> None:
        self._usages[event.step] = event.usage

    def _on_usage(self, event: UsageUpdate) -> None:
        self._usages[self._step] = event.usage

    def _on_item_start(self, start: ItemStart) -> None:
        detail = self._view.detail(start.item_type)
        if self._start is None or not self._has_begun or detail == "none" or start.origin in {"user", "system"}:
            return
        kind = KINDS.get(start.item_type, Other) if detail == "full" else Other
        item = kind(start, self._start.response_id, self._form, self._emit, self._claim)
        self._open[start.item_id] = item
        item.begin()

    def _claim(self) -> int:
        self._claimed += 1
        return self._claimed - 1

    def _on_item_delta(self, delta: ItemDelta) -> None:
        item = self._open.get(delta.item_id)
        if item is not None and delta.delta_content:
            item.grow(delta)

    def _on_item_done(self, event: ItemDone) -> None:
        item = self._open.pop(event.item_id, None)
        if item is not None and is_shown(event.final_item, self._form):
            self._keep(item, item.finish(event.final_item))

    def _on_item_cut(self, event: ItemError | ItemCancelled) -> None:
        item = self._open.pop(event.item_id, None)
        if item is not None:
            self._keep(item, item.cut())

    def _keep(self, item: Growing, said: Json | None) -> None:
        if said is not None and item.index is not None:
            self._output[item.index] = said

    def _on_done(self, event: ResponseDone) -> None:
        self._end(standing(event.status, event.finish_reason, self._timestamp, None), event.usage)

    def _on_error(self, event: ResponseError) -> None:
        """SDKs raise on the `error` event, some on its nested form, some on its flat one; then the response failed."""
        error = event.error
        said = error_object(error.code, error.message, param=_param(error))
        flat = {name: said[name] for name in ("code", "message", "param")}
        self._emit("error", {**flat, "error": said})
        self._end(standing("error", None, None, error))

    def _on_aborted(self, _event: TurnAborted) -> None:
        self._end(standing("aborted", None, None, None))

    def _end(self, now: Standing, usage: Usage | None = None) -> None:
        self._state(_TERMINAL[now.status], now, usage or total(self._usages.values()))


def _param(error: ErrorInfo) -> str | None:
    param = (error.details or {}).get("param")
    return param if isinstance(param, str) else None


_HANDLERS: dict[type, Callable[[ResponsesEncoder, Any], None]] = {
    StepStart: ResponsesEncoder._on_step_start,
    StepDone: ResponsesEncoder._on_step_done,
    UsageUpdate: ResponsesEncoder._on_usage,
    ItemStart: ResponsesEncoder._on_item_start,
    ItemDelta: ResponsesEncoder._on_item_delta,
    ItemDone: ResponsesEncoder._on_item_done,
    ItemError: ResponsesEncoder._on_item_cut,
    ItemCancelled: ResponsesEncoder._on_item_cut,
    ResponseDone: ResponsesEncoder._on_done,
    ResponseError: ResponsesEncoder._on_error,
    TurnAborted: ResponsesEncoder._on_aborted,
}

RESPONSES = Dialect("responses", ResponsesEncoder, closing=b"data: [DONE]\n\n")
