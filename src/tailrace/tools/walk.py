"""What is in a folder of the workspace, from descriptor to descriptor: links are seen, and not followed."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import NamedTuple

from pathspec import GitIgnoreSpec

from tailrace.tools.errors import ToolFailed
from tailrace.tools.workspace import Workspace, open_regular, open_subfolder

MOST_LEVELS = 64  # folders inside each other; a descriptor stays open for each
_IGNORE_FILE_BYTES = 1024 * 1024


class Entry(NamedTuple):
    """A name in a folder: `path` relative to where the walk began. `kind`: file, folder, link or other.

    `folder`: the descriptor of its folder, open while `files` stands there.
    """

    path: str
    name: str
    kind: str
    folder: int


class _Ignored(NamedTuple):
    """A folder's .gitignore: its rules are for paths below the folder."""

    prefix: str
    spec: GitIgnoreSpec


def entries_of(folder: int, path: str = "") -> list[Entry]:
    """What is in an open folder, by name."""
    with os.scandir(folder) as found:
        return [Entry(f"{path}{each.name}", each.name, _kind(each), folder) for each in sorted(found, key=_name)]


def breadth_first(workspace: Workspace, path: str, depth: int) -> Iterator[tuple[int, Entry]]:
    """The entries up to `depth` levels below a folder, with their level (from 1), those of a level together."""
    waiting = deque([(1, "")])
    while waiting:
        level, prefix = waiting.popleft()
        try:
            folder = workspace.open_folder(f"{path}/{prefix}" if prefix else path)
        except ToolFailed:
            if not prefix:
                raise
            continue  # gone meanwhile, or not ours to read
        try:
            found = entries_of(folder, prefix)
        finally:
            os.close(folder)
        for entry in found:
            yield level, entry
            if entry.kind == "folder" and level < depth:
                waiting.append((level + 1, f"{entry.path}/"))


def files(folder: int) -> Iterator[Entry]:
    """The regular files below an open folder that its .gitignore files do not exclude; nothing of `.git`."""
    return _files(folder, "", (), 1)


def _files(folder: int, prefix: str, above: tuple[_Ignored, ...], level: int) -> Iterator[Entry]:
    entries = entries_of(folder, prefix)
    ignored = above
    if any(entry.name == ".gitignore" and entry.kind == "file" for entry in entries):
        ignored = (*above, _Ignored(prefix, _spec(folder)))
    for entry in entries:
        if entry.name == ".git" or _is_ignored(entry, ignored):
            continue
        if entry.kind == "file":
            yield entry
        elif entry.kind == "folder" and level < MOST_LEVELS:
            with suppress(OSError), ExitStack() as opened:  # gone meanwhile, or not ours to read
                below = open_subfolder(entry.name, folder)
                opened.callback(os.close, below)
                yield from _files(below, f"{entry.path}/", ignored, level + 1)


def _spec(folder: int) -> GitIgnoreSpec:
    try:
        with open(open_regular(".gitignore", folder, ".gitignore"), "rb") as file:  # noqa: PTH123  # a descriptor
            text = file.read(_IGNORE_FILE_BYTES).decode(errors="surrogateescape")
    except (OSError, ToolFailed):
        text = ""
    return GitIgnoreSpec.from_lines([line for line in text.splitlines() if _is_rule(line)])


def _is_rule(line: str) -> bool:
    """Git leaves out what it does not understand; so do we."""
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _is_ignored(entry: Entry, ignored: tuple[_Ignored, ...]) -> bool:
    """The innermost file that has a rule for it decides (gitignore(5))."""
    end = "/" if entry.kind == "folder" else ""
    for file in reversed(ignored):
        decision = file.spec.check_file(entry.path.removeprefix(file.prefix) + end).include
        if decision is not None:
            return decision
    return False


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name
