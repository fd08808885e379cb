"""Requests to AWS: with a key, or signed; checked on the wire, with the algorithm written out by hand."""

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

from tailrace.adapters.bedrock_converse.request import path
from tailrace.schema.errors import ProviderError
from tailrace.upstream.auth import SCHEMES, Unsigned
from tailrace.upstream.aws import region_of
from tailrace.upstream.http import Call, Upstream
from tests.support.sigv4 import signature, verified

MODEL = "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-sonnet-4-5-v1:0"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ENVIRON = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "eu-west-1"}
BODY = '{"messages":[],"café":1}'.encode()


@asynccontextmanager
async def listening():
    """The port of a server that answers each request with {}, and what it was sent, byte for byte."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        heard.append(head + await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


async def headers_of(url, environ, key=None, body=BODY):
    return await SCHEMES["aws"].headers(Unsigned(url, body, key, environ))


def test_the_algorithm_written_by_hand_gives_the_published_example():
    """So that it can judge another hand."""
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": "iam.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
    }
    assert (
        signature(
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "20150830/us-east-1/iam/aws4_request",
            "GET",
            "/?Action=ListUsers&Version=2010-05-08",
            headers,
            sorted(headers),
            b"",
        )
        == "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


@pytest.mark.parametrize("token", [None, "IQoJb3JpZ2luX2VjEXAMPLE=="])
async def test_a_signature_is_of_what_goes_over_the_wire(token):
    """Path, host, body and session token, as the socket has them; the region is the environment's."""
    environ = {**ENVIRON, **({"AWS_SESSION_TOKEN": token} if token else {})}
    async with listening() as (port, heard), Upstream() as upstream:
        url = f"http://127.0.0.1:{port}{path(MODEL, True)}"
        headers = await headers_of(url, environ)
        async with upstream.open(Call(url=url, headers=headers, body=BODY, stream=True)) as reply:
            assert reply.status == 200
    (raw,) = heard
    assert raw.startswith(b"POST /model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.")
    key, scope = verified(raw, SECRET)
    assert key == "AKIDEXAMPLE"
    assert scope.split("/")[1:] == ["eu-west-1", "bedrock", "aws4_request"]
    with pytest.raises(AssertionError):  # so that the check above can fail
        verified(raw.replace(b"{", b"[", 1), SECRET)


async def test_a_key_is_sent_as_it_is():
    """Where there is one, nothing is signed: neither the provider's nor AWS's own variable."""
    for key, environ in [("abc", {}), (None, {"AWS_BEARER_TOKEN_BEDROCK": "abc"}), ("abc", ENVIRON)]:
        assert await headers_of("https://host/path", environ, key) == {"authorization": "Bearer abc"}


@pytest.mark.parametrize(
    ("url", "environ", "region"),
    [
        ("https://bedrock-runtime.us-west-2.amazonaws.com/model/x", {"AWS_REGION": "eu-west-1"}, "us-west-2"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/model/x", {}, "us-gov-west-1"),
        ("http://127.0.0.1:9/model/x", {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-2"}, "eu-west-1"),
        ("http://127.0.0.1:9/model/x", {"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-2"}, "us-east-2"),
        ("http://127.0.0.1:9/model/x", {}, "us-east-1"),
    ],
)
def test_the_region_is_that_of_the_address_or_of_the_environment(url, environ, region):
    """Signed for another region, a request is refused."""
    assert region_of(url, environ) == region


async def test_half_a_key_is_an_error_that_does_not_tell_it():
    """By its kind, with what to do."""
    with pytest.raises(ProviderError) as raised:
        await headers_of("https://host/path", {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"})
    assert raised.value.code == "authentication"
    assert "AWS_BEARER_TOKEN_BEDROCK" in raised.value.message
    assert "AKIDEXAMPLE" not in raised.value.message


SIGNING = """
import asyncio, os, sys
{before}
from tailrace.schema.errors import ProviderError
from tailrace.upstream.auth import SCHEMES, Unsigned
call = Unsigned("https://bedrock-runtime.eu-west-1.amazonaws.com/model/x/converse", b"{{}}", None, {environ})
try:
    print({{name.lower(): value for name, value in asyncio.run(SCHEMES["aws"].headers(call)).items()}}["authorization"])
except ProviderError as error:
    print(error.code, error.message)
"""


def signing(before: str = "", given: str = "os.environ", **environ: str) -> str:
    """What comes of signing in a process of its own, with this environment and no other."""
    code = SIGNING.format(before=before, environ=given)
    return subprocess.run(
        [sys.executable, "-c", code], env={"AWS_EC2_METADATA_DISABLED": "true", **environ}, capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip


@pytest.mark.slow
def test_botocore_s_own_chain_is_asked(tmp_path):
    """A profile's keys, a process that gives them; and nothing at all."""
    config = tmp_path / "config"
    keys = f"aws_access_key_id = AKIDPROFILE\naws_secret_access_key = {SECRET}\n"
    gives = f'{{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "{SECRET}"}}'
    (tmp_path / "keys.json").write_text(gives)
    config.write_text(f"[profile plain]\n{keys}[profile asks]\ncredential_process = cat {tmp_path}/keys.json\n")
    files = {
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "PATH": "/bin:/usr/bin",
    }
    assert "Credential=AKIDPROFILE/" in signing(**files, AWS_PROFILE="plain")
    assert "Credential=AKIDPROCESS/" in signing(**files, AWS_PROFILE="asks")
    assert signing(**files).startswith("authentication no AWS credentials (NoCredentialsError): set ")
    assert "ProfileNotFound" in signing(**files, AWS_PROFILE="nobody")


@pytest.mark.slow
def test_without_botocore_the_extra_is_named():
    """Unless a key makes it needless."""
    absent = "sys.modules['botocore'] = None"
    said = signing(absent, "{'AWS_ACCESS_KEY_ID': 'a', 'AWS_SECRET_ACCESS_KEY': 'b'}")
    assert said.startswith("authentication ")
    assert "tailrace[bedrock]" in said
    assert signing(absent, "{'AWS_BEARER_TOKEN_BEDROCK': 'k'}") == "Bearer k\n"
