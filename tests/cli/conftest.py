"""The command line as its users have it: a process with pipes, or with a terminal."""

import asyncio
import os
import sys
import termios
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest


class Ended(NamedTuple):
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


Cli = Callable[..., Awaitable[Ended]]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """`await cli("run", "hello", stdin=b"", TAILRACE_URL=…)` in an empty directory with an empty environment."""

    async def call(*arguments: object, stdin: bytes = b"", **environ: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tailrace", *map(str, arguments), cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "COLUMNS": "80", **environ},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    return call


@pytest.fixture
def terminal(tmp_path: Path) -> Cli:
    """The same with a terminal of 30 lines of 80 characters: `out` is all that it was sent."""

    async def call(*arguments: object, **environ: str) -> Ended:
        master, slave = os.openpty()
        termios.tcsetwinsize(slave, (30, 80))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tailrace", *map(str, arguments), cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environ},
            stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        out = await asyncio.to_thread(_read, master)
        return Ended(await process.wait(), out, "")

    return call


def _read(master: int) -> str:
    parts = []
    try:
        while part := os.read(master, 65536):
            parts.append(part)
    except OSError:  # how Linux says that nobody has the other end any more
        pass
    os.close(master)
    return b"".join(parts).decode().replace("\r\n", "\n")
