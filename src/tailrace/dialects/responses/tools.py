"""Tools and the choice among them, in canonical words. Pure; errors name the parameter."""

from collections.abc import Iterator, Sequence
from typing import Any

from tailrace.dialects.responses.input import text
from tailrace.dialects.responses.items import Json
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.request import AllowedTools, AnyTool, AnyToolChoice, CustomTool, HostedTool, NamedToolChoice, Tool

WIRE = "openai-responses"
_CHOICES = ("auto", "none", "required")


def tools_of(given: Sequence[Json] | None, items: object) -> list[AnyTool]:
    """The request's tools, and those that an `additional_tools` item brings. Raises InvalidRequest."""
    tools = [tool for place, said in enumerate(given or ()) for tool in _tool(said, f"tools[{place}]")]
    for place, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and item.get("type") == "additional_tools":
            where = f"input[{place}].tools"
            tools += [
                tool
                for number, said in enumerate(item.get("tools") or ())
                for tool in _tool(said, f"{where}[{number}]")
            ]
    named = [tool for tool in tools if isinstance(tool, Tool | CustomTool)]
    names = [(tool.namespace if isinstance(tool, Tool) else None, tool.name) for tool in named]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InvalidRequest(f"two tools have the name {name[1]!r}", field="tools")
    return tools


def _tool(said: Any, where: str, namespace: str | None = None) -> Iterator[AnyTool]:
    if not isinstance(said, dict):
        raise InvalidRequest("has to be an object", field=where)
    match said.get("type"):
        case "function":
            yield _function(said, where, namespace)
        case "custom":
            wanted = said.get("format")
            yield CustomTool(
                name=text(said, "name", where),
                description=_optional(said, "description", str, where),
                format=wanted if isinstance(wanted, dict) else None,
            )
        case "namespace":
            name = text(said, "name", where)
            for place, inner in enumerate(said.get("tools") or ()):
                yield from _tool(inner, f"{where}.tools[{place}]", name)
        case str():
            yield HostedTool(wire=WIRE, data=said)
        case _:
            raise InvalidRequest("a tool needs a `type`", field=f"{where}.type")


def _function(said: Json, where: str, namespace: str | None) -> Tool:
    return Tool(
        name=text(said, "name", where),
        description=_optional(said, "description", str, where),
        parameters=_optional(said, "parameters", dict, where),
        strict=_optional(said, "strict", bool, where),
        namespace=namespace,
    )


def _optional(said: Json, name: str, kind: type, where: str) -> Any:
    value = said.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise InvalidRequest(f"has to be of type {kind.__name__}", field=f"{where}.{name}")


def choice_of(given: str | Json | None, tools: Sequence[AnyTool]) -> AnyToolChoice | None:
    """Which tools may or must be called; None for a hosted tool, which only its provider can be made to use.

    Raises InvalidRequest.
    """
    if given is None or (isinstance(given, str) and given in _CHOICES):
        return given  # type: ignore[return-value]  # one of the three
    if isinstance(given, str):
        raise InvalidRequest(f"is one of {', '.join(_CHOICES)}, or an object", field="tool_choice")
    names = {tool.name for tool in tools if isinstance(tool, Tool | CustomTool)}
    match given.get("type"):
        case "function" | "custom":
            return NamedToolChoice(name=_offered(text(given, "name", "tool_choice"), names, "tool_choice.name"))
        case "allowed_tools":
            return _allowed(given, names)
        case str():
            return None
        case _:
            raise InvalidRequest("needs a `type`", field="tool_choice.type")


def _allowed(given: Json, names: set[str]) -> AllowedTools:
    said, mode = given.get("tools"), given.get("mode", "auto")
    if not isinstance(said, list) or not said or not all(isinstance(tool, dict) for tool in said):
        raise InvalidRequest("names at least one tool", field="tool_choice.tools")
    if mode not in {"auto", "required"}:
        raise InvalidRequest("is one of auto, required", field="tool_choice.mode")
    allowed = [
        _offered(text(tool, "name", f"tool_choice.tools[{place}]"), names, f"tool_choice.tools[{place}].name")
        for place, tool in enumerate(said)
    ]
    return AllowedTools(names=allowed, mode=mode)


def _offered(name: str, names: set[str], where: str) -> str:
    if name not in names:
        raise InvalidRequest(f"no tool {name!r} is offered", field=where)
    return name
