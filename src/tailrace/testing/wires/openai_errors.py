"""OpenAI's error objects, scripted: over HTTP and in mid-stream, the same on both of its wires."""

from tailrace.testing.moves import Fail
from tailrace.testing.wires.base import Json

# canonical code -> the vendor's; status -> the vendor's type and code
_IN_STREAM = {
    "rate_limited": "rate_limit_exceeded",
    "overloaded": "server_is_overloaded",
    "context_overflow": "context_length_exceeded",
    "quota_exceeded": "insufficient_quota",
    "invalid_request": "invalid_prompt",
}
_OVER_HTTP: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def in_stream(fail: Fail) -> Json:
    """The error object of a stream that fails."""
    code = _IN_STREAM.get(fail.code, "server_error")
    return {"type": code, "code": code, "message": fail.message, "param": None}


def over_http(status: int, message: str) -> Json:
    """The body of an HTTP error."""
    kind, code = _OVER_HTTP.get(status, ("server_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
