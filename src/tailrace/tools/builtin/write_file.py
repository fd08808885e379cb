"""`write_file`: a whole file, new or in place of another."""

from tailrace.tools.changes import Write, commit, current
from tailrace.tools.context import ToolContext
from tailrace.tools.definition import tool


@tool(aliases=("writeFile",), idempotent=True)
def write_file(context: ToolContext, path: str, content: str) -> str:
    """Write a whole text file of the workspace; what was in it is gone. Missing folders are made.

    Args:
        path: The file, relative to the workspace.
        content: All of its text.

    Examples:
        {"path": "notes/todo.md", "content": "- write the tests first\\n"}
    """
    before = current(context.workspace, path)
    commit(context.workspace, [Write(path, content.encode(), before)])
    return f"{'Replaced' if before else 'Created'} {path} ({len(content.splitlines())} lines)."
