"""The Response: a run, whole (contract §2)."""

from typing import Any, Literal

from msgspec import Struct

from tailrace.schema.items import OutputItem

Status = Literal["queued", "in_progress", "requires_action", "complete", "error", "aborted"]
FinishReason = Literal[
    "stop", "length", "tool_calls", "content_filter", "refusal", "pause", "limit", "cancelled", "error"
]

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
    """One model call of a run, counted from 1."""

    step: int
    provider_id: str
    model_id: str
    provider_response_id: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


class Response(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """A run, whole: the fold of its log up to `last_seq`. Times are milliseconds since the epoch, UTC."""

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
