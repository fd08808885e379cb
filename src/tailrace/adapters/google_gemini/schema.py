"""JSON Schemas in the subset that Gemini takes, for a function's parameters and for an answer's form.

What only narrows a value, and what the subset cannot say at all, goes into the description, so that the model still
reads it: one odd tool must not cost the turn. Nothing given is changed.

Facts: https://ai.google.dev/api/generate-content#GenerationConfig (`responseJsonSchema`) and
https://ai.google.dev/gemini-api/docs/structured-output (the properties of each type), November 2026.
"""

from collections.abc import Callable
from typing import Any

from tailrace.schema import codec

Schema = dict[str, Any]

_FORMATS = frozenset({"date-time", "date", "time", "int32", "int64", "float", "double", "enum"})
_COPIED = ("title", "minItems", "maxItems", "minimum", "maximum", "required", "propertyOrdering")
_SILENT = frozenset({"$schema", "$id", "$anchor", "$comment", "deprecated", "readOnly", "writeOnly", "nullable"})
_TYPE_OF = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_OPEN: Schema = {"type": "object"}  # where a schema is too deep to be read


def google_schema(schema: Schema) -> Schema:
    """The same schema in Gemini's subset. The result is its own image: made fit again, it stays as it is."""
    try:
        return _node(schema)
    except RecursionError:
        return dict(_OPEN)


def _node(schema: object) -> Schema:
    """One (sub)schema; `true` and `false` are schemas, too, and the subset knows only the first."""
    if not isinstance(schema, dict):
        return {}
    schema = _merged(schema)
    fit: Schema = {}
    told: list[str] = []
    for key, value in schema.items():
        take = _TAKES.get(key)
        if take is not None and not (key == "oneOf" and "anyOf" in schema):
            for name, inner in take(value).items():
                fit[name] = {**fit.get(name, {}), **inner} if name == "$defs" else inner
        elif key not in _SILENT:
            told.append(f"{key}: {codec.encode(value).decode()}")
    _typed(schema, fit)
    _describe(schema, fit, [*told, *_untold(schema, fit)])
    return _apart(fit)


def _merged(schema: Schema) -> Schema:
    """With the one schema of an `allOf` drawn in, as generators write it around a reference."""
    whole = schema.get("allOf")
    if isinstance(whole, list) and len(whole) == 1 and isinstance(whole[0], dict):
        own = {key: value for key, value in schema.items() if key != "allOf"}
        if own.keys().isdisjoint(whole[0]):
            return {**whole[0], **own}
    return schema


def _typed(schema: Schema, fit: Schema) -> None:
    """The type, where it is said or follows from the values; OpenAPI's `nullable` is one more."""
    kinds = schema.get("type")
    names = [name for name in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(name, str)]
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not names and isinstance(values, list):
        names = [_TYPE_OF[type(value)] for value in values if type(value) in _TYPE_OF]
    nullable = schema.get("nullable") is True or (names and isinstance(values, list) and None in values)
    names = list(dict.fromkeys([*names, "null"] if nullable and names else names))
    if names:
        fit["type"] = names[0] if len(names) == 1 else names


def _untold(schema: Schema, fit: Schema) -> list[str]:
    """What was dropped of the keywords that the subset knows in part."""
    said = {"enum": fit.get("enum"), "format": fit.get("format"), "const": (fit.get("enum") or [None])[0]}
    if isinstance(schema.get("enum"), list) and None in schema["enum"] and fit.get("enum"):
        said["enum"] = schema["enum"]  # the type says that it may be null
    lost = [key for key, kept in said.items() if key in schema and schema[key] != kept]
    if schema.get("nullable") is True and "type" not in fit:
        lost.append("nullable")
    return [f"{key}: {codec.encode(schema[key]).decode()}" for key in lost]


def _describe(schema: Schema, fit: Schema, told: list[str]) -> None:
    own = [schema["description"]] if isinstance(schema.get("description"), str) else []
    lines = [*own, f"({', '.join(told)})"] if told else own
    if lines:
        fit["description"] = "\n".join(lines)


def _apart(fit: Schema) -> Schema:
    """Beside a reference nothing may stand: what does, stands around it."""
    if "$ref" not in fit or fit.keys() <= {"$ref", "$defs"}:
        return fit
    defs = {"$defs": fit["$defs"]} if "$defs" in fit else {}
    rest = {key: value for key, value in fit.items() if key in {"title", "description"}}
    return {**rest, **defs, "anyOf": [{"$ref": fit["$ref"]}]}


def _values(values: object) -> Schema:
    """Of listed values, the texts and numbers."""
    listed = values if isinstance(values, list) else []
    kept = [value for value in listed if isinstance(value, str | int | float) and not isinstance(value, bool)]
    return {"enum": kept} if kept else {}


def _table(key: str) -> Callable[[object], Schema]:
    def take(value: object) -> Schema:
        return {key: {name: _node(inner) for name, inner in value.items()}} if isinstance(value, dict) else {}

    return take


def _branches(key: str) -> Callable[[object], Schema]:
    def take(value: object) -> Schema:
        return {key: [_node(inner) for inner in value]} if isinstance(value, list) and value else {}

    return take


def _copy(key: str) -> Callable[[object], Schema]:
    return lambda value: {key: value}


def _reference(value: object) -> Schema:
    return {"$ref": str(value).replace("#/definitions/", "#/$defs/", 1)}


_TAKES: dict[str, Callable[[object], Schema]] = {
    **{key: _copy(key) for key in _COPIED},
    "$ref": _reference,
    "type": lambda value: {},  # _typed
    "description": lambda value: {},  # _describe
    "format": lambda value: {"format": value} if isinstance(value, str) and value in _FORMATS else {},
    "enum": _values,
    "const": lambda value: _values([value]),
    "properties": _table("properties"),
    "$defs": _table("$defs"),
    "definitions": _table("$defs"),
    "anyOf": _branches("anyOf"),
    "oneOf": _branches("anyOf"),
    "prefixItems": _branches("prefixItems"),
    "items": lambda value: _branches("prefixItems")(value) if isinstance(value, list) else {"items": _node(value)},
    "additionalProperties": lambda value: {"additionalProperties": value if isinstance(value, bool) else _node(value)},
}
