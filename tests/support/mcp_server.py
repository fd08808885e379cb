"""An MCP server of the Python SDK, over streamable HTTP in this process or, as a program, over stdio.

`python -m tests.support.mcp_server`: the tools `add`, `who` (asks the person for a name) and `peek` (what a request had
in a header), and a resource.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel


class Name(BaseModel):
    """A form."""

    name: str
    age: int | None = None


def ask_name() -> Elicit[Name]:
    """Ask for it."""
    return Elicit("What is your name?", Name)


def made(**more: Any) -> MCPServer:
    """The server."""
    server: MCPServer = MCPServer("kind", log_level="CRITICAL", **more)

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    async def who(name: Annotated[Name, Resolve(ask_name)]) -> str:
        """Greet the person."""
        return f"hello {name.name}"

    @server.tool()
    async def peek(ctx: Context) -> str:
        """Say what the request had for a header."""
        return str((ctx.headers or {}).get("x-team"))

    @server.tool()
    async def grow(ctx: Context) -> str:
        """Have one more tool."""
        server.add_tool(lambda: "new", name="grown", description="New.")
        await ctx.notify_tools_changed()
        return "done"

    @server.resource("notes://today")
    def today() -> str:
        """What is on today."""
        return "nothing"

    @server.resource("notes://{day}")
    def day(day: str) -> str:
        """What is on some day."""
        return f"nothing on {day}"

    return server


class _Quiet(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are the tests' own."""
        yield


@dataclass
class Kind:
    """Where it is."""

    url: str
    server: uvicorn.Server
    task: asyncio.Task[None]

    async def stop(self) -> None:
        """At once."""
        self.server.should_exit = self.server.force_exit = True
        await asyncio.wait({self.task})


async def listen(app: Any, port: int = 0) -> Kind:
    """Serve an ASGI app on loopback."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=0)
    server = _Quiet(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), task
        await asyncio.sleep(0.01)
    found = server.servers[0].sockets[0].getsockname()[1]
    return Kind(f"http://127.0.0.1:{found}/mcp", server, task)


if __name__ == "__main__":
    made().run()
