"""What a provider says of its limits when a socket is opened; told by the process that opened it."""

from pathlib import Path

from tailrace.testing.moves import Handshake, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import serving, settings


async def test_a_handshake_s_headers_tell_the_limits(tmp_path: Path, upstream: ScriptedUpstream):
    """As those of an answer over HTTP do."""
    table = {"wire": "openai-responses", "base_url": upstream.url, "models": ["m"], "transport": "websocket"}
    given = settings(tmp_path / "data", upstream, providers={"ws": table}, defaults={"model": "ws/m"})
    limits = {"x-ratelimit-limit-tokens": "100", "x-ratelimit-remaining-tokens": "40"}
    upstream.handshakes.append(Handshake(headers=limits))
    upstream.enqueue([Text("ok")])
    async with serving(given, upstream) as server:
        submitted = await server.client.submit(prompt="x")
        assert [event async for event in server.client.events(submitted["run_id"])]
        told = await server.client.request("GET", "/api/v2/providers")
    (row,) = [row for row in told["providers"] if row["provider_id"] == "ws"]
    assert row["limits"] == [{"name": "tokens", "limit": 100.0, "used": 60.0, "remaining": 40.0}]
