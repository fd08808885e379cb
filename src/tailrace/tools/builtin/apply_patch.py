"""`apply_patch`: changes to several files at once, all or none."""

import stat
from posixpath import normpath
from typing import NamedTuple

from tailrace.tools.changes import Change, Delete, Seen, Write, commit, look, read, seen
from tailrace.tools.context import ToolContext
from tailrace.tools.definition import Limits, tool
from tailrace.tools.errors import ToolFailed
from tailrace.tools.patch_grammar import GRAMMAR, AddFile, DeleteFile, Hunk, UpdateFile, parse_patch
from tailrace.tools.patch_matching import apply_chunks
from tailrace.tools.workspace import Workspace

_FREE_TEXT = {"type": "grammar", "syntax": "lark", "definition": GRAMMAR}


@tool(aliases=("applyPatch",), limits=Limits(parallel=1), free_text=_FREE_TEXT)
def apply_patch(context: ToolContext, input: str) -> str:  # noqa: A002  # the name that models were trained on
    """Change files of the workspace by a patch: all of it, or, where a part does not fit, nothing.

    A patch adds, deletes, updates and moves files. Paths are relative to the workspace. Show about three lines that
    stay above and below each change, so that its place is found; where they stand more than once, name a line above
    (a class or function) behind `@@`. For example:

    *** Begin Patch
    *** Add File: notes/hello.txt
    +Hello,
    +world
    *** Update File: src/app.py
    *** Move to: src/main.py
    @@ def greet(name):
         if not name:
    -        name = "you"
    +        name = "world"
         return name
    *** Delete File: obsolete.txt
    *** End Patch

    Args:
        input: The patch, from `*** Begin Patch` to `*** End Patch`.
    """
    return "Done:\n" + "\n".join(apply(context.workspace, input))


def apply(workspace: Workspace, patch: str) -> list[str]:
    """Apply a patch. What was done, a line for each file. Raises ToolFailed: it does not fit, and nothing was done."""
    staged = _Staged(workspace)
    for hunk in parse_patch(patch):
        staged.take(hunk)
    commit(workspace, staged.changes())
    return staged.told


class _File(NamedTuple):
    """A file as the patch has it so far; `text` is None where it is gone. `before`: as it is on disk."""

    text: str | None
    before: Seen | None
    mode: int | None = None


class _Staged:
    """What the hunks add up to, in memory: a later one sees what an earlier one has done."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._files: dict[str, _File] = {}
        self.told: list[str] = []

    def take(self, hunk: Hunk) -> None:
        """Raises ToolFailed: it does not fit."""
        match hunk:
            case AddFile(path, lines):
                before = self._absent(path)
                self._files[normpath(path)] = _File("".join(f"{line}\n" for line in lines), before)
                self.told.append(f"A {path}")
            case DeleteFile(path):
                self._delete(path)
                self.told.append(f"D {path}")
            case UpdateFile(path, target, chunks):
                self._update(path, target, apply_chunks(self._text(path), chunks, path))

    def changes(self) -> list[Change]:
        """What is to be done on disk."""
        found: list[Change] = []
        for path, file in self._files.items():
            if file.text is not None:
                found.append(Write(path, file.text.encode("utf-8", "surrogateescape"), file.before, file.mode))
            elif file.before is not None:
                found.append(Delete(path, file.before))
        return found

    def _text(self, path: str) -> str:
        name = normpath(path)
        if name not in self._files:
            data, before = read(self._workspace, path)
            self._files[name] = _File(data.decode("utf-8", "surrogateescape"), before, before.mode)
        text = self._files[name].text
        if text is None:
            raise ToolFailed(f"{path}: the patch has deleted it before")
        return text

    def _absent(self, path: str) -> Seen | None:
        """What is on disk of a file that must not be there any more."""
        known = self._files.get(normpath(path))
        if known is not None and known.text is None:
            return known.before
        if known is not None or look(self._workspace, path) is not None:
            raise ToolFailed(f"{path}: exists already; update it, or delete it first")
        return None

    def _delete(self, path: str) -> None:
        known = self._files.get(normpath(path))
        if known is not None:
            self._text(path)
            self._files[normpath(path)] = known._replace(text=None)
            return
        found = look(self._workspace, path)
        if found is None:
            raise ToolFailed(f"{path}: No such file or directory")
        if stat.S_ISDIR(found.st_mode):
            raise ToolFailed(f"{path}: is a folder")
        self._files[normpath(path)] = _File(None, seen(found))

    def _update(self, path: str, target: str | None, text: str) -> None:
        name = normpath(path)
        known = self._files[name]
        if target is None or normpath(target) == name:
            self._files[name] = known._replace(text=text)
            self.told.append(f"M {path}")
            return
        found = look(self._workspace, path)
        if found is not None and stat.S_ISLNK(found.st_mode):
            raise ToolFailed(f"{path}: is a link; move the file that it leads to")
        self._files[normpath(target)] = _File(text, self._absent(target), known.mode)
        self._files[name] = known._replace(text=None)
        self.told.append(f"R {path} -> {target}")
