"""`/` and `/ui/…`: how the page's files are served, and that the package has them."""

import gzip
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
import zstandard

from tailrace.api.page import folder, place
from tailrace.testing.upstream import ScriptedUpstream
from tests.page.watched import say
from tests.support.server import Served, serving, settings

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 400 * 1024


async def fetched(
    url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers, and the body as it came."""
    async with (
        aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=["Accept-Encoding"]) as session,
        session.request(method, url, headers=headers) as reply,
    ):
        return reply.status, reply.headers, await reply.read()


async def test_the_page_allows_nothing_but_its_own_modules(server: Served):
    """No inline script or style, nothing from elsewhere, in no frame of others; all addresses are relative."""
    status, headers, body = await fetched(f"{server.url}/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    page = body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon[a-z]+=|style=", page)
    assert not re.search(r'(?:src|href)="(?:/|https?:)', page)


async def test_files_are_kept_for_good_by_digest_and_asked_for_by_name(server: Served):
    """What the page names never changes; a name alone is asked for again, and mostly not sent again."""
    _, _, page = await fetched(f"{server.url}/")
    (name,) = re.findall(r'<script type="module" src="([^"]+)"', page.decode())
    status, headers, body = await fetched(f"{server.url}/{name}")
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert "immutable" in headers["cache-control"]
    plain = f"{server.url}/ui/main.js"
    status, headers, same = await fetched(plain)
    assert (same, headers["cache-control"]) == (body, "no-cache")
    status, headers, nothing = await fetched(plain, {"if-none-match": f'"other", W/{headers["etag"]}'})
    assert (status, nothing) == (304, b"")
    assert "content-security-policy" in headers
    status, headers, nothing = await fetched(plain, method="HEAD")
    assert (status, nothing, int(headers["content-length"])) == (200, b"", len(body))


@pytest.mark.parametrize(
    "path", ["ui/", "ui/nothing.js", "ui/../pyproject.toml", "ui/%2e%2e/pyproject.toml", "ui/~x/y.js"]
)
async def test_there_are_no_other_files(server: Served, path: str):
    """Files are looked up in a table, not on the disk."""
    assert (await fetched(f"{server.url}/{path}"))[0] == 404


async def test_files_travel_compressed(server: Served):
    """As Zstandard or gzip, whichever the browser takes, each with an ETag of its own."""
    url = f"{server.url}/ui/vendor/marked.js"
    _, plain, body = await fetched(url)
    _, zipped, small = await fetched(url, {"accept-encoding": "gzip, deflate"})
    _, packed, smaller = await fetched(url, {"accept-encoding": "gzip, deflate, br, zstd"})
    _, refused, same = await fetched(url, {"accept-encoding": "gzip;q=0"})
    assert (zipped["content-encoding"], gzip.decompress(small)) == ("gzip", body)
    assert (packed["content-encoding"], zstandard.decompress(smaller)) == ("zstd", body)
    assert ("content-encoding" not in refused, same) == (True, body)
    assert len({plain["etag"], zipped["etag"], packed["etag"]}) == 3
    assert packed["vary"] == "accept-encoding"


async def test_the_page_needs_no_key_and_hides_no_route(tmp_path: Path, upstream: ScriptedUpstream):
    """Its data does: without a key there is none. What stood beside `/` still does."""
    async with serving(settings(tmp_path / "data", upstream, server={"api_keys": ["k1"]}), upstream) as served:
        for path, expected in {
            "": 200,
            "ui/main.js": 200,
            "api/v2/threads": 401,
            "v1/models": 401,
            "docs": 401,
        }.items():
            assert (await fetched(f"{served.url}/{path}"))[0] == expected, path
        for path in ("docs", "openapi.json", "api/v2/agents", "healthz"):
            assert (await fetched(f"{served.url}/{path}", {"x-api-key": "k1"}))[0] == 200, path
        assert (await fetched(f"{served.url}/", method="POST"))[0] in {401, 404, 405}


async def test_agents_are_listed_without_what_they_are_told(tmp_path: Path, upstream: ScriptedUpstream):
    """By name, each with its model if it has one of its own."""
    agents = {"writer": {"instructions": "secret"}, "planner": {"model": "responses/m"}}
    async with serving(settings(tmp_path / "data", upstream, agents=agents), upstream) as served:
        status, _, body = await fetched(f"{served.url}/api/v2/agents")
    assert (status, body) == (
        200,
        b'{"agents":[{"agent_id":"planner","model_id":"responses/m"},{"agent_id":"writer"}]}',
    )


def test_the_page_is_light():
    """All of it, every language's grammar too, compressed."""
    weight = sum(len(file.gzip) for file in folder().files.values() if not file.name.endswith(".LICENSE"))
    say(f"page weight: {weight / 1024:.0f} KB in gzip")
    assert weight < MOST_BYTES


def test_what_is_vendored_has_its_licence_and_is_listed():
    """docs/page.md names each package, as scripts/vendor.py pins it."""
    pinned = re.findall(
        r'^        "([@a-z./-]+)",\n        "([\d.]+)",', (ROOT / "scripts" / "vendor.py").read_text(), re.MULTILINE
    )
    assert len(pinned) == 5
    listed = (ROOT / "docs" / "page.md").read_text()
    for name, version in pinned:
        assert f"| {name} | {version} |" in listed
        assert (place() / "vendor" / f"{name.rpartition('/')[2]}.LICENSE").is_file()


@pytest.mark.slow
def test_the_wheel_holds_the_page(tmp_path: Path):
    """As it is installed elsewhere: without this repository."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("tailrace/ui/")}
    assert held == {f"tailrace/ui/{name}" for name in folder().files}
