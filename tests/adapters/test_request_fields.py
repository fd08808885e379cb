"""Each field of a request is said in a wire's words or refused by its name: none is dropped in silence."""

import pytest

from tailrace.adapters.wires import WIRES, check
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import FilePart
from tailrace.schema.request import CustomTool, Generation, HostedTool, NamedToolChoice, OutputFormat, Tool
from tests.support.items import ask, user

LOOK = Tool(name="look")
ALL = sorted(WIRES)
NAMED = {wire: NamedToolChoice(name="look") for wire in ALL}

# A value of each field that asks for something.
ASKED = {
    "instructions": "be kind",
    "tools": [LOOK, Tool(name="go")],
    "tool_choice": "none",
    "parallel_tool_calls": False,
    "max_tool_calls": 3,
    "reasoning_effort": "high",
    "reasoning_summary": "detailed",
    "thinking_budget": 2048,
    "max_output_tokens": 99,
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 5,
    "stop": ["END"],
    "seed": 7,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "top_logprobs": 2,
    "output_format": OutputFormat(type="json_schema", name="n", schema={"type": "object", "properties": {}}),
    "verbosity": "low",
    "service_tier": "default",
    "prompt_cache_key": "k",
    "user": "u",
}
# What the harness keeps itself, and a hint without which the answer is the same.
UNSAID = {
    ("anthropic-messages", "max_tool_calls"),
    ("bedrock-converse", "max_tool_calls"),
    ("ollama", "max_tool_calls"),
    ("openai-chat-completions", "max_tool_calls"),
    ("anthropic-messages", "prompt_cache_key"),
    ("bedrock-converse", "prompt_cache_key"),
    ("ollama", "prompt_cache_key"),
    ("openai-chat-completions", "prompt_cache_key"),
    ("google-gemini", "max_tool_calls"),
    ("google-gemini", "prompt_cache_key"),
    ("google-gemini", "user"),
    ("ollama", "user"),
}


def test_the_table_above_has_every_field():
    """So that a new one is thought of."""
    assert {*ASKED, "extra"} == set(Generation.__struct_fields__)


@pytest.mark.parametrize("wire", ALL)
@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_field_is_said_or_refused(wire, name):
    """The body differs, or the error names the field."""
    build = WIRES[wire].build
    plain = build(ask(user(), tools=[LOOK]), {})
    try:
        body = build(ask(user(), **{"tools": [LOOK], name: ASKED[name]}), {})
    except InvalidRequest as error:
        assert error.field == name  # noqa: PT017  # refusing is one of two right answers
    else:
        assert (body == plain) == ((wire, name) in UNSAID)


@pytest.mark.parametrize(
    ("wire", "refused"),
    [
        ("openai-responses", {"top_k", "stop", "seed", "frequency_penalty", "presence_penalty"}),
        ("openai-chat-completions", {"top_k", "reasoning_summary", "thinking_budget"}),
        ("google-gemini", {"verbosity", "reasoning_summary"}),
        (
            "anthropic-messages",
            {"seed", "frequency_penalty", "presence_penalty", "top_logprobs", "verbosity", "reasoning_summary"},
        ),
        (
            "bedrock-converse",
            {
                "seed",
                "frequency_penalty",
                "presence_penalty",
                "top_logprobs",
                "verbosity",
                "reasoning_summary",
                "parallel_tool_calls",
                "top_k",
                "reasoning_effort",
                "thinking_budget",  # the last three: of this model
            },
        ),
        ("ollama", {"reasoning_summary", "verbosity", "service_tier", "parallel_tool_calls"}),
    ],
)
def test_what_each_wire_has_no_words_for(wire, refused):
    """No more, and no less."""
    found = set()
    for name, value in ASKED.items():
        try:
            check(wire, "model-1", {}, Generation(**{"tools": [LOOK], name: value}))
        except InvalidRequest:
            found.add(name)
    assert found == refused


@pytest.mark.parametrize("wire", ALL)
def test_what_every_provider_does_anyway_is_never_refused(wire):
    """Clients say their defaults."""
    neutral = {
        "top_p": 1.0, "frequency_penalty": 0, "presence_penalty": 0.0, "verbosity": "medium", "service_tier": "auto",
        "reasoning_summary": "auto", "stop": [], "parallel_tool_calls": True, "temperature": 1,
    }  # fmt: skip
    check(wire, "model-1", {}, Generation(**neutral))


@pytest.mark.parametrize("wire", ALL)
def test_extra_words_go_to_their_own_wire_last(wire):
    """An object is added to; other wires' words are left out."""
    extra = {wire: {"model": "mine", "odd": {"a": 1}}, "elsewhere": {"x": 1}}
    body = WIRES[wire].build(ask(user(), extra=extra), {})
    assert (body["model"], body["odd"]) == ("mine", {"a": 1})
    assert "x" not in body


def test_extra_words_are_added_to_an_object_field_by_field():
    """An effort and a context mode are fields of one object."""
    extra = {"openai-responses": {"reasoning": {"context": "all_turns"}}}
    body = WIRES["openai-responses"].build(ask(user(), reasoning_effort="low", extra=extra), {})
    assert body["reasoning"] == {"effort": "low", "summary": "auto", "context": "all_turns"}


@pytest.mark.parametrize("wire", ALL)
def test_a_request_is_checked_before_any_effect(wire):
    """With the run's own input, and without a conversation."""
    check(wire, "model-1", {}, Generation(tools=[LOOK, CustomTool(name="patch")], tool_choice=NAMED[wire]))
    with pytest.raises(InvalidRequest) as raised:
        check(wire, "model-1", {}, Generation(), [user("see", parts=[FilePart(filename="a")])])
    assert raised.value.field == "input.parts.data"


def test_the_row_of_the_model_and_the_quirks_of_the_provider_count_in_a_check():
    """As they do when it is asked."""
    with pytest.raises(InvalidRequest):
        check("openai-responses", "gpt-4o", {}, Generation(reasoning_effort="low"))
    with pytest.raises(InvalidRequest):
        check("openai-chat-completions", "m", {"tool_choice": "no"}, Generation(tools=[LOOK], tool_choice="required"))


@pytest.mark.parametrize("wire", ALL)
def test_hosted_tools_go_to_their_own_wire_only(wire):
    """As they came; to another one the place is named."""
    own = HostedTool(wire=wire, data={"type": "web_search", "name": "web_search", "max_uses": 3})
    body = WIRES[wire].build(ask(user(), tools=[LOOK, own]), {})
    assert body.get("toolConfig", body)["tools"][1] == own.data
    other = HostedTool(wire=next(name for name in ALL if name != wire), data={"type": "web_search"})
    with pytest.raises(InvalidRequest) as raised:
        check(wire, "model-1", {}, Generation(tools=[LOOK, other]))
    assert raised.value.field == "tools[1]"
