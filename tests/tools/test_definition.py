"""A function with types and a docstring is a tool: its schema, its validation, its documentation, what it does."""

from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from tailrace.schema import codec
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.request import CustomTool, Tool
from tailrace.tools import Limits, ToolContext, ToolDefinition, tool
from tailrace.tools.errors import InvalidArguments, InvalidTool
from tests.support.tools import Bench


class Stop(Struct):
    """Where a journey stops."""

    city: str
    nights: Annotated[int, Meta(ge=1)] = 1


@tool(idempotent=True, limits=Limits(timeout_s=5))
def journey(
    context: ToolContext, stops: list[Stop], by: Literal["train", "bike"] = "train", note: str | None = None
) -> str:
    """Plan a journey.

    It is only planned, not booked.

    Args:
        stops: Where to stop, in order.
        by: How to
            travel.

    Examples:
        {"stops": [{"city": "Ghent"}], "by": "bike"}
    """
    return f"{by}: {', '.join(stop.city for stop in stops)} {note} {context.call_id}"


def test_the_schema_is_made_of_the_signature():
    """Types, constraints, defaults and the docstring's descriptions; the context is no part of it."""
    offer = journey.offer()
    assert isinstance(offer, Tool)
    assert offer.parameters == {
        "type": "object",
        "properties": {
            "stops": {
                "type": "array",
                "items": {"$ref": "#/$defs/Stop"},
                "description": "Where to stop, in order.",
            },
            "by": {"enum": ["bike", "train"], "description": "How to travel.", "default": "train"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["stops"],
        "additionalProperties": False,
        "$defs": {
            "Stop": {
                "title": "Stop",
                "description": "Where a journey stops.",
                "type": "object",
                "properties": {"city": {"type": "string"}, "nights": {"type": "integer", "minimum": 1, "default": 1}},
                "required": ["city"],
            }
        },
    }


def test_the_description_is_the_docstrings():
    """All of it but the arguments, which the schema has; and the examples."""
    assert journey.description == (
        "Plan a journey.\n\nIt is only planned, not booked.\n\n"
        'Examples of arguments:\n{"stops": [{"city": "Ghent"}], "by": "bike"}'
    )


async def test_a_call_is_the_function_called(tmp_path):
    """Arguments come as the types that the function wants, the context under whatever name."""
    bench = Bench(tmp_path, journey)
    answer = await bench.call("journey", {"stops": [{"city": "Ghent"}, {"city": "Lille"}], "note": "soon"})
    assert answer.text == "train: Ghent, Lille soon c1"
    assert answer.success


@pytest.mark.parametrize(
    ("arguments", "field", "said"),
    [
        ('{"stops": [{"city": "Ghent", "nights": 0}]}', "stops[0].nights", ">= 1"),
        ('{"stops": [{"city": "Ghent"}], "by": "car"}', "by", "car"),
        ('{"by": "bike"}', "stops", "missing"),
        ('{"stops": [], "color": "red"}', "color", "unknown"),
        ('{"stops": "Ghent"}', "stops", "Expected `array`"),
        ("[]", None, "Expected `object`"),
        ('{"stops": [{"ci', None, "truncated"),
        ("plan it", None, "malformed"),
    ],
)
async def test_c17_malformed_arguments_are_not_executed_but_named(tmp_path, arguments, field, said):
    """The function is not called; the answer says which field is wrong, and how."""
    called = []

    @tool(name="journey")
    def other(stops: list[Stop], by: Literal["train", "bike"] = "train") -> None:
        """Plan a journey."""
        called.append((stops, by))

    with pytest.raises(InvalidArguments) as error:
        other.parse(arguments)
    assert error.value.field == field
    answer = await Bench(tmp_path, other).call("journey", arguments)
    assert (answer.success, answer.error, called) == (False, "invalid_arguments", [])
    assert said in answer.text
    assert (field or "") in answer.text


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
async def test_c16_a_tool_without_arguments_is_called_with_none(tmp_path, arguments):
    """Some providers send no text at all where there is nothing to say."""

    @tool
    def now() -> str:
        """Say what time it is."""
        return "noon"

    assert (await Bench(tmp_path, now).call("now", arguments)).text == "noon"
    assert now.offer().parameters == {
        "type": "object", "properties": {}, "required": [], "additionalProperties": False,
    }  # fmt: skip


async def test_null_leaves_out_what_may_be_left_out(tmp_path):
    """Strict schemas know no other way; where `null` has a meaning of its own, it keeps it."""
    bench = Bench(tmp_path, journey)
    answer = await bench.call("journey", '{"stops": [], "by": null, "note": null}')
    assert answer.text == "train:  None c1"
    assert (await bench.call("journey", '{"stops": null}')).error == "invalid_arguments"


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ("plain", "plain"),
        (None, "Done."),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([Stop("Ghent")], '[{"city":"Ghent","nights":1}]'),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_what_a_function_returns_becomes_text(tmp_path, returned, text, is_async):
    """Text as it is, all else as JSON; async or not."""

    def plain() -> Any:
        """Say it."""
        return returned

    async def waiting() -> Any:
        """Say it."""
        return returned

    made = tool(name="say")(waiting if is_async else plain)
    answer = await Bench(tmp_path, made).call("say")
    assert (answer.text, answer.success) == (text, True)


def test_a_free_text_tool_takes_its_one_argument_as_it_stands():
    """Called as a custom tool, the whole text is the argument; as a function, it is JSON."""

    @tool(free_text={"type": "text"})
    def poem(text: str) -> str:
        """Keep a poem."""
        return text

    assert poem.offer("verse") == CustomTool(name="verse", description="Keep a poem.", format={"type": "text"})
    custom = FunctionCallItem(id="i", name="poem", arguments='"roses"\n{}', call_id="c", kind="custom")
    assert poem.arguments_of(custom) == {"text": '"roses"\n{}'}
    with pytest.raises(InvalidArguments):
        journey.arguments_of(custom)


def _no_docstring(a: int) -> None: ...


def _no_type(a) -> None:
    """Do it."""


def _drifted(path: str) -> None:
    """Do it.

    Args:
        file_path: The file.
    """


def _bad_example(count: int) -> None:
    """Do it.

    Examples:
        {"count": "three"}
    """


def _many(*paths: str) -> None:
    """Do it."""


def _no_json(when: type) -> None:
    """Do it."""


def _unknown_type(when: "Yesterday") -> None:  # noqa: F821  # that is the point
    """Do it."""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_no_docstring, "has no docstring"),
        (_no_type, "a: has no type"),
        (_drifted, "describes file_path"),
        (_bad_example, "an example of its docstring"),
        (_many, "paths: cannot be given by name"),
        (_no_json, "_no_json"),
        (_unknown_type, "name 'Yesterday' is not defined"),
    ],
)
def test_c28_a_docstring_that_does_not_fit_its_function_makes_no_tool(function, said):
    """Description and implementation cannot drift apart: each is checked against the other, examples are parsed."""
    with pytest.raises(InvalidTool, match=said):
        tool(function)


@pytest.mark.parametrize(
    "limits", [{"timeout_s": 0}, {"timeout_s": float("nan")}, {"output_bytes": -1}, {"parallel": 0}]
)
def test_c13_a_limit_that_is_none_is_refused(limits):
    """A cap of nothing, or of NaN, would let nothing or anything pass."""
    with pytest.raises(InvalidTool, match=rf"^{next(iter(limits))}: must be more than 0"):
        Limits(**limits)


def test_a_definition_may_be_made_without_a_function():
    """As tools from elsewhere are: a schema, something that reads arguments, something that runs."""

    async def call(arguments, context):
        raise NotImplementedError

    made = ToolDefinition(
        name="elsewhere__look",
        description="Look.",
        parameters={"type": "object"},
        parse=lambda text: codec.decode(text, dict),
        call=call,
    )
    assert made.offer() == Tool(name="elsewhere__look", description="Look.", parameters={"type": "object"})
