"""Codex, the command line: a turn with a tool call through Tailrace, over HTTP and over WebSocket, on each wire."""

from collections.abc import Sequence

import pytest

from tailrace.schema import codec
from tailrace.testing.moves import Call, Move, Text
from tailrace.testing.wires.base import Asked
from tests.support.clients import Client
from tests.support.server import Served

CODEX = "node/node_modules/.bin/codex"
WIRES = ("responses", "messages", "chat")
MARK = "tailrace-was-here"

# What would otherwise be looked for on the internet, or shown to the model at length, is off.
CONFIG = """
model = "{wire}/m"
model_provider = "local"
check_for_update_on_startup = false
web_search = "disabled"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.local]
name = "local"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "LOCAL_KEY"
supports_websockets = {web_socket}
request_max_retries = 0
stream_max_retries = 0
[features]
plugins = false
apps = false
remote_plugin = false
goals = false
image_generation = false
[agents]
enabled = false
[analytics]
enabled = false
[skills.bundled]
enabled = false
"""


def answers(asked: Asked) -> Sequence[Move]:
    """A command first, then what came of it."""
    if asked.outputs:
        return [Text(f"The command said: {MARK in asked.outputs[-1]}")]
    arguments = codec.encode({"cmd": f"echo {MARK}"}).decode()
    return [Text("Let me see."), Call("exec_command", arguments)]


@pytest.mark.parametrize("web_socket", [False, True], ids=["http", "websocket"])
@pytest.mark.parametrize("wire", WIRES)
async def test_codex(client: Client, server: Served, environments, tmp_path, wire: str, web_socket: bool):
    """It runs the command that the model calls for, and ends with what the model says to its output."""
    server.upstream.script = answers
    home = tmp_path / "codex"
    home.mkdir()
    config = CONFIG.format(wire=wire, url=server.url, web_socket=str(web_socket).lower())
    (home / "config.toml").write_text(config)
    ended = await client(
        CODEX, "exec", "--skip-git-repo-check", "--json", "say where you are", CODEX_HOME=str(home), LOCAL_KEY="k"
    )  # fmt: skip
    assert ended.code == 0, ended.out[-2000:] + ended.err[-2000:]
    assert "The command said: True" in ended.out
