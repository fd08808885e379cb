"""How it begins: with nothing but `tailrace serve`, with a key, and under a path of somebody else's server."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import expect

from tailrace.testing.upstream import ScriptedUpstream
from tests.page.conftest import Open
from tests.support.process import ServerProcess

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def test_a_newcomer_sees_it_all_with_the_demo_provider(opened: Open, tmp_path: Path, shots: Path):
    """`tailrace serve`, no account: what can be tried is there to be clicked; reasoning, Markdown, tools, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace", "serve", "--port", "0", cwd=tmp_path, env={"PATH": os.environ["PATH"]},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    url = (await process.stderr.readline()).decode().split("listens on ")[1].split()[0]
    page = await opened(url)
    await expect(page.page.get_by_role("group", name="Things to try").get_by_role("button")).to_have_count(6)
    await page.page.screenshot(path=shots / "welcome.png")
    await page.check_access()
    await page.page.get_by_role("button", name="Watch it think").click()
    await expect(page.page.get_by_role("region", name="Thought")).to_be_visible(timeout=15_000)
    await expect(page.answer.locator("h1")).to_have_text("Hello from the demo provider")
    await page.ended()
    await expect(page.page.locator(".foot")).to_contain_text("demo/demo")
    await page.press("n")
    await page.page.get_by_role("button", name="Call a tool").click()
    weather = page.page.get_by_role("region", name="get_weather")
    await weather.get_by_role("textbox").fill("4 degrees, and rain")
    await weather.get_by_role("button", name="Send output").click()
    await expect(page.answer).to_contain_text("4 degrees, and rain")
    await page.ended()
    await page.press("n")
    await page.page.get_by_role("button", name="Let it fail").click()
    await expect(page.page.locator(".failure")).to_be_visible()
    process.terminate()
    await process.wait()


async def test_a_key_is_asked_for_once_and_kept(provider: ScriptedUpstream, opened: Open, tmp_path: Path, shots: Path):
    """Nothing is asked of the server in between; a wrong one is told; one that lapses is asked for anew, in place."""
    server = ServerProcess(tmp_path, provider, {"TAILRACE_SERVER__API_KEYS": '["first", "second"]'})
    await server.start()
    page = await opened(server.url)
    prompt = page.page.get_by_role("dialog", name="This server wants a key")
    await expect(prompt).to_be_visible()
    await page.page.screenshot(path=shots / "key.png")
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    await page.page.wait_for_timeout(5000)  # the list is looked at every four seconds: no, it is not
    assert asked == []
    await page.label("API key").fill("wrong")
    await page.page.get_by_role("button", name="Use this key").click()
    await expect(prompt.get_by_role("alert")).to_have_text("The server does not accept this key.")
    await page.label("API key").fill("first")
    await page.page.get_by_role("button", name="Use this key").click()
    await expect(prompt).to_have_count(0)
    await page.say("hello")
    await page.ended()
    assert all("first" not in url for url in asked)
    await page.page.reload()
    await expect(page.answer).to_be_visible()
    await server.stop()
    server._environ["TAILRACE_SERVER__API_KEYS"] = '["second"]'
    await server.start()
    await page.write("still me?")
    await expect(prompt).to_contain_text("no longer, accepted")
    await page.label("API key").fill("second")
    await page.page.get_by_role("button", name="Use this key").click()
    await expect(prompt).to_have_count(0)
    await expect(page.label("Message")).to_have_value("still me?")  # nothing that was written is lost
    await page.label("Send").click()
    await expect(page.page.locator("article.asked")).to_have_count(2)
    await page.ended()
    await server.stop()


@asynccontextmanager
async def under_a_path(target: str, path: str) -> AsyncIterator[str]:
    """A reverse proxy that has `target` under `path`, as nginx would; the URL there."""

    async def forward(request: web.Request) -> web.StreamResponse:
        url = target + request.raw_path.removeprefix(path)
        kept = {name: value for name, value in request.headers.items() if name.lower() not in {"host", "connection"}}
        async with client.request(request.method, url, headers=kept, data=await request.read()) as reply:
            passed = {name: value for name, value in reply.headers.items() if name.lower() not in HOP}
            response = web.StreamResponse(status=reply.status, headers=passed)
            await response.prepare(request)
            async for piece in reply.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    hop = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=hop) as client:
        app = web.Application()
        app.router.add_route("*", path + "/{tail:.*}", forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}{path}/"
        finally:
            await runner.cleanup()


HOP = {"connection", "transfer-encoding", "content-length"}


async def test_it_works_under_a_path(tailrace: ServerProcess, opened: Open):
    """All addresses are relative: those of files, of the API, and of threads."""
    async with under_a_path(tailrace.url, "/tools/tailrace") as url:
        page = await opened(url)
        await page.say("hello from below")
        await expect(page.answer.locator("h1")).to_be_visible()
        await page.ended()
        await page.page.reload()
        await expect(page.answer).to_be_visible()
        assert page.page.url.startswith(f"{url}#/threads/")


async def test_another_server_is_refused_with_the_reason(tailrace: ServerProcess, opened: Open):
    """The policy lets the page talk to its own server alone; the settings say so, and keep what was there."""
    page = await opened(tailrace.url)
    await page.page.get_by_role("button", name="Settings").click()
    await page.label("Server").fill("http://127.0.0.1:9/")
    await page.page.get_by_role("button", name="Save").click()
    await expect(page.page.get_by_role("alert")).to_contain_text("open http://127.0.0.1:9/ itself")
    page.wrong = [line for line in page.wrong if "127.0.0.1:9" not in line]
    await page.page.evaluate("window.violations.length = 0")
    await page.page.reload()
    await page.say("hello")
    await page.ended()
    assert not re.search("9/$", await page.page.evaluate("localStorage.getItem('tailrace.url') ?? ''"))
