"""Errors in each vendor's envelope, with the vendor's name for the parameter at fault.

A handler raises what every handler raises (`schema/errors.py`); the path decides how it is told. A run that failed is
told by `failure`, from its error code.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from litestar import Request, Response

from tailrace.api import errors
from tailrace.api.errors import Problem
from tailrace.dialects.messages.errors import error_body
from tailrace.dialects.openai_errors import error_object
from tailrace.schema import codec
from tailrace.schema.response import ErrorInfo

# Error code of a run -> HTTP status. What is wrong between this server and its provider is a gateway's error: the
# caller's own key is not at fault, whatever the provider says about ours.
STATUS: dict[str, int] = {
    "invalid_request": 400,
    "authentication": 502,
    "permission": 403,
    "not_found": 404,
    "too_large": 413,
    "context_overflow": 400,
    "content_filter": 400,
    "quota_exceeded": 429,
    "rate_limited": 429,
    "overloaded": 503,
    "server_error": 502,
    "timeout": 504,
    "connection": 502,
    "stream_interrupted": 502,
    "malformed_call": 502,
    "repetition": 502,
    "empty_answer": 502,
    "aborted": 502,
    "protocol_error": 502,
    "provider_error": 502,
    "interrupted": 503,
    "limit": 504,
    "internal": 500,
}
_INDEX = re.compile(r"^(?P<name>[^.\[]+)(?P<rest>.*)$")


class Told(NamedTuple):
    """An error as it goes out."""

    status: int
    headers: dict[str, str]
    body: bytes


def failure(error: ErrorInfo) -> Problem:
    """A run's error as a problem: its status by its code, and when to come back where the provider said so.

    The provider's own word for it is passed on only where ours says no more than that the request was wrong.
    """
    details = dict(error.details or {})
    if error.code != "invalid_request":
        details.pop("code", None)
    wait = details.get("retry_after")
    retry_after = float(wait) if isinstance(wait, int | float) else None
    return Problem(STATUS.get(error.code, 500), error.code, error.message, details, retry_after)


@dataclass(frozen=True, slots=True)
class Envelope:
    """How a vendor tells an error. `params`: our name of a field -> the vendor's, for the first part of its path."""

    write: Callable[[Problem, str | None], Any]
    params: Mapping[str, str] = field(default_factory=dict)
    statuses: Mapping[str, int] = field(default_factory=dict)  # code -> status, where the vendor has one of its own

    def param(self, told: Problem) -> str | None:
        """The parameter at fault in the vendor's words."""
        name = (told.details or {}).get("field") or (told.details or {}).get("param")
        found = _INDEX.match(name) if isinstance(name, str) else None
        return self.params.get(found["name"], found["name"]) + found["rest"] if found else None

    def tell(self, told: Problem) -> Told:
        """The error, ready for the wire."""
        body = codec.encode(self.write(told, self.param(told)))
        return Told(self.statuses.get(told.code, told.status), told.headers(), body)


def _openai(told: Problem, param: str | None) -> dict[str, Any]:
    """`{"error": {message, type, param, code}}` (OpenAI API reference, errors)."""
    said = (told.details or {}).get("code")
    if told.code == "invalid_request" and param == "model":
        said = said or "model_not_found"
    return {"error": error_object(told.code, told.message, param=param, said=said if isinstance(said, str) else None)}


def _anthropic(told: Problem, param: str | None) -> dict[str, Any]:
    message = f"{param}: {told.message}" if param and not told.message.startswith(param) else told.message
    return error_body(told.code, message, error_code=(told.details or {}).get("error_code"))


_COMMON = {"model_id": "model", "provider_id": "model", "previous_run_id": "previous_response_id"}
RESPONSES = Envelope(
    _openai,
    {
        **_COMMON,
        "reasoning_effort": "reasoning.effort",
        "reasoning_summary": "reasoning.summary",
        "thinking_budget": "reasoning.effort",
        "output_format": "text.format",
        "verbosity": "text.verbosity",
        "thread_id": "conversation",
    },
)
CHAT = Envelope(_openai, {**_COMMON, "output_format": "response_format", "max_output_tokens": "max_completion_tokens"})
MESSAGES = Envelope(
    _anthropic,
    {
        **_COMMON,
        "input": "messages",
        "instructions": "system",
        "max_output_tokens": "max_tokens",
        "output_format": "output_config.format",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
        "reasoning_effort": "output_config.effort",
        "stop": "stop_sequences",
        "thinking_budget": "thinking",
        "user": "metadata.user_id",
    },
    {"overloaded": 529},
)
_BY_PATH = {"/v1/messages": MESSAGES, "/v1/chat": CHAT, "/v1": RESPONSES}


def of_path(path: str) -> Envelope | None:
    """The envelope of the protocol that speaks at this path; None outside of `/v1`."""
    return next(
        (envelope for start, envelope in _BY_PATH.items() if path == start or path.startswith(f"{start}/")), None
    )


def tell(path: str, told: Problem) -> Told:
    """The error in the form that clients of this path expect."""
    envelope = of_path(path)
    return envelope.tell(told) if envelope is not None else Told(told.status, told.headers(), told.body())


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The framework's exception handler for everything."""
    told = tell(request.scope["path"], errors.problem(error))
    return Response(told.body, status_code=told.status, headers=told.headers, media_type="application/json")
