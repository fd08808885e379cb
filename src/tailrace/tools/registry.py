"""Which tools there are, and which of them an agent has.

Tools come from the package, from entry points of installed packages (group `tailrace.tools`) and from the settings
(`module:name`); each names a ToolDefinition or a list of them. An agent names its tools: by name or alias, by a pattern
(`*_file`, `github__*`), or as a pack (`@coding`). What a Source has (an MCP server) may change at any time.
"""

import asyncio
import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from typing import Protocol

from tailrace.schema.errors import SettingsError
from tailrace.schema.request import CustomTool, Tool
from tailrace.tools.definition import ToolDefinition
from tailrace.tools.errors import UnknownTool

GROUP = "tailrace.tools"

PACKS: dict[str, tuple[str, ...]] = {
    "coding": (
        "read_file",
        "list_dir",
        "grep_files",
        "file_search",
        "write_file",
        "apply_patch",
        "exec",
        "update_plan",
        "view_image",
    ),
    "read_only": ("read_file", "list_dir", "grep_files", "file_search", "view_image"),
    "research": ("fetch_url", "web_search", "update_plan"),
}


class Source(Protocol):
    """Where tools come from that come and go while the server runs. All their names begin with `prefix`."""

    @property
    def prefix(self) -> str:
        """How their names begin."""

    def tools(self) -> Mapping[str, ToolDefinition]:
        """Those that there are now, by name."""

    def expected(self, name: str) -> ToolDefinition | None:
        """What stands for a tool as long as nobody knows whether there is one of this name."""

    async def ready(self) -> None:
        """Returns when it is known which there are, or that this will take long."""


class Toolset:
    """The tools of one agent, each under the name that it is offered by.

    `wanted`: the names and patterns of those that it has of `sources`, as far as they are there.
    """

    def __init__(
        self, tools: Mapping[str, ToolDefinition], wanted: Sequence[str] = (), sources: Sequence[Source] = ()
    ) -> None:
        self._static = dict(tools)
        self._known = dict(tools)
        self._wanted = tuple(wanted)
        self._sources = tuple(source for source in sources if any(_reaches(name, source) for name in wanted))
        for tool in tools.values():
            for name in (tool.name, *tool.aliases):
                self._known.setdefault(name, tool)

    async def ready(self) -> None:
        """Returns when it is known which tools there are."""
        if self._sources:
            await asyncio.gather(*(source.ready() for source in self._sources))

    def offers(self, escalates: Callable[[str], bool] = lambda _: True) -> list[Tool | CustomTool]:
        """What a model is told of them. `escalates`: may calls of the tool, by its own name, ask for leave to do more
        than they may?"""
        return [tool.offer(name, escalates=escalates(tool.name)) for name, tool in self._offered().items()]

    def names(self) -> dict[str, str]:
        """All names that a model may say, aliases too, each with the tool's own."""
        return {name: tool.name for name, tool in (self._known | self._live()).items()}

    def get(self, name: str) -> ToolDefinition:
        """The tool of a name; models also say names they were trained on. Raises UnknownTool."""
        found = self._known.get(name) or self._live().get(name) or self._expected(name)
        if found is None:
            there = ", ".join(self._offered()) or "none"
            raise UnknownTool(f"There is no tool {name!r}. There are: {there}.")
        return found

    def may_have(self, name: str) -> bool:
        """Could a name, or a pattern, mean a tool of its sources, now or later?"""
        return any(_reaches(name, source) for source in self._sources)

    def _offered(self) -> dict[str, ToolDefinition]:
        return self._static | self._live()

    def _live(self) -> dict[str, ToolDefinition]:
        return {
            name: tool
            for source in self._sources
            for name, tool in source.tools().items()
            if name not in self._known and self._wants(name)
        }

    def _expected(self, name: str) -> ToolDefinition | None:
        for source in self._sources:
            if name.startswith(source.prefix) and self._wants(name):
                return source.expected(name)
        return None

    def _wants(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._wanted)


class Registry:
    """All tools that there are.

    `packs`: the settings' own, beside PACKS. `unavailable`: tools that could be there, with what it would take; in a
    pack they are left out. `sources`: of more tools, while the server runs. Raises SettingsError: two tools have the
    same name.
    """

    def __init__(
        self,
        tools: Iterable[ToolDefinition],
        packs: Mapping[str, Sequence[str]] | None = None,
        unavailable: Mapping[str, str] | None = None,
        sources: Sequence[Source] = (),
    ) -> None:
        self.tools: dict[str, ToolDefinition] = {}
        self._packs: dict[str, Sequence[str]] = {**PACKS, **(packs or {})}
        self._unavailable = unavailable or {}
        self._sources = sources
        self._by_name: dict[str, ToolDefinition] = {}
        for tool in tools:
            self.tools[tool.name] = tool
            for name in (tool.name, *tool.aliases):
                if name in self._by_name:
                    raise SettingsError(f"there are two tools {name!r}: {self._by_name[name].name} and {tool.name}")
                self._by_name[name] = tool

    def toolset(self, wanted: Sequence[str], place: str = "tools") -> Toolset:
        """The tools that an agent names, in that order. Raises SettingsError: there is none of such a name.

        A pattern may stand for none. `place`: the setting, for the error.
        """
        chosen: dict[str, ToolDefinition] = {}
        named: list[str] = []
        for name in wanted:
            for each in self._pack(name, place) if name.startswith("@") else (name,):
                if name.startswith("@") and each in self._unavailable:
                    continue
                named.append(each)
                chosen |= self._named(each, place)
        return Toolset(chosen, named, self._sources)

    def _pack(self, name: str, place: str) -> Sequence[str]:
        pack = self._packs.get(name.removeprefix("@"))
        if pack is None:
            raise SettingsError(f"{place}: there is no pack {name!r}; there are: {', '.join(self._packs)}")
        return pack

    def _named(self, name: str, place: str) -> dict[str, ToolDefinition]:
        if any(character in name for character in "*?["):
            return {tool.name: tool for tool in self.tools.values() if fnmatchcase(tool.name, name)}
        if name not in self._by_name:
            if any(name.startswith(source.prefix) for source in self._sources):
                return {}
            why = self._unavailable.get(name) or f"there are: {', '.join(sorted(self.tools))}"
            raise SettingsError(f"{place}: there is no tool {name!r}: {why}")
        return {name: self._by_name[name]}


def _reaches(pattern: str, source: Source) -> bool:
    """May a pattern, or a name, mean tools of the source? It does not contradict the beginning of their names."""
    plain = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return pattern.startswith(source.prefix) or (plain != pattern and source.prefix.startswith(plain))


def installed_tools() -> list[ToolDefinition]:
    """The tools of installed packages. Raises SettingsError."""
    found: list[ToolDefinition] = []
    for entry in sorted(entry_points(group=GROUP)):
        found += load(entry.value, f"the entry point {entry.name!r}")
    return found


def load(reference: str, place: str) -> list[ToolDefinition]:
    """The tool, or the tools, at `module:name`. Raises SettingsError, with the `place` that names them."""
    found = find(reference, place)
    tools: list[object] = list(found) if isinstance(found, list | tuple) else [found]
    definitions = [tool for tool in tools if isinstance(tool, ToolDefinition)]
    if len(definitions) < len(tools):
        raise SettingsError(f"{place}: {reference!r}: is neither a tool nor a list of tools (`module:name`)")
    return definitions


def find(reference: str, place: str) -> object:
    """What is at `module:name`. Raises SettingsError, with the `place` that names it."""
    module, _, name = reference.partition(":")
    try:
        found: object = importlib.import_module(module)
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"{place}: {reference!r}: {error}") from error
    return found
