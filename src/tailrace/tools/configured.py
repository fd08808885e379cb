"""All tools that there are, as the settings have it: built in, installed, registered."""

from collections.abc import Mapping, Sequence

from tailrace.schema.errors import SettingsError
from tailrace.tools.builtin.catalog import builtin_tools
from tailrace.tools.builtin.web import SearchProvider
from tailrace.tools.definition import ToolDefinition
from tailrace.tools.policy import NetworkPolicy, SandboxPolicy
from tailrace.tools.registry import Registry, Source, find, installed_tools, load


def configured_tools(
    register: Sequence[str] = (),
    packs: Mapping[str, Sequence[str]] | None = None,
    sandbox: SandboxPolicy = SandboxPolicy(),  # noqa: B008  # frozen
    network: NetworkPolicy = NetworkPolicy(),  # noqa: B008  # frozen
    search: str | None = None,
    remote: Sequence[ToolDefinition] = (),
    sources: Sequence[Source] = (),
) -> Registry:
    """The registry of an installation. `register`: tools, `search`: what makes a SearchProvider, each by
    `module:name`; `remote`: what workers run; `sources`: MCP servers. Raises SettingsError: what is named is not there,
    or two tools have one name."""
    provider: SearchProvider | None = None
    if search is not None:
        make = find(search, "tools.search")
        if not callable(make):
            raise SettingsError(f"tools.search: {search!r}: cannot be called to make a search provider")
        provider = make()
    builtins = builtin_tools(sandbox, network, provider)
    registered = [tool for reference in register for tool in load(reference, "tools.register")]
    return Registry([*builtins.tools, *installed_tools(), *registered, *remote], packs, builtins.unavailable, sources)
