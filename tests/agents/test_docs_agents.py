"""docs/agents.md, followed by a stranger: its settings make the agent that it describes."""

import re
from pathlib import Path

from msgspec.structs import replace

from tailrace.app import configured_agents
from tailrace.fold.compaction import CompactionPolicy
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.request import Generation, RunRequest
from tailrace.settings import load
from tailrace.upstream.registry import provider_from_table
from tests.support.tools import Shelf

TEXT = (Path(__file__).parents[2] / "docs" / "agents.md").read_text(encoding="utf-8")
SETTINGS, COMPACTION = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


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
    assert agents.compaction(run) == CompactionPolicy(threshold=0.8)


def test_the_documents_compaction_is_that_of_all_runs(tmp_path: Path):
    """What an agent does not say, `[compaction]` says; a provider's table knows its models' windows."""
    more = '[providers.local]\nwire = "ollama"\nbase_url = "http://h"\n[agents.brief]\ncompaction.user_tokens = 7\n'
    (tmp_path / "tailrace.toml").write_text(COMPACTION.replace("0.8", "0.6").replace("# context", "context") + more)
    given = load(tmp_path / "tailrace.toml", {})
    agents = configured_agents(given, {}, Shelf())
    run = RunRequest(
        run_id="r", turn_id="t", thread_id="t", provider_id="p", model_id="m", input=[], generation=Generation()
    )
    assert agents.compaction(run) == CompactionPolicy(threshold=0.6, context_tokens=100_000)
    assert agents.compaction(replace(run, agent_id="brief")) == CompactionPolicy(
        threshold=0.6, context_tokens=100_000, user_tokens=7
    )
    assert agents.compaction(replace(run, protocol="chat")) is None
    assert provider_from_table("local", given.providers["local"]).context_window("qwen3:8b") == 32768
