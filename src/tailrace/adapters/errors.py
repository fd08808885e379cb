"""Providers' errors in our words: an HTTP error's body, or an error object in mid-stream, as a ProviderError.

What a provider calls an error decides first, then the HTTP status; phrases of the message decide only where providers
give a vague name to something that callers treat differently (an over-long prompt, an empty purse). Pure: a date is
measured against the answer's own `Date` header.
"""

import html
import re
from collections.abc import Mapping
from typing import NamedTuple

from tailrace.adapters.reading import Json, dict_in, dicts_in, text_in
from tailrace.adapters.waits import body_wait, header_waits, seconds_of
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, ProviderError

MESSAGE_CHARS = 4096

# A provider's word for an error (its `code`, `type` or `status`, in lower case) -> ours (schema/errors.py CODES).
WORDS: dict[str, str] = {
    word: code
    for code, words in {
        "authentication": "authentication_error invalid_api_key invalid_authentication unauthenticated unauthorized"
        " token_expired api_key_invalid unrecognizedclientexception expiredtokenexception invalidsignatureexception",
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
        "aborted": "cancelled canceled aborted request_aborted request_cancelled",
        "malformed_call": "malformed_function_call malformed_tool_call tool_use_failed unexpected_tool_call",
        "server_error": "server_error api_error internal_server_error internal_error internal vector_store_timeout"
        " internalserverexception modelstreamerrorexception modelerrorexception network_error",
        "invalid_request": "invalid_request_error invalid_request bad_request badrequesterror invalid_argument"
        " failed_precondition invalid_prompt invalid_function_parameters validationexception unsupported_parameter"
        " unsupported_value invalid_value invalid_image image_parse_error empty_image_file invalid_image_format"
        " invalid_base64_image invalid_image_url invalid_image_mode image_too_large image_too_small"
        " image_file_too_large image_file_not_found unsupported_image_media_type failed_to_download_image",
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
    499: "aborted",
    503: "overloaded",
    529: "overloaded",
}

# How providers say that a prompt is too long for the model, where they have no word for it.
_OVERFLOW = re.compile(
    r"maximum (?:context|prompt|model|sequence|allowed input) length|context[ _]length[ _]exceeded"
    r"|context (?:window|limit)|(?:prompt|input|inputs|request) (?:is |are )?too (?:long|large for)"
    r"|too large for (?:the )?model|exceeds? the maximum number of (?:input )?tokens|reduce the length of"
    r"|exceeds the available context|(?:greater|longer) than the (?:model.?s )?(?:maximum )?context(?: length| size)?"
    r"|context (?:length|size) is only|exceeded (?:max |model )?(?:context|token)(?: length| limit)"
    r"|prompt token count of \d+ exceeds|prompt exceeds max|input tokens? exceed|too many input tokens"
    r"|number of input tokens exceeds|range of input length should be|input length .{0,80}exceed"
    r"|tokens in (?:the )?(?:request|prompt) (?:more than|cannot exceed)|`inputs` must have less than"
    r"|token limit exceeded|exceeds the (?:model.?s )?token limit|max_new_tokens` must be <=",
    re.IGNORECASE,
)
# The same words where it is only too much at a time.
_THROTTLE = re.compile(
    r"rate.?limit|too many requests|throttl|per.?(?:minute|min|day|hour|second)\b|\b[rt]p[md]\b|please wait|quota",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"exceeded your current quota|credit balance is too low|insufficient (?:account )?(?:balance|credits|quota)"
    r"|requires more credits|usage limit (?:has been )?reached|billing hard limit",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_KEY = re.compile(
    r"\b(?:sk|pk|gsk|xai|key|r8|hf)[-_][\w*.-]{8,}|\bAIza[\w-]{10,}|(?<=Bearer )\S+"
    r"|(?<=\bapi_key: )\w{16,}",  # LiteLLM's proxy names a key by its digest
    re.IGNORECASE,
)
_MAY_OVERFLOW = frozenset({"invalid_request", "too_large", "provider_error", "server_error"})
_MUTE = frozenset({400, 413})  # the statuses with which some hosts refuse a prompt that is too long, without a word


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
    said = _said(_decoded(body), seconds_of(named.get("date")))
    # AWS names the error beside its body, perhaps with a namespace in front or an address behind.
    kind = named.get("x-amzn-errortype", "").split(":")[0].rpartition("#")[2].lower()
    said = said._replace(words=(*said.words, kind)) if kind else said
    waits = [*([] if said.wait is None else [said.wait]), *header_waits(named, status)]
    error = ProviderError(
        "context_overflow" if status in _MUTE and not body.strip() else _code(said, status, waits),
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
    if code in _MAY_OVERFLOW and _OVERFLOW.search(said.message) and not _THROTTLE.search(said.message):
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


def _said(thing: object, now: float | None = None) -> _Said:
    outer = thing[0] if isinstance(thing, list) and thing else thing
    if not isinstance(outer, dict):
        return _Said(_clean(outer) if isinstance(outer, str) else "", (), None, {}, None)
    inner = _inner(outer)
    message = _message(inner) or _message(outer)
    raw = text_in(dict_in(inner, "metadata"), "raw")  # a gateway's copy of what its own provider said
    message = _clean(f"{message}: {raw}" if raw else message)
    names = [inner.get(key) for key in ("code", "type", "status", "__type")]
    names += [detail.get("reason") for detail in dicts_in(inner, "details")]  # Google's ErrorInfo
    code = inner.get("code")
    details = {key: inner[key] for key in ("type", "code", "param") if isinstance(inner.get(key), str | int)}
    if text_in(outer, "request_id"):
        details["request_id"] = outer["request_id"]
    return _Said(
        message=message,
        words=tuple(name.lower() for name in names if isinstance(name, str)),
        status=int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else None,
        details=details,
        wait=body_wait(inner, message, now),
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
