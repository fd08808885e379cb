"""The protocol's words for what a run says: how it ended, what it cost, what went wrong. Shared by stream and whole."""

from typing import Any

from msgspec import Struct

from tailrace.dialects.openai_errors import error_object
from tailrace.schema.response import ErrorInfo, FinishReason, Usage

Json = dict[str, Any]

BETWEEN = "\n\n"  # stands between the texts of two messages, which this protocol has as one

_FINISH: dict[FinishReason, str] = {
    "length": "length",
    "limit": "length",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}


class Echo(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What an answer repeats of its request, or is shaped by. For a run made in another protocol: the defaults."""

    model: str = ""
    include_usage: bool = True
    legacy: bool = False


def finish_of(reason: FinishReason, *, calls: bool, refused: bool, legacy: bool) -> str:
    """The finish reason. Calls that wait for an answer come before `stop` and `length`: a client that was given some
    must know; a refusal that was said in words is an answer like another, as at the vendor's."""
    word = _FINISH.get(reason, "stop")
    if reason == "refusal" and refused:
        word = "stop"
    if calls and word != "content_filter":
        word = "function_call" if legacy else "tool_calls"
    return word


def usage_of(usage: Usage) -> Json:
    """The counts; details where they are known."""
    counts: Json = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return counts


def error_of(error: ErrorInfo) -> Json:
    """An error as it stands in a stream: the form that the vendor's clients raise on."""
    return {"error": error_object(error.code, error.message, param=(error.details or {}).get("field"))}


def cancelled(reason: str) -> Json:
    """A run that was called off: no answer that a client may take for whole."""
    return {"error": error_object("conflict", f"cancelled: {reason}", said="cancelled")}


def annotation_of(annotation: Any) -> Json | None:
    """A citation in this protocol's form; None for what it has no form for (it stays in the native view)."""
    if not isinstance(annotation, dict) or annotation.get("type") != "url_citation":
        return None
    if isinstance(annotation.get("url_citation"), dict):
        return annotation
    return {"type": "url_citation", "url_citation": {name: annotation[name] for name in annotation if name != "type"}}


def call_of(call_id: str, name: str, text: str, *, custom: bool) -> Json:
    """A tool call."""
    if custom:
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": text}}
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}
