"""Providers' errors in our words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.adapters.errors import MESSAGE_CHARS, STATUSES, WORDS, http_error, stream_error, unreadable_answer
from tailrace.schema import codec
from tailrace.schema.errors import CODES, FAULTS, Fault


def openai(message: str = "No.", kind: str | None = None, code: object = None) -> bytes:
    return codec.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def anthropic(kind: str, message: str = "No.") -> bytes:
    return codec.encode({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "ValidationException", "invalid_request"),
        (403, "ExpiredTokenException:http://internal.amazon.com/coral/com.amazon.coral.service/", "authentication"),
        (403, "AccessDeniedException", "permission"),
        (403, "com.amazon.coral.service#UnrecognizedClientException", "authentication"),
        (404, "ResourceNotFoundException", "not_found"),
        (408, "ModelTimeoutException", "timeout"),
        (424, "ModelErrorException", "server_error"),
        (429, "ThrottlingException", "rate_limited"),
        (429, "ModelNotReadyException", "overloaded"),
        (503, "ServiceUnavailableException", "overloaded"),
        (400, "ServiceQuotaExceededException", "quota_exceeded"),
    ],
)
def test_aws_names_the_error_beside_the_body(status, kind, code):
    """With a namespace in front or an address behind."""
    error = http_error(status, {"x-amzn-ErrorType": kind}, b'{"Message":"No."}')
    assert (error.code, error.message) == (code, "No.")


def test_every_code_is_known_to_the_schema():
    """The tables lead to codes that say what kind of failure it was, and whether another try is of any use."""
    assert {*WORDS.values(), *STATUSES.values()} <= FAULTS.keys()
    assert {kind for faults in FAULTS.values() for kind in faults} == set(Fault)
    assert {code for code, faults in FAULTS.items() if Fault.TRANSIENT in faults} == {c for c in CODES if CODES[c]}


# What each vendor's documentation lists, and whether another try is of use.
VENDORS = {
    "anthropic-messages": {
        "invalid_request_error": False,
        "authentication_error": False,
        "billing_error": False,
        "permission_error": False,
        "not_found_error": False,
        "request_too_large": False,
        "rate_limit_error": True,
        "timeout_error": True,
        "api_error": True,
        "overloaded_error": True,
    },
    "openai-responses": {
        "server_error": True,
        "rate_limit_exceeded": True,
        "invalid_prompt": False,
        "vector_store_timeout": True,
        "invalid_image": False,
        "invalid_image_format": False,
        "invalid_base64_image": False,
        "invalid_image_url": False,
        "image_too_large": False,
        "image_too_small": False,
        "image_parse_error": False,
        "image_content_policy_violation": False,
        "invalid_image_mode": False,
        "image_file_too_large": False,
        "unsupported_image_media_type": False,
        "empty_image_file": False,
        "failed_to_download_image": False,
        "image_file_not_found": False,
    },
    "openai-chat-completions": {
        "invalid_api_key": False,
        "insufficient_quota": False,
        "model_not_found": False,
        "context_length_exceeded": False,
        "content_filter": False,
        "rate_limit_exceeded": True,
        "tool_use_failed": True,
        "server_error": True,
    },
    "google-gemini": {
        "INVALID_ARGUMENT": False,
        "FAILED_PRECONDITION": False,
        "UNAUTHENTICATED": False,
        "PERMISSION_DENIED": False,
        "NOT_FOUND": False,
        "RESOURCE_EXHAUSTED": True,
        "CANCELLED": False,
        "INTERNAL": True,
        "UNAVAILABLE": True,
        "DEADLINE_EXCEEDED": True,
    },
    "bedrock-converse": {
        "AccessDeniedException": False,
        "InternalServerException": True,
        "ModelErrorException": True,
        "ModelNotReadyException": True,
        "ModelStreamErrorException": True,
        "ModelTimeoutException": True,
        "ResourceNotFoundException": False,
        "ServiceQuotaExceededException": False,
        "ServiceUnavailableException": True,
        "ThrottlingException": True,
        "ValidationException": False,
    },
}


@pytest.mark.parametrize(("wire", "word"), [(wire, word) for wire, words in VENDORS.items() for word in words])
def test_every_word_of_a_vendor_is_in_the_table(wire: str, word: str):
    """None is left to its status, or to chance."""
    assert CODES[WORDS[word.lower()]] is VENDORS[wire][word]


@pytest.mark.parametrize(
    ("status", "body", "code", "retryable"),
    [
        (400, openai(kind="invalid_request_error"), "invalid_request", False),
        (400, openai(code="context_length_exceeded", kind="invalid_request_error"), "context_overflow", False),
        (400, openai(code="content_filter"), "content_filter", False),
        (401, openai(code="invalid_api_key", kind="invalid_request_error"), "authentication", False),
        (401, openai(kind="invalid_request_error"), "authentication", False),
        (402, b"", "quota_exceeded", False),
        (403, openai(), "permission", False),
        (404, openai(code="model_not_found", kind="invalid_request_error"), "not_found", False),
        (408, b"", "timeout", True),
        (413, anthropic("request_too_large"), "too_large", False),
        (422, b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "invalid_request", False),
        (429, openai(code="rate_limit_exceeded", kind="requests"), "rate_limited", True),
        (429, openai(code="insufficient_quota", kind="insufficient_quota"), "quota_exceeded", False),
        (429, openai("You exceeded your current quota, please check your plan."), "quota_exceeded", False),
        (429, openai("You exceeded your current quota. Please retry in 34.5s."), "rate_limited", True),
        (400, anthropic("invalid_request_error", "Your credit balance is too low to go on."), "quota_exceeded", False),
        (429, anthropic("rate_limit_error"), "rate_limited", True),
        (500, anthropic("api_error"), "server_error", True),
        (500, openai(kind="invalid_request_error"), "server_error", True),
        (500, b"<html><body>oops</body></html>", "server_error", True),
        (502, b"", "server_error", True),
        (503, b"unavailable", "overloaded", True),
        (529, anthropic("overloaded_error"), "overloaded", True),
        (418, b"", "invalid_request", False),
        (400, b'{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"No."}}', "invalid_request", False),
        (
            400,
            b'{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}],"message":"No."}}',
            "authentication",
            False,
        ),
        (429, b'[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"No."}}]', "rate_limited", True),
        (400, b'{"message":"No.","__type":"ThrottlingException"}', "rate_limited", True),
        (400, b'{"object":"error","message":"No.","type":"BadRequestError","code":400}', "invalid_request", False),
        (400, b'{"errors":[{"message":"No.","code":1000}],"success":false}', "invalid_request", False),
    ],
)
def test_http_errors(status, body, code, retryable):
    """Any wire's body, a page, or nothing."""
    error = http_error(status, {}, body)
    assert (error.code, error.retryable, error.status) == (code, retryable, status)
    assert error.message


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000",
        "Input is too long for requested model.",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        "the request exceeds the available context size. try increasing the context size",
        "Please reduce the length of the messages or completion.",
        "Your request exceeded model token limit: 131072",
        "prompt token count of 300000 exceeds the limit of 128000",
        "The number of tokens to keep from the initial prompt is greater than the context length.",
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        "invalid params, context window exceeds limit (2013)",
        "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]",
        "Prompt exceeds max length",
        "prompt too long; exceeded max context length by 812 tokens",
        "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
        "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
        "`inputs` must have less than 1024 tokens. Given: 1500",
        "Requested input length 140000 exceeds maximum allowed input length of 131072 tokens",
    ],
)
def test_a11_prompts_that_are_too_long_are_told_apart(message):
    """Each provider has its phrase; as an HTTP error and in mid-stream."""
    assert http_error(400, {}, openai(message)).code == "context_overflow"
    assert stream_error({"error": {"type": "invalid_request_error", "message": message}}).code == "context_overflow"


def test_a_throttle_that_speaks_of_tokens_is_no_overflow():
    """Too many tokens per minute is a rate limit."""
    message = "Rate limit reached: maximum context length of your tier, tokens per minute"
    assert http_error(429, {}, openai(message, code="rate_limit_exceeded")).code == "rate_limited"
    for message in (
        "Too many input tokens, please wait before trying again.",
        "Request too large for model m: reduce the length of it, tokens per minute (TPM): Limit 6000, Requested 9000",
    ):
        assert http_error(413, {}, openai(message)).code != "context_overflow"
        assert stream_error({"error": {"message": message}}).code != "context_overflow"


@pytest.mark.parametrize(
    ("status", "code"), [(400, "context_overflow"), (413, "context_overflow"), (422, "invalid_request")]
)
def test_a11_some_hosts_refuse_a_long_prompt_without_a_word(status, code):
    """Cerebras and Mistral: 400 or 413, and no body."""
    assert http_error(status, {}, b"").code == code


@pytest.mark.parametrize(
    ("thing", "code", "retryable"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded", True),
        ({"type": "error", "error": {"type": "rate_limit_error"}}, "rate_limited", True),
        ({"type": "error", "error": {"type": "api_error"}}, "server_error", True),
        ({"type": "error", "error": {"type": "invalid_request_error"}}, "invalid_request", False),
        ({"type": "error", "code": "insufficient_quota", "message": "Pay."}, "quota_exceeded", False),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "Slow."}, "rate_limited", True),
        ({"error": {"code": "server_error"}}, "server_error", True),
        ({"error": {"code": "context_length_exceeded"}}, "context_overflow", False),
        ({"error": {"code": 502, "message": "Bad gateway"}}, "server_error", True),
        ({"error": {"code": "429", "message": "Slow."}}, "rate_limited", True),
        ({"error": "No."}, "provider_error", False),
        ({}, "provider_error", False),
        (None, "provider_error", False),
        ("No.", "provider_error", False),
        ({"error": {"message": ["No."], "code": [1]}}, "provider_error", False),
    ],
)
def test_a16_stream_errors_say_whether_another_try_is_of_use(thing, code, retryable):
    """Permanent ones are not retried, whatever form they come in."""
    error = stream_error(thing)
    assert (error.code, error.retryable) == (code, retryable)
    assert error.message


DATE = "Sat, 21 Nov 2026 07:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 1.0),
        ({"Retry-After": "Sat, 21 Nov 2026 07:00:30 GMT", "Date": DATE}, 30.0),
        ({"Retry-After": "Sat, 21 Nov 2026 06:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Sat, 21 Nov 2026 07:00:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"x-ratelimit-reset-after": "12"}, 12.0),
        ({"x-ratelimit-reset-ms": "1500"}, 1.5),
        ({"x-ratelimit-reset": "20"}, 20.0),
        ({"x-ratelimit-reset": "1795244405", "date": DATE}, 5.0),
        ({"x-ratelimit-reset": "1795244405000", "date": DATE}, 5.0),
        ({"x-ratelimit-reset": "1795244405"}, None),
        ({"x-ratelimit-reset": "2026-11-21T07:00:09Z", "date": DATE}, 9.0),
        ({"x-ratelimit-reset-after": "12", "retry-after": "3", "retry-after-ms": "5000"}, 12.0),
    ],
)
def test_a10_headers_say_when_to_come_back(headers, seconds):
    """In seconds, milliseconds, or as a date against the answer's own; the longest holds."""
    assert http_error(429, headers, b"").retry_after == seconds


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"message": "Please try again in 20s."}, 20.0),
        ({"message": "Please try again in 1m3.5s. Visit us."}, 63.5),
        ({"message": "Please try again in 150ms."}, 0.15),
        ({"message": "Please retry in 34.5 seconds"}, 34.5),
        ({"message": "Limit resets in 2 hours 30 minutes"}, 9000.0),
        ({"message": "No.", "resets_in_seconds": 90}, 90.0),
        ({"message": "No.", "details": [{"@type": "RetryInfo", "retryDelay": "34s"}]}, 34.0),
        ({"message": "Your quota will reset after 1h2m3s."}, 3723.0),
        ({"message": "Trying again in 7 s"}, 7.0),
        ({"message": "\u8bf7\u6c42\u8fc7\u4e8e\u9891\u7e41\uff0c\u8bf7\u5728 20 \u79d2\u540e\u91cd\u8bd5"}, 20.0),
        ({"message": "\u8bf7 1 \u5206\u949f 30 \u79d2\u949f\u4e4b\u540e\u518d\u8bd5"}, 90.0),
        ({"message": "\u8bf7 500 \u6beb\u79d2\u540e\u518d\u8bd5"}, 0.5),
        ({"message": "No.", "retry_after": 0}, 0.0),
        ({"message": "Try it again in another way."}, None),
    ],
)
def test_a10_messages_say_when_to_come_back(error, seconds):
    """Where the headers do not."""
    assert http_error(429, {}, codec.encode({"error": error})).retry_after == pytest.approx(seconds)
    assert stream_error({"error": {**error, "code": "rate_limit_exceeded"}}).retry_after == pytest.approx(seconds)


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Usage limit.", "resets_at": 1795244430},
        {"message": "Usage limit.", "reset_at": "2026-11-21T07:00:30+00:00"},
        {"message": "Your limit resets at 2026-11-21T07:00:30Z."},
        {"message": "Try again at 2026-11-21 07:00:30"},
    ],
)
def test_a10_bodies_say_at_what_time_to_come_back(error):
    """Measured against the answer's own date; without one, nothing can be said."""
    assert http_error(429, {"date": DATE}, codec.encode({"error": error})).retry_after == 30.0
    assert http_error(429, {}, codec.encode({"error": error})).retry_after is None


def test_a_provider_that_says_whether_to_retry_is_believed():
    """`x-should-retry`, either way."""
    assert http_error(500, {"X-Should-Retry": "false"}, b"").retryable is False
    assert http_error(409, {"x-should-retry": "true"}, b"").retryable is True


def test_budget_headers_of_other_errors_are_no_advice():
    """They are on every answer."""
    assert http_error(500, {"x-ratelimit-reset-after": "60"}, b"").retry_after is None


def test_messages_are_readable_and_bounded():
    """Markup goes, a page is its title, white space is one blank, and nothing is longer than a screen or two."""
    assert http_error(502, {}, b"<html><title>Bad\n gateway</title><p>nginx</p></html>").message == "Bad gateway"
    page = b"<html><style>p {}</style><script>x()</script><p>Go &amp; rest</p></html>"
    assert http_error(502, {}, page).message == "Go & rest"
    assert len(http_error(400, {}, b"x" * 100_000).message) == MESSAGE_CHARS
    assert http_error(400, {}, b"\xff").message
    raw = {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "prompt is too long"}}}
    assert http_error(400, {}, codec.encode(raw)).code == "context_overflow"
    assert http_error(400, {}, codec.encode(raw)).message == "Provider returned error: prompt is too long"


@pytest.mark.parametrize(
    "secret", ["sk-" + "proj-abcdefgh12345678", "AI" + "za" + "SyA1234567890", "gsk_" + "abcdefgh1234", "Bearer tok.en"]
)
def test_c60_keys_do_not_stand_in_messages(secret):
    """Providers repeat them; we do not."""
    assert secret.removeprefix("Bearer ") not in http_error(401, {}, openai(f"Incorrect key: {secret}.")).message
    assert secret.removeprefix("Bearer ") not in unreadable_answer(f"no: {secret}".encode()).message


def test_details_say_what_the_provider_called_it():
    """For people who look it up there; the status stands beside it in the event."""
    info = http_error(429, {}, anthropic("rate_limit_error")).info()
    assert info.details == {"type": "rate_limit_error", "request_id": "req_1", "status": 429}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "message", "code", "type", "details", "metadata", "raw", "retryDelay"]),
            inner,
        )
    ),
    max_leaves=10,
)


@given(st.integers(400, 599), st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text()), JSON, st.binary())
def test_no_body_and_no_header_raises(status, headers, thing, body):
    """Whatever comes, there is an error with a known code and a bounded message."""
    for error in (
        http_error(status, headers, codec.encode(thing)),
        http_error(status, headers, body),
        stream_error(thing),
    ):
        assert error.code in CODES
        assert 0 < len(error.message) <= MESSAGE_CHARS
        codec.encode(error.info())
