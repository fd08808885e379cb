"""A Responses request in canonical words: all of the input, and errors that name the parameter."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.dialects.responses.body import read
from tailrace.dialects.responses.input import Home, Reading, references
from tailrace.dialects.responses.request import asked_of, generation_of
from tailrace.dialects.responses.sealed import seal, seal_items, unseal, unseal_items
from tailrace.dialects.responses.tools import choice_of, tools_of
from tailrace.fold.estimate import input_tokens
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    Opaque,
    OutputItem,
    ProviderItem,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.request import AllowedTools, CustomTool, Generation, HostedTool, NamedToolChoice, Tool
from tests.support.items import any_items

WIRE, OTHER = "openai-responses", "anthropic-messages"
HOME = Home("p", "m")
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}}


def body(**fields: Any) -> Any:
    return read(codec.encode({"model": "m", "input": "hi", **fields}))


def given_items(*said: Any, known: dict[str, OutputItem] | None = None) -> list[OutputItem]:
    return Reading("1", HOME, known or {}).items(list(said))


def at_fault(call: Any) -> str | None:
    with pytest.raises(InvalidRequest) as caught:
        call()
    return caught.value.field


def test_a_text_is_a_users_message():
    """The simplest input."""
    assert Reading("1", HOME).items("hi") == [MessageItem(id="msg_1_1", content="hi", origin="user")]


def test_k1_messages_come_in_every_form():
    """A string, parts, strings in a list, with and without a type: the same message."""
    forms = [
        {"role": "user", "content": "hi"},
        {"type": "message", "role": "user", "content": "hi"},
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "user", "content": ["hi"]},
    ]
    said = [item for item in given_items(*forms) if isinstance(item, MessageItem)]
    assert [(item.content, item.origin, item.parts) for item in said] == [("hi", "user", None)] * len(forms)


def test_f12_roles_and_order_are_kept():
    """No flattening: each item is what it was, in its place."""
    said = given_items(
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "Q1"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "A1"}], "phase": "final_answer"},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}", "namespace": "n"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "a"},
                                                                    {"type": "input_image", "image_url": "u"}]},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "free"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "out", "status": "incomplete"},
    )  # fmt: skip
    assert said == [
        MessageItem(id="msg_1_1", content="be brief", origin="system"),
        MessageItem(id="msg_1_2", content="Q1", origin="user"),
        MessageItem(id="msg_1_3", content="A1", phase="final_answer"),
        FunctionCallItem(id="fc_1", name="f", arguments="{}", call_id="c", namespace="n"),
        FunctionCallOutputItem(
            id="fco_1_5", call_id="c", output="a", success=True, origin="user",
            parts=[TextPart(text="a"), ImagePart(url="u")],
        ),
        FunctionCallItem(id="ctc_1_6", name="g", arguments="free", call_id="d", kind="custom"),
        FunctionCallOutputItem(id="fco_1_7", call_id="d", output="out", success=False, origin="user"),
    ]  # fmt: skip


def test_images_files_and_refusals_are_parts():
    """By address, by data and by a provider's id."""
    (said,) = given_items(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "https://x/i.png", "detail": "low"},
                {"type": "input_image", "image_url": {"url": "data:image/png;base64,AA=="}},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
                {"type": "input_file", "file_id": "f"},
                {"type": "refusal", "refusal": "no"},
            ],
        }
    )
    assert isinstance(said, MessageItem)
    assert said.content == "seeno"
    assert said.parts == [
        TextPart(text="see"),
        ImagePart(url="https://x/i.png", detail="low"),
        ImagePart(url="data:image/png;base64,AA=="),
        FilePart(filename="a.pdf", data="data:application/pdf;base64,AA=="),
        FilePart(file_id="f"),
        RefusalPart(refusal="no"),
    ]


def test_reasoning_comes_back_with_what_it_is_bound_to():
    """Sealed by us: to where it came from, under the provider's own id. Not ours: to where the request goes."""
    opaque = Opaque(provider_id="a", model_id="b", kind="signature", data="s")
    ours, foreign = given_items(
        {"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": seal(opaque, "rs_own")},
        {"type": "reasoning", "id": "rs_y", "summary": [{"type": "summary_text", "text": "One"}],
         "content": [{"type": "reasoning_text", "text": "own"}], "encrypted_content": "raw"},
    )  # fmt: skip
    assert ours == ReasoningItem(id="rs_x", content="", opaque=opaque, correlation_id="rs_own")
    assert foreign == ReasoningItem(
        id="rs_y", content="One", summary_parts=["One"],
        opaque=Opaque(provider_id="p", model_id="m", kind="encrypted_content", data="raw"),
    )  # fmt: skip


def test_ids_are_kept_and_never_shared():
    """The second item of one id gets a name of its own."""
    first, second = given_items(*[{"role": "user", "content": "x", "id": "msg_a"}] * 2)
    assert (first.id, second.id) == ("msg_a", "msg_1_2")


def test_items_can_be_referred_to():
    """By the id under which they were told; one that nobody knows is named."""
    kept = MessageItem(id="msg_a", content="before")
    said = [{"type": "item_reference", "id": "msg_a"}, {"role": "user", "content": "now"}]
    assert references(said) == ["msg_a"]
    assert given_items(*said, known={"msg_a": kept})[0] == kept
    assert at_fault(lambda: given_items(*said)) == "input[0].id"


@given(any_items)
def test_what_is_sealed_comes_back(items: list[OutputItem]):
    """Any conversation, item for item; and nothing else is taken for one."""
    assert unseal_items(seal_items(items)) == items
    assert unseal(seal_items(items)) is None
    assert unseal_items("raw") is None


@given(st.text())
def test_nothing_that_only_looks_sealed_is_taken(text: str):
    """Damaged seals are none."""
    assert unseal(f"tr1.{text}") is None
    assert unseal_items(f"trc1.{text}") is None


def test_a_compaction_is_what_it_holds():
    """Ours unfolds to its items; a provider's own goes back to it as it came."""
    kept = [MessageItem(id="msg_s", content="Summary", origin="user")]
    ours = {"type": "compaction", "id": "cmp_1", "encrypted_content": seal_items(list(kept))}
    foreign = {"type": "compaction", "id": "cmp_2", "encrypted_content": "raw"}
    assert given_items(ours, foreign) == [
        *kept,
        ProviderItem(id="cmp_2", provider_type="compaction", data=foreign),
    ]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (1, "input[0]"),
        ({}, "input[0].type"),
        ({"type": "morse"}, "input[0].type"),
        ({"role": "king", "content": "x"}, "input[0].role"),
        ({"role": "user"}, "input[0].content"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "input[0].content[0].type"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "input[0].content[0].image_url"),
        ({"role": "user", "content": [{"type": "input_image", "image_url": "u", "detail": "x"}]},
         "input[0].content[0].detail"),
        ({"role": "user", "content": [{"type": "input_file"}]}, "input[0].content[0].file_data"),
        ({"role": "user", "content": "x", "id": "i" * 257}, "input[0].id"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "input[0].call_id"),
        ({"type": "function_call", "name": "f", "call_id": "c", "arguments": {}}, "input[0].arguments"),
        ({"type": "function_call_output", "call_id": "c"}, "input[0].output"),
    ],
)  # fmt: skip
def test_wrong_items_are_named(item: Any, field: str):
    """Which item, and what of it."""
    assert at_fault(lambda: given_items(item)) == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"foo": 1}, "foo"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"input": None}, "input"),
        ({"previous_response_id": "a", "conversation": "b"}, "previous_response_id"),
        ({"previous_response_id": "x" * 257}, "previous_response_id"),
        ({"background": True, "store": False}, "background"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"reasoning": {"effort": "enormous"}}, "reasoning.effort"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_wrong_parameters_are_named(fields: dict[str, Any], field: str):
    """Unknown, out of range, of the wrong type, or not together."""
    assert at_fault(lambda: body(**fields)) == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "f", "strict": "yes"}]}, "tools[0].strict"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
        ({"tools": [LOOK, LOOK]}, "tools"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice.name"),
        ({"tools": [LOOK], "tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.tools"),
        ({"tools": [LOOK], "tool_choice": {"type": "allowed_tools", "tools": [{"name": "x"}]}},
         "tool_choice.tools[0].name"),
        ({"include": ["everything"]}, "include[0]"),
        ({"include": ["web_search_call.action.sources"]}, "include[0]"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"tool_choice": {"type": "web_search"}, "tools": [{"type": "web_search"}]}, "tool_choice"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_of_the_provider_is_named(fields: dict[str, Any], field: str):
    """Never dropped in silence."""
    assert at_fault(lambda: generation_of(body(**fields), OTHER)) == field


def test_f11_flat_tools_of_every_kind():
    """Functions, free text, groups of them, and what only the wire itself runs."""
    tools = tools_of(
        [
            LOOK,
            {"type": "custom", "name": "patch", "format": {"type": "grammar"}},
            {"type": "namespace", "name": "n", "tools": [LOOK]},
            {"type": "web_search"},
        ],
        [{"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "more"}]}],
    )
    assert tools == [
        Tool(name="look", parameters={"type": "object"}),
        CustomTool(name="patch", format={"type": "grammar"}),
        Tool(name="look", parameters={"type": "object"}, namespace="n"),
        HostedTool(wire=WIRE, data={"type": "web_search"}),
        Tool(name="more"),
    ]
    assert choice_of({"type": "function", "name": "look"}, tools) == NamedToolChoice(name="look")
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "patch"}]}
    assert choice_of(allowed, tools) == AllowedTools(names=["patch"], mode="required")


def test_the_way_to_answer_is_said_in_canonical_words():
    """Every parameter has its field, and what only OpenAI's wire knows goes there alone."""
    asked = body(
        instructions="be brief", tools=[LOOK], tool_choice="required", parallel_tool_calls=False, max_output_tokens=9,
        max_tool_calls=2, temperature=0.5, top_p=0.9, top_logprobs=3, service_tier="flex", prompt_cache_key="k",
        safety_identifier="s", truncation="auto", reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "a", "schema": {}}, "verbosity": "low"},
        include=["message.output_text.logprobs", "reasoning.encrypted_content", "file_search_call.results"],
    )  # fmt: skip
    said = generation_of(asked, WIRE)
    assert (said.instructions, said.tool_choice, said.parallel_tool_calls) == ("be brief", "required", False)
    assert (said.max_output_tokens, said.max_tool_calls, said.top_logprobs) == (9, 2, 3)
    assert (said.reasoning_effort, said.reasoning_summary, said.verbosity) == ("low", "auto", "low")
    assert said.output_format is not None
    assert said.output_format.type == "json_schema"
    assert said.extra == {
        WIRE: {
            "truncation": "auto",
            "safety_identifier": "s",
            "include": [
                "reasoning.encrypted_content", "file_search_call.results", "message.output_text.logprobs",
            ],
        }
    }  # fmt: skip
    assert generation_of(body(safety_identifier="s"), OTHER).user == "s"


def test_what_was_asked_is_repeated_as_it_came():
    """Functions with all their keys, formats with theirs; what was not asked is left out."""
    said = asked_of(
        body(tools=[LOOK], text={"format": {"type": "json_object"}}, conversation="conv_1", service_tier="auto"),
        "fast",
        open_responses=True,
    )
    assert said == {
        "model": "fast",
        "tools": [{**LOOK, "description": None, "strict": None}],
        "text": {"format": {"type": "json_object"}},
        "conversation": {"id": "conv_1"},
        "open_responses": True,
    }


def test_the_estimate_grows_with_what_is_given():
    """Text by four characters, an image at its own price, tools as their JSON."""
    message = MessageItem(id="a", content="x" * 40, origin="user")
    picture = MessageItem(id="b", content="", origin="user", parts=[ImagePart(url="u")])
    assert input_tokens([message], Generation()) == 14
    assert input_tokens([picture], Generation()) == 769
    assert input_tokens([message], Generation(instructions="y" * 8, tools=[Tool(name="f")])) > 16
