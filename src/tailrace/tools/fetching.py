"""Pages of the public internet, within limits.

Each connection is checked at the moment it is made, by the address it goes to: whatever a name resolves to, however an
address is spelled, wherever a redirect leads, and however often the answer to a name changes.
"""

import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import AddrInfoType
from justhtml import JustHTML
from yarl import URL

from tailrace.schema.errors import SettingsError
from tailrace.tools.errors import AddressRefused, ToolFailed
from tailrace.tools.policy import NetworkPolicy

MOST_BYTES = 5 * 1024 * 1024
MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_TEXT = frozenset({"application/json", "application/xml", "application/javascript", "application/x-ndjson"})
_AGENT = "tailrace"
# Networks whose addresses hold an IPv4 address, and where in them (RFC 6052 §2.1, RFC 3056 §2).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Page(NamedTuple):
    """What was there: `url` is where the redirects led. `text`: what of it is for reading."""

    url: str
    kind: str
    text: str


class Fetcher:
    """Fetches pages. `resolver`: how names become addresses; the system's where it is not given.

    Raises SettingsError: a network of the policy is none.
    """

    def __init__(self, policy: NetworkPolicy, resolver: AbstractResolver | None = None) -> None:
        try:
            self._allowed = [ipaddress.ip_network(network) for network in policy.allowed]
        except ValueError as error:
            raise SettingsError(f"tools.reachable: {error}") from error
        self._resolver = resolver

    async def fetch(self, url: str, timeout_s: float) -> Page:
        """Raises ToolFailed: no such page, too large, no text; AddressRefused: not on the public internet."""
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        connector = aiohttp.TCPConnector(
            resolver=self._resolver, socket_factory=self._connect, use_dns_cache=False, force_close=True
        )
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
                return await self._follow(session, _checked(url))
        except TimeoutError:
            raise ToolFailed(f"{url}: no whole answer within {timeout_s:.0f} s") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _Refused):
                raise AddressRefused(f"{url}: leads to an address that is not public") from None
            raise ToolFailed(f"{url}: cannot be reached ({error.os_error.strerror or 'no connection'})") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ToolFailed(f"{url}: {type(error).__name__}") from error

    def _connect(self, address: AddrInfoType) -> socket.socket:
        """The socket of a connection that is about to be made to `address`. Raises _Refused."""
        family, kind, protocol, _, place = address
        if not self._may_reach(str(place[0])):
            raise _Refused
        return socket.socket(family, kind, protocol)

    def _may_reach(self, address: str) -> bool:
        ip = meant(address)
        return is_public(ip) or any(ip in network for network in self._allowed)

    async def _follow(self, session: aiohttp.ClientSession, url: URL) -> Page:
        for _ in range(MOST_REDIRECTS + 1):
            async with _answer(session, url) as answer:
                target = answer.headers.get("Location")
                if answer.status not in _REDIRECTS or target is None:
                    return await _page(answer)
                url = _checked(str(url.join(URL(target))))
        raise ToolFailed(f"{url}: more than {MOST_REDIRECTS} redirects")


class _Refused(OSError):
    """The address is not one to connect to."""


def meant(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that is reached in the end: IPv6 has several ways to say an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if embedded is not None:
            return embedded
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Is it an address of the public internet, of one machine?"""
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _checked(text: str) -> URL:
    url = URL(text)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ToolFailed(f"{text}: is no http or https address")
    if url.user or url.password:
        raise ToolFailed("the address holds a user or a password; leave them out")
    return url


@asynccontextmanager
async def _answer(session: aiohttp.ClientSession, url: URL) -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"User-Agent": _AGENT, "Accept": "text/html, text/*;q=0.9, */*;q=0.1"}
    async with session.get(url, headers=headers, allow_redirects=False) as answer:
        yield answer


async def _page(answer: aiohttp.ClientResponse) -> Page:
    kind = answer.content_type
    if answer.status >= 400:  # RFC 9110 §15.5
        raise ToolFailed(f"{answer.url}: answers {answer.status} {answer.reason or ''}".rstrip())
    if not (kind.startswith("text/") or kind in _TEXT or kind in _HTML or kind.endswith(("+json", "+xml"))):
        raise ToolFailed(f"{answer.url}: is no text but {kind}")
    data = bytearray()
    async for piece in answer.content.iter_any():
        data += piece
        if len(data) > MOST_BYTES:
            raise ToolFailed(f"{answer.url}: has more than {MOST_BYTES} bytes")
    return Page(str(answer.url), kind, _decoded(bytes(data), answer.charset))


def _decoded(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(charset or "utf-8", "replace")
    except LookupError:  # a charset that nobody knows
        return data.decode(errors="replace")


def readable(page: Page) -> str:
    """A page as text to read: HTML as Markdown, without scripts and styles. It may take a second: not for the loop."""
    return JustHTML(page.text).to_markdown() if page.kind in _HTML else page.text
