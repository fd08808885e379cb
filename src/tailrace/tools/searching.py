"""Names and lines of the files below a folder: by ripgrep, where it is there, else by Python (search_worker.py).

Either way in a process of its own that can be ended: a regular expression, also one of a .gitignore, may take for ever.
In the sandbox, where there is one; otherwise the process starts in the open folder itself, wherever that may be moved.
"""

import asyncio
import os
import shutil
import sys
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.tools.context import ToolContext
from tailrace.tools.errors import SandboxUnavailable, ToolFailed
from tailrace.tools.glob import choices, last_name, matches
from tailrace.tools.processes import Command, run_command
from tailrace.tools.sandbox import Sandbox
from tailrace.tools.search_worker import LARGEST_FILE, Wanted

MOST_BYTES = 16 * 1024 * 1024  # of what a search says; more is not waited for
_COMMON = (
    "--no-config", "--no-messages", "--hidden", "--no-require-git", "--no-ignore-parent", "--no-ignore-global",
    "--no-ignore-dot", "--no-ignore-exclude", "--glob=!.git",
)  # fmt: skip


class Hit(NamedTuple):
    """A line that matches; `number` from 1."""

    path: str
    number: int
    text: str


class Searcher:
    """Searches folders. `ripgrep`: its path, None where it is not there."""

    def __init__(self, sandbox: Sandbox, ripgrep: str | None = None) -> None:
        self._sandbox = sandbox
        self._ripgrep = ripgrep

    async def files(self, context: ToolContext, folder: str) -> tuple[list[str], bool]:
        """The paths of files below a folder, relative to it, without those that .gitignore files exclude; and whether
        these are all."""
        rg = self._ripgrep
        arguments = [rg, "--files", "--null", *_COMMON] if rg else _worker(Wanted(task="files"))
        said, whole = await self._run(context, folder, arguments)
        return [os.fsdecode(name) for name in said.split(b"\0")[:-1]], whole

    async def lines(self, context: ToolContext, folder: str, wanted: Wanted) -> tuple[list[Hit], bool]:
        """The lines that match, in the order of paths; and whether these are all. Raises ToolFailed: the pattern is
        none."""
        rg, include = self._ripgrep, wanted.include
        said, whole = await self._run(context, folder, _ripgrep(rg, wanted) if rg else _worker(wanted))
        return [hit for hit in _hits(said) if not include or matches(include, hit.path)], whole

    async def _run(self, context: ToolContext, folder: str, arguments: Sequence[str]) -> tuple[bytes, bool]:
        descriptor = context.workspace.open_folder(folder)
        try:
            command = await self._command(context, folder, descriptor, arguments)
            return await _said(command, context.remaining_s)
        finally:
            os.close(descriptor)

    async def _command(self, context: ToolContext, folder: str, descriptor: int, arguments: Sequence[str]) -> Command:
        with context.workspace.place(folder) as place:
            inside = os.path.join(context.workspace.root, place.path)  # noqa: PTH118  # as text
        wrapped = None
        if self._ripgrep and not self._sandbox.hides(self._ripgrep):  # Python is often where it would be hidden
            with suppress(SandboxUnavailable):  # reading is confined without it, too
                wrapped = await self._sandbox.wrap(arguments, context.workspace.root, inside, writable=False)
        if wrapped is not None:
            return Command(wrapped, "/", context.environment, wrapped=True)
        return Command(arguments, f"/proc/self/fd/{descriptor}", context.environment)


def find_ripgrep() -> str | None:
    """The path of ripgrep, where it is installed."""
    return shutil.which("rg")


def _ripgrep(program: str, wanted: Wanted) -> list[str]:
    arguments = [program, "--json", "--sort=path", f"--max-filesize={LARGEST_FILE}", *_COMMON]
    arguments += [f"--max-count={wanted.per_file}", f"--regexp={wanted.pattern}"]
    if wanted.ignore_case:
        arguments.append("--ignore-case")
    if wanted.include:  # by names first: its `--glob` would also find what .gitignore files exclude
        globs = [last_name(each).replace("[", "\\[") for each in choices(wanted.include)]
        arguments += [*(f"--type-add=wanted:{glob}" for glob in globs), "--type=wanted"]
    return [*arguments, "./"]


def _worker(wanted: Wanted) -> list[str]:
    return [sys.executable, "-I", "-m", "tailrace.tools.search_worker", codec.encode(wanted).decode()]


async def _said(command: Command, timeout_s: float) -> tuple[bytes, bool]:
    """What a search says, and whether that is all."""
    said, full = bytearray(), asyncio.Event()

    def take(piece: bytes) -> None:
        said.extend(piece)
        if len(said) > MOST_BYTES:
            full.set()

    running = asyncio.ensure_future(run_command(command, take, timeout_s))
    filling = asyncio.ensure_future(full.wait())
    try:
        await asyncio.wait({running, filling}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        filling.cancel()
        if not running.done():
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
    if running.cancelled():
        return bytes(said), False
    ended = running.result()
    if ended.timed_out:
        raise ToolFailed(f"The search took longer than {timeout_s:.0f} s; search a smaller folder.")
    if ended.code and said and not said.startswith(b"{") and b"\0" not in said:  # not of one file, but of the search
        raise ToolFailed(bytes(said[-2000:]).decode(errors="replace").strip())
    return bytes(said), True


def _hits(said: bytes) -> list[Hit]:
    hits: list[Hit] = []
    for line in said.splitlines():
        try:
            event = codec.decode_any(line)
        except InvalidJson:  # the last one, of a search that was cut off
            continue
        if event["type"] == "match":
            data = event["data"]
            path, text = _text(data["path"]), _text(data["lines"])
            hits.append(Hit(path.removeprefix("./"), data["line_number"], text.rstrip("\r\n")))
    return hits


def _text(value: dict[str, Any]) -> str:
    """Ripgrep says what is not UTF-8 as base64."""
    return str(value["text"]) if "text" in value else os.fsdecode(b64decode(value["bytes"]))
