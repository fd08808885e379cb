"""The patch grammar that models of the Codex family were trained on, as data.

    *** Begin Patch
    *** Add File: PATH          then lines that begin with `+`
    *** Delete File: PATH
    *** Update File: PATH       then, for a new place, `*** Move to: PATH`; then chunks:
    @@ [LINE ABOVE]             the first chunk may do without
     a line that stays
    -a line that goes
    +a line that comes
    *** End of File             the chunk is the file's end
    *** End Patch

Around it, white space and a shell's here-document (`apply_patch <<'EOF'` … `EOF`) are put up with, and in a chunk, an
empty line is one that stays. Pure: text in, data out.
"""

import re
from typing import NamedTuple

from tailrace.tools.errors import ToolFailed

BEGIN, END = "*** Begin Patch", "*** End Patch"
ADD, DELETE, UPDATE = "*** Add File: ", "*** Delete File: ", "*** Update File: "
MOVE, END_OF_FILE, CHUNK = "*** Move to: ", "*** End of File", "@@"

_HERE_DOCUMENT = re.compile(r"(?:apply_patch\s*)?<<-?\s*(['\"]?)(\w+)\1")

# For models whose provider constrains what they write to a grammar (Lark).
GRAMMAR = r"""start: begin hunk+ end
begin: "*** Begin Patch" LF
end: "*** End Patch" LF?
hunk: add | delete | update
add: "*** Add File: " PATH LF ("+" /[^\n]*/ LF)+
delete: "*** Delete File: " PATH LF
update: "*** Update File: " PATH LF move? chunk*
move: "*** Move to: " PATH LF
chunk: header line+ eof? | line+ eof?
header: "@@" LF | "@@ " /[^\n]+/ LF
line: /[ +-]/ /[^\n]*/ LF
eof: "*** End of File" LF
PATH: /[^\n]+/
%import common.LF
"""


class Line(NamedTuple):
    """A line of a chunk; `mark` is ` ` (stays), `-` (goes) or `+` (comes)."""

    mark: str
    text: str


class Chunk(NamedTuple):
    """Lines to change, one after the other in the file. `header`: a line above them; `number`: where in the patch."""

    header: str
    lines: tuple[Line, ...]
    at_end: bool
    number: int

    def old(self) -> list[str]:
        """The lines as they are to be found."""
        return [line.text for line in self.lines if line.mark != "+"]


class AddFile(NamedTuple):
    """A new file."""

    path: str
    lines: tuple[str, ...]


class DeleteFile(NamedTuple):
    """A file that goes."""

    path: str


class UpdateFile(NamedTuple):
    """A file that changes, and moves to `target`, where there is one."""

    path: str
    target: str | None
    chunks: tuple[Chunk, ...]


Hunk = AddFile | DeleteFile | UpdateFile


def parse_patch(text: str) -> list[Hunk]:
    """What a patch asks for. Raises ToolFailed, which names the line of the patch (from 1) and what was expected."""
    return _Parser(text).hunks()


class _Parser:
    def __init__(self, text: str) -> None:
        self._lines = [line.removesuffix("\r") for line in text.split("\n")]
        self._next = 0
        self._end = len(self._lines)
        self._unwrap()

    def hunks(self) -> list[Hunk]:
        if self._next >= self._end or self._lines[self._next].strip() != BEGIN:
            raise self._wrong(f"the patch must begin with `{BEGIN}`")
        if self._lines[self._end - 1].strip() != END:
            self._next = self._end - 1
            raise self._wrong(f"the patch must end with `{END}`")
        self._next += 1
        self._end -= 1
        found: list[Hunk] = []
        while self._next < self._end:
            if self._lines[self._next].strip():
                found.append(self._hunk())
            else:
                self._next += 1
        if not found:
            raise ToolFailed("the patch changes nothing")
        return found

    def _unwrap(self) -> None:
        """Leave out what models put around a patch."""
        self._trim()
        if self._next < self._end:
            wrapped = _HERE_DOCUMENT.fullmatch(self._lines[self._next].strip())
            if wrapped and self._lines[self._end - 1].strip() == wrapped[2]:
                self._next += 1
                self._end -= 1
                self._trim()

    def _trim(self) -> None:
        while self._next < self._end and not self._lines[self._next].strip():
            self._next += 1
        while self._next < self._end and not self._lines[self._end - 1].strip():
            self._end -= 1

    def _hunk(self) -> Hunk:
        line = self._lines[self._next].strip()
        for start, rest in ((ADD, self._add), (DELETE, DeleteFile), (UPDATE, self._update)):
            if line.startswith(start):
                path = line.removeprefix(start).strip()
                if not path:
                    raise self._wrong("a path is missing")
                self._next += 1
                return rest(path)
        raise self._wrong(f"a line that begins with `{ADD}`, `{DELETE}` or `{UPDATE}` is expected")

    def _add(self, path: str) -> AddFile:
        lines: list[str] = []
        while self._next < self._end and self._lines[self._next].startswith("+"):
            lines.append(self._lines[self._next][1:])
            self._next += 1
        return AddFile(path, tuple(lines))

    def _update(self, path: str) -> UpdateFile:
        target = None
        if self._next < self._end and self._lines[self._next].strip().startswith(MOVE):
            target = self._lines[self._next].strip().removeprefix(MOVE).strip()
            self._next += 1
        chunks: list[Chunk] = []
        while self._next < self._end and not self._starts_hunk():
            if not self._lines[self._next].strip() and self._only_blank_until_hunk():
                break
            chunks.append(self._chunk(is_first=not chunks))
        if not chunks and target is None:
            raise self._wrong(f"no change of {path} follows")
        return UpdateFile(path, target, tuple(chunks))

    def _chunk(self, *, is_first: bool) -> Chunk:
        number, header = self._next + 1, ""
        line = self._lines[self._next]
        if line.rstrip() == CHUNK or line.startswith(f"{CHUNK} "):
            header = line.removeprefix(CHUNK)[1:].rstrip()
            self._next += 1
        elif not is_first:
            raise self._wrong(f"`{CHUNK}` or the next file is expected")
        lines: list[Line] = []
        while self._next < self._end and (found := self._line()) is not None:
            lines.append(found)
            self._next += 1
        at_end = self._next < self._end and self._lines[self._next].strip() == END_OF_FILE
        if at_end:
            self._next += 1
        if not lines:
            raise self._wrong("a line that begins with ` `, `-` or `+` is expected")
        return Chunk(header, tuple(lines), at_end, number)

    def _line(self) -> Line | None:
        line = self._lines[self._next]
        if line == "":
            return None if self._only_blank_until_hunk() else Line(" ", "")
        return Line(line[0], line[1:]) if line[0] in {" ", "-", "+"} else None

    def _starts_hunk(self) -> bool:
        return self._lines[self._next].strip().startswith((ADD, DELETE, UPDATE))

    def _only_blank_until_hunk(self) -> bool:
        """Do only empty lines follow here, until the next file or the end? Then they are no part of this one."""
        place = self._next
        while place < self._end and not self._lines[place].strip():
            place += 1
        return place == self._end or self._lines[place].strip().startswith((ADD, DELETE, UPDATE))

    def _wrong(self, message: str) -> ToolFailed:
        where = min(self._next, len(self._lines) - 1)
        return ToolFailed(f"line {where + 1} of the patch: {message}; there is {self._lines[where][:200]!r}")
