"""OAuth: a login at a real authorisation server, tokens that are kept encrypted, renewed, and seen by nobody."""

import logging
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from cryptography.fernet import Fernet
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from msgspec.structs import replace

from tailrace.mcp.login import log_in
from tailrace.mcp.vault import Login, Vault
from tailrace.schema import codec
from tailrace.schema.errors import SettingsError, TailraceError
from tests.agents.test_loop import DONE, call, outputs, run
from tests.mcp.conftest import Start, standing
from tests.support.mcp_server import Kind, listen, made
from tests.support.ports import free_port


class Authority:
    """Gives tokens to who comes (OAuth 2.1 with PKCE and dynamic registration, the routes being the SDK's)."""

    def __init__(self) -> None:
        self.clients: dict[str, OAuthClientInformationFull] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.access: dict[str, AccessToken] = {}
        self.refresh: dict[str, RefreshToken] = {}
        self.renewals = 0

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.clients[client_info.client_id or ""] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        code = AuthorizationCode(
            code=secrets.token_hex(20), scopes=params.scopes or [], expires_at=time.time() + 60,
            client_id=client.client_id or "", code_challenge=params.code_challenge, redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly, resource=params.resource,
        )  # fmt: skip
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(self, client: OAuthClientInformationFull, authorization_code: str):
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client: OAuthClientInformationFull, authorization_code):
        del self.codes[authorization_code.code]
        return self._tokens(client.client_id or "", authorization_code.scopes)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str):
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(self, client: OAuthClientInformationFull, refresh_token, scopes: list[str]):
        self.renewals += 1
        del self.refresh[refresh_token.token]
        return self._tokens(client.client_id or "", refresh_token.scopes)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def revoke_token(self, token) -> None:
        self.access.pop(token.token, None)

    def _tokens(self, client_id: str, scopes: list[str]) -> OAuthToken:
        access, refresh = secrets.token_hex(16), secrets.token_hex(16)
        self.access[access] = AccessToken(token=access, client_id=client_id, scopes=scopes)
        self.refresh[refresh] = RefreshToken(token=refresh, client_id=client_id, scopes=scopes)
        return OAuthToken(access_token=access, refresh_token=refresh, expires_in=3600, scope=" ".join(scopes))


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def kind(authority: Authority) -> AsyncIterator[Kind]:
    """A server that wants tokens, and gives them."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    auth = AuthSettings.model_validate({
        "issuer_url": origin, "resource_server_url": f"{origin}/mcp", "required_scopes": ["use"],
        "validate_token_resource": False,
        "client_registration_options": ClientRegistrationOptions(
            enabled=True, valid_scopes=["use"], default_scopes=["use"]
        ),
    })  # fmt: skip
    server = await listen(made(auth_server_provider=authority, auth=auth).streamable_http_app(), port)
    yield server
    await server.stop()


async def browse(url: str) -> None:
    """What a browser does with the address: it follows."""
    async with aiohttp.ClientSession() as browser, browser.get(url) as page:
        assert "Done." in await page.text()


async def test_a_login_is_used_and_renewed(start: Start, upstream, tmp_path: Path, authority: Authority, kind: Kind):
    """Without one the server says what to do; with one it is called; a token at its end is renewed, at its issuer."""
    server = await start({"k": {"url": kind.url, "oauth": True}})
    assert (await standing(server, "k", "needs_login"))["error"] == "log in: `tailrace mcp login k`"
    assert authority.clients == {}
    vault = Vault(tmp_path / "data", {})
    assert await log_in("k", kind.url, {}, vault, browse) == 4
    vault.write("k", replace(vault.read("k"), expires_at=time.time() - 1))
    upstream.enqueue([call("k__add", "c1", a=1, b=2)], DONE)
    events, response = await run(server)
    assert outputs(response)[0].output == "3"
    assert authority.renewals == 1
    tokens = {*authority.access, *authority.refresh}
    assert vault.read("k").tokens is not None
    told = codec.encode([events, await standing(server, "k", "connected")]).decode()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data" / "mcp").iterdir())
    for token in tokens:
        assert token not in told
        assert token.encode() not in kept
    authority.access.clear()
    authority.refresh.clear()
    upstream.enqueue([call("k__add", "c1", a=1, b=2)], DONE)
    await run(server)
    assert "tailrace mcp login k" in (await standing(server, "k", "needs_login"))["error"]


async def test_a_login_that_is_refused(tmp_path: Path, kind: Kind):
    """The person said no: nothing is kept."""
    vault = Vault(tmp_path, {})

    async def refuse(url: str) -> None:
        redirect = dict(aiohttp.client.URL(url).query)["redirect_uri"]
        async with aiohttp.ClientSession() as browser, browser.get(f"{redirect}?error=access_denied"):
            pass

    with pytest.raises(TailraceError, match="the login was refused: access_denied"):
        await log_in("k", kind.url, {}, vault, refuse)
    assert vault.read("k") == Login()


async def test_a_server_that_asks_for_no_login(tmp_path: Path):
    """It says so, rather than to have logged in."""
    open_to_all = await listen(made().streamable_http_app())
    with pytest.raises(TailraceError, match="asks for no login"):
        await log_in("k", open_to_all.url, {}, Vault(tmp_path, {}), browse)
    await open_to_all.stop()


def test_the_key_of_the_vault(tmp_path: Path):
    """Made once, readable by its owner alone; or given; a login of another key is none."""
    login = Login(tokens={"access_token": "t"}, expires_at=1.5)
    vault = Vault(tmp_path, {})
    vault.write("k", login)
    key = tmp_path / "mcp" / "key"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "mcp").iterdir()} == {0o600}
    assert vault.read("k") == login
    assert Vault(tmp_path, {"TAILRACE_MCP_KEY": Fernet.generate_key().decode()}).read("k") == Login()
    with pytest.raises(SettingsError, match="TAILRACE_MCP_KEY: is no key"):
        Vault(tmp_path, {"TAILRACE_MCP_KEY": "short"}).write("k", login)
    key.chmod(0o644)
    with pytest.raises(SettingsError, match="others can read this key"):
        vault.read("k")


def test_the_sdk_logs_nothing_of_its_own(start: Start):
    """Its lines may hold answers of a token endpoint."""
    from tailrace.mcp.servers import Servers

    Servers({}, {}, Path())
    assert not logging.getLogger("mcp.client.auth.oauth2").isEnabledFor(logging.CRITICAL)
