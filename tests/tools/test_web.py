"""`fetch_url` against real servers on loopback, and `web_search` through its interface."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from tailrace.schema.errors import SettingsError
from tailrace.tools.builtin.web import SearchHit, fetch_url_with, web_search_with
from tailrace.tools.errors import ToolFailed
from tailrace.tools.fetching import MOST_BYTES, Fetcher, NetworkPolicy, is_public, meant
from tests.support.tools import Bench

HTML = """<html><head><title>Tea</title><style>p {color: red}</style><script>alert("no")</script></head>
<body><nav>Menu</nav><h1>Tea &amp; more</h1><p>It is <b>hot</b>, see <a href="/milk">milk</a>.</p>
<ul><li>green<li>black</ul><pre>a
  b</pre></body></html>"""

MARKDOWN = "Menu\n\n# Tea &amp; more\n\nIt is **hot**, see [milk](/milk).\n\n- green\n- black\n\n```\na\n  b\n```"


async def pages(request: web.Request) -> web.StreamResponse:
    """What the server has."""
    path, port = request.path, request.url.port
    moved = {
        "/out": f"http://127.0.0.2:{port}/secret",
        "/out-mapped": f"http://[::ffff:127.0.0.2]:{port}/secret",
        "/file": "file:///etc/passwd",
        "/loop": "/loop",
        "/here": "plain",
    }
    if path in moved:
        return web.Response(status=302, headers={"Location": moved[path]})
    if path == "/slow":
        await asyncio.sleep(60)
    if path == "/endless":
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65536)
    if path == "/bomb":
        body = gzip.compress(b"x" * (MOST_BYTES * 10))
        return web.Response(body=body, headers={"Content-Type": "text/plain", "Content-Encoding": "gzip"})
    answers = {
        "/plain": web.Response(text="plain text: ä"),
        "/html": web.Response(text=HTML, content_type="text/html"),
        "/latin": web.Response(body="café".encode("latin-1"), headers={"Content-Type": "text/plain; charset=latin-1"}),
        "/odd": web.Response(body=b"caf\xe9", headers={"Content-Type": "text/plain; charset=no-such"}),
        "/json": web.Response(body=b'{"a": 1}', content_type="application/ld+json"),
        "/image": web.Response(body=b"\x89PNG", content_type="image/png"),
        "/secret": web.Response(text="the secret"),
        "/deep": web.Response(text="<div>" * 20_000 + "deep", content_type="text/html"),
    }
    return answers.get(path) or web.Response(status=404, text="nothing here")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server on two of loopback's addresses, 127.0.0.1 and 127.0.0.2, at the same port."""
    app = web.Application()
    app.router.add_get("/{path:.*}", pages)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        number = first.getsockname()[1]
        second.bind(("127.0.0.2", number))
        for listening in (first, second):
            await web.SockSite(runner, listening).start()
        yield number
        await runner.cleanup()


def bench(tmp_path, fetcher: Fetcher | None = None) -> Bench:
    """Of loopback, only 127.0.0.1 may be reached; that stands for the public internet here."""
    return Bench(tmp_path, fetch_url_with(fetcher or Fetcher(NetworkPolicy(allowed=("127.0.0.1/32",)))))


async def fetch(running: Bench, url: str):
    return await running.call("fetch_url", {"url": url})


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("plain", "plain text: ä"),
        ("latin", "café"),
        ("odd", "caf�"),
        ("json", '{"a": 1}'),
        (
            "html",
            "Menu\n\n# Tea &amp; more\n\nIt is **hot**, see [milk](/milk).\n\n- green\n- black\n\n```\na\n  b\n```",
        ),
    ],
)
async def test_a_page_comes_as_text(tmp_path, port, path, text):
    """In the character set that it says; HTML as Markdown, without scripts and styles."""
    url = f"http://127.0.0.1:{port}/{path}"
    answer = await fetch(bench(tmp_path), url)
    assert (answer.text.rstrip(), answer.success) == (f"{url}\n\n{text}", True)


async def test_redirects_are_followed_and_the_page_says_where_they_led(tmp_path, port):
    """Only so many."""
    running = bench(tmp_path)
    answer = await fetch(running, f"http://127.0.0.1:{port}/here")
    assert answer.text == f"http://127.0.0.1:{port}/plain\n\nplain text: ä"
    answer = await fetch(running, f"http://127.0.0.1:{port}/loop")
    assert (answer.success, answer.text.endswith("more than 5 redirects")) == (False, True)


PRIVATE = [
    "http://127.0.0.2:{port}/secret",
    "http://0x7f.2:{port}/secret",
    "http://[::ffff:127.0.0.2]:{port}/secret",
    "http://[::ffff:7f00:2]:{port}/secret",
    "http://[::1]:{port}/secret",
    "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0.0.0.0:{port}/secret",
    "http://[64:ff9b::7f00:2]:{port}/secret",
    "http://[fe80::1]/",
]


@pytest.mark.parametrize("url", [*PRIVATE, *(f"http://127.0.0.1:{{port}}/out{kind}" for kind in ("", "-mapped"))])
async def test_addresses_that_are_not_public_are_refused(tmp_path, port, url):
    """However they are spelled, and also where a redirect leads to them."""
    answer = await fetch(bench(tmp_path), url.format(port=port))
    assert (answer.success, answer.error) == (False, "address_refused")
    assert "secret" not in answer.text.partition("leads to")[2]


@pytest.mark.parametrize("host", ["127.2", "2130706434", "0177.0.0.2"])
async def test_other_spellings_of_an_address_are_none(tmp_path, port, host):
    """The HTTP client takes only the usual one; had it not, the address would be checked."""
    answer = await fetch(bench(tmp_path), f"http://{host}:{port}/secret")
    assert not answer.success
    assert "the secret" not in answer.text


async def test_a_name_is_no_way_round(tmp_path, port):
    """What it resolves to counts: `localhost` is loopback."""
    running = Bench(tmp_path, fetch_url_with(Fetcher(NetworkPolicy())))
    assert (await fetch(running, f"http://localhost:{port}/secret")).error == "address_refused"


class Rebinding(AbstractResolver):
    """A name server whose answer is one address first, and another ever after."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked += 1
        address = self.addresses[min(self.asked, len(self.addresses)) - 1]
        return [{"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        """Nothing is open."""


async def test_an_answer_that_changes_is_checked_each_time(tmp_path, port):
    """The address that is checked is the one that is connected to: there is no second question in between."""
    resolver = Rebinding("127.0.0.1", "127.0.0.2")
    running = bench(tmp_path, Fetcher(NetworkPolicy(allowed=("127.0.0.1/32",)), resolver))
    assert (await fetch(running, f"http://rebound.example:{port}/plain")).success
    assert resolver.asked == 1
    again = await fetch(running, f"http://rebound.example:{port}/secret")
    assert again.error == "address_refused"
    redirected = bench(tmp_path, Fetcher(NetworkPolicy(allowed=("127.0.0.1/32",)), Rebinding("127.0.0.1", "127.0.0.2")))
    assert (await fetch(redirected, f"http://rebound.example:{port}/here")).error == "address_refused"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "is no http or https address"),
        ("ftp://127.0.0.1/", "is no http or https address"),
        ("/plain", "is no http or https address"),
        ("http://", "is no http or https address"),
        ("http://user:hunter2@127.0.0.1/", "the address holds a user or a password"),
        ("http://127.0.0.1:{port}/file", "is no http or https address"),
        ("http://127.0.0.1:{port}/nowhere", "answers 404 Not Found"),
        ("http://127.0.0.1:{port}/image", "is no text but image/png"),
        ("http://127.0.0.1:{port}/endless", f"has more than {MOST_BYTES} bytes"),
        ("http://127.0.0.1:{port}/bomb", f"has more than {MOST_BYTES} bytes"),
        ("http://127.0.0.1:1/", "cannot be reached"),
        ("http://no-such-host.invalid/", "cannot be reached"),
        ("http://127.0.0.1:99999/", "Error"),
    ],
)
async def test_what_cannot_be_had_is_said(tmp_path, port, url, said):
    """Other schemes, errors, no text, too much of it; and no password is said again."""
    answer = await fetch(bench(tmp_path), url.format(port=port))
    assert not answer.success
    assert said in answer.text
    assert "hunter2" not in answer.text


async def test_a_page_that_does_not_come_is_given_up(port):
    """After its time."""
    fetcher = Fetcher(NetworkPolicy(allowed=("127.0.0.1/32",)))
    with pytest.raises(ToolFailed, match="no whole answer within"):
        await fetcher.fetch(f"http://127.0.0.1:{port}/slow", 0.1)


async def test_a_page_nested_without_end_is_read(tmp_path, port):
    """No recursion is spent on it."""
    assert (await fetch(bench(tmp_path), f"http://127.0.0.1:{port}/deep")).text.endswith("deep")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True), ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True), ("127.0.0.1", False),
        ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("100.64.0.1", False),
        ("169.254.169.254", False), ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("240.0.0.1", False), ("::", False), ("::1", False), ("fe80::1%eth0", False), ("fc00::1", False),
        ("ff02::1", False), ("::ffff:10.0.0.1", False), ("2002:7f00:1::", False), ("64:ff9b::a00:1", False),
        ("2001:db8::1", False), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address, public):
    """Also those that hold another."""
    assert is_public(meant(address)) is public
    assert ip_address(address.partition("%")[0])


def test_a_network_that_is_none_stops_the_start():
    """It names what is wrong."""
    with pytest.raises(SettingsError, match=r"^tools.reachable: 10\.0\.0\.1/8 has host bits set"):
        Fetcher(NetworkPolicy(allowed=("10.0.0.1/8",)))


async def test_a_search_is_its_providers(tmp_path):
    """What it finds is told in order; why it could not is told, too."""

    class Library:
        async def search(self, query: str, most: int) -> list[SearchHit]:
            if query == "broken":
                raise ToolFailed("the search could not be made: 503")
            found = [SearchHit(title=f"{query} {number}", url=f"https://example.com/{number}") for number in range(9)]
            return found if query == "tea" else []

    running = Bench(tmp_path, web_search_with(Library()))
    answer = await running.call("web_search", {"query": "tea", "max_results": 2})
    assert answer.text.splitlines() == [
        "1. tea 0", "   https://example.com/0", "   ", "2. tea 1", "   https://example.com/1", "   ",
    ]  # fmt: skip
    assert (await running.call("web_search", {"query": "nothing"})).text == "Nothing was found."
    answer = await running.call("web_search", {"query": "broken"})
    assert (answer.success, answer.text) == (False, "the search could not be made: 503")
