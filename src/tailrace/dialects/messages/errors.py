"""Our error codes in Anthropic's words: the one table for its error envelope and for errors in mid-stream.

Types: https://platform.claude.com/docs/en/api/errors
"""

from typing import Any

TYPES: dict[str, str] = {
    "unauthorized": "authentication_error",
    "forbidden": "permission_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "rate_limited": "rate_limit_error",
    "quota_exceeded": "rate_limit_error",
    "overloaded": "overloaded_error",
    "not_ready": "overloaded_error",
    "timeout": "timeout_error",
    "invalid_request": "invalid_request_error",
    "context_overflow": "invalid_request_error",
    "content_filter": "invalid_request_error",
    "conflict": "invalid_request_error",
}


def error_body(code: str, message: str, request_id: str | None = None, error_code: str | None = None) -> dict[str, Any]:
    """`{"type": "error", "error": {type, message, details?}, "request_id"}`: an error's body, and the stream's `error`
    event. `error_code`: the vendor's own name of the cause, where its clients decide by it."""
    error: dict[str, Any] = {"type": TYPES.get(code, "api_error"), "message": message}
    if error_code is not None:
        error["details"] = {"error_code": error_code}
    return {"type": "error", "error": error, "request_id": request_id}
