"""`GET /api/v2/mcp`: the MCP servers of the settings, and how it stands with them, as this process knows it."""

from collections.abc import Sequence

from litestar import get
from msgspec import Struct

from tailrace.api.services import Injected
from tailrace.mcp.config import Standing


class ServerList(Struct, frozen=True):
    """The servers, in the order of the settings."""

    servers: Sequence[Standing]


@get("/api/v2/mcp")
async def list_servers(services: Injected) -> ServerList:
    """The MCP servers: which are connected, what they offer, and what is wrong with the others.

    A process that neither offers nor runs tools connects to none of them; where tools are processes of their own, each
    has connections of its own.
    """
    return ServerList(services.mcp())
