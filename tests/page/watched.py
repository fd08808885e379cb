"""A page that is looked after: what it complains of, what it asks of others, whether everyone can use it."""

import asyncio
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import ConsoleMessage, Locator, Page, Request, expect

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / ".venv" / "node" / "node_modules" / "axe-core" / "axe.min.js"
# The network's own lines about requests that a test makes fail: each test says itself what it wants of those.
NETWORK = re.compile(r"Failed to load resource|net::ERR_")
POLICY = (
    "window.violations = []; addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective))"
)


def say(words: str) -> None:
    """A measurement; `pytest -s` shows it, and so does the list of what passed (`-rP`)."""
    sys.stdout.write(f"{words}\n")


@dataclass
class Watched:
    """A page of ours in a browser, and what went wrong in it so far."""

    page: Page
    origin: str
    wrong: list[str] = field(default_factory=list)

    @classmethod
    async def of(cls, page: Page, url: str) -> "Watched":
        """Open `url` in it."""
        watched = cls(page, "{0.scheme}://{0.netloc}".format(urlsplit(url)))
        page.on("console", watched._said)
        page.on("pageerror", lambda error: watched.wrong.append(f"{error}\n{error.stack}"))
        page.on("request", watched._asked)
        page.on("dialog", lambda dialog: watched.wrong.append(f"a script ran: {dialog.message}"))
        await page.add_init_script(POLICY)
        await page.goto(url)
        return watched

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not NETWORK.search(message.text):
            self.wrong.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.wrong.append(f"a request to elsewhere: {request.url}")

    async def problems(self) -> list[str]:
        """What went wrong, the policy's reports among it."""
        violations = await self.page.evaluate("window.violations ?? []")
        return [*self.wrong, *(f"against the policy: {one}" for one in violations)]

    # --- what one does ---------------------------------------------------------------------------------------------

    def label(self, name: str) -> Locator:
        """The control of exactly this name."""
        return self.page.get_by_label(name, exact=True)

    async def say(self, text: str) -> None:
        """Write it, and send it; returns when the run has begun, and the page shows it."""
        async with self.page.expect_response(lambda answer: answer.ok and answer.url.endswith("/api/v2/submit")):
            await self.write(text)
        await expect(self.label("Message")).to_have_value("")

    async def write(self, text: str) -> None:
        """Write it, and try to send it."""
        await self.label("Message").fill(text)
        await self.label("Message").press("Enter")

    async def press(self, key: str) -> None:
        """A key, while nothing is being typed."""
        await self.page.evaluate("document.activeElement?.blur()")
        await self.page.keyboard.press(key)

    @property
    def answer(self) -> Locator:
        """What the assistant said last."""
        return self.page.locator("article.said").last

    async def ended(self) -> None:
        """The run has ended: one can send again."""
        await expect(self.label("Send")).to_be_visible(timeout=20_000)

    @property
    def thread_id(self) -> str:
        """The open thread, by the address."""
        found = re.search(r"#/threads/([^/]+)", self.page.url)
        assert found, self.page.url
        return found[1]

    async def until(self, holds: Callable[[], Any], what: str) -> Any:
        """The first true answer of `holds`."""
        for _ in range(500):
            answer = await holds()
            if answer:
                return answer
            await asyncio.sleep(0.02)
        raise AssertionError(what)

    # --- whether everyone can use it ---------------------------------------------------------------------------------

    async def check_access(self) -> None:
        """axe-core finds no serious fault. (Through the debugger, as the policy lets no script in.)"""
        assert AXE.exists() or shutil.which("npm") is None, "axe-core is missing: make install brings it"
        if not AXE.exists():
            return
        session = await self.page.context.new_cdp_session(self.page)
        await session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
        found = await self.page.evaluate(
            "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
        )
        serious = [
            f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:4]]}"
            for one in found
            if one["impact"] in {"serious", "critical"}
        ]
        assert serious == [], "\n".join(serious)
