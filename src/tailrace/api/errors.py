"""One table from errors to HTTP, and one shape for all: `{"error": {"code", "message", "details"?}}` (contract §4)."""

from typing import Any, NamedTuple

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from tailrace.schema import codec
from tailrace.schema.errors import (
    Conflict,
    Expired,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
    RequestError,
    TooLarge,
    Unauthorized,
)

logger = structlog.get_logger()

STATUS: dict[type[RequestError], int] = {
    InvalidRequest: 400,
    Unauthorized: 401,
    NotFound: 404,
    Conflict: 409,
    Expired: 410,
    TooLarge: 413,
    Overloaded: 429,
    NotReady: 503,
}

# What the framework itself refuses, by its status.
FRAMEWORK_CODES = {400: "invalid_request", 404: "not_found", 405: "invalid_request", 413: "too_large"}


class Problem(NamedTuple):
    """An error, ready for the wire."""

    status: int
    code: str
    message: str
    details: dict[str, Any] | None = None
    retry_after: float | None = None

    def body(self) -> bytes:
        """The uniform error body."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details:
            error["details"] = self.details
        return codec.encode({"error": error})

    def headers(self) -> dict[str, str]:
        """`Retry-After` in whole seconds, where another try makes sense (RFC 9110 §10.2.3)."""
        return {} if self.retry_after is None else {"retry-after": str(max(1, round(self.retry_after)))}


def problem(error: Exception) -> Problem:
    """How an error is told. One that nobody foresaw is told as `internal`, without its text: that goes to the log."""
    if isinstance(error, RequestError):
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        return Problem(status, error.code, error.message, error.details, getattr(error, "retry_after", None))
    if isinstance(error, ValidationException):
        return _invalid(error)
    if isinstance(error, HTTPException):
        code = FRAMEWORK_CODES.get(error.status_code, "internal")
        return Problem(error.status_code, code, error.detail or code)
    logger.exception("request failed", error=type(error).__name__, exc_info=error)
    return Problem(500, "internal", "the server failed; its log says more")


def _invalid(error: ValidationException) -> Problem:
    """A path or query parameter, or a missing body, as the framework reports it."""
    extra = error.extra if isinstance(error.extra, list) else []
    first: dict[str, Any] = extra[0] if extra and isinstance(extra[0], dict) else {}
    field = first.get("key") or "body"
    message = "a JSON body is required" if field == "data" else str(first.get("message") or error.detail)
    return Problem(400, "invalid_request", message, {"field": "body" if field == "data" else field})


def handle(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The framework's exception handler for everything."""
    told = problem(error)
    return Response(told.body(), status_code=told.status, headers=told.headers(), media_type="application/json")
