"""Writes the tables of the documentation from the code that they are about: `python scripts/make_tables.py`.

What stands between `<!-- table: NAME -->` and `<!-- end -->` is replaced; the rest is written by hand. A test fails
while a file is not what this makes of it.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import msgspec

from tailrace.api.metrics import GAUGES
from tailrace.dialects.linters import RULESETS
from tailrace.dialects.upserts.encode import GRADIENT
from tailrace.fold.grammar import RULES, Rule
from tailrace.schema.errors import FAULTS, Fault
from tailrace.schema.events import Event, Payload
from tailrace.schema.items import OutputItem, Part
from tailrace.schema.response import Approval, Resolution, Response, Step, Usage
from tailrace.tools.builtin.catalog import builtin_tools
from tailrace.tools.builtin.web import SearchHit
from tailrace.tools.definition import ToolDefinition
from tailrace.tools.registry import PACKS

DOCS = Path(__file__).parent.parent / "docs"
NONE = "–"  # noqa: RUF001  # a dash, for people
_PLACE = re.compile(r"(<!-- table: (?P<name>[a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def type_text(kind: Any) -> str:
    """A type as the tables write it."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if isinstance(kind, UnionType) or (get_origin(kind) is not None and kind not in (OutputItem, Part)):
        arguments = [argument for argument in get_args(kind) if argument not in (type(None), msgspec.UnsetType)]
        if set(arguments) == set(get_args(OutputItem)):
            return "an item"
        if set(arguments) == set(get_args(Part)):
            return "a part"
        if get_origin(kind) is list:
            return f"list of {type_text(arguments[0])}"
        if get_origin(kind) is dict:
            return "object"
        return " or ".join(dict.fromkeys(type_text(argument) for argument in arguments))
    return {str: "string", int: "integer", float: "number", bool: "boolean", Any: "any JSON"}.get(
        kind, getattr(kind, "__name__", str(kind))
    )


def fields_text(kind: type[msgspec.Struct]) -> str:
    """A struct's fields, each with its type; `?` marks one that may be absent."""
    return " · ".join(
        f"`{info.encode_name}{'' if info.required or _always_written(info) else '?'}` {type_text(info.type)}"
        for info in msgspec.structs.fields(kind)
    )


def _always_written(info: msgspec.structs.FieldInfo) -> bool:
    return info.default_factory is not msgspec.NODEFAULT or isinstance(info.default, bool)


def _structs(kinds: Any) -> str:
    rows = [f"| `{kind.__struct_config__.tag}` | {_about(kind)} | {fields_text(kind)} |" for kind in get_args(kinds)]
    return "\n".join(["| type | what it says | fields |", "|---|---|---|", *rows])


def _about(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split()).replace("|", "\\|")


def _plain(*kinds: type[msgspec.Struct]) -> str:
    rows = [f"| {kind.__name__} | {_about(kind)} | {fields_text(kind)} |" for kind in kinds]
    return "\n".join(["| value | what it is | fields |", "|---|---|---|", *rows])


def _grammar() -> str:
    rows = [f"| `{name}` | {_needs(rule)} | {_then(rule)} |" for name, rule in RULES.items()]
    return "\n".join(["| event | legal when | afterwards |", "|---|---|---|", *rows])


def _needs(rule: Rule) -> str:
    needs = [f"the run is {rule.run}"]
    if rule.item is not None:
        needs.append(f"its item is {' or '.join(rule.item)}")
    if rule.step is not None:
        needs.append("a step is open" if rule.step else "no step is open")
    if rule.settled:
        needs.append("no item is open")
    return ", ".join(needs)


def _then(rule: Rule) -> str:
    changes = [] if rule.item_to is None else [f"its item is {rule.item_to}"]
    if rule.run != rule.run_to:
        changes.append(f"the run is {rule.run_to}")
    return ", ".join(changes) or NONE


def _codes() -> str:
    rows = [
        f"| `{code}` | {'yes' if Fault.TRANSIENT in faults else 'no'} | {_kinds(faults)} |"
        for code, faults in FAULTS.items()
    ]
    return "\n".join(["| code | worth another try | kind |", "|---|---|---|", *rows])


def _kinds(faults: Fault) -> str:
    return ", ".join(str(kind.name).lower().replace("_", " ") for kind in faults & ~Fault.TRANSIENT)


def _metrics() -> str:
    rows = [f"| `tailrace_{name}` | {text} |" for name, text in GAUGES.items()]
    return "\n".join(["| gauge | what it says |", "|---|---|", *rows])


def _lint(dialect: str) -> str:
    """The linter's rules for a dialect's events."""
    rows = [f"| `{rule.name}` | {rule.demand} | {rule.clause} |" for rule in RULESETS[dialect].rules]
    return "\n".join(["| rule | what holds | says |", "|---|---|---|", *rows])


def _framing() -> str:
    """The linter's rules of form, with the dialects that have them."""
    dialects: dict[tuple[str, str], list[str]] = {}
    clauses: dict[tuple[str, str], dict[str, None]] = {}
    for ruleset in RULESETS.values():
        for rule in ruleset.framing.rules:
            dialects.setdefault((rule.name, rule.demand), []).append(ruleset.dialect)
            clauses.setdefault((rule.name, rule.demand), {})[rule.clause] = None
    rows = [
        f"| `{name}` | {demand} | {'all' if len(found) == len(RULESETS) else ', '.join(found)} "
        f"| {'; '.join(clauses[name, demand])} |"
        for (name, demand), found in dialects.items()
    ]
    return "\n".join(["| rule | what holds | in | says |", "|---|---|---|---|", *rows])


class _AnySearch:
    """Stands for a search provider, so that `web_search` is among the tools."""

    async def search(self, query: str, most: int) -> list[SearchHit]:
        """Never asked."""
        raise NotImplementedError


def _tools() -> str:
    """The built-in tools."""
    rows = [
        f"| `{tool.name}` | {_names(tool.aliases) or NONE} | {_first_paragraph(tool.description)} "
        f"| {_arguments(tool)} | {_limits(tool)} | {'yes' if tool.idempotent else 'no'} |"
        for tool in builtin_tools(search=_AnySearch()).tools
    ]
    head = "| tool | also | what it does | arguments | at most | may be run again |"
    return "\n".join([head, "|---|---|---|---|---|---|", *(" ".join(row.split()) for row in rows)])


def _first_paragraph(text: str) -> str:
    return text.partition("\n\n")[0]


def _arguments(tool: ToolDefinition) -> str:
    required = tool.parameters["required"]
    return " · ".join(f"`{name}{'' if name in required else '?'}`" for name in tool.parameters["properties"])


def _limits(tool: ToolDefinition) -> str:
    limits = tool.limits
    return f"{limits.timeout_s:g} s, {limits.output_bytes // 1024} KiB, {limits.parallel} at a time"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _packs() -> str:
    rows = [f"| `@{name}` | {_names(tools)} |" for name, tools in PACKS.items()]
    return "\n".join(["| pack | tools |", "|---|---|", *rows])


TABLES: dict[str, Callable[[], str]] = {
    "items": lambda: _structs(OutputItem),
    "parts": lambda: _structs(Part),
    "response": lambda: _plain(Response, Step, Approval, Resolution, Usage),
    "envelope": lambda: _plain(Event),
    "events": lambda: _structs(Payload),
    "grammar": _grammar,
    "codes": _codes,
    "metrics": _metrics,
    "framing": _framing,
    **{dialect: partial(_lint, dialect) for dialect in RULESETS},
    "tools": _tools,
    "packs": _packs,
    "gradient": lambda: ", ".join(map(str, GRADIENT)) + ", and so on by the last.",
}


def made(text: str) -> str:
    """`text` with its tables as they should be."""
    return _PLACE.sub(lambda match: f"{match[1]}{TABLES[match['name']]()}\n{match[3]}", text)


def documents() -> list[Path]:
    """The files that have tables in them."""
    return [path for path in sorted(DOCS.glob("*.md")) if _PLACE.search(path.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    for document in documents():
        document.write_text(made(document.read_text(encoding="utf-8")), encoding="utf-8")
