"""`list_dir`: what is in a folder, and in those below it."""

from itertools import islice
from typing import Annotated

from msgspec import Meta

from tailrace.tools.context import ToolContext
from tailrace.tools.definition import tool
from tailrace.tools.errors import ToolFailed
from tailrace.tools.walk import Entry, breadth_first
from tailrace.tools.workspace import shown

_MARKS = {"folder": "/", "link": "@", "other": "?", "file": ""}

Count = Annotated[int, Meta(ge=1)]


@tool(aliases=("listDir",), idempotent=True)
def list_dir(
    context: ToolContext,
    path: str = ".",
    depth: Annotated[int, Meta(ge=1, le=16)] = 2,
    offset: Count = 1,
    limit: Annotated[int, Meta(ge=1, le=5000)] = 500,
) -> str:
    """List a folder of the workspace, level by level, each in the order of names.

    A name's mark says what it is: `/` a folder, `@` a link, `?` neither these nor a file.

    Args:
        path: The folder, relative to the workspace.
        depth: How many levels of folders to list.
        offset: The first entry to list, counted from 1.
        limit: How many entries at most.

    Examples:
        {"path": "src", "depth": 1}
    """
    found: list[str] = []
    entries = breadth_first(context.workspace, path, depth)
    for level, entry in islice(entries, offset - 1, offset - 1 + limit + 1):
        context.check()
        found.append(_line(level, entry))
    if not found and offset > 1:
        raise ToolFailed(f"{path}: has fewer than {offset} entries")
    more = f"\n(There are more; go on with offset {offset + limit}.)" if len(found) > limit else ""
    return "\n".join(found[:limit]) + more or "(The folder is empty.)"


def _line(level: int, entry: Entry) -> str:
    return f"{'  ' * (level - 1)}{shown(entry.path)}{_MARKS[entry.kind]}"
