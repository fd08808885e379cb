"""`grep_files` and `file_search`: which files have a line, or a name, like this."""

import asyncio
import os
from typing import Annotated, Literal

from msgspec import Meta

from tailrace.tools.context import ToolContext
from tailrace.tools.definition import Limits, ToolDefinition, tool
from tailrace.tools.errors import ToolFailed
from tailrace.tools.fuzzy import score
from tailrace.tools.glob import matches
from tailrace.tools.search_worker import Wanted
from tailrace.tools.searching import Hit, Searcher
from tailrace.tools.workspace import Workspace, shown

LINE_CHARACTERS = 300
_PER_FILE = 1000
_LIMITS = Limits(timeout_s=30.0, parallel=4)


def grep_files_with(searcher: Searcher) -> ToolDefinition:
    """The tool `grep_files`."""

    @tool(aliases=("grepFiles", "grep"), idempotent=True, limits=_LIMITS)
    async def grep_files(
        context: ToolContext,
        pattern: str,
        path: str = ".",
        include: str | None = None,
        mode: Literal["files", "lines"] = "files",
        ignore_case: bool = False,
        limit: Annotated[int, Meta(ge=1, le=2000)] = 100,
    ) -> str:
        """Search the text files of a folder for a regular expression. What .gitignore excludes is not searched.

        Args:
            pattern: The regular expression; each line is searched for itself.
            path: The folder, relative to the workspace.
            include: Only files like this: `*.py`, `src/**/*.{ts,tsx}`, relative to `path`.
            mode: `files` gives the files' paths, the last changed first; `lines` gives `path:line: text`.
            ignore_case: Are upper and lower case the same?
            limit: How many results at most.

        Examples:
            {"pattern": "def \\\\w+_total", "include": "*.py", "mode": "lines"}
        """
        per_file = 1 if mode == "files" else min(limit + 1, _PER_FILE)
        wanted = Wanted(task="lines", pattern=pattern, include=include, ignore_case=ignore_case, per_file=per_file)
        hits, whole = await searcher.lines(context, path, wanted)
        if not hits:
            return "Nothing matches." if whole else "Nothing matches in what was searched; it is too much. Narrow it."
        if mode == "files":
            paths = [_joined(path, hit.path) for hit in hits]
            newest = await asyncio.to_thread(_newest_first, context.workspace, paths)
            found = [shown(each) for each in newest]
        else:
            found = [_line(path, hit) for hit in hits]
        return _told(found, limit, whole=whole)

    return grep_files


def file_search_with(searcher: Searcher) -> ToolDefinition:
    """The tool `file_search`."""

    @tool(aliases=("fileSearch",), idempotent=True, limits=_LIMITS)
    async def file_search(
        context: ToolContext,
        pattern: str,
        path: str = ".",
        limit: Annotated[int, Meta(ge=1, le=1000)] = 64,
    ) -> str:
        """Find files by their paths, the best first. What .gitignore excludes is not found.

        Args:
            pattern: Letters that stand in the path, in this order (`dbconn` finds `src/db/connection.py`); or, with
                `*` in it, what the whole path is like: `src/**/test_*.py`, or only the name: `*.toml`.
            path: The folder, relative to the workspace.
            limit: How many paths at most.

        Examples:
            {"pattern": "toolctx"}
        """
        paths, whole = await searcher.files(context, path)
        if "*" in pattern:
            found = await asyncio.to_thread(lambda: sorted(each for each in paths if matches(pattern, each)))
        else:
            ranked = await asyncio.to_thread(lambda: [(score(pattern, each), each) for each in paths])
            best = sorted((-points, each) for points, each in ranked if points is not None)
            found = [each for _, each in best]
        if not found:
            return f"Of {len(paths)} files, none is like {pattern!r}."
        return _told([shown(_joined(path, each)) for each in found], limit, whole=whole)

    return file_search


def _told(found: list[str], limit: int, *, whole: bool) -> str:
    text = "\n".join(found[:limit])
    if len(found) > limit:
        text += f"\n({len(found) - limit}{'' if whole else ' or more'} are left out.)"
    elif not whole:
        text += "\n(There are more: it is too much. Narrow it.)"
    return text


def _line(path: str, hit: Hit) -> str:
    text = hit.text if len(hit.text) <= LINE_CHARACTERS else f"{hit.text[:LINE_CHARACTERS]}…"
    return f"{shown(_joined(path, hit.path))}:{hit.number}: {text}"


def _joined(folder: str, path: str) -> str:
    return os.path.normpath(f"{folder}/{path}")


def _newest_first(workspace: Workspace, paths: list[str]) -> list[str]:
    return sorted(paths, key=lambda path: (-_changed_ns(workspace, path), path))


def _changed_ns(workspace: Workspace, path: str) -> int:
    """When a file was last changed; 0 where it is gone."""
    try:
        with workspace.place(path) as place:
            found = place.stat()
    except ToolFailed:
        return 0
    return found.st_mtime_ns if found else 0
