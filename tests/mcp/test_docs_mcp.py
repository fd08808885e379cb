"""docs/mcp.md, followed word by word: a stranger's server is an agent's tool."""

import os
import re
import sys
from pathlib import Path

import pytest

from tailrace.schema import codec
from tailrace.settings import load
from tests.agents.test_loop import DONE, call, outputs, run
from tests.mcp.conftest import Start, standing

TEXT = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")
(PROGRAM,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(SETTINGS,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.slow
async def test_the_documents_server_works(start: Start, upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its program is started as the settings say, and called; the other one waits for its login."""
    (tmp_path / "my_server.py").write_text(PROGRAM)
    (tmp_path / "tailrace.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    given = load(tmp_path / "tailrace.toml", {})
    servers = codec.to_builtins(given.mcp.servers)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    agent = given.agents["traveller"]
    server = await start(servers, {"PATH": path}, tools=agent.tools, approvals=dict(agent.approvals))
    assert (await standing(server, "tracker", "needs_login"))["error"] == "log in: `tailrace mcp login tracker`"
    upstream.enqueue([call("weather__forecast", "c1", city="Ghent")], DONE)
    _, response = await run(server)
    assert outputs(response)[0].output == "Ghent: rain"
    offered = [tool["name"] for tool in upstream.requests[0].body["tools"]]
    assert "weather__forecast" in offered
    assert "update_plan" in offered
