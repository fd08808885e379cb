"""Logging in at a server with OAuth 2.1 (specification of 2025-11-25, "Authorization"), over the SDK's client of it.

A person does that once, by `tailrace mcp login`; the server then uses and renews the tokens, and asks for a new login
where it cannot.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from msgspec.structs import replace
from pydantic import AnyUrl, BaseModel

from tailrace.mcp.http import Http
from tailrace.mcp.link import LoginNeeded, first_of
from tailrace.mcp.vault import Login, Vault
from tailrace.schema.errors import TailraceError

PATH = "/callback"
_UNUSED = "http://127.0.0.1/callback"
_DONE = "<!doctype html><title>Tailrace</title><p>Done. You may close this page and go back to the terminal.</p>"
_EARLY_S = 30.0  # an access token is renewed so long before its end


class _Storage:
    """A server's login, as the SDK wants to keep it."""

    def __init__(self, server: str, vault: Vault, login: Login) -> None:
        self._server = server
        self._vault = vault
        self.login = login
        self.provider: OAuthClientProvider | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return OAuthToken.model_validate(self.login.tokens) if self.login.tokens is not None else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        ends = time.time() + tokens.expires_in - _EARLY_S if tokens.expires_in is not None else None
        context = self.provider.context if self.provider is not None else None
        self.login = replace(
            self.login, tokens=_json(tokens), expires_at=ends,
            issuer=_json(context.oauth_metadata) if context else self.login.issuer,
            resource=_json(context.protected_resource_metadata) if context else self.login.resource,
        )  # fmt: skip
        await asyncio.to_thread(self._vault.write, self._server, self.login)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return OAuthClientInformationFull.model_validate(self.login.client) if self.login.client is not None else None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.login = replace(self.login, client=_json(client_info))


def _json(model: BaseModel | None) -> dict[str, object] | None:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True) if model is not None else None


def signed_in(server: str, url: str, vault: Vault) -> OAuthClientProvider:
    """What signs requests with the login that there is, and renews it. Raises LoginNeeded."""
    login = vault.read(server)
    needed = LoginNeeded(f"log in: `tailrace mcp login {server}`")
    if login.tokens is None:
        raise needed

    async def refuse(_url: str) -> None:
        raise needed

    async def never() -> AuthorizationCodeResult:
        raise needed

    return _provider(server, url, vault, login, _UNUSED, refuse, never)


def _provider(
    server: str, url: str, vault: Vault, login: Login, redirect: str, show: Callable[[str], Awaitable[None]],
    answer: Callable[[], Awaitable[AuthorizationCodeResult]],
) -> OAuthClientProvider:  # fmt: skip
    storage = _Storage(server, vault, login)
    about = OAuthClientMetadata(
        client_name="Tailrace", redirect_uris=[AnyUrl(redirect)], token_endpoint_auth_method="none",  # noqa: S106  # no password, but that there is none
        grant_types=["authorization_code", "refresh_token"], response_types=["code"],
    )  # fmt: skip
    provider = OAuthClientProvider(url, about, storage, show, answer)
    storage.provider = provider
    context = provider.context  # the SDK remembers these for one process only: without them it cannot renew
    context.token_expiry_time = login.expires_at
    if login.issuer is not None:
        context.oauth_metadata = OAuthMetadata.model_validate(login.issuer)
    if login.resource is not None:
        context.protected_resource_metadata = ProtectedResourceMetadata.model_validate(login.resource)
    return provider


class Callback:
    """Where the browser comes back to: a server on loopback, for one login (RFC 8252 §7.3)."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[AuthorizationCodeResult | LoginNeeded] = asyncio.Queue()
        app = web.Application()
        app.router.add_get(PATH, self._come)
        self._runner = web.AppRunner(app, access_log=None)
        self.url = ""

    async def __aenter__(self) -> "Callback":
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{PATH}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def result(self) -> AuthorizationCodeResult:
        """What it brings. Raises LoginNeeded where the person, or the server, said no."""
        came = await self._came.get()
        if isinstance(came, LoginNeeded):
            raise came
        return came

    async def _come(self, request: web.Request) -> web.Response:
        given = request.query
        if "code" in given:
            code = AuthorizationCodeResult(code=given["code"], state=given.get("state"), iss=given.get("iss"))
            self._came.put_nowait(code)
        else:
            said = given.get("error_description") or given.get("error") or "it came back without a code"
            self._came.put_nowait(LoginNeeded(f"the login was refused: {said}"))
        return web.Response(text=_DONE, content_type="text/html")


async def log_in(
    server: str, url: str, headers: Mapping[str, str], vault: Vault, show: Callable[[str], Awaitable[None]]
) -> int:
    """Log in anew, whatever there was before; `show` puts the address before the person. How many tools there are.

    Raises TailraceError: it was refused, or nobody asked for it.
    """
    try:
        async with Callback() as callback:
            auth = _provider(server, url, vault, Login(), callback.url, show, callback.result)
            async with Client(Http(url, headers, auth).connect(), cache=None) as client:
                count = len((await client.list_tools()).tools)
    except Exception as failed:
        cause = first_of(failed)
        raise TailraceError(f"{server}: not logged in: {cause or type(cause).__name__}") from failed
    if auth.context.current_tokens is None:
        raise TailraceError(f"{server}: asks for no login")
    return count
