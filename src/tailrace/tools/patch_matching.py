"""A file's text with the chunks of a patch applied. Pure.

Lines are looked for from where the last chunk ended, in passes that are more and more lenient: exactly, without the
white space behind them, without that around them, with typographic punctuation as ASCII has it. Lines that stay are the
file's, not the patch's; so are line ends, a byte order mark, and whether there is a line end at the end.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tailrace.tools.errors import ToolFailed
from tailrace.tools.patch_grammar import Chunk, Line

_BOM = "\ufeff"
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_PUNCTUATION = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
        **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    }
)


def _ascii(line: str) -> str:
    return line.translate(_PUNCTUATION).strip()


# The passes, strictest first: two lines are the same where what these make of them is.
PASSES: tuple[Callable[[str], str], ...] = (str, str.rstrip, str.strip, _ascii)


class _Edit(NamedTuple):
    """The chunk's lines take the place of the file's from `start` on."""

    start: int
    lines: Sequence[Line]


def apply_chunks(text: str, chunks: Sequence[Chunk], path: str) -> str:
    """The new text. Raises ToolFailed: the lines of a chunk are not there."""
    bom = _BOM if text.startswith(_BOM) else ""
    lines = _LINE.findall(text.removeprefix(bom))
    bare = [_bare(line) for line in lines]
    end = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
    edits, cursor = [], 0
    for chunk in chunks:
        edit = _located(chunk, bare, cursor, path)
        edits.append(edit)
        cursor = edit.start + sum(line.mark != "+" for line in edit.lines)
    for edit in reversed(edits):
        _replace(lines, edit, end)
    changed = "".join(lines)
    if text and not text.endswith("\n"):
        changed = changed.removesuffix("\n").removesuffix("\r")
    return bom + changed


def _located(chunk: Chunk, bare: list[str], cursor: int, path: str) -> _Edit:
    after_header = cursor
    if chunk.header:
        header = _find([chunk.header], bare, cursor)
        if header is None:
            raise ToolFailed(f"{path}: the line of `@@ {chunk.header}` (line {chunk.number} of the patch) is not there")
        after_header = header + 1
    old, lines = chunk.old(), list(chunk.lines)
    if not old:
        return _Edit(len(bare) if chunk.at_end or not chunk.header else after_header, lines)
    start = _find(old, bare, after_header, at_end=chunk.at_end)
    if start is None and chunk.header:  # the line above may be the first of those that are said again
        start = _find(old, bare, after_header - 1, at_end=chunk.at_end)
    if start is None and old[-1] == "":  # an empty line at the end, that only ends the patch's last line
        lines = _without_last_blank(lines)
        old = old[:-1]
        start = _find(old, bare, after_header, at_end=chunk.at_end) if old else None
    if start is None:
        wanted = "\n".join(chunk.old())
        raise ToolFailed(
            f"{path}: these lines (line {chunk.number} of the patch) are not there"
            f"{' any more behind the chunk before' if cursor else ''}; read the file again:\n{wanted}"
        )
    return _Edit(start, lines)


def _find(wanted: list[str], bare: list[str], start: int, *, at_end: bool = False) -> int | None:
    """Where the lines begin, not before `start`; in the strictest pass that finds them."""
    last = len(bare) - len(wanted)
    places = range(max(start, last) if at_end else start, last + 1)
    for same in PASSES:
        first, *rest = [same(line) for line in wanted]
        for place in places:
            if same(bare[place]) == first and [same(line) for line in bare[place + 1 : place + len(wanted)]] == rest:
                return place
    return None


def _without_last_blank(lines: list[Line]) -> list[Line]:
    """Without the last of the lines to be found, and, where the new ones end so, too, without theirs."""
    index = max(place for place, line in enumerate(lines) if line.mark != "+")
    rest = lines[:index] + lines[index + 1 :]
    if lines[index].mark == "-" and rest and rest[-1] == Line("+", ""):
        rest.pop()
    return rest


def _replace(lines: list[str], edit: _Edit, end: str) -> None:
    """Change the file's lines. What comes ends as the line before it does."""
    made: list[str] = []
    place = edit.start
    near = lines[place - 1] if place else (lines[0] if lines else "")
    for line in edit.lines:
        if line.mark == "+":
            made.append(line.text + _end_of(near, end))
            continue
        near = lines[place]
        if line.mark == " ":
            made.append(near)
        place += 1
    lines[edit.start : place] = made
    for index in range(max(0, edit.start - 1), min(len(lines) - 1, edit.start + len(made))):
        if not lines[index].endswith("\n"):  # the file's last line, which is that no more
            lines[index] += end


def _end_of(line: str, otherwise: str) -> str:
    if line.endswith("\r\n"):
        return "\r\n"
    return "\n" if line.endswith("\n") else otherwise


def _bare(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")
