"""Google's credentials: a real signature, a real server of tokens on loopback, asked no more than it takes."""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tailrace.schema import codec
from tailrace.schema.errors import ProviderError
from tailrace.upstream import google_adc
from tailrace.upstream.auth import SCHEMES, Unsigned
from tailrace.upstream.google_adc import SCOPES, GoogleTokens

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


class TokenServer:
    """Answers like Google's: `forms` are what it was asked."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.lives_s = 3600
        self.refusal: tuple[int, object] | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        await self.gate.wait()
        status, body = self.refusal or (
            200,
            {"access_token": f"token-{len(self.forms)}", "expires_in": self.lives_s, "token_type": "Bearer"},
        )
        return web.Response(body=codec.encode(body), status=status, content_type="application/json")


@asynccontextmanager
async def token_server() -> AsyncIterator[TokenServer]:
    server = TokenServer()
    app = web.Application()
    app.router.add_post("/token", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    yield server
    await runner.cleanup()


@pytest.fixture
async def google():
    async with token_server() as server:
        yield server


def account(folder: Path, server: TokenServer, **fields: object) -> dict[str, str]:
    """The environment of a service account."""
    info = {
        "type": "service_account", "client_email": "robot@project", "private_key": PEM, "private_key_id": "k1",
        "token_uri": server.url, **fields,
    }  # fmt: skip
    return kept(folder, info)


def kept(folder: Path, info: object) -> dict[str, str]:
    file = folder / "credentials.json"
    file.write_bytes(codec.encode(info))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}


def part(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_a_service_account_signs_who_it_is(tmp_path: Path, google: TokenServer):
    """RS256 over its claims (RFC 7523), checked with the public key; the token goes into the header."""
    unsigned = Unsigned("https://host/path", b"{}", None, account(tmp_path, google))
    assert await SCHEMES["google-adc"].headers(unsigned) == {"authorization": "Bearer token-1"}
    (form,) = google.forms
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = form["assertion"].split(".")
    KEY.public_key().verify(part(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    said = codec.decode_any(part(claims))
    assert (said["iss"], said["scope"]) == ("robot@project", SCOPES[0])
    assert said["aud"] == "https://oauth2.googleapis.com/token"  # Google's, wherever the account's file sends to
    assert codec.decode_any(part(head))["alg"] == "RS256"


async def test_a_user_refreshes(tmp_path: Path, google: TokenServer):
    """As `gcloud auth application-default login` leaves it, also in its own place; the bill has its project."""
    info = {
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
        "token_uri": google.url, "quota_project_id": "billed",
    }  # fmt: skip
    expected = {"authorization": "Bearer token-1", "x-goog-user-project": "billed"}
    assert await GoogleTokens().headers(kept(tmp_path, info)) == expected
    assert (google.forms[0]["grant_type"], google.forms[0]["refresh_token"]) == ("refresh_token", "r")
    (tmp_path / "application_default_credentials.json").write_bytes(codec.encode(info))
    headers = await GoogleTokens().headers({"CLOUDSDK_CONFIG": str(tmp_path)})
    assert headers["authorization"] == "Bearer token-2"


async def test_a_token_is_kept_until_a_minute_before_its_end(tmp_path: Path, google: TokenServer):
    """Asked for once; one with less than that left is asked for again."""
    tokens, environ = GoogleTokens(), account(tmp_path, google)
    for _ in range(3):
        assert await tokens.headers(environ) == {"authorization": "Bearer token-1"}
    google.lives_s = 59
    tokens = GoogleTokens()
    assert [(await tokens.headers(environ))["authorization"][-1] for _ in range(3)] == ["2", "3", "4"]


async def test_who_waits_at_the_same_time_waits_for_the_same_token(tmp_path: Path, google: TokenServer):
    """Twenty calls ask once; that the first of them goes ends it for nobody."""
    google.gate.clear()
    tokens, environ = GoogleTokens(), account(tmp_path, google)
    waiting = [asyncio.create_task(tokens.headers(environ)) for _ in range(20)]
    while not google.forms:
        await asyncio.sleep(0.001)
    waiting[0].cancel()
    google.gate.set()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    assert ended[1:] == [{"authorization": "Bearer token-1"}] * 19
    assert len(google.forms) == 1


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        ((400, {"error": "invalid_grant", "error_description": "Token SECRET has been revoked."}), "authentication"),
        ((401, {"error": {"message": "SECRET"}}), "authentication"),
    ],
)
async def test_a_refusal_says_why_and_no_secret(tmp_path: Path, google: TokenServer, refusal, code):
    """The code of Google's error, none of its words; the next call asks again."""
    google.refusal = refusal
    tokens, environ = GoogleTokens(), account(tmp_path, google)
    with pytest.raises(ProviderError) as raised:
        await tokens.headers(environ)
    assert raised.value.code == code
    assert "SECRET" not in f"{raised.value.message} {raised.value.details}"
    assert ("invalid_grant" in raised.value.message) is (refusal[1]["error"] == "invalid_grant")
    google.refusal = None
    assert await tokens.headers(environ)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"type":"service_account"}', b'{"type":"wonder"}'])
async def test_a_file_that_holds_no_credentials_is_named(tmp_path: Path, content: bytes):
    """By its variable; a missing one likewise."""
    (tmp_path / "file").write_bytes(content)
    for file in (tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(ProviderError) as raised:
            await GoogleTokens().headers({"GOOGLE_APPLICATION_CREDENTIALS": str(file)})
        assert raised.value.code == "authentication"
        assert "credentials" in raised.value.message


async def test_a_server_of_tokens_that_is_not_there(tmp_path: Path, google: TokenServer):
    """Is a failed connection: another try may help."""
    environ = account(tmp_path, google, token_uri="http://127.0.0.1:1/token")
    with pytest.raises(ProviderError) as raised:
        await GoogleTokens().headers(environ)
    assert (raised.value.code, raised.value.retryable) == ("connection", True)


METADATA = "/computeMetadata/v1/instance/service-accounts"
ASK = """
import asyncio, os
from tailrace.upstream.google_adc import GoogleTokens
print(asyncio.run(GoogleTokens().headers(os.environ))["authorization"])
"""


@pytest.mark.slow
async def test_a_machine_of_google_s_knows_who_it_is(tmp_path: Path):
    """Without any file, its metadata server says; its address is read when the library is imported, so in a process."""

    async def handle(request: web.Request) -> web.Response:
        assert request.headers["metadata-flavor"] == "Google"
        assert request.path.startswith(METADATA)
        token = {"access_token": "of-the-machine", "expires_in": 3600}
        who = {"email": "robot@project", "scopes": SCOPES, "aliases": ["default"]}
        body = codec.encode(token if request.path.endswith("/token") else who)
        return web.Response(body=body, content_type="application/json", headers={"Metadata-Flavor": "Google"})

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASK, stdout=asyncio.subprocess.PIPE,
        env={"HOME": str(tmp_path), "GCE_METADATA_HOST": f"127.0.0.1:{runner.addresses[0][1]}"},
    )  # fmt: skip
    out, _ = await process.communicate()
    await runner.cleanup()
    assert out == b"Bearer of-the-machine\n"


async def test_a_token_is_not_shown(tmp_path: Path, google: TokenServer):
    """Design rule 9."""
    tokens = GoogleTokens()
    await tokens.headers(account(tmp_path, google))
    assert "token-1" not in f"{vars(tokens)!r}"


def test_a_token_fits_a_call_s_patience():
    """Nobody waits for a token longer than for an answer's first event."""
    assert google_adc.PATIENCE_S < 120


async def test_a_token_that_was_refused_is_asked_for_anew(tmp_path: Path, google: TokenServer):
    """By the next call."""
    tokens, environ = GoogleTokens(), account(tmp_path, google)
    assert await tokens.headers(environ) == {"authorization": "Bearer token-1"}
    assert tokens.forget(environ)
    assert await tokens.headers(environ) == {"authorization": "Bearer token-2"}
