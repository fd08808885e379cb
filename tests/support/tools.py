"""Calls of tools as the runner makes them: JSON in, a ToolResult out, with what was streamed."""

import asyncio
import os
from pathlib import Path
from typing import Any

from tailrace.schema import codec
from tailrace.schema.items import FunctionCallItem
from tailrace.tools.definition import ToolDefinition
from tailrace.tools.environment import allowed_environment
from tailrace.tools.errors import ToolError
from tailrace.tools.registry import Toolset
from tailrace.tools.result import ToolResult
from tailrace.tools.running import ToolRunner, bind, refused
from tailrace.tools.workspace import Workspace


class Shelf:
    """Keeps long outputs, as a worker would beside its log."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def keep(self, run_id: str, call_id: str, data: bytes) -> str:
        name = f"{run_id}/{call_id}"
        self.kept[name] = data
        return name


class Bench:
    """A workspace with tools and a runner; what calls streamed is in `streamed`."""

    def __init__(self, root: Path, *tools: ToolDefinition, environment: dict[str, str] | None = None) -> None:
        self.workspace = Workspace(root)
        self.root = root
        self.toolset = Toolset({tool.name: tool for tool in tools})
        self.shelf = Shelf()
        self.cancel = asyncio.Event()
        self.streamed: list[str] = []
        self.runner = ToolRunner(self.workspace, environment or allowed_environment(os.environ), self.shelf)

    async def call(self, name: str, arguments: dict[str, Any] | str = "", *, kind: Any = None) -> ToolResult:
        """The answer to a call, as the model would see it."""
        text = arguments if isinstance(arguments, str) else codec.encode(arguments).decode()
        item = FunctionCallItem(id="i", name=name, arguments=text, call_id="c1", kind=kind)
        try:
            bound = bind(self.toolset, item)
        except ToolError as error:
            return refused(error)
        return await self.runner.run(bound, run_id="r1", emit=self.streamed.append, cancel=self.cancel)


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """All that is in a folder: paths, contents and modes; a link's content is its target."""
    found = {}
    for path in sorted(root.rglob("*")):
        content = os.fsencode(path.readlink()) if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(root))] = (content, path.lstat().st_mode)
    return found
