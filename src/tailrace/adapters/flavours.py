"""The schemas of tools as hosts want them that refuse a whole request for one schema they do not like.

Unlike strictness (schemas.py), this is no choice: what a host cannot take is said more loosely, and the rest stays as
it was. So a tool may be called with less than it asked for, which its own check finds; never is a turn lost over it.
Nothing given is changed.

Facts: https://platform.moonshot.ai/docs (Moonshot Flavored JSON Schema: each schema has a type, which stands in the
branches of a union and not beside it; nothing stands beside a reference), https://docs.x.ai (the root of a tool's
parameters is an object and no union), November 2026, and what both hosts answer where it is not so.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from tailrace.schema import codec

Schema = dict[str, Any]

_UNIONS = ("anyOf", "oneOf", "allOf")
_SCHEMAS = ("items", "additionalProperties", "not")
_TABLES = ("properties", "$defs", "definitions", "patternProperties")
_TELLING = ("title", "description", "default")
_TYPE_OF = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def object_root(schema: Schema) -> Schema:
    """The schema with an object, and no union, at its root: what the branches have is put together.

    Required is what the root requires, and what each branch does (all of what any does, in `allOf`).
    """
    if schema.get("type") == "object" and not any(key in schema for key in _UNIONS):
        return schema
    united = {key: value for key, value in schema.items() if key not in {*_UNIONS, "type"}}
    properties, required = dict(_table(united.get("properties"))), _names(united.get("required"))
    for key in _UNIONS:
        branches = [branch for branch in _objects(schema, schema.get(key), set()) if "properties" in branch]
        for branch in branches:
            properties = {**_table(branch["properties"]), **properties}
        wanted = [_names(branch.get("required")) for branch in branches]
        if wanted:
            shared = set[str]().union(*wanted) if key == "allOf" else set(wanted[0]).intersection(*wanted[1:])
            required += sorted(shared - set(required))
    known = [name for name in required if name in properties]
    return {**united, "type": "object", "properties": properties, **({"required": known} if known else {})}


def moonshot(schema: Schema) -> Schema:
    """The schema in Moonshot's own kind of JSON Schema."""
    return _moonshot(object_root(schema))


# What a host's row may ask for (`schemas` in its wire's quirks). Another subset is a function here, and a name.
FLAVOURS: dict[str, Callable[[Schema], Schema]] = {"moonshot": moonshot, "no-root-union": object_root}


def flavoured(schema: Schema, flavour: str) -> Schema:
    """The schema as the hosts of this flavour take it: a key of FLAVOURS, or "" for those that take any."""
    if not flavour:
        return schema
    try:
        return _flavoured(codec.encode(schema), flavour)
    except RecursionError:  # too deep for any host
        return schema


@lru_cache(maxsize=256)
def _flavoured(schema: bytes, flavour: str) -> Schema:
    """From JSON, because the same tools come in every request. Whoever has the result leaves it as it is."""
    return FLAVOURS[flavour](codec.decode_any(schema))


def _moonshot(schema: Schema) -> Schema:
    if "$ref" in schema:
        told, reference = _only(schema, _TELLING), {"$ref": schema["$ref"]}
        return {**told, "anyOf": [reference]} if told else reference
    fit = {key: _inside(key, value) for key, value in schema.items()}
    if "const" in fit:
        fit["enum"] = [fit.pop("const")]
    if isinstance(fit.get("items"), list):  # a tuple
        fit["items"] = {"anyOf": fit["items"]} if fit["items"] else {"type": "string"}
    branches = [branch for key in _UNIONS for branch in fit.pop(key, None) or ()]
    types = fit.get("type")
    if branches:
        fit.pop("type", None)
        return {**fit, "anyOf": [_typed(branch, types) for branch in branches]}
    if isinstance(types, list):
        rest = {key: value for key, value in fit.items() if key not in _TELLING}
        return {**_only(fit, _TELLING), "anyOf": [{**_of_type(rest, each), "type": each} for each in types]}
    return _typed(fit)


def _only(schema: Schema, keys: tuple[str, ...]) -> Schema:
    return {key: schema[key] for key in keys if key in schema}


def _inside(key: str, value: Any) -> Any:
    """What stands at a keyword of a schema: fit where it is a schema, or holds some."""
    if key in _TABLES and isinstance(value, dict):
        return {name: _moonshot(_table(each)) for name, each in value.items()}
    if key in _SCHEMAS and isinstance(value, dict):
        return _moonshot(value)
    if key in _UNIONS or (key == "items" and isinstance(value, list)):
        return [_moonshot(each) for each in _dicts(value)]
    return value


def _typed(schema: Schema, given: Any = None) -> Schema:
    """The schema with a type: its own, the one it was `given` from around it, what it shows, or else text."""
    if "type" in schema or "anyOf" in schema or "$ref" in schema:
        return schema
    if given is not None and not isinstance(given, list):
        return {"type": given, **schema}
    if "properties" in schema or "required" in schema:
        return {"type": "object", **schema}
    if "items" in schema:
        return {"type": "array", **schema}
    values = schema.get("enum")
    names = {_TYPE_OF.get(type(value), "string") for value in values} if isinstance(values, list) else set()
    return {"type": names.pop() if len(names) == 1 else "string", **schema}


def _of_type(schema: Schema, name: Any) -> Schema:
    """Of a schema of several types, what belongs to this one."""
    if "enum" not in schema:
        return schema
    return {**schema, "enum": [value for value in schema["enum"] if _TYPE_OF.get(type(value)) == name]}


def _objects(root: Schema, branches: Any, seen: set[str]) -> Iterator[Schema]:
    """The objects among the branches of a union, those in unions inside it and behind references, too: once each."""
    for branch in _dicts(branches):
        ref = branch.get("$ref")
        if isinstance(ref, str):
            if ref in seen:
                continue
            seen.add(ref)
        target = branch if ref is None else _referred(root, ref)
        nested = [each for key in _UNIONS for each in _objects(root, target.get(key), seen)]
        if "properties" in target or not nested:
            yield target
        yield from nested


def _referred(root: Schema, ref: Any) -> Schema:
    """What `#/$defs/name` or `#/definitions/name` refers to; {} for any other reference."""
    start, _, path = str(ref).partition("/")
    key, _, name = path.partition("/")
    return _table(_table(root.get(key)).get(name)) if start == "#" else {}


def _table(value: Any) -> Schema:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[Schema]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
