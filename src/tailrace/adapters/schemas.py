"""JSON Schemas made fit for providers that constrain what a model writes to a subset of the language.

Structured outputs want every object closed and know few keywords. What only narrows a value and is not known goes into
the description, so that the model still reads it. What changes what a value may be (an open map, `allOf`, a tuple, …)
cannot be left out: then the answer is None, and the schema is used as it is, without strictness. One odd tool must not
cost the turn. Nothing given is changed.

Facts: https://platform.openai.com/docs/guides/structured-outputs (supported schemas),
https://platform.claude.com/docs/en/build-with-claude/structured-outputs (JSON Schema limitations), November 2026.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson

Schema = dict[str, Any]

# The most there may be of each (OpenAI's limits; Anthropic names none).
MOST_PROPERTIES = 5000
MOST_LEVELS = 10
MOST_VALUES = 1000


@dataclass(frozen=True, slots=True)
class Subset:
    """What a provider takes: the narrowing keywords and the formats that it knows.

    `all_required`: it has no optional properties; one that is optional may be null instead. `recursive`: may a schema
    refer to itself?
    """

    narrowing: tuple[str, ...]
    formats: tuple[str, ...]
    all_required: bool
    recursive: bool


_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_BOUNDS = ("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems")

OPENAI = Subset(narrowing=("pattern", "format", *_BOUNDS), formats=_FORMATS, all_required=True, recursive=True)
ANTHROPIC = Subset(narrowing=("format",), formats=(*_FORMATS, "uri"), all_required=False, recursive=False)

NULL: Schema = {"type": "null"}

_KEPT = ("title", "description", "enum", "const")
# What only narrows, or only tells: it can be said in words instead.
_TELLING = (
    "pattern", "format", *_BOUNDS, "minLength", "maxLength", "uniqueItems", "minProperties", "maxProperties",
    "default", "examples", "contentEncoding", "contentMediaType",
)  # fmt: skip
_SILENT = ("$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly")
_STRUCTURE = (
    "type", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf", "$ref", "$defs", "definitions",
)  # fmt: skip
_KNOWN = frozenset({*_KEPT, *_TELLING, *_SILENT, *_STRUCTURE})
_BESIDE_REFERENCE = frozenset({"$ref", "title", "description", "default", *_SILENT})
_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_TYPE_OF = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


class _Unfit(Exception):
    """The schema says what the subset has no words for."""


def strict_schema(schema: Schema, subset: Subset) -> Schema | None:
    """The same schema in the words of the subset; None where it has none. The root must be an object.

    The result is its own image: made fit again, it stays as it is.
    """
    try:
        return _strict_schema(codec.encode(schema), subset) if schema.get("type") == "object" else None
    except (RecursionError, TypeError, OverflowError):  # it cannot be said as JSON either
        return None


@lru_cache(maxsize=256)
def _strict_schema(schema: bytes, subset: Subset) -> Schema | None:
    """From JSON, because the same tools come in every request. Whoever has the result leaves it as it is."""
    try:
        root = codec.decode_any(schema)
        return _Fitting(root, subset).node(root, 1)
    except (_Unfit, InvalidJson, RecursionError):
        return None


class _Fitting:
    """One schema on its way into a subset. Each step raises _Unfit where there is none."""

    def __init__(self, root: Schema, subset: Subset) -> None:
        self._root = root
        self._subset = subset
        self._properties = 0
        self._values = 0

    def node(self, schema: object, level: int) -> Schema:
        """One (sub)schema in the subset's words; `level` counts the objects around it and it."""
        known = _table(schema)
        _require(known.keys() <= _KNOWN)
        if "$ref" in known:
            return self._reference(known)
        fit = self._told(known)
        if "anyOf" in known or "oneOf" in known:
            fit["anyOf"] = self._branches(known, level)
        else:
            self._typed(known, fit, level)
        for key in ("$defs", "definitions"):
            if key in known:
                fit[key] = {name: self.node(each, 1) for name, each in _table(known[key]).items()}
        return fit

    def _told(self, schema: Schema) -> Schema:
        """What is kept as it is; of what the subset has no keyword for, the description tells."""
        fit = {key: schema[key] for key in _KEPT if key in schema}
        if "const" in fit:  # which not every host knows
            fit["enum"] = [fit.pop("const")]
        lines: list[str] = []
        for key in _TELLING:
            if key not in schema:
                continue
            if key in self._subset.narrowing and (key != "format" or schema[key] in self._subset.formats):
                fit[key] = schema[key]
            else:
                lines.append(f"{key}: {codec.encode(schema[key]).decode()}")
        if lines:
            own = [str(schema["description"])] if schema.get("description") else []
            fit["description"] = "\n".join([*own, f"({', '.join(lines)})"])
        return fit

    def _branches(self, schema: Schema, level: int) -> list[Schema]:
        """One of several schemas, and nothing but that: the subset cannot say both at once."""
        branches = _list(schema.get("anyOf", schema.get("oneOf")))
        _require(bool(branches))
        _require({"anyOf", "oneOf"} & schema.keys() != {"anyOf", "oneOf"})
        _require({"type", "enum", "const", "properties", "items"}.isdisjoint(schema))
        return [self.node(branch, level) for branch in branches]

    def _typed(self, schema: Schema, fit: Schema, level: int) -> None:
        types = fit["type"] = schema.get("type") or _types_of(schema)
        names = types if isinstance(types, list) else [types]
        _require(all(name in _TYPES for name in names))
        self._values += len(_list(schema.get("enum", [])))
        _require(self._values <= MOST_VALUES)
        if "object" in names:
            fit.update(self._object(schema, level))
        if "array" in names:
            fit["items"] = self.node(schema.get("items"), level)

    def _object(self, schema: Schema, level: int) -> Schema:
        """A closed object. One that is left open, or that does not say what it holds, is a map: that is unfit."""
        properties = _table(schema.get("properties", {}))
        required = [str(name) for name in _list(schema.get("required", []))]
        closed = schema.get("additionalProperties")
        _require(closed is False or (closed is None and "properties" in schema))
        _require(set(required) <= properties.keys() and level <= MOST_LEVELS)
        self._properties += len(properties)
        _require(self._properties <= MOST_PROPERTIES)
        fit = {name: self.node(each, level + 1) for name, each in properties.items()}
        if self._subset.all_required:
            fit = {name: each if name in required else _or_null(each) for name, each in fit.items()}
            required = list(fit)
        return {"properties": fit, "required": required, "additionalProperties": False}

    def _reference(self, schema: Schema) -> Schema:
        """A reference to a definition of the root's. Nothing may stand beside it: what does, stands around it."""
        ref = schema["$ref"]
        _require(ref == "#" or self._definition(ref) is not None)
        _require(self._subset.recursive or not self._returns(ref))
        _require(schema.keys() <= _BESIDE_REFERENCE)
        told = self._told(schema)
        return {**told, "anyOf": [{"$ref": ref}]} if told else {"$ref": ref}

    def _definition(self, ref: object) -> object:
        """What `#/$defs/name` or `#/definitions/name` refers to."""
        root, _, path = str(ref).partition("/")
        key, _, name = path.partition("/")
        table = self._root.get(key) if root == "#" and key in {"$defs", "definitions"} else None
        return table.get(name) if isinstance(table, dict) else None

    def _returns(self, ref: object) -> bool:
        """Does whoever follows this reference come by it again?"""
        if ref == "#":
            return True
        waiting, seen = _references(self._definition(ref)), set[str]()
        while waiting:
            other = waiting.pop()
            if other in {ref, "#"}:
                return True
            if other not in seen:
                seen.add(other)
                waiting += _references(self._definition(other))
        return False


def _require(condition: bool) -> None:
    if not condition:
        raise _Unfit


def _table(value: object) -> Schema:
    if not isinstance(value, dict):
        raise _Unfit
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise _Unfit
    return value


def _types_of(schema: Schema) -> str | list[str]:
    """The types of the values that are listed; there must be some, and none but scalars."""
    values = [schema["const"]] if "const" in schema else _list(schema.get("enum"))
    names = list(dict.fromkeys(_TYPE_OF.get(type(value), "") for value in values))
    _require(bool(names) and "" not in names)
    return names[0] if len(names) == 1 else names


def _references(value: object) -> list[str]:
    """The references anywhere in a schema."""
    if isinstance(value, list):
        return [ref for each in value for ref in _references(each)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [ref for each in value.values() for ref in _references(each)]


def _or_null(schema: Schema) -> Schema:
    """The same, or null."""
    types, branches = schema.get("type"), schema.get("anyOf", [])
    if NULL in branches or types == "null" or (isinstance(types, list) and "null" in types):
        return schema
    return {"anyOf": [*branches, NULL]} if schema.keys() == {"anyOf"} else {"anyOf": [schema, NULL]}
