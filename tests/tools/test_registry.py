"""Which tools there are, and which an agent has."""

import sys
from pathlib import Path

import pytest

from tailrace.schema.errors import SettingsError
from tailrace.tools import tool
from tailrace.tools.builtin.catalog import builtin_tools
from tailrace.tools.builtin.web import SearchHit
from tailrace.tools.errors import UnknownTool
from tailrace.tools.registry import PACKS, Registry, installed_tools, load


class Nowhere:
    """A search provider that finds nothing."""

    async def search(self, query: str, most: int) -> list[SearchHit]:
        return []


def registry(packs=None, search=None):
    built = builtin_tools(search=search)
    return Registry(built.tools, packs, built.unavailable)


def offered(toolset) -> list[str]:
    return [offer.name for offer in toolset.offers()]


def test_c31_an_agent_with_two_tools_has_exactly_these():
    """Nothing else is offered, and nothing else answers."""
    toolset = registry().toolset(["list_dir", "read_file"])
    assert offered(toolset) == ["list_dir", "read_file"]
    with pytest.raises(UnknownTool, match="There are: list_dir, read_file"):
        toolset.get("exec")


def test_a_tool_is_offered_under_the_name_that_the_agent_gives():
    """A model is offered the name it was trained on, and any of the tool's names answers."""
    toolset = registry().toolset(["shell", "applyPatch"])
    assert offered(toolset) == ["shell", "applyPatch"]
    for name in ("shell", "exec", "local_shell"):
        assert toolset.get(name).name == "exec"
    assert toolset.get("apply_patch").name == "apply_patch"


def test_patterns_and_packs():
    """In the order in which they are named, each tool once."""
    toolset = registry({"mine": ["*_patch", "read_file"]})
    named = toolset.toolset(["view_image", "*_file", "@mine", "github__*"])
    assert offered(named) == ["view_image", "read_file", "write_file", "apply_patch"]


@pytest.mark.parametrize("pack", PACKS)
def test_every_pack_holds_tools_that_there_are(pack):
    """With a search provider all of them, without one all but `web_search`."""
    every = set(PACKS[pack])
    assert set(offered(registry(search=Nowhere()).toolset([f"@{pack}"]))) == every
    assert set(offered(registry().toolset([f"@{pack}"]))) == every - {"web_search"}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (["read_flie"], "agents.coder.tools: there is no tool 'read_flie': there are: apply_patch, "),
        (["@codding"], "agents.coder.tools: there is no pack '@codding'; there are: coding"),
        (["web_search"], "agents.coder.tools: there is no tool 'web_search': no search provider is configured"),
    ],
)
def test_c30_what_is_not_there_is_an_error_at_the_start(wanted, said):
    """A typo must not pass silently, and a tool without its provider is no tool."""
    with pytest.raises(SettingsError) as error:
        registry().toolset(wanted, "agents.coder.tools")
    assert error.value.message.startswith(said)


def test_two_tools_of_one_name_are_an_error():
    """Also where it is an alias."""

    @tool
    def shell() -> None:
        """Run it."""

    with pytest.raises(SettingsError, match="there are two tools 'shell': exec and shell"):
        Registry([*builtin_tools().tools, shell])


MODULE = '''
"""Tools of somebody's."""
from tailrace.tools import tool

@tool
def dice(sides: int = 6) -> int:
    """Throw a die."""
    return 4

@tool
def coin() -> str:
    """Toss a coin."""
    return "heads"

TOOLS = [dice, coin]
NOTHING = 5
'''


@pytest.fixture
def games(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package with tools, installed: a module, and what pip writes beside it."""
    (tmp_path / "somebodys_games.py").write_text(MODULE)
    info = tmp_path / "somebodys_games-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-games\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tailrace.tools]\ngames = somebodys_games:TOOLS\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("somebodys_games", None)


@pytest.mark.usefixtures("games")
def test_tools_of_installed_packages_are_found():
    """By the entry point, without a setting."""
    assert [tool.name for tool in installed_tools()] == ["dice", "coin"]


@pytest.mark.usefixtures("games")
def test_tools_are_loaded_by_module_and_name():
    """One, or a list of them."""
    assert [tool.name for tool in load("somebodys_games:dice", "tools.register")] == ["dice"]
    assert [tool.name for tool in load("somebodys_games:TOOLS", "tools.register")] == ["dice", "coin"]


@pytest.mark.usefixtures("games")
@pytest.mark.parametrize(
    "reference", ["nobodys_games:dice", "somebodys_games:cards", "somebodys_games", "somebodys_games:NOTHING", ":dice"]
)
def test_what_is_no_tool_is_an_error_with_its_place(reference):
    """The setting and what it says are named."""
    with pytest.raises(SettingsError, match=rf"^tools.register: '{reference}': "):
        load(reference, "tools.register")
