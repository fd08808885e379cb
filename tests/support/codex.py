"""A server whose provider is the Codex row of providers.toml, at the scripted upstream."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tailrace.schema import codec
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import Served, serving, settings

ACCOUNT = "account-1"


def token(claims: object) -> str:
    """An access token with these claims; nobody here looks at its signature."""
    said = (base64.urlsafe_b64encode(codec.encode(part)).decode().rstrip("=") for part in ({"alg": "none"}, claims))
    return ".".join([*said, "c2lnbmF0dXJl"])


TOKEN = token({"https://api.openai.com/auth": {"chatgpt_account_id": ACCOUNT}})


@asynccontextmanager
async def codex(data: Path, upstream: ScriptedUpstream) -> AsyncIterator[Served]:
    """The row as it is, but for its address."""
    given = settings(data, upstream, providers={"openai-codex": {"base_url": upstream.url}}, defaults={})
    async with serving(given, upstream, {"OPENAI_CODEX_OAUTH_TOKEN": TOKEN}) as server:
        yield server
