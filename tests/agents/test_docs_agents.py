"""docs/agents.md, followed by a stranger: its settings make the agent that it describes."""

import re
from pathlib import Path

from tailrace.app import configured_agents
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.request import Generation, RunRequest
from tailrace.settings import load
from tests.support.tools import Shelf

TEXT = (Path(__file__).parents[2] / "docs" / "agents.md").read_text(encoding="utf-8")
(SETTINGS,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def test_the_documents_agent_is_made(tmp_path: Path):
    """Its tools, its limits, and what is asked about."""
    (tmp_path / "tailrace.toml").write_text(SETTINGS.replace("/srv/", f"{tmp_path}/"))
    agents = configured_agents(load(tmp_path / "tailrace.toml", {}), {}, Shelf())
    run = RunRequest(
        run_id="r", turn_id="t", thread_id="t", provider_id="p", model_id="m", input=[], generation=Generation(),
        agent_id="coder",
    )  # fmt: skip
    assert (tmp_path / "code").is_dir()
    assert "exec" in agents.names("coder")
    assert (agents.policy(run).max_steps, agents.policy(run).max_s) == (30, 1800.0)
    asked = {
        arguments: agents.rule(run, FunctionCallItem(id="i", name="exec", arguments=arguments, call_id="c")).asked
        for arguments in ('{"command":["git","status","-s"]}', '{"command":["git","push"]}')
    }
    assert list(asked.values()) == [None, "exec is asked about, but for what is allowed"]
