"""Tools whose effects can be counted: each writes a line into `effects` of its workspace when it has begun."""

import asyncio
import time
from pathlib import Path

from tailrace.tools import Limits, ToolContext, ToolFailed, tool


def _note(context: ToolContext, text: str) -> None:
    with (context.workspace.root / "effects").open("a") as effects:
        effects.write(f"{text}\n")


def effects(folder: Path) -> list[str]:
    """What has happened, in order."""
    place = folder / "effects"
    return place.read_text().splitlines() if place.exists() else []


@tool
async def note(context: ToolContext, text: str) -> str:
    """Write a line down."""
    _note(context, text)
    return f"noted: {text}"


@tool(limits=Limits(timeout_s=60, parallel=100))
async def nap(context: ToolContext, seconds: float, text: str = "nap") -> str:
    """Sleep."""
    _note(context, text)
    await asyncio.sleep(seconds)
    return f"slept: {text}"


async def _until_told(context: ToolContext, text: str) -> str:
    _note(context, text)
    context.emit(f"waiting for {text}.go\n")
    while not (context.workspace.root / f"{text}.go").exists():
        await asyncio.sleep(0.01)
    return f"told: {text}"


@tool
async def wait(context: ToolContext, text: str) -> str:
    """Wait until a file is there."""
    return await _until_told(context, text)


@tool(idempotent=True)
async def wait_again(context: ToolContext, text: str) -> str:
    """Wait until a file is there; no harm if it is done twice."""
    return await _until_told(context, text)


@tool
def stubborn(context: ToolContext, seconds: float) -> str:
    """Do not stop, whoever asks."""
    _note(context, "stubborn")
    time.sleep(seconds)
    return "at last"


@tool
def fail(context: ToolContext) -> str:
    """Fail."""
    _note(context, "fail")
    raise ToolFailed("it cannot be done")


@tool(limits=Limits(parallel=1))
async def alone(context: ToolContext, text: str) -> str:
    """Work, one call at a time."""
    _note(context, f"+{text}")
    await asyncio.sleep(0.02)
    _note(context, f"-{text}")
    return text


TOOLS = [note, nap, wait, wait_again, stubborn, fail, alone]
