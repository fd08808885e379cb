"""The Response: a run, whole (contract §2)."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from tailrace.schema.items import OutputItem

Status = Literal["queued", "in_progress", "requires_action", "complete", "error", "aborted"]
FinishReason = Literal[
    "stop", "length", "tool_calls", "content_filter", "refusal", "pause", "limit", "cancelled", "error"
]

Purpose = Literal["compaction"]  # what a step is for that asks for no answer: the conversation is summed up

Decision = Literal["approved", "approved_for_run", "denied", "cancelled", "expired"]

# How a step ends whose whole calls are to be answered: as meant, or because its worker was lost.
ANSWERABLE: frozenset[FinishReason] = frozenset({"tool_calls", "cancelled"})
ENDED: frozenset[Status] = frozenset({"complete", "error", "aborted"})


class Usage(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """Token counts: `prompt_tokens` includes cached ones, `completion_tokens` includes reasoning."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None


class ErrorInfo(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """Why a run or an item failed. `code` is one of `tailrace.schema.errors.CODES`."""

    code: str
    message: str
    details: dict[str, Any] | None = None
    retryable: bool = False


class Step(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """One model call of a run, counted from 1. `client_tools`, `purpose`: see `step_start`."""

    step: int
    provider_id: str
    model_id: str
    provider_response_id: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    client_tools: list[str] | None = None
    purpose: Purpose | None = None


class Question(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """What a tool asks a person in the midst of its call: to fill in a form (`schema`: a JSON Schema of an object of
    plain values), or to open a page (`url`)."""

    message: str
    schema: dict[str, Any] | None = None
    url: str | None = None


class Resolution(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """How it was decided about a tool call, by whom, and what they said of it; `content`: what was filled in."""

    decision: Decision
    by: str
    reason: str | None = None
    content: dict[str, Any] | None = None


class Approval(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """A tool call that a person is asked about: the item's, and why; until `expires_at`, or its `resolution`.
    `question`: what the call asks while it runs."""

    approval_id: str
    item_id: str
    tool: str
    arguments: str
    reason: str
    expires_at: int
    resolution: Resolution | None = None
    question: Question | None = None


class Response(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """A run, whole: the fold of its log up to `last_seq`. Times are milliseconds since the epoch, UTC. `after_run_id`:
    see `response_start`."""

    id: str
    turn_id: str
    thread_id: str
    model_id: str
    provider_id: str
    created_at: int
    updated_at: int
    status: Status
    output_items: list[OutputItem]
    steps: list[Step]
    finish_reason: FinishReason | None
    last_seq: int
    agent_id: str | None = None
    completed_at: int | None = None
    usage: Usage | None = None
    error: ErrorInfo | None = None
    approvals: list[Approval] | None = None
    after_run_id: str | UnsetType | None = UNSET

    @property
    def pending(self) -> list[Approval]:
        """The approvals that are waited for."""
        return [approval for approval in self.approvals or () if approval.resolution is None]

    @property
    def asking(self) -> list[Approval]:
        """Those of them that a call which runs has asked for: whoever runs it waits for them itself."""
        return [approval for approval in self.pending if approval.question is not None]
