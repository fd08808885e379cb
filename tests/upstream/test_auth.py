"""How a call shows who is calling."""

import pytest

from tailrace.adapters.wires import WIRES
from tailrace.schema.errors import ProviderError
from tailrace.upstream.auth import SCHEMES, Unsigned
from tests.support.codex import ACCOUNT, TOKEN, token


@pytest.mark.parametrize(
    ("wire", "headers"),
    [
        ("openai-responses", {"authorization": "Bearer k"}),
        ("openai-chat-completions", {"authorization": "Bearer k"}),
        ("anthropic-messages", {"x-api-key": "k"}),
        ("google-gemini", {"x-goog-api-key": "k"}),
    ],
)
async def test_a_wire_s_own_scheme_carries_the_key_only_where_there_is_one(wire: str, headers: dict[str, str]):
    """The header that the vendor documents; none at all without a key."""
    scheme = SCHEMES[WIRES[wire].auth]
    assert await scheme.headers(Unsigned("https://host/path", b"{}", "k", {})) == headers
    assert await scheme.headers(Unsigned("https://host/path", b"{}", None, {})) == {}


def test_every_wire_names_a_scheme_that_there_is():
    """So that a call never fails for want of one."""
    assert {wire.auth for wire in WIRES.values()} <= SCHEMES.keys()


async def test_a_gateway_s_own_header():
    """Cloudflare's key is for the gateway, not for the provider behind it."""
    headers = await SCHEMES["cf-aig-authorization"].headers(Unsigned("https://host/path", b"{}", "k", {}))
    assert headers == {"cf-aig-authorization": "Bearer k"}


def test_what_is_to_be_signed_shows_nothing():
    """Key, environment and address may all hold secrets."""
    unsigned = Unsigned("https://host/path?key=sk-secret", b"sk-secret", "sk-secret", {"KEY": "sk-secret"})
    assert "sk-secret" not in f"{unsigned!r} {unsigned}"


async def test_a_chatgpt_token_names_its_account():
    """From its claims, which are the provider's to verify."""
    told = await SCHEMES["chatgpt"].headers(Unsigned("https://host/path", b"", TOKEN, {}))
    assert told == {"authorization": f"Bearer {TOKEN}", "chatgpt-account-id": ACCOUNT}


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        "sk-no-token-at-all",
        "a.b.c",
        token({}),
        token([]),
        token({"https://api.openai.com/auth": {}}),
        token({"https://api.openai.com/auth": "x"}),
        token({"https://api.openai.com/auth": {"chatgpt_account_id": "a\nb: c"}}),
    ],
)
async def test_a_token_without_an_account_is_refused(key: str | None):
    """Before anything is sent, in words that do not repeat it."""
    with pytest.raises(ProviderError) as refused:
        await SCHEMES["chatgpt"].headers(Unsigned("https://host/path", b"", key, {}))
    assert refused.value.code == "authentication"
    assert not key or key not in str(refused.value.info())
