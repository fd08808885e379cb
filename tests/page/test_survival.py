"""Nothing is lost and nothing doubled, whatever happens between the page and the log."""

import asyncio
import os
import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from tailrace.testing.moves import Gate, Paced, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.page.conftest import Open
from tests.page.watched import Watched
from tests.support.process import ServerProcess
from tests.support.proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
NUMBERS = [str(number) for number in range(1, 301)]


def numbers(first: int, last: int) -> Text:
    """Words that tell if one is lost, or comes twice."""
    return Text("".join(f"{number} " for number in NUMBERS[first - 1 : last]), chunk=3)


async def heard(page: Watched) -> list[str]:
    """The numbers of the answer."""
    return re.findall(r"\d+", await page.answer.locator(".prose").inner_text())


async def whole(page: Watched) -> None:
    """All numbers are there, once, in order, and the page has noticed the end."""
    await page.ended()
    assert await heard(page) == NUMBERS


async def test_a_refresh_and_a_second_tab(tailrace: ServerProcess, provider: ScriptedUpstream, opened: Open):
    """Both go on at the next event; a tab of the same browser notices at once what the other begins."""
    page = await opened(tailrace.url)
    provider.enqueue([numbers(1, 150), Gate("refresh"), numbers(151, 300)])
    await page.say("count")
    await expect(page.answer).to_contain_text("150")
    await page.page.reload()
    await expect(page.answer).to_contain_text("150")
    await expect(page.page.locator(".pulse")).to_have_text(re.compile("Working"))
    second = await opened(page.page.url)
    await expect(second.answer).to_contain_text("150")
    provider.gate("refresh").open()
    await whole(page)
    await whole(second)
    twin = Watched(await page.page.context.new_page(), page.origin)
    await twin.page.goto(page.page.url)
    await expect(twin.answer).to_contain_text("300")
    provider.enqueue([Text("seen in both")])
    await page.say("once more")
    await expect(twin.answer).to_contain_text("seen in both")


async def test_the_network_is_lost(tailrace: ServerProcess, provider: ScriptedUpstream, opened: Open, shots: Path):
    """It says quietly that it reconnects, and goes on. What is sent meanwhile is one run, not two."""
    async with Proxy(urlsplit(tailrace.url).port or 0) as proxy:
        page = await opened(f"http://127.0.0.1:{proxy.port}/")
        provider.enqueue([numbers(1, 100), Gate("lost"), numbers(101, 300)])
        await page.say("count")
        await expect(page.answer).to_contain_text("100")
        async with proxy.down():
            provider.gate("lost").open()
            await expect(page.page.locator(".pulse")).to_have_text(re.compile("Reconnecting"))
            await page.page.screenshot(path=shots / "reconnecting.png")
        await whole(page)
        before = len(provider.requests)
        task = asyncio.create_task(proxy.cut(1.0))
        await page.say("once more")
        await task
        await page.ended()
        assert len(provider.requests) == before + 1


async def test_the_server_is_killed_in_mid_stream(
    provider: ScriptedUpstream, opened: Open, tmp_path: Path, shots: Path
):
    """The next server takes the run over; the page shows what its log then says: no more, no less."""
    server = ServerProcess(tmp_path, provider)
    await server.start()
    page = await opened(server.url)
    provider.enqueue([numbers(1, 120), Gate("killed")], [numbers(1, 300)])
    await page.say("count")
    await expect(page.answer).to_contain_text("120")
    await server.kill()
    await expect(page.page.locator(".pulse")).to_have_text(re.compile("Reconnecting"))
    await expect(page.page.locator(".away")).to_be_visible(timeout=10_000)
    await server.start()
    await expect(page.page.locator(".broken.cancelled")).to_contain_text("120", timeout=20_000)
    await whole(page)
    await expect(page.page.locator(".away")).to_have_count(0)
    partial = await page.page.locator(".broken .prose").inner_text()
    assert re.findall(r"\d+", partial) == NUMBERS[:120]
    await page.press("l")
    await page.page.get_by_role("tab", name="Timeline").click()
    await expect(page.page.locator(".notes")).to_contain_text("taken over, epoch 2")
    await page.page.screenshot(path=shots / "takeover.png")
    await server.stop()


async def test_the_laptop_sleeps(tailrace: ServerProcess, provider: ScriptedUpstream, opened: Open):
    """While the page is frozen the run goes on; awake, it has all of it. So too where the connection died unnoticed."""
    page = await opened(tailrace.url)
    provider.enqueue([numbers(1, 50), Gate("asleep"), Paced(0.001, (numbers(51, 300),))])
    await page.say("count")
    await expect(page.answer).to_contain_text("50")
    debugger = await page.page.context.new_cdp_session(page.page)
    await debugger.send("Page.setWebLifecycleState", {"state": "frozen"})
    provider.gate("asleep").open()
    await provider.requests[-1].answered.wait()
    await debugger.send("Page.setWebLifecycleState", {"state": "active"})
    await whole(page)


async def test_a_connection_that_died_without_a_word(provider: ScriptedUpstream, opened: Open, tmp_path: Path):
    """The server is silent for longer than it may be: the page does not wait for ever, and says so."""
    server = ServerProcess(tmp_path, provider)
    await server.start()
    page = await opened(server.url)
    await page.page.clock.install()
    await page.page.reload()
    provider.enqueue([numbers(1, 50), Gate("stopped"), numbers(51, 300)])
    await page.say("count")
    await expect(page.answer).to_contain_text("50")
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await page.page.clock.fast_forward(40_000)
        await expect(page.page.locator(".pulse")).to_have_text(re.compile("Reconnecting"))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    provider.gate("stopped").open()
    await whole(page)
    await server.stop()


async def test_a_tab_that_nobody_looks_at_lets_go(tailrace: ServerProcess, provider: ScriptedUpstream, opened: Open):
    """Browsers have six connections for a server; seen again, it goes on where it was."""
    look = """(state) => {
        Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page = await opened(tailrace.url)
    await page.page.clock.install()
    await page.page.reload()
    provider.enqueue([numbers(1, 50), Gate("unseen"), numbers(51, 300)])
    await page.say("count")
    await expect(page.answer).to_contain_text("50")
    async with page.page.expect_event("requestfailed", lambda request: "/stream/" in request.url):
        await page.page.evaluate(look, "hidden")
        await page.page.clock.fast_forward(61_000)
    provider.gate("unseen").open()
    await page.page.evaluate(look, "visible")
    await whole(page)
