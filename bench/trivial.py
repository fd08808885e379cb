"""Tools that cost nothing, for what is measured of the loop."""

import asyncio

from tailrace.tools import Limits, tool


@tool
async def trivial() -> str:
    """Do nothing."""
    return "done"


@tool(limits=Limits(parallel=100))
async def nap(seconds: float) -> str:
    """Sleep."""
    await asyncio.sleep(seconds)
    return "slept"


TOOLS = [trivial, nap]
