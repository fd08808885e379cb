"""Events to Response: state = fold(log) (design rule 6).

Idempotent by `seq`: what has been seen is passed over, so that replays and duplicates change nothing. O(1) per event.
Tolerant: an event that fits nowhere (unknown item, item that has ended, second `response_start`, anything after the
terminal event) is counted in `ignored` and changes nothing; the grammar keeps such events out of logs of our own.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from tailrace.fold import usage
from tailrace.fold.draft import Draft
from tailrace.schema.batch import Batch
from tailrace.schema.events import (
    ApprovalRequested,
    ApprovalResolved,
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemError,
    ItemStart,
    Payload,
    ResponseDone,
    ResponseError,
    ResponseStart,
    StepDone,
    StepStart,
    TurnAborted,
    UsageUpdate,
)
from tailrace.schema.items import (
    CancelledItem,
    ErrorItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    OutputItem,
)
from tailrace.schema.response import (
    ANSWERABLE,
    ENDED,
    Approval,
    ErrorInfo,
    FinishReason,
    Resolution,
    Response,
    Status,
    Step,
    Usage,
)


class Reducer:
    """A run's state; fold events in with `apply`, look at it with `response`.

    Begun from nothing, or from a snapshot: the items of a live run's snapshot may still grow, as the log says.
    """

    def __init__(self, snapshot: Response | None = None) -> None:
        self.last_seq = 0
        self.ignored = 0
        self.start: ResponseStart | None = None
        self.status: Status = "queued"
        self.finish_reason: FinishReason | None = None
        self.error: ErrorInfo | None = None
        self.steps: list[Step] = []
        self.approvals: dict[str, Approval] = {}
        self.repeats = 0  # how many steps in a row have ended with the same calls
        self.heard = False  # has the user said something since the last step?
        self.waited_ms = 0  # for approvals and for the client's outputs, all in all
        self._waits_since = self._now = 0
        self._step_calls: list[tuple[str, str]] = []  # name and arguments, of the step at hand
        self._last_calls: list[tuple[str, str]] = []
        self._usage: Usage | None = None
        self._updated_at = 0
        self._completed_at: int | None = None
        self._items: dict[str, OutputItem | Draft] = {}
        self._open: set[str] = set()
        self._unanswered: dict[str, str] = {}  # call_id -> item_id, in call order
        self._attempts: dict[str, int] = {}  # call_id -> how many outputs of it have begun
        if snapshot is not None:
            self._resume(snapshot)

    def _resume(self, snapshot: Response) -> None:
        self.last_seq = snapshot.last_seq
        if snapshot.last_seq == 0:
            return
        self.start = ResponseStart(
            response_id=snapshot.id, turn_id=snapshot.turn_id, thread_id=snapshot.thread_id, agent_id=snapshot.agent_id,
            model_id=snapshot.model_id, provider_id=snapshot.provider_id, created_at=snapshot.created_at,
            after_run_id=snapshot.after_run_id,
        )  # fmt: skip
        self.finish_reason, self.error = snapshot.finish_reason, snapshot.error
        self.steps = list(snapshot.steps)
        self.approvals = {approval.approval_id: approval for approval in snapshot.approvals or ()}
        self._usage = snapshot.usage
        self._updated_at, self._completed_at = snapshot.updated_at, snapshot.completed_at
        for item in snapshot.output_items:
            self._items[item.id] = item
            self._note_call(item)
        self.status = snapshot.status
        if self.status not in ENDED:
            self._open.update(self._items)

    def apply(self, seq: int, timestamp: int, payload: Payload) -> bool:
        """Fold in one event; True where it changed anything."""
        if seq <= self.last_seq:
            return False
        self.last_seq, self._now = seq, timestamp
        handler = _HANDLERS.get(type(payload))
        if (self.start is None) != (type(payload) is ResponseStart) or self.status in ENDED:
            handler = _ignore
        if handler is not None and not handler(self, payload):
            self.ignored += 1
            return False
        self._updated_at = max(self._updated_at, timestamp)
        if self.status in ENDED:
            self._completed_at = self._updated_at
        return True

    def waited_until(self, now: int) -> int:
        """For how many milliseconds it has waited for others until then, all in all."""
        return self.waited_ms + (max(0, now - self._waits_since) if self.status == "requires_action" else 0)

    def _set_status(self, status: Status) -> None:
        if status == "requires_action":
            self._waits_since = self._now
        elif self.status == "requires_action":
            self.waited_ms += self._now - self._waits_since
        self.status = status

    def fold(self, batches: Iterable[Batch]) -> "Reducer":
        """Fold in whole batches."""
        for batch in batches:
            if batch.last_seq <= self.last_seq:
                continue
            if batch.grows and batch.first_seq > self.last_seq and self.status not in ENDED:
                self._grow(batch)
            else:
                for seq, payload in enumerate(batch.payloads, batch.first_seq):
                    self.apply(seq, batch.timestamp, payload)
        return self

    def _grow(self, batch: Batch) -> None:
        """`apply` for each of a live run's new deltas, as nearly every batch holds them."""
        items, grown = self._items, False
        deltas: Sequence[ItemDelta] = batch.payloads  # type: ignore[assignment]  # nothing else grows (events.GROWING)
        for seq, delta in enumerate(deltas, batch.first_seq):
            held = items.get(delta.item_id)
            if type(held) is Draft:
                held.grow(delta)
                grown = True
            else:  # late, of no item that there is, or of one from a snapshot
                self.apply(seq, batch.timestamp, delta)
        self.last_seq, self._now = batch.last_seq, batch.timestamp
        if grown and batch.timestamp > self._updated_at:
            self._updated_at = batch.timestamp

    def response(self) -> Response:
        """The run as of now. Raises ValueError before `response_start`."""
        start = self.start
        if start is None:
            raise ValueError("no response_start yet")
        return Response(
            id=start.response_id, turn_id=start.turn_id, thread_id=start.thread_id, agent_id=start.agent_id,
            model_id=start.model_id, provider_id=start.provider_id, created_at=start.created_at,
            updated_at=self._updated_at, completed_at=self._completed_at, status=self.status,
            output_items=self.items(), usage=self._usage, steps=list(self.steps), finish_reason=self.finish_reason,
            error=self.error, last_seq=self.last_seq, approvals=list(self.approvals.values()) or None,
            after_run_id=start.after_run_id,
        )  # fmt: skip

    def items(self) -> list[OutputItem]:
        """The items in their places, open ones as far as they have come."""
        return [held.item() if isinstance(held, Draft) else held for held in self._items.values()]

    def item(self, item_id: str) -> OutputItem | None:
        """One item as of now."""
        held = self._items.get(item_id)
        return held.item() if isinstance(held, Draft) else held

    @property
    def item_ids(self) -> Collection[str]:
        """The ids in use, in the order of the items."""
        return self._items.keys()

    @property
    def open_ids(self) -> Collection[str]:
        """The ids of items that may still grow."""
        return self._open

    @property
    def unanswered(self) -> list[FunctionCallItem]:
        """Finished calls without an output, in call order."""
        calls = (self._items[item_id] for item_id in self._unanswered.values())
        return [call for call in calls if isinstance(call, FunctionCallItem)]

    @property
    def used(self) -> Usage | None:
        """What the steps have used so far, all in all."""
        return self._usage

    @property
    def awaited(self) -> list[FunctionCallItem]:
        """The calls whose outputs are the client's to send, in call order."""
        return [call for call in self.unanswered if not self.is_ours(call)]

    def is_ours(self, call: FunctionCallItem) -> bool:
        """Is the call of the last step the harness's to run?"""
        clients = self.steps[-1].client_tools if self.steps else None
        return clients is not None and call.name not in clients

    def attempts(self, call: FunctionCallItem) -> int:
        """How many outputs of an unanswered call have begun. Those that are not open were broken off."""
        return self._attempts.get(call.call_id, 0)

    @property
    def asking(self) -> list[Approval]:
        """What running calls ask people, and have no answer to."""
        return [each for each in self.approvals.values() if each.question is not None and each.resolution is None]

    @property
    def _waits(self) -> bool:
        return bool(self.awaited) or any(approval.resolution is None for approval in self.approvals.values())

    # --- one handler per event type: True where the event fits ---------------------------------------------------

    def _on_start(self, event: ResponseStart) -> bool:
        self.start = event
        return True

    def _on_step_start(self, event: StepStart) -> bool:
        self._set_status("in_progress")
        step = Step(
            step=event.step, provider_id=event.provider_id, model_id=event.model_id, client_tools=event.client_tools,
            purpose=event.purpose,
        )  # fmt: skip
        self.steps.append(step)
        self._step_calls = []
        self.heard = False
        return True

    def _on_step_done(self, event: StepDone) -> bool:
        if not self.steps:
            return False
        self.steps[-1] = Step(
            step=event.step, provider_id=event.provider_id, model_id=event.model_id,
            provider_response_id=event.provider_response_id, finish_reason=event.finish_reason, usage=event.usage,
            client_tools=self.steps[-1].client_tools, purpose=self.steps[-1].purpose,
        )  # fmt: skip
        self._usage = usage.total(step.usage for step in self.steps)
        if self.steps[-1].purpose is None:
            self.repeats = self.repeats + 1 if self._step_calls == self._last_calls else 1
            self._last_calls = self._step_calls
        if event.finish_reason in ANSWERABLE and self._unanswered and self.awaited:
            self._set_status("requires_action")
        return True

    def _on_usage(self, event: UsageUpdate) -> bool:
        if self.steps:
            self.steps[-1] = replace(self.steps[-1], usage=event.usage)
            self._usage = usage.total(step.usage for step in self.steps)
        else:
            self._usage = event.usage
        return True

    def _on_item_start(self, event: ItemStart) -> bool:
        if event.item_id in self._items:
            return False
        self._items[event.item_id] = Draft(event)
        self._open.add(event.item_id)
        if event.item_type == "function_call_output" and event.call_id in self._unanswered:
            self._attempts[event.call_id] = self._attempts.get(event.call_id, 0) + 1
        return True

    def _on_item_delta(self, event: ItemDelta) -> bool:
        draft = self._draft(event.item_id)
        if draft is None:
            return False
        draft.grow(event)
        return True

    def _on_item_done(self, event: ItemDone) -> bool:
        if event.item_id not in self._open:
            return False
        self._settle(event.item_id, event.final_item)
        self._note_call(event.final_item)
        if isinstance(event.final_item, MessageItem):
            self.heard = self.heard or event.final_item.origin == "user"
        return True

    def _on_item_error(self, event: ItemError) -> bool:
        draft = self._draft(event.item_id)
        if draft is None:
            return False
        error = event.error
        item = ErrorItem(
            id=event.item_id, code=error.code, message=error.message, details=error.details, partial=draft.item()
        )
        self._settle(event.item_id, item)
        return True

    def _on_item_cancelled(self, event: ItemCancelled) -> bool:
        draft = self._draft(event.item_id)
        if draft is None:
            return False
        self._settle(event.item_id, CancelledItem(id=event.item_id, reason=event.reason, partial=draft.item()))
        return True

    def _on_approval_requested(self, event: ApprovalRequested) -> bool:
        if event.approval_id in self.approvals:
            return False
        self.approvals[event.approval_id] = Approval(
            approval_id=event.approval_id, item_id=event.item_id, tool=event.tool, arguments=event.arguments,
            reason=event.reason, expires_at=event.expires_at, question=event.question,
        )  # fmt: skip
        if self.status != "requires_action":
            self._set_status("requires_action")
        return True

    def _on_approval_resolved(self, event: ApprovalResolved) -> bool:
        approval = self.approvals.get(event.approval_id)
        if approval is None or approval.resolution is not None:
            return False
        resolution = Resolution(
            decision=event.decision, by=event.by, reason=event.reason, content=event.content
        )  # fmt: skip
        self.approvals[event.approval_id] = replace(approval, resolution=resolution)
        self._go_on()
        return True

    def _on_done(self, event: ResponseDone) -> bool:
        self.status, self.finish_reason = event.status, event.finish_reason
        self._usage = event.usage or self._usage
        return True

    def _on_error(self, event: ResponseError) -> bool:
        self.status, self.finish_reason, self.error = "error", "error", event.error
        return True

    def _on_aborted(self, _event: TurnAborted) -> bool:
        self.status, self.finish_reason = "aborted", "cancelled"
        return True

    # --- items ---------------------------------------------------------------------------------------------------

    def _draft(self, item_id: str) -> Draft | None:
        if item_id not in self._open:
            return None
        held = self._items[item_id]
        if not isinstance(held, Draft):  # from a snapshot
            held = self._items[item_id] = Draft.reopen(held)
        return held

    def _settle(self, item_id: str, item: OutputItem) -> None:
        self._open.discard(item_id)
        self._items[item_id] = item

    def _note_call(self, item: OutputItem) -> None:
        if isinstance(item, FunctionCallItem):
            self._unanswered[item.call_id] = item.id
            self._attempts.pop(item.call_id, None)
            self._step_calls.append((item.name, item.arguments))
        elif isinstance(item, FunctionCallOutputItem):
            self._unanswered.pop(item.call_id, None)
            self._go_on()

    def _go_on(self) -> None:
        """Nothing is waited for any more, or still something."""
        if self.status == "requires_action" and not self._waits:
            self._set_status("in_progress")


def _ignore(_reducer: Reducer, _event: Any) -> bool:
    return False


_HANDLERS: dict[type, Callable[[Reducer, Any], bool]] = {
    ResponseStart: Reducer._on_start,
    StepStart: Reducer._on_step_start,
    StepDone: Reducer._on_step_done,
    UsageUpdate: Reducer._on_usage,
    ItemStart: Reducer._on_item_start,
    ItemDelta: Reducer._on_item_delta,
    ItemDone: Reducer._on_item_done,
    ItemError: Reducer._on_item_error,
    ItemCancelled: Reducer._on_item_cancelled,
    ApprovalRequested: Reducer._on_approval_requested,
    ApprovalResolved: Reducer._on_approval_resolved,
    ResponseDone: Reducer._on_done,
    ResponseError: Reducer._on_error,
    TurnAborted: Reducer._on_aborted,
}


def fold(batches: Iterable[Batch]) -> Response:
    """The Response that these batches add up to. Raises ValueError where they hold no `response_start`."""
    return Reducer().fold(batches).response()
