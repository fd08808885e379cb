"""Schemas in the subsets of providers that hold the model to them."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.adapters.schemas import ANTHROPIC, MOST_LEVELS, OPENAI, strict_schema
from tailrace.adapters.wires import WIRES
from tailrace.schema.request import Tool
from tests.support.items import ask, user

TEXT = {"type": "string"}
SUBSETS = [OPENAI, ANTHROPIC]


def an_object(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def or_null(schema):
    return {"anyOf": [schema, {"type": "null"}]}


def within(subset, schema):
    """What becomes of a schema as a property."""
    fit = strict_schema(an_object(["at"], at=schema), subset)
    return fit["properties"]["at"] if fit else None


def test_what_is_fit_stays_as_it_is():
    """Closed, with all its properties required."""
    schema = an_object(["at", "of"], at=TEXT, of={"type": "array", "items": an_object(["n"], n={"type": "integer"})})
    for subset in SUBSETS:
        assert strict_schema(schema, subset) == schema


def test_optional_properties_may_be_null_where_all_are_required():
    """And stay optional elsewhere; the object is closed either way."""
    schema = {"type": "object", "properties": {"at": TEXT, "to": TEXT}, "required": ["at"]}
    assert strict_schema(schema, OPENAI) == an_object(["at", "to"], at=TEXT, to=or_null(TEXT))
    assert strict_schema(schema, ANTHROPIC) == an_object(["at"], at=TEXT, to=TEXT)
    nullable = {"type": ["string", "null"]}
    assert strict_schema(an_object(at=nullable), OPENAI) == an_object(["at"], at=nullable)


def test_what_only_narrows_is_told_in_words():
    """Nothing that the model could heed is lost; what the subset knows is kept."""
    schema = {"type": "integer", "description": "A count.", "minimum": 1, "default": 3}
    assert within(OPENAI, schema) == {"type": "integer", "minimum": 1, "description": "A count.\n(default: 3)"}
    assert within(ANTHROPIC, schema) == {"type": "integer", "description": "A count.\n(minimum: 1, default: 3)"}
    assert within(OPENAI, {**TEXT, "format": "uri"}) == {**TEXT, "description": '(format: "uri")'}
    assert within(OPENAI, {**TEXT, "format": "date"}) == {**TEXT, "format": "date"}


def test_listed_values_have_their_type():
    """Which structured outputs want to be said."""
    assert within(OPENAI, {"enum": ["a", None]}) == {"enum": ["a", None], "type": ["string", "null"]}
    assert within(OPENAI, {"const": 7}) == {"enum": [7], "type": "integer"}


def test_one_of_becomes_any_of():
    """The nearest that the subset has."""
    branches = [TEXT, {"type": "integer"}]
    assert within(OPENAI, {"oneOf": branches, "title": "At"}) == {"anyOf": branches, "title": "At"}


def test_references_stand_alone():
    """What stands beside one, stands around it; definitions are made fit, too."""
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree", "description": "More."}}}
    schema = {**an_object(["root"], root={"$ref": "#/$defs/tree"}), "$defs": {"tree": tree}}
    fit = strict_schema(schema, OPENAI)
    more = {"description": "More.", "anyOf": [{"$ref": "#/$defs/tree"}]}
    assert fit["$defs"]["tree"] == an_object(["next"], next=or_null(more))
    assert fit["properties"]["root"] == {"$ref": "#/$defs/tree"}
    assert strict_schema(schema, ANTHROPIC) is None  # it refers to itself
    plain = {**an_object(["a"], a={"$ref": "#/definitions/t"}), "definitions": {"t": TEXT}}
    assert strict_schema(plain, ANTHROPIC) == plain


def nested(levels):
    schema = an_object()
    for _ in range(levels - 1):
        schema = an_object(["in"], **{"in": schema})
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"type": "object"},  # an open map
        {"anyOf": [an_object()]},
        an_object(at={}),
        an_object(at={"type": "object", "additionalProperties": TEXT}),
        an_object(at={"type": "object", "properties": {}, "additionalProperties": True}),
        an_object(at={"type": "object", "patternProperties": {}}),
        an_object(at={"type": "array"}),
        an_object(at={"type": "array", "items": [TEXT]}),
        an_object(at={"type": "array", "prefixItems": [TEXT]}),
        an_object(at={"type": "any"}),
        an_object(at={"enum": []}),
        an_object(at={"enum": [{}]}),
        an_object(at={"anyOf": []}),
        an_object(at={"type": "string", "anyOf": [TEXT]}),
        an_object(at={"allOf": [TEXT]}),
        an_object(at={"not": TEXT}),
        an_object(at=True),
        an_object(at={"$ref": "https://host/schema"}),
        an_object(at={"$ref": "#/$defs/none"}),
        an_object(at={"$ref": "#", "type": "string"}),
        an_object(at={"$ref": 7}),
        {**an_object(), "$defs": []},
        an_object(["missing"]),
        {"type": "object", "properties": 7},
        nested(MOST_LEVELS + 1),
        nested(2000),
        an_object(**{f"p{number}": TEXT for number in range(5001)}),
        an_object(at={"type": "integer", "enum": list(range(1001))}),
    ],
)
def test_what_the_subset_has_no_words_for_is_left_alone(schema):
    """None, never an error."""
    for subset in SUBSETS:
        assert strict_schema(schema, subset) is None


def test_the_greatest_that_fits():
    """The limits themselves are allowed."""
    assert strict_schema(nested(MOST_LEVELS), OPENAI) is not None


@pytest.mark.parametrize("wire", sorted({*WIRES} - {"google-gemini"}))  # that one knows no strictness
def test_one_odd_tool_does_not_cost_the_others_their_strictness(wire):
    """It is offered as it is, without."""
    odd = {"type": "object", "additionalProperties": {"type": "string"}}
    tools = [Tool(name="odd", parameters=odd, strict=True), Tool(name="fit", parameters=an_object(), strict=True)]
    body = WIRES[wire].build(ask(user(), tools=tools), {})
    first, second = body.get("toolConfig", body)["tools"]
    first, second = (tool.get("function", tool.get("toolSpec", tool)) for tool in (first, second))
    assert not first.get("strict")
    schema = first.get("parameters", first.get("input_schema", first.get("inputSchema")))
    assert schema.get("json", schema) == odd
    assert second.get("strict") is (None if wire == "ollama" else True)  # it knows no strictness


# --- laws -------------------------------------------------------------------------------------------------------

words = st.sampled_from([
    {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": ["string", "null"]}, {"type": "null"},
    {"enum": ["a", 1]}, {"const": True}, {"$ref": "#/$defs/d"}, {"$ref": "#/$defs/d", "title": "D"},
    {"type": "string", "minLength": 2, "description": "It."}, {"allOf": []}, {},
])  # fmt: skip


def grown(inner):
    names = st.sampled_from(["a", "b", "c"])
    objects = st.builds(
        lambda properties, required, closed: {
            "type": "object",
            "properties": properties,
            "required": [name for name in required if name in properties],
            **closed,
        },
        st.dictionaries(names, inner, max_size=3),
        st.lists(names, unique=True),
        st.sampled_from([{}, {}, {"additionalProperties": False}, {"additionalProperties": True}]),
    )
    arrays = st.builds(lambda items: {"type": "array", "items": items, "uniqueItems": True}, inner)
    branches = st.builds(
        lambda each, key: {key: each}, st.lists(inner, max_size=3), st.sampled_from(["anyOf", "oneOf"])
    )
    return st.one_of(objects, arrays, branches)


roots = st.builds(
    lambda at, of: {"type": "object", "properties": {"at": at, "of": of}, "required": ["of"], "$defs": {"d": TEXT}},
    st.recursive(words, grown, max_leaves=8),
    st.recursive(words, grown, max_leaves=4),
)


def objects_in(schema):
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for each in schema.values():
            yield from objects_in(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from objects_in(each)


@given(schema=roots)
@pytest.mark.parametrize("subset", SUBSETS)
def test_a_fit_schema_is_closed_and_its_own_image(subset, schema):
    """And the one given is as it was."""
    before = deepcopy(schema)
    fit = strict_schema(schema, subset)
    assert schema == before
    if fit is None:
        return
    assert strict_schema(fit, subset) == fit
    for each in objects_in(fit):
        assert each["additionalProperties"] is False
        assert set(each["required"]) <= set(each["properties"])
        assert not subset.all_required or set(each["required"]) == set(each["properties"])


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "properties", "items", "required", "enum", "anyOf", "$ref", "$defs", "format"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(values=st.dictionaries(st.sampled_from(["properties", "required", "$defs", "enum", "title"]), json_values))
@pytest.mark.parametrize("subset", SUBSETS)
def test_whatever_is_given_there_is_an_answer(subset, values):
    """A schema that is none is not fit; no error comes of it."""
    fit = strict_schema({"type": "object", **values}, subset)
    assert fit is None or strict_schema(fit, subset) == fit
