"""AWS's Signature Version 4 by hand, from the published algorithm, to check what another hand has signed.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import quote

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<scope>[^,]+), ?SignedHeaders=(?P<names>[^,]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


def signature(
    secret: str, scope: str, method: str, target: str, headers: Mapping[str, str], names: list[str], body: bytes
) -> str:
    """The signature of a request whose request line says `target`. `headers` by names in lower case, `names` those that
    are signed, `scope` as in `20150830/us-east-1/iam/aws4_request`. A path is encoded once more than it is sent."""
    path, _, query = target.partition("?")
    canonical = "\n".join(
        [
            method,
            quote(path, safe="/-_.~"),
            "&".join(sorted(query.split("&"))),
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            ";".join(names),
            sha256(body).hexdigest(),
        ]
    )
    signed = "\n".join([
        "AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sha256(canonical.encode()).hexdigest()
    ])  # fmt: skip
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return _hmac(key, signed).hex()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), sha256).digest()


def verified(raw: bytes, secret: str) -> tuple[str, str]:
    """The access key and the scope of a signed HTTP/1.1 request, as it went over the wire; asserts that it is signed
    with `secret`, and what must be signed is."""
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *lines = head.decode("ascii").split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in lines)}
    found = _AUTHORIZATION.fullmatch(headers["authorization"])
    assert found is not None, headers["authorization"]
    names = found["names"].split(";")
    assert {"host", "x-amz-date"} <= set(names)
    assert ("x-amz-security-token" in headers) == ("x-amz-security-token" in names)
    assert found["scope"].split("/")[0] == headers["x-amz-date"][:8]
    assert len(body) == int(headers["content-length"])
    assert signature(secret, found["scope"], method, target, headers, names, body) == found["signature"]
    return found["key"], found["scope"]
