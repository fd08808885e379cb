"""`read_file`: a slice of a text file, or the block of code around a line."""

from typing import Annotated, Literal

from msgspec import Meta

from tailrace.tools.context import ToolContext
from tailrace.tools.definition import Limits, tool
from tailrace.tools.errors import ToolFailed

LINE_CHARACTERS = 500
_TAB = 4
_SNIFFED = 8192
_COMMENTS = ("#", "//", "--", "/*", "*", "@")
_CLOSERS = (")", "]", "}", "end")

Count = Annotated[int, Meta(ge=1)]


@tool(aliases=("readFile",), idempotent=True, limits=Limits(output_bytes=64 * 1024))
def read_file(
    context: ToolContext,
    path: str,
    offset: Count = 1,
    limit: Count = 2000,
    mode: Literal["slice", "indentation"] = "slice",
    anchor_line: Count | None = None,
    max_levels: Annotated[int, Meta(ge=0)] = 0,
    include_siblings: bool = False,
    include_header: bool = True,
) -> str:
    """Read a text file of the workspace. Each line is given as `L<number>: <text>`, numbers from 1.

    Args:
        path: The file, relative to the workspace.
        offset: The first line to read.
        limit: How many lines at most.
        mode: `slice` reads from `offset` on; `indentation` reads the block of code around `anchor_line`.
        anchor_line: For `indentation`: the line whose block is wanted; `offset` where it is not given.
        max_levels: For `indentation`: how many levels of enclosing blocks to go out; 0 goes out to the top level.
        include_siblings: For `indentation`: also the blocks beside it on the outermost level.
        include_header: For `indentation`: also the comments and decorators right above it.

    Examples:
        {"path": "src/main.py", "offset": 100, "limit": 50}
        {"path": "src/main.py", "mode": "indentation", "anchor_line": 120, "max_levels": 1}
    """
    lines = text_lines(context.workspace.read(path), path)
    if not lines:
        return "(The file is empty.)"
    first = anchor_line or offset if mode == "indentation" else offset
    if first > len(lines):
        raise ToolFailed(f"{path}: has only {len(lines)} lines")
    if mode == "slice":
        start, end = offset - 1, min(len(lines), offset - 1 + limit)
    else:
        start, end = block(
            lines, first - 1, max_levels, siblings=include_siblings, header=include_header, most=limit
        )  # fmt: skip
    text = "\n".join(f"L{number}: {_short(line)}" for number, line in enumerate(lines[start:end], start + 1))
    if end < len(lines) and mode == "slice":
        text += f"\n(There are {len(lines) - end} more lines.)"
    return text


def text_lines(data: bytes, path: str) -> list[str]:
    """The lines of a text file, without their ends. Raises ToolFailed: it is no text."""
    if b"\0" in data[:_SNIFFED]:
        raise ToolFailed(f"{path}: is no text file ({len(data)} bytes)")
    lines = data.decode("utf-8-sig", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def block(
    lines: list[str], anchor: int, max_levels: int, *, siblings: bool, header: bool, most: int
) -> tuple[int, int]:
    """Where the block around line `anchor` (from 0) starts, and the line behind its end; at most `most` lines.

    A block is what is indented at least as far as it: `max_levels` levels out from the anchor, or to the top level.
    """
    indents = _indents(lines)
    outermost = max(0, indents[anchor] - max_levels * _TAB) if max_levels else 0
    start = anchor
    while start > 0 and indents[start - 1] >= outermost and (siblings or indents[start] > outermost):
        start -= 1
    while header and start > 0 and indents[start - 1] == indents[start] and _is_header(lines[start - 1]):
        start -= 1
    end = anchor + 1
    while end < len(lines) and (indents[end] > outermost or (siblings and indents[end] == outermost)):
        end += 1
    if end < len(lines) and indents[end] == outermost and lines[end].lstrip().startswith(_CLOSERS):
        end += 1
    start = max(start, anchor - most // 2)
    end = min(end, start + most)
    while start < anchor and not lines[start].strip():
        start += 1
    while end > anchor + 1 and not lines[end - 1].strip():
        end -= 1
    return start, end


def _indents(lines: list[str]) -> list[int]:
    """How far each line is indented; an empty one as far as the one before."""
    found: list[int] = []
    for line in lines:
        expanded = line.expandtabs(_TAB)
        blank = not expanded.strip()
        found.append((found[-1] if found else 0) if blank else len(expanded) - len(expanded.lstrip()))
    return found


def _is_header(line: str) -> bool:
    return line.lstrip().startswith(_COMMENTS)


def _short(line: str) -> str:
    return line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}… ({len(line)} characters)"
