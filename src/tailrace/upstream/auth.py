"""How a call shows who is calling: for each scheme, the headers that a key, or what stands in the environment, becomes.

A wire names the scheme that its provider's own endpoint takes (`Wire.auth`); a provider may name another
(`auth` in providers.toml). Nothing here is shown or logged (design rule 9).
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, ProviderError
from tailrace.upstream import aws
from tailrace.upstream.google_adc import GoogleTokens

_AWS_KEY = "AWS_BEARER_TOKEN_BEDROCK"


class Unsigned(Struct, frozen=True):
    """A call as a scheme sees it: where it goes and what it says; `key` is the provider's, if it has one."""

    url: str
    body: bytes
    key: str | None
    environ: Mapping[str, str]

    def __repr__(self) -> str:
        """Nothing of what it holds: all of it may be, or hold, a secret."""
        return "Unsigned(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


def _keeps_nothing(environ: Mapping[str, str]) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Scheme:
    """`headers` are those of a call. `forget`: who calls by what stands in or around this environment was refused:
    is there something else to be found, now that what was found before is forgotten?"""

    headers: Callable[[Unsigned], Awaitable[dict[str, str]]]
    forget: Callable[[Mapping[str, str]], bool] = _keeps_nothing


def _with_key(header: str, form: str = "{}") -> Scheme:
    async def headers(call: Unsigned) -> dict[str, str]:
        return {header: form.format(call.key)} if call.key else {}

    return Scheme(headers)


def _google_adc() -> Scheme:
    tokens = GoogleTokens()

    async def headers(call: Unsigned) -> dict[str, str]:
        return await tokens.headers(call.environ)

    return Scheme(headers, tokens.forget)


async def _with_account(call: Unsigned) -> dict[str, str]:
    """A ChatGPT access token, and the account that its claims name. It is the provider's to verify (RFC 7519).

    Raises ProviderError (authentication).
    """
    key = call.key or ""
    try:
        payload = key.split(".")[1]
        claims = codec.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), dict[str, Any])
        account = claims["https://api.openai.com/auth"]["chatgpt_account_id"]
    except (InvalidJson, ValueError, LookupError, TypeError):
        account = None
    if not isinstance(account, str) or not account.isascii() or not account.isprintable():
        raise ProviderError("authentication", "the token names no account: it takes a ChatGPT access token")
    return {"authorization": f"Bearer {key}", "chatgpt-account-id": account}


async def _aws(call: Unsigned) -> dict[str, str]:
    """A key of Bedrock's as it is; without one, a signature of the call (aws.py). Raises ProviderError."""
    key = call.key or call.environ.get(_AWS_KEY)
    if key:
        return {"authorization": f"Bearer {key}"}
    return await asyncio.to_thread(aws.signed, call.url, call.body, call.environ)


def _forget_aws(environ: Mapping[str, str]) -> bool:
    return not environ.get(_AWS_KEY) and aws.forget(environ)


SCHEMES: dict[str, Scheme] = {
    "bearer": _with_key("authorization", "Bearer {}"),
    "x-api-key": _with_key("x-api-key"),
    "api-key": _with_key("api-key"),
    "cf-aig-authorization": _with_key("cf-aig-authorization", "Bearer {}"),
    "x-goog-api-key": _with_key("x-goog-api-key"),
    "google-adc": _google_adc(),
    "chatgpt": Scheme(_with_account),
    "aws": Scheme(_aws, _forget_aws),
}
