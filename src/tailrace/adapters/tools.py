"""The tools of a request as a wire can take them: each under a name of the wire's form, and the choice among them.

Where a wire knows only functions with flat names, a namespace becomes a prefix (`namespace__name`) and a free-text tool
a function with one string, `input`. What such names mean in an answer, `ToolNames.callees` tells the decoder, which
turns the calls back (adapters/growing.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from tailrace.adapters.base import Callee
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.request import (
    AllowedTools,
    AnyTool,
    AnyToolChoice,
    CustomTool,
    Generation,
    HostedTool,
    NamedToolChoice,
    Tool,
)

FREE_TEXT: dict[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}

_LEGAL = re.compile(r"[a-zA-Z0-9_-]+")
_LETTERED = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]*")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST = 8


@dataclass(frozen=True, slots=True)
class ToolNames:
    """A wire's names for tools: up to `limit` letters, digits, `_` and `-`; `flat` where it has no namespaces and no
    free-text tools; `lettered` where no name may begin with a digit or a `-`."""

    limit: int
    flat: bool
    lettered: bool = False

    def of(self, name: str, namespace: str | None = None) -> str:
        """The name to say. One that the wire would refuse keeps its end, with a digest that only it gives."""
        full = f"{namespace}__{name}" if namespace and self.flat else name
        legal = _LETTERED if self.lettered else _LEGAL
        if len(full) <= self.limit and legal.fullmatch(full):
            return full
        digest = sha1(full.encode(), usedforsecurity=False).hexdigest()[:_DIGEST]
        kept = _ILLEGAL.sub("_", full)[1 + _DIGEST - self.limit :]
        if self.lettered and kept and not _LETTERED.fullmatch(kept):
            kept = f"_{kept[1:]}"
        return f"{kept}_{digest}"

    def of_tool(self, tool: Tool | CustomTool) -> str:
        """The name to offer the tool under."""
        return self.of(tool.name, namespace_of(tool))

    def callees(self, generation: Generation) -> dict[str, Callee]:
        """What the names of the tools mean, of those that mean something else than they say."""
        meant: dict[str, Callee] = {}
        for tool in generation.tools or ():
            if isinstance(tool, HostedTool):
                continue
            takes_text = self.flat and isinstance(tool, CustomTool)
            said = self.of_tool(tool)
            if takes_text or said != tool.name:
                meant[said] = Callee(tool.name, namespace_of(tool) if self.flat else None, takes_text)
        return meant


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools to offer and the choice to ask for: None where there is nothing to say."""

    tools: list[AnyTool]
    choice: AnyToolChoice | None

    def named(self, name: str) -> AnyTool:
        """The tool that answers to `name`; there is one (`offer_of`)."""
        return next(tool for tool in self.tools if name in _answers_to(tool))

    def allowed(self, choice: AllowedTools) -> list[AnyTool]:
        """The tools that may be called, in the order in which they are offered."""
        return [tool for tool in self.tools if not _answers_to(tool).isdisjoint(choice.names)]


def offer_of(generation: Generation, wire: str, names: ToolNames) -> Offer:
    """The tools and the choice as they were asked for.

    Raises InvalidRequest for a tool that another wire's provider runs, for two of one name, and for a choice that
    cannot be met.
    """
    tools = list(generation.tools or ())
    _check_tools(tools, wire, names)
    _check_choice(generation.tool_choice, tools)
    return Offer(tools, generation.tool_choice if tools else None)


def narrowed(offer: Offer) -> Offer:
    """The same for a wire that cannot be told of tools that it may not call.

    Where the choice still says it all (none of them, any of them, this one), all tools stay, so that the provider's
    cache holds; otherwise only those stay that may be called.
    """
    choice = offer.choice
    if not isinstance(choice, AllowedTools):
        return offer
    allowed = offer.allowed(choice)
    if not allowed:
        return Offer(offer.tools, "none")
    if len(allowed) == 1 and choice.mode == "required":
        return Offer(offer.tools, NamedToolChoice(name=choice.names[0]))
    return Offer(allowed, choice.mode)


def only_named(offer: Offer) -> Offer:
    """The same for a host that can be made to call a tool, but not told which one: only the one meant is offered."""
    if not isinstance(offer.choice, NamedToolChoice):
        return offer
    return Offer([offer.named(offer.choice.name)], "required")


def unforced(choice: AnyToolChoice | None) -> AnyToolChoice | None:
    """The choice once a call has been made: a call that is forced again and again would never end."""
    if isinstance(choice, AllowedTools):
        return AllowedTools(names=choice.names)
    return choice if choice in ("auto", "none") else None


def namespace_of(tool: Tool | CustomTool) -> str | None:
    """The group in which the tool's name is unique, if it is in one."""
    return tool.namespace if isinstance(tool, Tool) else None


def as_function(tool: Tool | CustomTool) -> Tool:
    """A free-text tool as a function with one string. What form the text must have, the description says."""
    if isinstance(tool, Tool):
        return tool
    form = tool.format or {}
    grammar = form.get("grammar") if isinstance(form.get("grammar"), dict) else form
    lines = [tool.description] if tool.description else []
    if grammar and grammar.get("definition"):
        syntax = grammar.get("syntax", "")
        lines.append(f"The input must match this {syntax} grammar:\n{grammar['definition']}")
    return Tool(name=tool.name, description="\n\n".join(lines) or None, parameters=FREE_TEXT)


def _answers_to(tool: AnyTool) -> frozenset[str]:
    """The names by which a choice may mean this tool; several servers' tools may share the last of a hosted one's."""
    if isinstance(tool, HostedTool):
        return frozenset(str(tool.data[key]) for key in ("name", "server_label", "type") if key in tool.data)
    namespace = namespace_of(tool)
    return frozenset({tool.name, f"{namespace}__{tool.name}"} if namespace else {tool.name})


def _check_tools(tools: Sequence[AnyTool], wire: str, names: ToolNames) -> None:
    seen: set[tuple[str | None, str]] = set()
    for index, tool in enumerate(tools):
        if isinstance(tool, HostedTool):
            if tool.wire != wire:
                kind = tool.data.get("type", "this")
                raise InvalidRequest(f"the provider has no tool {kind!r} of its own", field=f"tools[{index}]")
            continue
        key = (None if names.flat else namespace_of(tool), names.of_tool(tool))
        if key in seen:
            raise InvalidRequest("another tool has this name already", field=f"tools[{index}].name")
        seen.add(key)


def _check_choice(choice: AnyToolChoice | None, tools: Sequence[AnyTool]) -> None:
    match choice:
        case AllowedTools():
            wanted, forced = choice.names, choice.mode == "required"
        case NamedToolChoice():
            wanted, forced = [choice.name], True
        case _:
            wanted, forced = [], choice == "required"
    if forced and not (tools and (wanted or choice == "required")):
        raise InvalidRequest("tool_choice asks for a call, but no tools are offered", field="tool_choice")
    offered = frozenset[str]().union(*map(_answers_to, tools))
    for name in wanted:
        if name not in offered:
            raise InvalidRequest(f"tool_choice names {name!r}, which is not offered", field="tool_choice")
