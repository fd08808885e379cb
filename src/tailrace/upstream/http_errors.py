"""What can go wrong between a request and the end of its answer, and what each is to us."""

from collections.abc import Mapping
from ssl import SSLCertVerificationError

from tailrace.schema.errors import ProviderError


class HttpError(Exception):
    """What the other side sends is no answer, or not all of one. Its name says which: it is shown."""


class MalformedAnswer(HttpError):
    """No HTTP/1.1, a head that does not end, or an answer to something that was not asked."""


class UnknownEncoding(HttpError):
    """A body in a content coding that was not asked for and that nobody here can undo."""


class TruncatedBody(HttpError):
    """The connection ended before the body did."""


class MalformedBody(HttpError):
    """Neither its chunks nor its coding can be read any further."""


class ServerDisconnected(ConnectionError):
    """The connection ended before there was an answer."""


Codes = Mapping[type[BaseException], str]

# What is raised on the way -> our code. An exception goes by the first of its bases that stands here.
ERROR_CODES: Codes = {
    MalformedAnswer: "protocol_error",
    UnknownEncoding: "protocol_error",
    TruncatedBody: "stream_interrupted",
    MalformedBody: "stream_interrupted",
    SSLCertVerificationError: "protocol_error",
    OSError: "connection",
    ValueError: "invalid_request",  # a name that no host can have
}
FAILURES = (HttpError, OSError, ValueError)


def code_of(kind: type[BaseException], codes: Codes = ERROR_CODES) -> str | None:
    """The code of an exception by `codes`, if it has one."""
    return next((codes[base] for base in kind.__mro__ if base in codes), None)


def failure(error: Exception, host: str, *, in_body: bool, codes: Codes = ERROR_CODES) -> ProviderError:
    """What went wrong on the way, in our words: a library's may quote the URL and its key (design rule 9)."""
    code = code_of(type(error), codes) or "internal"
    if in_body and code == "connection":
        code = "stream_interrupted"
    what = "the answer was cut off by" if in_body else "no answer from"
    cause = type(error).__name__
    reason = getattr(getattr(error, "os_error", error), "strerror", None) or cause
    return ProviderError(code, f"{what} {host}: {reason}", details={"cause": cause})
