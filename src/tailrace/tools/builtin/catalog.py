"""The built-in tools, put together from what they need."""

from collections.abc import Mapping
from typing import NamedTuple

from tailrace.tools.builtin.apply_patch import apply_patch
from tailrace.tools.builtin.exec import exec_with
from tailrace.tools.builtin.list_dir import list_dir
from tailrace.tools.builtin.read_file import read_file
from tailrace.tools.builtin.search import file_search_with, grep_files_with
from tailrace.tools.builtin.str_replace_editor import str_replace_editor
from tailrace.tools.builtin.update_plan import update_plan
from tailrace.tools.builtin.view_image import view_image
from tailrace.tools.builtin.web import SearchProvider, fetch_url_with, web_search_with
from tailrace.tools.builtin.write_file import write_file
from tailrace.tools.definition import ToolDefinition
from tailrace.tools.fetching import Fetcher
from tailrace.tools.policy import NetworkPolicy, SandboxPolicy
from tailrace.tools.sandbox import Sandbox
from tailrace.tools.searching import Searcher, find_ripgrep


class Builtins(NamedTuple):
    """The tools that there are, and those that there are not, with what it would take."""

    tools: list[ToolDefinition]
    unavailable: Mapping[str, str]


def builtin_tools(
    sandbox: SandboxPolicy = SandboxPolicy(),  # noqa: B008  # frozen
    network: NetworkPolicy = NetworkPolicy(),  # noqa: B008  # frozen
    search: SearchProvider | None = None,
) -> Builtins:
    """The built-in tools under these policies; `web_search` only with a provider."""
    shared = Sandbox(sandbox)
    searcher = Searcher(shared, find_ripgrep())
    tools = [
        read_file,
        list_dir,
        grep_files_with(searcher),
        file_search_with(searcher),
        write_file,
        apply_patch,
        str_replace_editor,
        exec_with(shared),
        update_plan,
        view_image,
        fetch_url_with(Fetcher(network)),
    ]
    if search is None:
        return Builtins(tools, {"web_search": "no search provider is configured (`tools.search`)"})
    return Builtins([*tools, web_search_with(search)], {})
