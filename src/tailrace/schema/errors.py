"""The error tree, split by whose fault it is.

TailraceError
├── RequestError            the caller's: mapped to an HTTP status in api/errors.py
│   ├── InvalidRequest      400, names the field
│   │   └── InvalidJson
│   ├── Unauthorized        401
│   ├── Forbidden           403
│   ├── NotFound            404
│   ├── Conflict            409
│   ├── Expired             410
│   ├── TooLarge            413
│   ├── Overloaded          429
│   └── NotReady            503
├── LogError                a promise of the log that an append would break
│   ├── StaleEpoch
│   └── Sealed
├── ProviderError           the provider's, or the way to it; ends in the log as an event
├── ToolError               a tool call that came to nothing: tools/errors.py; answered to the model
└── SettingsError           the operator's; stops the start
"""

from enum import Flag, auto
from typing import Any

from tailrace.schema.response import ErrorInfo


class TailraceError(Exception):
    """Every error that Tailrace raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(TailraceError):
    """The caller can mend it; `code` is the contract's (§4)."""

    code = "invalid_request"

    def __init__(self, message: str, *, field: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.details = {**({"field": field} if field else {}), **details}

    @property
    def field(self) -> str | None:
        """The path of the field at fault, as in `outputs[0].call_id`."""
        return self.details.get("field")


class InvalidRequest(RequestError):
    """The request is not of the form the route takes."""


class InvalidJson(InvalidRequest):
    """The bytes are no JSON, or not of the shape wanted."""


class Unauthorized(RequestError):
    """No key, or a wrong one."""

    code = "unauthorized"


class NotFound(RequestError):
    """There is no such thing."""

    code = "not_found"


class Conflict(RequestError):
    """It cannot be done in the state that things are in."""

    code = "conflict"


class Expired(RequestError):
    """It is no longer kept; `snapshot` in the details is the path of what is."""

    code = "expired"


class TooLarge(RequestError):
    """The body is over the limit."""

    code = "too_large"


class Overloaded(RequestError):
    """There is more to do than this server takes on; `retry_after` in seconds."""

    code = "overloaded"
    retry_after = 5.0


class NotReady(RequestError):
    """The log or the store is out of reach; `retry_after` in seconds."""

    code = "not_ready"
    retry_after = 1.0


class LogError(TailraceError):
    """The log refused an append."""


class StaleEpoch(LogError):
    """Another writer has taken the run (rule 4)."""


class Sealed(LogError):
    """The run has ended (rule 2)."""


class SettingsError(TailraceError):
    """A setting is unknown or wrong; the message names it and where it stands."""


class Fault(Flag):
    """What kind of failure it was, for whoever decides what to do about it. A failure may be of several kinds."""

    NONE = 0
    TRANSIENT = auto()  # another try may go well
    TIMEOUT = auto()
    RATE_LIMIT = auto()
    QUOTA = auto()
    AUTH = auto()
    CONTEXT_OVERFLOW = auto()
    CONTENT_BLOCKED = auto()
    PAYLOAD_REJECTED = auto()
    ABORTED = auto()
    MALFORMED_CALL = auto()
    REPETITION = auto()
    EMPTY_ANSWER = auto()
    INTERRUPTED = auto()


# The one table for what a provider, or the way to it, can do wrong: code -> what kind of failure it is.
FAULTS: dict[str, Fault] = {
    "invalid_request": Fault.PAYLOAD_REJECTED,
    "authentication": Fault.AUTH,
    "permission": Fault.AUTH,
    "not_found": Fault.PAYLOAD_REJECTED,
    "too_large": Fault.PAYLOAD_REJECTED,
    "context_overflow": Fault.PAYLOAD_REJECTED | Fault.CONTEXT_OVERFLOW,
    "content_filter": Fault.CONTENT_BLOCKED,
    "quota_exceeded": Fault.QUOTA,
    "rate_limited": Fault.TRANSIENT | Fault.RATE_LIMIT,
    "overloaded": Fault.TRANSIENT,
    "server_error": Fault.TRANSIENT,
    "timeout": Fault.TRANSIENT | Fault.TIMEOUT,
    "connection": Fault.TRANSIENT,
    "stream_interrupted": Fault.TRANSIENT | Fault.INTERRUPTED,
    "malformed_call": Fault.TRANSIENT | Fault.MALFORMED_CALL,
    "repetition": Fault.TRANSIENT | Fault.REPETITION,
    "empty_answer": Fault.TRANSIENT | Fault.EMPTY_ANSWER,
    "aborted": Fault.ABORTED,
    "protocol_error": Fault.NONE,
    "provider_error": Fault.NONE,
    "interrupted": Fault.TRANSIENT | Fault.INTERRUPTED,
    "limit": Fault.TIMEOUT,
    "internal": Fault.NONE,
}
# code -> is another try of any use?
CODES: dict[str, bool] = {code: Fault.TRANSIENT in faults for code, faults in FAULTS.items()}


class ProviderError(TailraceError):
    """A provider, or the way to it, failed: `code` is one of FAULTS.

    `retry_after` in seconds, where the provider said so. `retryable` is what the code says, unless the provider said
    otherwise.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = CODES[code]
        self.status = status
        self.retry_after = retry_after
        self.details = details

    @property
    def faults(self) -> Fault:
        """What kind of failure it is."""
        return FAULTS[self.code]

    def info(self) -> ErrorInfo:
        """As it stands in an event."""
        told = {"status": self.status, "retry_after": self.retry_after}
        details = {**(self.details or {}), **{name: value for name, value in told.items() if value is not None}}
        return ErrorInfo(code=self.code, message=self.message, retryable=self.retryable, details=details or None)
