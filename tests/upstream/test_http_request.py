"""Requests as bytes."""

import pytest
from multidict import CIMultiDict

from tailrace.schema.errors import ProviderError
from tailrace.upstream.http_request import Origin, request

SECRET = "sk-verysecret-0123456789"


def head_of(url: str, method: str = "POST", body: bytes = b"{}", **headers: str) -> list[str]:
    asked = request(method, url, CIMultiDict(headers), body)
    assert asked.head.endswith(b"\r\n\r\n")
    assert asked.body is body
    return asked.head.decode().split("\r\n")[:-2]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://h.example", "/"),
        ("http://h.example?x=1", "/?x=1"),
        ("http://h.example/v1/a%2Fb%3a;c=d/~e//f/../g?q=%7e&r=a+b&s#fragment", None),
        ("http://h.example/model/us.anthropic.m-v1%3A0/converse-stream", None),
        ("http://h.example/p?", "/p?"),
        ("http://h.example/a b/ä?q=ö ü", "/a%20b/%C3%A4?q=%C3%B6+%C3%BC"),
        ("HTTP://H.example/x", "/x"),
    ],
)
def test_an_encoded_url_goes_out_byte_for_byte_and_any_other_is_encoded(url, target):
    """A signature is of what is sent."""
    target = target or url.partition("h.example")[2].partition("#")[0]
    assert head_of(url)[0] == f"POST {target} HTTP/1.1"


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("http://h.example/v1", Origin(False, "h.example", 80), "h.example"),
        ("http://h.example:80/v1", Origin(False, "h.example", 80), "h.example"),
        ("http://h.example:8080/v1", Origin(False, "h.example", 8080), "h.example:8080"),
        ("https://h.example/v1", Origin(True, "h.example", 443), "h.example"),
        ("https://h.example:8443/v1", Origin(True, "h.example", 8443), "h.example:8443"),
        ("http://127.0.0.1:1/v1", Origin(False, "127.0.0.1", 1), "127.0.0.1:1"),
        ("https://[::1]/v1", Origin(True, "::1", 443), "[::1]"),
        ("http://[::1]:8080/v1", Origin(False, "::1", 8080), "[::1]:8080"),
        ("https://bücher.example/v1", Origin(True, "xn--bcher-kva.example", 443), "xn--bcher-kva.example"),
    ],
)
def test_where_it_goes_and_what_its_host_header_says(url, origin, host):
    """The port where it is not the usual one; IPv6 in brackets."""
    assert request("POST", url, CIMultiDict(), b"").origin == origin
    assert head_of(url)[1] == f"Host: {host}"


def test_a_host_that_is_given_stands():
    """It may be signed."""
    assert [line for line in head_of("http://h.example/", host="other") if "ost" in line] == ["host: other"]


@pytest.mark.parametrize(
    ("method", "body", "said"),
    [("POST", b"{}", "2"), ("POST", b"", "0"), ("GET", b"", None), ("DELETE", b"", None), ("GET", b"x", "1")],
)
def test_the_length_is_that_of_the_body(method, body, said):
    """Whatever the headers say of it; a request that has no body says nothing of one."""
    headers = {"content-length": "99", "Transfer-Encoding": "chunked"}
    lines = head_of("http://h.example/", method, body, **headers)
    assert [line for line in lines if "ength" in line or "oding" in line] == ([f"Content-Length: {said}"] * bool(said))


@pytest.mark.parametrize("bad", ["\r\nX-Other: 1", "\n", "\r", "\0"])
def test_a_header_with_a_line_break_or_a_nul_is_refused(bad):
    """By name, and without its value."""
    for headers in ({"x-api-key": SECRET + bad}, {f"x-{SECRET}{bad}": "v"}):
        with pytest.raises(ProviderError) as caught:
            request("POST", "http://h.example/", headers, b"{}")
        assert caught.value.code == "invalid_request"
        assert SECRET not in repr(caught.value)
    with pytest.raises(ProviderError, match="x-api-key"):
        request("POST", "http://h.example/", {"x-api-key": SECRET + bad}, b"{}")


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{SECRET}@h.example/",
        f"http://{SECRET}@h.example/",
        f"ftp://h.example/?key={SECRET}",
        f"no-url?key={SECRET}",
        f"http://[bad/?key={SECRET}",
        f"http://h.example:port/?key={SECRET}",
        f"http:///?key={SECRET}",
        "",
    ],
)
def test_an_address_that_is_none_or_names_a_user_is_refused(url):
    """And not shown."""
    with pytest.raises(ProviderError) as caught:
        request("POST", url, {}, b"{}")
    assert caught.value.code == "invalid_request"
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
