"""docs/tools.md, followed word by word: a stranger's tool, registered in both ways."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from tailrace.app import agent_tools
from tailrace.schema.errors import SettingsError
from tailrace.settings import load
from tailrace.tools.registry import Toolset, installed_tools
from tests.support.tools import Bench

TEXT = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
PYTHON, *_ = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SETTINGS, PROJECT, POLICY = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder in which the stranger works, with the module as the document has it."""
    (tmp_path / "my_tools.py").write_text(PYTHON)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_tools", None)


def toolset(folder: Path, text: str) -> Toolset:
    (folder / "tailrace.toml").write_text(text)
    return agent_tools(load(folder / "tailrace.toml", {}))["forecaster"]


async def test_the_documents_tool_works(stranger):
    """Named in the settings, offered to the agent that names it, checked, run."""
    tools = toolset(stranger, SETTINGS)
    assert [offer.name for offer in tools.offers()] == ["weather", "count_words", "update_plan"]
    bench = Bench(stranger, *(tools.get(name) for name in ("weather", "count_words")))
    assert (await bench.call("weather", {"city": "Ghent", "days": 2, "unit": "F"})).text == "[64.4,64.4]"
    assert (await bench.call("weather", {"city": "Rome"})).text == "Rome is not known; there are: Ghent, Oslo"
    answer = await bench.call("weather", {"city": "Ghent", "days": 8})
    said = re.search(r"``(days: .*?)``", TEXT)
    assert said is not None
    assert said[1] in answer.text
    (stranger / "notes.txt").write_text("three small words\n")
    assert (await bench.call("count_words", {"path": "notes.txt"})).text == "3 words"
    assert bench.streamed == ["reading notes.txt\n"]


def test_the_documents_package_brings_its_tools(stranger):
    """What its `pyproject.toml` says is what an installed package's entry points say."""
    project = tomllib.loads(PROJECT)["project"]
    info = stranger / f"my_tools-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        f"[{group}]\n{name} = {value}"
        for group, each in project["entry-points"].items()
        for name, value in each.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    assert [tool.name for tool in installed_tools()] == ["weather", "count_words"]
    with pytest.raises(SettingsError, match="two tools 'weather'"):  # one way is enough
        toolset(stranger, SETTINGS)
    unregistered = SETTINGS.replace('register = ["my_tools:TOOLS"]', "")
    assert len(toolset(stranger, unregistered).offers()) == 3


def test_the_documents_policies_are_settings(stranger):
    """Each key is one that there is."""
    (stranger / "tailrace.toml").write_text(POLICY)
    assert load(stranger / "tailrace.toml", {}).tools.sandbox == "required"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[agents.a]\ntools = ["raed_file"]', "agents.a.tools: there is no tool 'raed_file'"),
        (
            '[agents.a]\ntools = ["@mine"]\n[tools.packs]\nmine = ["no_tool"]',
            "agents.a.tools: there is no tool 'no_tool'",
        ),
        ('[agents.a]\ntools = ["exec"]\n[tools]\nregister = ["nowhere:tool"]', "tools.register: 'nowhere:tool': "),
        ('[agents.a]\ntools = ["exec"]\n[tools]\nreachable = ["10/8"]', "tools.reachable: '10/8' does not appear"),
        (
            '[agents.a]\ntools = ["exec"]\n[tools]\nsearch = "my_tools:CELSIUS"',
            "tools.search: 'my_tools:CELSIUS': cannot",
        ),
    ],
)
def test_what_is_wrong_stops_the_start(stranger, text, said):
    """With the setting's name."""
    (stranger / "tailrace.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        agent_tools(load(stranger / "tailrace.toml", {}))
    assert error.value.message.startswith(said)


def test_a_search_provider_of_the_settings_is_offered(stranger):
    """The document says how one looks."""
    provider = "\n\nclass Search:\n    async def search(self, query, most):\n        return []\n"
    (stranger / "my_tools.py").write_text(PYTHON + provider)
    text = '[tools]\nsearch = "my_tools:Search"\n[agents.forecaster]\ntools = ["@research"]'
    assert [offer.name for offer in toolset(stranger, text).offers()] == ["fetch_url", "web_search", "update_plan"]
