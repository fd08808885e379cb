"""Events: what a run's log says (contract §3).

A *payload* is what is stored; an *event* is a payload in its envelope, as a reader sees it. The envelope's other fields
are inflated on reading: a log keeps only seq, timestamp, trace context and payload.
"""

from typing import Any, Literal, get_args

from msgspec import UNSET, Struct, UnsetType

from tailrace.schema.items import ItemType, Origin, OutputItem
from tailrace.schema.response import Decision, ErrorInfo, FinishReason, Purpose, Question, Status, Usage

Channel = str  # refusal, summary, annotation, logprobs, input, output, image, …: what a delta grows besides main text


class TraceContext(Struct, omit_defaults=True, frozen=True):
    """W3C Trace Context of the span an event belongs to (https://www.w3.org/TR/trace-context/)."""

    traceparent: str
    tracestate: str | None = None


class _Payload(Struct, tag_field="type", omit_defaults=True, kw_only=True, frozen=True, gc=False):
    """What every payload shares: tagged by `type`, optional fields absent where `None`. JSON has no cycles, so that the
    garbage collector need not know of it."""


class ResponseStart(_Payload, tag="response_start", frozen=True, kw_only=True):
    """The run exists. Always seq 1. `after_run_id`: the run of its thread that it goes on from, null for none; absent:
    the one made before it."""

    response_id: str
    turn_id: str
    thread_id: str
    model_id: str
    provider_id: str
    created_at: int
    agent_id: str | None = None
    after_run_id: str | UnsetType | None = UNSET


class StepStart(_Payload, tag="step_start", frozen=True, kw_only=True):
    """A model call begins; steps count from 1. `client_tools`: the tools whose calls are left to the client, where the
    harness runs all others; absent: it runs none. `purpose`: what the call is for, where that is not the answer."""

    step: int
    provider_id: str
    model_id: str
    client_tools: list[str] | None = None
    purpose: Purpose | None = None


class StepDone(_Payload, tag="step_done", frozen=True, kw_only=True):
    """A model call ended."""

    step: int
    provider_id: str
    model_id: str
    finish_reason: FinishReason
    provider_response_id: str | None = None
    usage: Usage | None = None


class ItemStart(_Payload, tag="item_start", frozen=True, kw_only=True):
    """An item begins; what is known of it already travels along."""

    item_id: str
    item_type: ItemType
    origin: Origin | None = None
    initial_content: str | None = None
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None
    code: str | None = None
    language: Literal["javascript", "python"] | None = None
    provider_type: str | None = None
    kind: Literal["function", "custom"] | None = None


class ItemDelta(_Payload, tag="item_delta", frozen=True, kw_only=True):
    """An item grows: its main text, or `channel` (in content part `part`, counted from 0)."""

    item_id: str
    delta_content: str
    channel: Channel | None = None
    part: int | None = None


class ItemDone(_Payload, tag="item_done", frozen=True, kw_only=True):
    """An item is whole; `final_item` is authoritative."""

    item_id: str
    final_item: OutputItem


class ItemError(_Payload, tag="item_error", frozen=True, kw_only=True):
    """An item failed; it keeps its place and its partial content."""

    item_id: str
    error: ErrorInfo


class ItemCancelled(_Payload, tag="item_cancelled", frozen=True, kw_only=True):
    """An item was called off; it keeps its place and its partial content."""

    item_id: str
    reason: str | None = None


class ScriptExecutionStart(_Payload, tag="script_execution_start", frozen=True, kw_only=True):
    """A script begins to run."""

    item_id: str
    code: str


class ScriptExecutionDone(_Payload, tag="script_execution_done", frozen=True, kw_only=True):
    """A script returned."""

    item_id: str
    result: str
    success: bool


class ScriptExecutionError(_Payload, tag="script_execution_error", frozen=True, kw_only=True):
    """A script failed."""

    item_id: str
    error: ErrorInfo


class ApprovalRequested(_Payload, tag="approval_requested", frozen=True, kw_only=True):
    """A tool call waits for a person; `expires_at` in milliseconds since the epoch. `question`: what it asks while it
    runs."""

    approval_id: str
    item_id: str
    tool: str
    arguments: str
    reason: str
    expires_at: int
    question: Question | None = None


class ApprovalResolved(_Payload, tag="approval_resolved", frozen=True, kw_only=True):
    """A person, a policy or the clock decided; `reason`: what they said of it; `content`: what they filled in."""

    approval_id: str
    decision: Decision
    by: str
    reason: str | None = None
    content: dict[str, Any] | None = None


class UsageUpdate(_Payload, tag="usage_update", frozen=True, kw_only=True):
    """Token counts as the provider reports them in mid-step; the step's final usage is in `step_done`."""

    response_id: str
    usage: Usage


class ProviderEvent(_Payload, tag="provider_event", frozen=True, kw_only=True):
    """What a provider said and the schema has no word for, whole (rule 3)."""

    provider_id: str
    name: str
    data: Any


class Heartbeat(_Payload, tag="heartbeat", frozen=True, kw_only=True):
    """Never stored; known so that a reader of other transports may ignore it."""


class ResponseDone(_Payload, tag="response_done", frozen=True, kw_only=True):
    """Terminal: the run ended as meant."""

    response_id: str
    status: Status
    finish_reason: FinishReason
    usage: Usage | None = None


class ResponseError(_Payload, tag="response_error", frozen=True, kw_only=True):
    """Terminal: the run failed."""

    response_id: str
    error: ErrorInfo


class TurnAborted(_Payload, tag="turn_aborted_by_user", frozen=True, kw_only=True):
    """Terminal: the run was called off."""

    turn_id: str
    reason: str


Payload = (
    ResponseStart
    | StepStart
    | StepDone
    | ItemStart
    | ItemDelta
    | ItemDone
    | ItemError
    | ItemCancelled
    | ScriptExecutionStart
    | ScriptExecutionDone
    | ScriptExecutionError
    | ApprovalRequested
    | ApprovalResolved
    | UsageUpdate
    | ProviderEvent
    | Heartbeat
    | ResponseDone
    | ResponseError
    | TurnAborted
)

TERMINAL = (ResponseDone, ResponseError, TurnAborted)
ENDING: frozenset[type] = frozenset(TERMINAL)
GROWING: frozenset[type] = frozenset({ItemDelta})  # what only lets items grow


TYPES: dict[type, str] = {kind: str(kind.__struct_config__.tag) for kind in get_args(Payload)}
PAYLOAD_TYPES: frozenset[str] = frozenset(TYPES.values())


def type_of(payload: Payload) -> str:
    """The payload's `type` tag."""
    return TYPES[type(payload)]


class Event(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """A payload in its envelope, as a reader sees it. `type` equals `payload.type`."""

    event_id: str
    seq: int
    timestamp: int
    trace_context: TraceContext
    run_id: str
    type: str
    payload: Payload
