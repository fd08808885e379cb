"""docs/adding-a-provider.md, followed to the letter: its files are written, its commands run, their output compared.

Only the vendor's address is another one (a scripted upstream's), and the server's port.
"""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tailrace.testing.moves import Text
from tailrace.testing.performer import key_digest
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import prepare

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "adding-a-provider.md").read_text(encoding="utf-8")
HOST = "https://api.acme.example/v1"


class Block(NamedTuple):
    """A fenced block of the page."""

    language: str
    text: str


def blocks() -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)]


class Reader:
    """Somebody at a terminal, who does what the page says in `folder`."""

    def __init__(self, folder: Path, upstream: ScriptedUpstream) -> None:
        self.folder = folder
        self.upstream = upstream
        self.environ = {"PATH": os.environ["PATH"], "COLUMNS": "200", "NO_COLOR": "1"}

    def write(self, text: str) -> None:
        """Into the settings file, behind what is there."""
        path = self.folder / "tailrace.toml"
        before = path.read_text() if path.exists() else ""
        path.write_text(before + text.replace(HOST, self.upstream.url))

    async def type(self, block: Block) -> None:
        """A command and, below it, what it says."""
        line, _, expected = block.text.removeprefix("$ ").partition("\n")
        words = shlex.split(line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.environ[name] = value
            return
        assert words[0] == "tailrace"
        process = await self.start(words[1:])
        out, err = await process.communicate()
        assert (process.returncode, out.decode()) == (0, expected), err.decode()

    async def start(self, words: list[str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tailrace", *words, cwd=self.folder, env=self.environ,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """`tailrace serve`, in a terminal of its own."""
        prepare(self.folder / "tailrace-data")
        process = await self.start(["serve", "--port", "0"])
        assert process.stderr is not None
        try:
            async for line in process.stderr:
                if b"listens on " in line:
                    self.environ["TAILRACE_URL"] = line.decode().split("listens on ")[1].split()[0]
                    break
            yield
        finally:
            process.terminate()
            await process.communicate()


@pytest.mark.slow
async def test_the_page_does_what_it_says(tmp_path: Path, upstream: ScriptedUpstream):
    """Settings, key, ping, server, run: each command says what the page says it does; then with all that differs."""
    upstream.script = lambda asked: [Text("Hello from Acme.")]
    reader, said = Reader(tmp_path, upstream), blocks()
    table, export, ping, serve, run, more, tests = said
    assert [block.language for block in said] == ["toml", "", "", "", "", "toml", ""]
    reader.write(table.text)
    await reader.type(export)
    await reader.type(ping)
    assert serve.text == "$ tailrace serve\n"
    async with reader.serving():
        await reader.type(run)
    asked = upstream.requests[-1]
    assert (asked.path, asked.body["model"]) == ("/v1/chat/completions", "acme-large")
    assert asked.key == key_digest(reader.environ["ACME_API_KEY"])
    reader.write(more.text)
    await reader.type(ping)
    asked = upstream.requests[-1]
    assert (asked.query, asked.headers["x-acme-team"]) == ({"api-version": "2026-01-01"}, "research")
    assert asked.body["max_completion_tokens"]
    assert "stream_options" not in asked.body
    assert all((ROOT / word).exists() for word in shlex.split(tests.text) if word.endswith(".py"))
