"""A server's tools and resources, as tools here.

What the server says of itself (`readOnlyHint`, `idempotentHint`) is not believed: whether a call may be run again, and
whether a person is asked first, the settings say.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, NamedTuple, Protocol

from jsonschema import Draft202012Validator, SchemaError
from mcp_types import Resource, ResourceTemplate, Tool
from msgspec.structs import replace

from tailrace.mcp.config import McpServer
from tailrace.mcp.names import offered_name
from tailrace.schema import codec
from tailrace.tools.arguments import parse_object
from tailrace.tools.context import ToolContext
from tailrace.tools.definition import Limits, ToolDefinition, tool
from tailrace.tools.result import ToolResult

MOST_TOOLS = 500
MOST_SCHEMA_BYTES = 64 * 1024

Call = Callable[[str, dict[str, Any], ToolContext], Awaitable[ToolResult]]


class Offer(NamedTuple):
    """What a server offers, under the names here, and what of it is left out, with the reason."""

    tools: dict[str, ToolDefinition]
    left_out: dict[str, str]


class Library(Protocol):
    """A server's resources. `cursor`: of the page before."""

    async def resources(self, cursor: str | None, context: ToolContext) -> tuple[Sequence[Resource], str | None]:
        """A page of them, and the next one's cursor."""

    async def templates(
        self, cursor: str | None, context: ToolContext
    ) -> tuple[Sequence[ResourceTemplate], str | None]:
        """A page of templates of their addresses."""

    async def read(self, uri: str, context: ToolContext) -> ToolResult:
        """One of them."""


def offer_of(server: str, config: McpServer, listed: Iterable[Tool], call: Call) -> Offer:
    """The tools that a server has listed. One with a schema that is none is left out, and the others are not."""
    offer = Offer({}, {})
    for each in listed:
        if not allowed(config, each.name):
            continue
        name = offered_name(server, each.name)
        why = _unfit(each) or ("it has the name of another" if name in offer.tools else None)
        if why is None and len(offer.tools) >= MOST_TOOLS:
            why = f"there are more than {MOST_TOOLS}"
        if why is not None:
            offer.left_out[each.name] = why
            continue
        offer.tools[name] = definition(server, config, each.name, name, call, each)
    return offer


def allowed(config: McpServer, name: str) -> bool:
    """Is a tool, by the server's own name of it, offered at all?"""
    if any(fnmatchcase(name, pattern) for pattern in config.deny):
        return False
    return any(fnmatchcase(name, pattern) for pattern in config.allow)


def repeatable(config: McpServer, name: str) -> bool:
    """May a call be run again where its outcome is unknown?"""
    return any(fnmatchcase(name, pattern) for pattern in config.idempotent)


def limits(config: McpServer) -> Limits:
    """What a call of the server may take."""
    return Limits(timeout_s=config.timeout_s, output_bytes=config.output_bytes, parallel=config.parallel)


def definition(
    server: str, config: McpServer, theirs: str, name: str, call: Call, told: Tool | None = None
) -> ToolDefinition:
    """A tool of the server that is called `theirs` there; without `told`, nothing more is known of it yet."""

    async def run(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return await call(theirs, arguments, context)

    return ToolDefinition(
        name=name,
        description=(told.description or told.title or "") if told is not None else "",
        parameters=told.input_schema if told is not None else {"type": "object"},
        parse=partial(parse_object, name),
        call=run,
        idempotent=repeatable(config, theirs),
        limits=limits(config),
        place=server,
    )


def _unfit(told: Tool) -> str | None:
    """Why a tool's schema is none that a model could be offered."""
    schema = told.input_schema
    if schema.get("type") != "object" or not isinstance(schema.get("properties", {}), dict):
        return "its schema is not one of an object"
    if len(codec.encode(schema)) > MOST_SCHEMA_BYTES:
        return f"its schema has more than {MOST_SCHEMA_BYTES} bytes"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"its schema is none: {error.message[:200]}"
    except RecursionError:
        return "its schema is none: it is nested too deep"
    return None


def resource_tools(server: str, config: McpServer, library: Library) -> dict[str, ToolDefinition]:
    """Tools to list a server's resources, their templates, and to read one. Reading has no effect, so that it may be
    done again."""

    async def list_resources(context: ToolContext, cursor: str | None = None) -> str:
        """List what this server has to read, each with its address.

        Args:
            cursor: Where the list before ended, for what comes after it.
        """
        found, more = await library.resources(cursor, context)
        lines = [_line(each.uri, each.name, each.mime_type, each.description) for each in found]
        return _list(lines, more)

    async def list_resource_templates(context: ToolContext, cursor: str | None = None) -> str:
        """List what addresses of this server look like that can be read, with what is to be filled in in braces.

        Args:
            cursor: Where the list before ended, for what comes after it.
        """
        found, more = await library.templates(cursor, context)
        lines = [_line(each.uri_template, each.name, each.mime_type, each.description) for each in found]
        return _list(lines, more)

    async def read_resource(context: ToolContext, uri: str) -> ToolResult:
        """Read something of this server.

        Args:
            uri: Its address, as listed.
        """
        return await library.read(uri, context)

    tools = {}
    for function in (list_resources, list_resource_templates, read_resource):
        if allowed(config, function.__name__):
            name = offered_name(server, function.__name__)
            define = tool(name=name, idempotent=True, limits=limits(config))
            tools[name] = replace(define(function), place=server)
    return tools


def _line(uri: str, name: str, mime_type: str | None, description: str | None) -> str:
    about = f"{uri} ({name}{', ' if mime_type else ''}{mime_type or ''})"
    return f"{about}: {description}" if description else about


def _list(lines: list[str], more: str | None) -> str:
    text = "\n".join(lines) or "There are none."
    return f"{text}\n(There are more: cursor {more})" if more else text
