"""Where a Redis is, and how to get in."""

from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from tailrace.schema.errors import SettingsError

_PORTS = {"redis": 6379, "rediss": 6379, "unix": 0}


class Address(NamedTuple):
    """By `path`, a Unix socket, or else by host and port. Empty texts where nothing was said."""

    host: str
    port: int
    path: str
    tls: bool
    username: str
    password: str
    db: int


def parse_url(url: str) -> Address:
    """`redis[s]://[[user]:password@]host[:port][/db]` or `unix://[[user]:password@]/path[?db=…]`.

    Raises SettingsError, which does not repeat the URL: it may hold a password (design rule 9).
    """
    try:
        parts = urlsplit(url)
        unix = parts.scheme == "unix"
        db = parse_qs(parts.query).get("db", ["0"])[0] if unix else parts.path.strip("/") or "0"
        return Address(
            host=parts.hostname or "localhost",
            port=parts.port or _PORTS[parts.scheme],
            path=unquote(parts.path) if unix else "",
            tls=parts.scheme == "rediss",
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            db=int(db),
        )
    except (KeyError, ValueError):
        raise SettingsError("the Redis URL is not of the form redis[s]://[[user]:password@]host[:port][/db]") from None
