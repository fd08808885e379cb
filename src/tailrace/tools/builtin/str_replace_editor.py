"""`str_replace_editor`: the editor that models of the Claude family were trained on."""

from typing import Annotated, Literal

from msgspec import Meta

from tailrace.tools.builtin.read_file import text_lines
from tailrace.tools.changes import Write, commit, current, read
from tailrace.tools.context import ToolContext
from tailrace.tools.definition import tool
from tailrace.tools.errors import ToolFailed
from tailrace.tools.result import ToolResult

Line = Annotated[int, Meta(ge=0)]


@tool(aliases=("str_replace_based_edit_tool",))
def str_replace_editor(
    context: ToolContext,
    command: Literal["view", "create", "str_replace", "insert"],
    path: str,
    file_text: str | None = None,
    old_str: str | None = None,
    new_str: str | None = None,
    insert_line: Line | None = None,
    insert_text: str | None = None,
    view_range: Annotated[list[int], Meta(min_length=2, max_length=2)] | None = None,
) -> ToolResult | str:
    """View, create and edit text files of the workspace.

    `view` shows a file with line numbers; `create` writes a whole file (`file_text`); `str_replace` puts
    `new_str` in place of `old_str`, which must stand in the file exactly once; `insert` puts `insert_text` behind the
    line `insert_line`.

    Args:
        command: What to do.
        path: The file, relative to the workspace.
        file_text: For `create`: all of the file's text.
        old_str: For `str_replace`: the text that goes, exactly as it is, with enough around it to be found only once.
        new_str: For `str_replace`: the text that comes; empty where it is not given.
        insert_line: For `insert`: the line to insert behind; 0 for the start.
        insert_text: For `insert`: the text that comes.
        view_range: For `view`: the first and the last line to show; -1 for the end.

    Examples:
        {"command": "str_replace", "path": "a.py", "old_str": "x = 1\\n", "new_str": "x = 2\\n"}
        {"command": "view", "path": "a.py", "view_range": [10, 20]}
    """
    match command:
        case "view":
            return _view(context, path, view_range)
        case "create":
            data = _given("file_text", file_text).encode()
            commit(context.workspace, [Write(path, data, current(context.workspace, path))])
            return f"Wrote {path}."
        case "str_replace":
            return _replace(context, path, _given("old_str", old_str), new_str or "")
        case "insert":
            if insert_line is None:
                raise ToolFailed("insert_line: is missing")
            text = new_str if insert_text is None else insert_text
            return _insert(context, path, insert_line, _given("insert_text", text))


def _given(name: str, text: str | None) -> str:
    if text is None:
        raise ToolFailed(f"{name}: is missing")
    return text


def _view(context: ToolContext, path: str, view_range: list[int] | None) -> str:
    lines = text_lines(context.workspace.read(path), path)
    first, last = view_range or (1, -1)
    last = len(lines) if last == -1 else last
    if view_range and not 1 <= first <= last <= len(lines):
        raise ToolFailed(f"view_range: must be within 1 and {len(lines)}, the smaller first")
    return "\n".join(f"{number:6}\t{line}" for number, line in enumerate(lines[first - 1 : last], first))


def _replace(context: ToolContext, path: str, old: str, new: str) -> str:
    data, before = read(context.workspace, path)
    ends = b"\r\n" in data
    there, here = (_with_ends(text, crlf=ends) for text in (old, new))
    count = data.count(there) if there else 0
    if count != 1:
        times = f"{count} times; say more of what is around it" if count else "not at all; view the file again"
        raise ToolFailed(f"{path}: old_str must stand in it exactly once, and does so {times}")
    commit(context.workspace, [Write(path, data.replace(there, here), before)])
    return f"Replaced it in line {data[: data.index(there)].count(10) + 1} of {path}."


def _insert(context: ToolContext, path: str, line: int, text: str) -> str:
    data, before = read(context.workspace, path)
    lines = data.splitlines(keepends=True)
    if line > len(lines):
        raise ToolFailed(f"insert_line: {path} has only {len(lines)} lines")
    crlf = b"\r\n" in data
    new = _with_ends(text.removesuffix("\n") + "\n", crlf=crlf)
    if line and not lines[line - 1].endswith(b"\n"):
        lines[line - 1] += _with_ends("\n", crlf=crlf)
    commit(context.workspace, [Write(path, b"".join([*lines[:line], new, *lines[line:]]), before)])
    return f"Inserted it behind line {line} of {path}."


def _with_ends(text: str, *, crlf: bool) -> bytes:
    """As it stands in a file of such line ends."""
    return (text.replace("\r\n", "\n").replace("\n", "\r\n") if crlf else text).encode()
