"""A real browser (Debian's Chromium) before a real server; one of each for all tests of a module."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tailrace.testing.upstream import ScriptedUpstream
from tests.page.watched import Watched
from tests.support.process import ServerProcess

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SETTINGS = """
[agents.planner]
model = "responses/m"
instructions = "Plan first."

[aliases]
fast = "responses/m"
"""
expect.set_options(timeout=30_000)  # however busy the machine is; what does not happen fails late, and only then
Open = Callable[..., Awaitable[Watched]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a browser is skipped, and says so, where there is none."""
    if CHROMIUM is None:
        for item in items:
            if "browser" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason="no chromium: apt-get install chromium"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser without a window."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        await running.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[ScriptedUpstream]:
    """The provider behind `tailrace`."""
    async with ScriptedUpstream() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tailrace(
    tmp_path_factory: pytest.TempPathFactory, provider: ScriptedUpstream
) -> AsyncIterator[ServerProcess]:
    """`tailrace serve`, with an agent and an alias."""
    server = ServerProcess(tmp_path_factory.mktemp("page"), provider, more=SETTINGS)
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def opened(browser: Browser) -> AsyncIterator[Open]:
    """`await opened(url, **context)`: the page in a browser of its own, in which nothing may go wrong."""
    pages: list[Watched] = []

    async def open_page(url: str, **options: Any) -> Watched:
        context = await browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"} | options)
        page: Page = await context.new_page()
        watched = await Watched.of(page, url)
        pages.append(watched)
        return watched

    yield open_page
    wrong = [problem for watched in pages for problem in await watched.problems()]
    for watched in pages:
        await watched.page.context.close()
    assert wrong == []


@pytest.fixture
def shots() -> Path:
    """Where the pictures go that one should look at."""
    folder = Path(__file__).with_name("shots")
    folder.mkdir(exist_ok=True)
    return folder
