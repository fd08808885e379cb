"""Schemas in Gemini's subset: what it cannot say is told in words, and nothing given is changed."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.adapters.google_gemini.schema import google_schema

KNOWN = {
    "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems", "maxItems", "minimum",
    "maximum", "anyOf", "properties", "additionalProperties", "required", "propertyOrdering", "$defs", "$ref",
}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "fit"),
    [
        ({"type": "string", "minLength": 2}, {"type": "string", "description": "(minLength: 2)"}),
        (
            {"type": "string", "pattern": "^a", "default": "a", "description": "It."},
            {"type": "string", "description": 'It.\n(pattern: "^a", default: "a")'},
        ),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "string", "format": "uri"}, {"type": "string", "description": '(format: "uri")'}),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"const": True}, {"type": "boolean", "description": "(const: true)"}),
        ({"enum": ["a", 1]}, {"type": ["string", "integer"], "enum": ["a", 1]}),
        ({"enum": ["a", None]}, {"type": ["string", "null"], "enum": ["a"]}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"oneOf": [{"type": "string"}, True]}, {"anyOf": [{"type": "string"}, {}]}),
        ({"allOf": [{"$ref": "#/$defs/a"}]}, {"$ref": "#/$defs/a"}),
        ({"$ref": "#/definitions/a"}, {"$ref": "#/$defs/a"}),
        (
            {"$ref": "#/$defs/a", "description": "It.", "default": 1},
            {"description": "It.\n(default: 1)", "anyOf": [{"$ref": "#/$defs/a"}]},
        ),
        ({"definitions": {"a": True}, "$defs": {"b": {}}}, {"$defs": {"a": {}, "b": {}}}),
        ({"items": [{"type": "string"}]}, {"prefixItems": [{"type": "string"}]}),
        ({"not": {"type": "null"}}, {"description": '(not: {"type":"null"})'}),
        ({"type": "object", "additionalProperties": {"$comment": "x"}}, {"type": "object", "additionalProperties": {}}),
        ({"$schema": "s", "$comment": "c", "readOnly": True}, {}),
    ],
)
def test_a_schema_in_the_subset(schema, fit):
    """Kept, said in another way, or told in the description."""
    assert google_schema(schema) == fit


def test_a_schema_that_is_too_deep_is_left_open():
    """One odd tool does not cost the turn."""
    deep = {}
    for _ in range(5000):
        deep = {"items": deep}
    assert google_schema(deep) == {"type": "object"}


VALUES = st.sampled_from([None, True, 0, 1.5, "a", [], {}, ["a", None, True], {"a": {}}, [{}], [[]]])
WORDS = st.sampled_from([
    *sorted(KNOWN), "definitions", "oneOf", "allOf", "const", "nullable", "pattern", "default", "not", "$schema",
    "minLength", "if", "x-own",
])  # fmt: skip
SCHEMAS = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def subschemas(schema):
    yield schema
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from subschemas(schema[key])
    for key in ("anyOf", "prefixItems"):
        for inner in schema.get(key, ()):
            yield from subschemas(inner)
    for key in ("properties", "$defs"):
        for inner in schema.get(key, {}).values():
            yield from subschemas(inner)


@given(st.dictionaries(WORDS, SCHEMAS, max_size=5))
def test_any_schema_comes_out_in_the_subset_and_is_its_own_image(schema):
    """Whatever it says, however wrong: no other keyword, nothing beside a reference, and the same made fit again."""
    before = copy.deepcopy(schema)
    fit = google_schema(schema)
    assert schema == before
    assert google_schema(fit) == fit
    for each in subschemas(fit):
        assert each.keys() <= KNOWN
        assert "$ref" not in each or each.keys() <= {"$ref", "$defs"}
