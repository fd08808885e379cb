"""`GET /api/v2/providers`: who can be called, without secrets. (What runs make of it: tests/runs/test_providers.py.)"""

from pathlib import Path

import aiohttp

from tailrace.schema import codec
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import serving, settings

SECRET = "sk-not-to-be-seen"


async def test_providers_are_told_without_their_secrets(tmp_path: Path, upstream: ScriptedUpstream):
    """Wire, models, default and count of keys; not those that cannot be called; described in OpenAPI."""
    row = {
        "wire": "openai-chat-completions", "base_url": upstream.url, "models": ["m"], "max_in_flight": 3,
        "headers": {"x-secret": SECRET}, "query": {"key": SECRET}, "api_key_env": "P_KEY",
    }  # fmt: skip
    given = settings(tmp_path / "data", upstream, providers={"p": row}, defaults={"model": "p/m"})
    environ = {"P_KEY": f"{SECRET}, {SECRET}2", "ANTHROPIC_API_KEY": SECRET}
    async with (
        serving(given, upstream, environ) as server,
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/api/v2/providers") as told,
        session.get(f"{server.url}/openapi.json") as described,
    ):
        text = await told.text()
        paths = codec.decode_any(await described.read())["paths"]
    assert SECRET not in text
    rows = {row["provider_id"]: row for row in codec.decode_any(text)["providers"]}
    assert rows["p"] == {
        "provider_id": "p", "wire": "openai-chat-completions", "models": ["m"], "default_model": None,
        "is_default": True, "keys": {"count": 2, "resting": []}, "in_flight": 0, "max_in_flight": 3, "limits": [],
        "limits_at": None,
    }  # fmt: skip
    assert rows["anthropic"]["default_model"] == "claude-haiku-4-5"
    assert not rows["anthropic"]["is_default"]
    assert "openai" not in rows
    assert "/api/v2/providers" in paths
