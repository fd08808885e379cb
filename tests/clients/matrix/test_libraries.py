"""Libraries and frameworks, each doing all it can on each API in front of each upstream wire.

What a program does, it asserts itself (tests/clients/programs). Here is watched what it cannot see: that the provider's
socket is closed when it lets go of an answer that is not kept.
"""

import asyncio
from pathlib import Path
from shutil import copytree

import pytest

from tests.support.clients import Client
from tests.support.server import Served

PROGRAMS = Path(__file__).parent.parent / "programs"
WIRES = ("responses", "messages", "chat")
NODE = "node/node_modules/.bin/node"
NEW, OLD = "python/bin/python", "python-openai2/bin/python"

# program, what runs it, the APIs it can, and those on which it lets go of an answer at its end
CLIENTS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "with_openai.py": (OLD, ("chat", "responses"), ("chat", "responses")),
    "with_litellm.py": (OLD, ("chat", "responses", "messages"), ()),
    "with_agents.py": (NEW, ("chat", "responses"), ()),
    "with_pydantic_ai.py": (NEW, ("chat", "responses", "messages"), ()),
    "with_langchain.py": (NEW, ("chat", "responses", "messages"), ()),
    "with_openai.mjs": (NODE, ("chat", "responses"), ("chat", "responses")),
    "with_ai.mjs": (NODE, ("chat", "compatible", "responses", "messages"), ("chat", "responses")),
}
CASES = [(program, api) for program, (_, apis, _) in CLIENTS.items() for api in apis]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("program", "api"), CASES)
async def test_a_library(
    client: Client, server: Served, environments: Path, tmp_path: Path, program: str, api: str, wire: str
):
    """Text, tools (one call, and three at once), reasoning, errors in mid-stream, and what else it can."""
    runner, _, letting_go = CLIENTS[program]
    path = PROGRAMS / program
    if runner == NODE:  # packages are looked up from where a program stands
        (tmp_path / "node_modules").symlink_to(environments / "node/node_modules")
        path = copytree(PROGRAMS, tmp_path / "programs") / program
    ended = await client(
        runner, path, TAILRACE_MODEL=f"by-{wire}", TAILRACE_API=api, OPENAI_AGENTS_DISABLE_TRACING="1",
        LITELLM_LOCAL_MODEL_COST_MAP="True", OPENAI_API_KEY="k", ANTHROPIC_API_KEY="k",
    )  # fmt: skip
    assert ended.code == 0, ended.err[-3000:]
    if api in letting_go:
        await asyncio.wait_for(server.upstream.requests[-1].disconnected.wait(), 2)
