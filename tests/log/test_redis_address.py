"""URLs of a Redis."""

import pytest

from tailrace.log.redis_address import Address, parse_url
from tailrace.schema.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", Address("localhost", 6379, "", False, "", "", 0)),
        ("redis://10.0.0.1:7000/3", Address("10.0.0.1", 7000, "", False, "", "", 3)),
        ("redis://[::1]:7000", Address("::1", 7000, "", False, "", "", 0)),
        ("rediss://:p%40ss@redis.example:7000/", Address("redis.example", 7000, "", True, "", "p@ss", 0)),
        ("redis://me:secret@redis.example", Address("redis.example", 6379, "", False, "me", "secret", 0)),
        ("unix:///run/redis.sock?db=2", Address("localhost", 0, "/run/redis.sock", False, "", "", 2)),
    ],
)
def test_a_url_says_where_and_how(url: str, address: Address) -> None:
    """Host, port, socket, TLS, user, password and database."""
    assert parse_url(url) == address


@pytest.mark.parametrize("url", ["http://:secret@host", "secret", "redis://:secret@host:port", "redis://:secret@h/x"])
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    """It may hold a password (design rule 9)."""
    with pytest.raises(SettingsError) as refusal:
        parse_url(url)
    assert "secret" not in str(refusal.value)
