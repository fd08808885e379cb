"""A request as bytes: where it goes, and what is said there (RFC 9112 §2, §3)."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from yarl import URL

from tailrace.schema.errors import ProviderError

_ENCODED = re.compile(r"[!-~]+")  # no character that a URL may not have as it is
_PARTS = re.compile(r"(?i:https?)://[^/?#]*([^#]*)")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class Origin(NamedTuple):
    """Who is connected to; calls to the same share connections."""

    is_tls: bool
    host: str
    port: int


class Request(NamedTuple):
    """What goes out, and where. It holds keys: it is not to be shown."""

    origin: Origin
    head: bytes
    body: bytes


def request(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Raises ProviderError (`invalid_request`): the URL is none, or holds a user or a password; a header's name is
    none, or its value holds a line break or a NUL, as a key read from a file may."""
    origin, authority, target = _place(url)
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in headers:
        lines.append(f"Host: {authority}")
    lines += _fields(headers.items())
    if body or method not in _BODILESS:
        lines.append(f"Content-Length: {len(body)}")
    return Request(origin, "\r\n".join([*lines, "", ""]).encode(), body)


def _fields(headers: Iterable[tuple[str, str]]) -> Iterable[str]:
    """The lines of the headers. How long the body is, is not theirs to say."""
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise ProviderError("invalid_request", "the name of one of the request's headers is none")
        if "\n" in value or "\r" in value or "\0" in value:
            raise ProviderError("invalid_request", f"the request's header {name} holds a line break or a NUL")
        if name.lower() not in _FRAMING:
            yield f"{name}: {value}"


@lru_cache(maxsize=256)
def _place(text: str) -> tuple[Origin, str, str]:
    """Who is meant, what the Host header says of it, and the target: a URL that is encoded already goes out without a
    character of it changed, for a signature is of what is sent."""
    try:
        whole = text if _ENCODED.fullmatch(text) else str(URL(text))
        parts, url = _PARTS.match(whole), URL(whole, encoded=True)
        host, port, authority = url.raw_host, url.port, url.host_port_subcomponent
        has_user = url.raw_user is not None or url.raw_password is not None
    except ValueError:
        raise ProviderError("invalid_request", "the provider's address is none") from None
    if parts is None or not host or port is None or authority is None:
        raise ProviderError("invalid_request", "the provider's address is not an http or https address")
    if has_user:
        raise ProviderError("invalid_request", "the provider's address holds a user or a password: leave them out")
    target = parts[1] if parts[1].startswith("/") else f"/{parts[1]}"
    return Origin(url.scheme == "https", host, port), authority, target
