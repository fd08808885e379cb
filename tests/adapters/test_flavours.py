"""Schemas for hosts that would refuse the whole request for one they do not like."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.adapters.flavours import FLAVOURS, flavoured
from tests.adapters.test_schemas import json_values, roots

TEXT = {"type": "string"}
UNIONS = ("anyOf", "oneOf", "allOf")


def within(schema):
    """What becomes of a schema as a property, at Moonshot."""
    return flavoured({"type": "object", "properties": {"at": schema}}, "moonshot")["properties"]["at"]


@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
def test_a_union_at_the_root_becomes_one_object(flavour):
    """What any branch has; required is what the root requires, and what each branch does."""
    one = {"properties": {"a": TEXT, "b": TEXT}, "required": ["b", "a"]}
    other = {"type": "object", "properties": {"b": TEXT, "c": TEXT}, "required": ["b"]}
    root = {"type": "object", "properties": {"z": TEXT}, "required": ["z"], "description": "It.", "anyOf": [one, other]}
    assert flavoured(root, flavour) == {
        "type": "object",
        "description": "It.",
        "properties": {"a": TEXT, "b": TEXT, "c": TEXT, "z": TEXT},
        "required": ["z", "b"],
    }
    exclusive = {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "anyOf": [{"required": ["a"]}]}
    assert flavoured(exclusive, flavour) == {"type": "object", "properties": {"a": TEXT, "b": TEXT}}


@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
def test_a_root_behind_references_is_found(flavour):
    """Also in unions inside a union; one that goes round ends."""
    root = {
        "oneOf": [{"$ref": "#/$defs/a"}, {"anyOf": [{"$ref": "#/$defs/b"}, {"$ref": "#/$defs/round"}]}, TEXT],
        "$defs": {
            "a": {"type": "object", "properties": {"a": TEXT}, "required": ["a"]},
            "b": {"type": "object", "properties": {"b": TEXT}},
            "round": {"anyOf": [{"$ref": "#/$defs/round"}, {"$ref": "#/$defs/a"}]},
        },
    }
    fit = flavoured(root, flavour)
    assert fit["type"] == "object"
    assert fit["properties"] == {"a": TEXT, "b": TEXT}


def test_all_of_requires_what_any_of_its_parts_does():
    """They hold at once."""
    parts = [{"properties": {"a": TEXT}, "required": ["a"]}, {"properties": {"b": TEXT}, "required": ["b"]}]
    assert flavoured({"allOf": parts}, "no-root-union")["required"] == ["a", "b"]


@pytest.mark.parametrize(
    ("schema", "fit"),
    [
        ({}, TEXT),
        ({"description": "It."}, {"type": "string", "description": "It."}),
        ({"enum": [1, 2]}, {"type": "integer", "enum": [1, 2]}),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"properties": {"n": {}}}, {"type": "object", "properties": {"n": TEXT}}),
        ({"items": {}}, {"type": "array", "items": TEXT}),
        ({"type": "array", "items": [TEXT, {}]}, {"type": "array", "items": {"anyOf": [TEXT, TEXT]}}),
        ({"type": "string", "anyOf": [{"minLength": 1}]}, {"anyOf": [{"type": "string", "minLength": 1}]}),
        ({"oneOf": [TEXT, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}),
        ({"type": ["string", "null"], "title": "T"}, {"title": "T", "anyOf": [TEXT, {"type": "null"}]}),
        (
            {"type": ["string", "null"], "enum": ["a", None]},
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null", "enum": [None]}]},
        ),
        ({"$ref": "#/$defs/t"}, {"$ref": "#/$defs/t"}),
        ({"$ref": "#/$defs/t", "description": "It."}, {"description": "It.", "anyOf": [{"$ref": "#/$defs/t"}]}),
    ],
)
def test_moonshots_own_json_schema(schema, fit):
    """A type everywhere, in the branches of a union and not beside it; nothing beside a reference."""
    assert within(schema) == fit


def schemas_in(schema):
    """A schema and all in it."""
    yield schema
    for key in ("properties", "$defs"):
        for each in schema.get(key, {}).values():
            yield from schemas_in(each)
    for each in [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])]:
        yield from schemas_in(each)


@given(schema=roots)
def test_what_moonshot_is_sent_is_its_kind_of_schema(schema):
    """By its rules; made fit again it stays as it is, and what was given is as it was."""
    before = deepcopy(schema)
    fit = flavoured(schema, "moonshot")
    assert schema == before
    assert flavoured(fit, "moonshot") == fit
    for each in schemas_in(fit):
        if "$ref" in each:
            assert set(each) == {"$ref"}
        else:
            assert ("type" in each) != ("anyOf" in each)
            assert not isinstance(each.get("type"), list)
        assert not {"oneOf", "allOf", "const"} & set(each)


@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
@given(values=st.dictionaries(st.sampled_from([*UNIONS, "properties", "required", "$defs", "type"]), json_values))
def test_whatever_is_given_there_is_an_object(flavour, values):
    """A schema that is none makes no error; the root is an object without a union."""
    fit = flavoured(values, flavour)
    assert fit["type"] == "object"
    assert not set(UNIONS) & set(fit)
