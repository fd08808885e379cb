"""The response object: a run, whole, with what was asked for repeated (Open Responses, ResponseResource: 31 keys, all
of them there, null only where the schema says so; an optional one is left out rather than null).

The stream's own snapshots are made by the same functions, so that a stream ends in what a retrieval gives (rule 6).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from tailrace.dialects.openai_errors import words
from tailrace.dialects.responses.items import Json, said_item
from tailrace.schema import codec
from tailrace.schema.items import (
    CancelledItem,
    ErrorItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    OutputItem,
)
from tailrace.schema.request import RunRequest
from tailrace.schema.response import ErrorInfo, FinishReason, Response, Status, Usage

_TEXT = {"format": {"type": "text"}}
# What a response repeats of its request, and what it says where nothing was asked.
ECHO: Json = {
    "previous_response_id": None,
    "instructions": None,
    "tools": [],
    "tool_choice": "auto",
    "truncation": "disabled",
    "parallel_tool_calls": True,
    "text": _TEXT,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
    "temperature": 1.0,
    "reasoning": {"effort": None, "summary": None},
    "max_output_tokens": None,
    "max_tool_calls": None,
    "store": True,
    "background": False,
    "service_tier": "default",
    "metadata": {},
    "safety_identifier": None,
    "prompt_cache_key": None,
}
OPTIONAL = ("user", "conversation")
_UNFINISHED: dict[FinishReason, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    "limit": "max_tool_calls",
}


class Form:
    """What this dialect may be asked to do otherwise, and what it repeats: the `asked` of a run of this protocol.

    `open_responses`: the names of the Open Responses specification where they differ from OpenAI's (reasoning deltas).
    """

    __slots__ = ("_allowed", "asked", "open_responses", "sealed")

    def __init__(self, protocol: str, asked: Json) -> None:
        self.asked = asked if protocol == "responses" else {"model": asked["model"]} if "model" in asked else {}
        self.open_responses = bool(self.asked.get("open_responses"))
        self.sealed = "reasoning.encrypted_content" in (self.asked.get("include") or ())
        choice = self.asked.get("tool_choice")
        self._allowed: frozenset[str] | None = None
        if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
            self._allowed = frozenset(tool.get("name") for tool in choice["tools"])

    def allows(self, name: str) -> bool:
        """May the model call this tool? `allowed_tools` is a hard limit: another call is not passed on (the spec)."""
        return self._allowed is None or name in self._allowed


NOTHING_ASKED = Form("native", {})


class Standing(NamedTuple):
    """How a run stands, in the API's words. Times in seconds."""

    status: str
    completed_at: int | None = None
    incomplete_details: Json | None = None
    error: Json | None = None


def standing(
    status: Status, reason: FinishReason | None, completed_at: int | None, error: ErrorInfo | None
) -> Standing:
    """`completed_at` in milliseconds. A run that waits for its client's outputs is in progress."""
    match status:
        case "complete" if reason in _UNFINISHED:
            return Standing("incomplete", None, {"reason": _UNFINISHED[reason]})
        case "complete":
            return Standing("completed", (completed_at or 0) // 1000)
        case "error":
            return Standing("failed", error=said_error(error) if error else None)
        case "aborted":
            return Standing("cancelled")
        case "queued":
            return Standing("queued")
        case _:
            return Standing("in_progress")


def said_error(error: ErrorInfo) -> Json:
    """The `error` of a response that failed."""
    said = (error.details or {}).get("code")
    code = said if isinstance(said, str) and error.code == "invalid_request" else words(error.code).code
    return {"code": code or "server_error", "message": error.message}


def response_object(
    response_id: str, created_at: int, model: str, form: Form, now: Standing, output: list[Json], usage: Usage | None
) -> Json:
    """All 31 keys. `created_at` in milliseconds."""
    asked = form.asked
    said: Json = {
        "id": response_id,
        "object": "response",
        "created_at": created_at // 1000,
        "completed_at": now.completed_at,
        "status": now.status,
        "incomplete_details": now.incomplete_details,
        "model": asked.get("model", model),
        "output": output,
        "error": now.error,
        "usage": said_usage(usage, now.status),
        **{name: asked.get(name, otherwise) for name, otherwise in ECHO.items()},
    }
    return {**said, **{name: asked[name] for name in OPTIONAL if name in asked}}


def said_usage(usage: Usage | None, status: str) -> Json | None:
    """Token counts; a completed response has them, zero where its provider told none: clients rely on that."""
    if usage is None:
        if status != "completed":
            return None
        usage = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens,
    }


def is_shown(item: OutputItem, form: Form) -> bool:
    """Does the item belong to the output? Not what the user said, nor that a call was left unanswered."""
    match item:
        case ErrorItem() | CancelledItem():
            return item.partial is not None and is_shown(item.partial, form)
        case MessageItem():
            return item.origin == "agent"
        case FunctionCallItem():
            return form.allows(item.name)
        case FunctionCallOutputItem():
            return item.origin == "tool_harness"
        case _:
            return True


def output_of(items: Iterable[OutputItem], response_id: str, form: Form) -> list[Json]:
    """The items that a response shows."""
    said = (said_item(item, response_id, sealed=form.sealed) for item in items if is_shown(item, form))
    return [item for item in said if item is not None]


def form_of(request: RunRequest) -> Form:
    """What the run's own protocol asked for, as far as it matters here."""
    return Form(request.protocol, request.asked) if request.asked is not None else NOTHING_ASKED


def to_object(response: Response, request: RunRequest) -> dict[str, Any]:
    """A run, whole. The Response begins with the request's input items."""
    form = form_of(request)
    now = standing(response.status, response.finish_reason, response.completed_at, response.error)
    model = f"{response.provider_id}/{response.model_id}"
    output = output_of(response.output_items[len(request.input) :], response.id, form)
    return response_object(response.id, response.created_at, model, form, now, output, response.usage)


def whole(response: Response, request: RunRequest) -> bytes:
    """The answer to a request that does not stream."""
    return codec.encode(to_object(response, request))
