"""Claude Code, the command line: a turn with a tool call through Tailrace, on each wire."""

from collections.abc import Sequence

import pytest

from tailrace.schema import codec
from tailrace.testing.moves import Call, Move, Text
from tailrace.testing.wires.base import Asked
from tests.support.clients import Client
from tests.support.server import Served

CLAUDE = "node/node_modules/.bin/claude"
WIRES = ("responses", "messages", "chat")
MARK = "tailrace-was-here"


def answers(asked: Asked) -> Sequence[Move]:
    """A command first, then what came of it; small requests on the side (a title, a check) get a word."""
    if asked.outputs:
        return [Text(f"The command said: {MARK in asked.outputs[-1]}")]
    if "Bash" not in {tool.name for tool in asked.tools}:
        return [Text("fine")]
    arguments = codec.encode({"command": f"echo {MARK}", "description": "says where it is"}).decode()
    return [Text("Let me see."), Call("Bash", arguments)]


@pytest.mark.parametrize("wire", WIRES)
async def test_claude_code(client: Client, server: Served, wire: str):
    """It runs the command that the model calls for, and ends with what the model says to its output."""
    server.upstream.script = answers
    model = f"{wire}/m"
    ended = await client(
        CLAUDE, "-p", "where are you?", "--model", model, "--output-format", "json", "--allowedTools", "Bash(echo:*)",
        ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY="k", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        ANTHROPIC_DEFAULT_HAIKU_MODEL=model,
    )  # fmt: skip
    assert ended.code == 0, ended.out[-2000:] + ended.err[-2000:]
    assert "The command said: True" in ended.out
