"""Our error codes in the words of OpenAI's APIs: the one table for envelopes and for errors in mid-stream.

`type` and `code` are those that the official SDKs and Codex decide by (https://platform.openai.com/docs/guides/error-codes).
"""

from typing import Any, NamedTuple


class Words(NamedTuple):
    """What OpenAI calls an error."""

    type: str
    code: str | None


_SERVER = Words("server_error", "server_error")

WORDS: dict[str, Words] = {
    "invalid_request": Words("invalid_request_error", "invalid_value"),
    "unauthorized": Words("authentication_error", "invalid_api_key"),
    "forbidden": Words("permission_error", "forbidden"),
    "not_found": Words("invalid_request_error", "not_found"),
    "conflict": Words("conflict_error", "conflict"),
    "too_large": Words("invalid_request_error", "request_too_large"),
    "not_ready": Words("server_error", "server_is_overloaded"),
    "authentication": Words("server_error", "provider_authentication"),
    "permission": Words("permission_error", "provider_permission"),
    "context_overflow": Words("invalid_request_error", "context_length_exceeded"),
    "content_filter": Words("invalid_request_error", "content_filter"),
    "quota_exceeded": Words("insufficient_quota", "insufficient_quota"),
    "rate_limited": Words("rate_limit_error", "rate_limit_exceeded"),
    "overloaded": Words("server_error", "server_is_overloaded"),
    "timeout": Words("server_error", "timeout"),
    "interrupted": Words("server_error", "interrupted"),
    "limit": Words("server_error", "run_limit_exceeded"),
}


def words(code: str) -> Words:
    """OpenAI's words for one of our codes (`schema/errors.py`)."""
    return WORDS.get(code, _SERVER)


def error_object(code: str, message: str, *, param: str | None = None, said: str | None = None) -> dict[str, Any]:
    """The `error` object; `said` is a more exact code than our own has a word for."""
    word = words(code)
    return {"message": message, "type": word.type, "param": param, "code": said or word.code}
