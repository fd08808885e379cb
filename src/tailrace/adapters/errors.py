"""Providers' errors in our words: an HTTP error's body, or an error object in mid-stream, as a ProviderError.

What a provider calls an error decides first, then the HTTP status; phrases of the message decide only where providers
give a vague name to something that callers treat differently (an over-long prompt, an empty purse). Pure: a date is
measured against the answer's own `Date` header.
"""

import html
import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from tailrace.adapters.reading import Json, dict_in, dicts_in, text_in
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, ProviderError

MESSAGE_CHARS = 4096

# A provider's word for an error (its `code`, `type` or `status`, in lower case) -> ours (schema/errors.py CODES).
WORDS: dict[str, str] = {
    word: code
    for code, words in {
        "authentication": "authentication_error invalid_api_key invalid_authentication unauthenticated unauthorized"
        " token_expired unrecognizedclientexception expiredtokenexception invalidsignatureexception",
        "permission": "permission_error permission_denied forbidden access_terminated"
        " unsupported_country_region_territory accessdeniedexception model_access_denied",
        "not_found": "not_found_error not_found model_not_found resourcenotfoundexception previous_response_not_found",
        "too_large": "request_too_large payload_too_large",
        "context_overflow": "context_length_exceeded context_window_exceeded model_context_window_exceeded"
        " exceed_context_size_error prompt_too_long",
        "content_filter": "content_filter content_policy_violation responsible_ai_policy_violation cyber_policy"
        " content_filtered data_inspection_failed moderation_blocked image_content_policy_violation",
        "quota_exceeded": "insufficient_quota billing_error billing_hard_limit_reached billing_not_active"
        " usage_limit_reached usage_not_included quota_exceeded insufficient_balance insufficient_credits"
        " payment_required servicequotaexceededexception exceeded_current_quota_error arrearage",
        "rate_limited": "rate_limit_error rate_limit_exceeded rate_limit_reached_error rate_limited resource_exhausted"
        " throttling_error throttlingexception too_many_requests requests tokens websocket_connection_limit_reached",
        "overloaded": "overloaded_error overloaded server_is_overloaded engine_overloaded engine_overloaded_error"
        " slow_down service_unavailable unavailable serviceunavailableexception modelnotreadyexception",
        "timeout": "timeout_error timeout request_timeout deadline_exceeded modeltimeoutexception",
        "server_error": "server_error api_error internal_server_error internal_error internal vector_store_timeout"
        " internalserverexception modelstreamerrorexception modelerrorexception network_error",
        "invalid_request": "invalid_request_error invalid_request bad_request badrequesterror invalid_argument"
        " failed_precondition invalid_prompt invalid_function_parameters validationexception unsupported_parameter"
        " unsupported_value invalid_value invalid_image image_parse_error empty_image_file",
    }.items()
    for word in words.split()
}
# Words that say little: a status that says more goes before them.
_VAGUE = frozenset({"invalid_request", "server_error"})

STATUSES: dict[int, str] = {
    400: "invalid_request",
    401: "authentication",
    402: "quota_exceeded",
    403: "permission",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    422: "invalid_request",
    429: "rate_limited",
    503: "overloaded",
    529: "overloaded",
}

_OVERFLOW = re.compile(
    r"maximum (?:context|prompt) length|context[ _]length[ _]exceeded|context (?:window|limit)|prompt is too long"
    r"|input is too long|exceeds the maximum number of tokens|reduce the length of|exceeds the available context"
    r"|greater than the context length|exceeded model token limit|prompt token count of \d+ exceeds",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"exceeded your current quota|credit balance is too low|insufficient (?:account )?(?:balance|credits|quota)"
    r"|requires more credits|usage limit (?:has been )?reached|billing hard limit",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_KEY = re.compile(r"\b(?:sk|pk|gsk|xai|key|r8|hf)[-_][\w*.-]{8,}|\bAIza[\w-]{10,}|(?<=Bearer )\S+", re.IGNORECASE)
_WAIT = re.compile(
    r"(?:try(?:ing)? again|retry|retrying|resets?|wait)(?: in| after| for)?:? ([\d.]+ ?[a-z][\w. ]*)", re.IGNORECASE
)
_SPAN = re.compile(r"(\d+(?:\.\d+)?) ?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}  # by first letter; milliseconds stand apart


class _Said(NamedTuple):
    """What a provider says of an error."""

    message: str
    words: tuple[str, ...]
    status: int | None
    details: Json
    wait: float | None


def http_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """An answer with an error status, of any wire. `headers` are the answer's; never the request's."""
    named = {name.lower(): value for name, value in headers.items()}
    said = _said(_decoded(body))
    # AWS names the error beside its body, perhaps with a namespace in front or an address behind.
    kind = named.get("x-amzn-errortype", "").split(":")[0].rpartition("#")[2].lower()
    said = said._replace(words=(*said.words, kind)) if kind else said
    waits = [wait for wait in (said.wait, *_header_waits(named, status)) if wait is not None]
    error = ProviderError(
        _code(said, status, waits),
        said.message or f"the provider answered with status {status} and no message",
        status=status,
        retry_after=max(waits) if waits else None,
        details=said.details or None,
    )
    advice = named.get("x-should-retry")
    if advice in {"true", "false"}:
        error.retryable = advice == "true"
    return error


def stream_error(thing: object) -> ProviderError:
    """An error object in mid-stream, or the event or body that holds one."""
    said = _said(thing)
    return ProviderError(
        _code(said, said.status, [] if said.wait is None else [said.wait]),
        said.message or "the provider reported an error without a message",
        retry_after=said.wait,
        details=said.details or None,
    )


def unreadable_answer(body: bytes) -> ProviderError:
    """An answer that should have been one, by its status, and is not."""
    text = _clean(body.decode("utf-8", "replace"))[:200]
    return ProviderError("protocol_error", f"the provider's answer cannot be read: {text}" if text else "empty answer")


def names_error(thing: object) -> bool:
    """Is this JSON body an error rather than an answer?"""
    if isinstance(thing, list):
        return bool(thing) and names_error(thing[0])
    if not isinstance(thing, dict) or thing.get("object") not in {None, "", "error"}:
        return False
    return bool(thing.get("type") == "error" or any(thing.get(key) for key in ("error", "errors", "message", "detail")))


# --- what it is -------------------------------------------------------------------------------------------------


def _code(said: _Said, status: int | None, waits: list[float]) -> str:
    known = [WORDS[word] for word in said.words if word in WORDS]
    code = next((code for code in known if code not in _VAGUE), None) or _of_status(status)
    if code is None or (code == "invalid_request" and known):
        code = known[0] if known else "provider_error"
    if code in {"invalid_request", "too_large", "provider_error", "server_error"} and _OVERFLOW.search(said.message):
        return "context_overflow"
    # Google words a passing rate limit like an empty purse, but says when to come back.
    if code in {"invalid_request", "rate_limited", "permission", "provider_error"} and not waits:
        return "quota_exceeded" if _QUOTA.search(said.message) else code
    return code


def _of_status(status: int | None) -> str | None:
    if status is None or status < 400:
        return None
    return STATUSES.get(status) or ("server_error" if status >= 500 else "invalid_request")


# --- what was said ----------------------------------------------------------------------------------------------


def _decoded(body: bytes) -> object:
    try:
        return codec.decode_any(body)
    except (InvalidJson, RecursionError):
        return body.decode("utf-8", "replace")


def _said(thing: object) -> _Said:
    outer = thing[0] if isinstance(thing, list) and thing else thing
    if not isinstance(outer, dict):
        return _Said(_clean(outer) if isinstance(outer, str) else "", (), None, {}, None)
    inner = _inner(outer)
    message = _message(inner) or _message(outer)
    raw = text_in(dict_in(inner, "metadata"), "raw")  # a gateway's copy of what its own provider said
    message = _clean(f"{message}: {raw}" if raw else message)
    names = [inner.get(key) for key in ("code", "type", "status", "__type")]
    code = inner.get("code")
    details = {key: inner[key] for key in ("type", "code", "param") if isinstance(inner.get(key), str | int)}
    if text_in(outer, "request_id"):
        details["request_id"] = outer["request_id"]
    return _Said(
        message=message,
        words=tuple(name.lower() for name in names if isinstance(name, str)),
        status=int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else None,
        details=details,
        wait=_body_wait(inner, message),
    )


def _inner(outer: Json) -> Json:
    error = outer.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"code": outer.get("code"), "type": outer.get("type"), "message": error}
    listed = dicts_in(outer, "errors")
    return listed[0] if listed else outer


def _message(error: Json) -> str:
    for key in ("message", "Message", "detail", "error_message", "msg"):
        value = error.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, dict | list) and value:
            return codec.encode(value).decode()
    return ""


def _clean(text: str) -> str:
    """Readable text in one line, without markup and without anything that looks like a key (design rule 9)."""
    text = text[: 4 * MESSAGE_CHARS]
    if "</" in text or text.lstrip().startswith("<"):
        title = _TITLE.search(text)
        text = html.unescape(_MARKUP.sub(" ", title[1] if title and title[1].strip() else text))
    text = _KEY.sub("[redacted]", " ".join(text.split()))
    return text if len(text) <= MESSAGE_CHARS else text[: MESSAGE_CHARS - 1] + "…"


# --- when to come back, in seconds ------------------------------------------------------------------------------


def _header_waits(headers: Mapping[str, str], status: int) -> list[float | None]:
    waits = [
        _scaled(headers.get("retry-after-ms"), 0.001),
        _scaled(headers.get("retry-after"), 1.0),
        _until(headers.get("retry-after"), headers.get("date")),
    ]
    if status in {429, 503, 529}:  # on other answers these only say how the budget stands
        waits.append(_scaled(headers.get("x-ratelimit-reset-after"), 1.0))
        waits.append(_scaled(headers.get("x-ratelimit-reset-ms"), 0.001))
        waits.append(_reset(headers.get("x-ratelimit-reset"), headers.get("date")))
    return waits


def _scaled(value: object, factor: float) -> float | None:
    try:
        number = float(value) * factor  # type: ignore[arg-type]  # what is no number is caught
    except (TypeError, ValueError):
        return None
    return max(number, 0.0) if math.isfinite(number) else None


def _until(date: str | None, now: str | None) -> float | None:
    try:
        wait = parsedate_to_datetime(date or "").timestamp() - parsedate_to_datetime(now or "").timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(wait, 0.0)


def _reset(value: str | None, now: str | None) -> float | None:
    """Seconds to go, or a time since the epoch in seconds or milliseconds."""
    number = _scaled(value, 1.0)
    if number is None or number < 1e9:
        return number
    try:
        return max((number / 1000 if number > 1e11 else number) - parsedate_to_datetime(now or "").timestamp(), 0.0)
    except (TypeError, ValueError):
        return None


def _body_wait(error: Json, message: str) -> float | None:
    for key in ("retry_after", "resets_in_seconds"):
        wait = _scaled(error.get(key), 1.0)
        if wait is not None:
            return wait
    delays = [text_in(detail, "retryDelay") for detail in dicts_in(error, "details")]
    named = _WAIT.search(message)
    for span in [*delays, named[1] if named else ""]:
        wait = _span(span)
        if wait is not None:
            return wait
    return None


def _span(text: str) -> float | None:
    """A span of time such as `1m3.2s`, `20 seconds` or `150ms`."""
    found: list[Any] = _SPAN.findall(text.lower())
    return sum(float(number) * _unit(unit) for number, unit in found) if found else None


def _unit(name: str) -> float:
    return 0.001 if name.startswith(("ms", "milli")) else _SECONDS[name[0]]
