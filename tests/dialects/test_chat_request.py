"""The chat dialect's way in: what a request says in canonical words, and what is refused by name."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.dialects.chat.details import detail_of
from tailrace.dialects.chat.encode import CHAT
from tailrace.dialects.chat.request import ChatRequest, read
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    Opaque,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.request import AllowedTools, CustomTool, NamedToolChoice, OutputFormat, Tool

USER = {"role": "user", "content": "q"}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SHELL = {"type": "custom", "custom": {"name": "shell", "description": "runs"}}
PNG = "data:image/png;base64,iVBORw0KGgo="


def asked(messages: Any = (USER,), **fields: Any) -> ChatRequest:
    return read(codec.encode({"model": "p/m", "messages": messages, **fields}))


def refused(messages: Any = (USER,), **fields: Any) -> str:
    """The parameter that is named at fault."""
    with pytest.raises(InvalidRequest) as caught:
        asked(messages, **fields)
    assert caught.value.field is not None
    return caught.value.field


def call(call_id: str = "c1", name: str = "look", arguments: str = "{}") -> Any:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def said(*calls: Any, **fields: Any) -> Any:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **fields}


def shown(part: Any) -> Any:
    return [{"role": "user", "content": [part]}]


def answer(call_id: str = "c1", content: Any = "done") -> Any:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


# --- the conversation ---------------------------------------------------------------------------------------------


def test_f12_k16_every_role_keeps_its_place_and_its_words():
    """System and developer messages are instructions, wherever they stand, and are forwarded."""
    messages = [
        {"role": "system", "content": "be brief"},
        USER,
        {"role": "assistant", "content": "a"},
        {"role": "developer", "content": "be kind"},
        USER,
    ]
    items = asked(messages).input
    assert [(item.origin, item.content) for item in items if isinstance(item, MessageItem)] == [
        ("system", "be brief"), ("user", "q"), ("agent", "a"), ("system", "be kind"), ("user", "q")
    ]  # fmt: skip
    assert [item.id for item in items] == ["input_1", "input_2", "input_3", "input_4", "input_5"]


def test_k1_content_may_be_a_string_or_parts():
    """A single text part is plain text; several stay apart; what is no text stays a part."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    plain, several, shown = asked([
        {"role": "user", "content": parts[:1]},
        {"role": "user", "content": parts},
        {"role": "user", "content": [parts[0], {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}]},
    ]).input  # fmt: skip
    assert plain == MessageItem(id="input_1", origin="user", content="a")
    assert several == MessageItem(
        id="input_2", origin="user", content="ab", parts=[TextPart(text="a"), TextPart(text="b")]
    )
    assert shown == MessageItem(
        id="input_3", origin="user", content="a", parts=[TextPart(text="a"), ImagePart(url=PNG, detail="low")]
    )


def test_files_come_as_data_or_by_id():
    """A document is a part; its bytes are a data URL."""
    data = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}}
    known = {"type": "file", "file": {"file_id": "file-1"}}
    (item,) = asked([{"role": "user", "content": [data, known]}]).input
    assert isinstance(item, MessageItem)
    assert item.parts == [
        FilePart(filename="a.pdf", data="data:application/pdf;base64,AA=="), FilePart(file_id="file-1")
    ]  # fmt: skip


def test_k26_calls_and_their_answers_keep_their_ids():
    """The follow-up of a tool loop: calls with their arguments byte for byte, and the answers to them."""
    arguments = '{"a" : 1.0, "b":"\\u00e9"}'
    items = asked([USER, said(call("x", arguments=arguments), call("y")), answer("y", "2"), answer("x", "1")]).input
    assert items[1:] == [
        FunctionCallItem(id="input_2", name="look", arguments=arguments, call_id="x"),
        FunctionCallItem(id="input_3", name="look", arguments="{}", call_id="y"),
        FunctionCallOutputItem(id="input_4", call_id="y", output="2", success=True, origin="user"),
        FunctionCallOutputItem(id="input_5", call_id="x", output="1", success=True, origin="user"),
    ]


def test_a_tool_may_answer_with_parts():
    """Text parts, and pictures where the provider takes them."""
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PNG}}]
    item = asked([USER, said(call()), answer("c1", parts)]).input[-1]
    assert isinstance(item, FunctionCallOutputItem)
    assert (item.output, item.parts) == ("see", [TextPart(text="see"), ImagePart(url=PNG)])


def test_an_assistants_message_may_hold_all_it_said():
    """Reasoning, text and refusal, then calls; other members are another server's, and are passed over."""
    items = asked([
        USER,
        said(
            call(), content="a", refusal="no", reasoning_content="hm", annotations=[], provider_specific_fields={"x": 1}
        ),
        answer(),
    ]).input  # fmt: skip
    assert items[1:4] == [
        ReasoningItem(id="input_2", content="hm"),
        MessageItem(id="input_3", content="ano", parts=[TextPart(text="a"), RefusalPart(refusal="no")]),
        FunctionCallItem(id="input_4", name="look", arguments="{}", call_id="c1"),
    ]


def test_an_assistants_message_without_a_word_is_no_item():
    """Null and empty contents say nothing."""
    assert len(asked([USER, {"role": "assistant", "content": None}, {"role": "assistant", "content": ""}]).input) == 1


def test_sealed_reasoning_comes_back_as_it_went_out():
    """What the chunks say of a sealed item is enough to make it again; entries of others are passed over."""
    opaque = Opaque(provider_id="p", model_id="m", kind="signature", data="sig==")
    detail = detail_of(ReasoningItem(id="rs_1", content="hm", opaque=opaque), 0)
    details = [{"type": "reasoning.text", "text": "x", "format": "other"}, detail, {"format": "tailrace-v1"}, None]
    items = asked([USER, said(call(), reasoning_content="hm", reasoning_details=details), answer()]).input
    assert items[1] == ReasoningItem(id="input_2", content="hm", opaque=opaque)


def test_the_old_form_of_calls_is_understood():
    """`function_call` and the `function` role, from before calls had ids: the name tells which is meant."""
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}}
    request = asked(
        [USER, legacy, {"role": "function", "name": "look", "content": "1"}, legacy,
         {"role": "function", "name": "look", "content": "2"}],
        functions=[{"name": "look", "parameters": {"type": "object"}}], function_call="auto",
    )  # fmt: skip
    outputs = [item for item in request.input if isinstance(item, FunctionCallOutputItem)]
    calls = [item for item in request.input if isinstance(item, FunctionCallItem)]
    assert [(item.call_id, item.output) for item in outputs] == [("call_1", "1"), ("call_2", "2")]
    assert [item.call_id for item in calls] == ["call_1", "call_2"]
    assert request.generation.tools == [Tool(name="look", parameters={"type": "object"})]
    assert request.generation.parallel_tool_calls is False
    assert request.echo.legacy


def test_custom_calls_come_back():
    """A custom tool's call holds free text."""
    said_so = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "shell", "input": "ls"}}],
    }
    assert asked([USER, said_so, answer("c")]).input[1] == FunctionCallItem(
        id="input_2", name="shell", arguments="ls", call_id="c", kind="custom"
    )


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": 1}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "video"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": "x", "colour": "red"}], "messages[0]"),
        ([{"role": "user", "content": "x", "name": "ann"}], "messages[0].name"),
        (shown({"type": "input_audio", "input_audio": {}}), "messages[0].content[0].input_audio"),
        (shown({"type": "file", "file": {"file_data": "AA"}}), "messages[0].content[0].file.file_data"),
        (shown({"type": "file", "file": {}}), "messages[0].content[0].file.file_data"),
        ([USER, answer()], "messages[1].tool_call_id"),
        ([USER, said(call()), answer("other")], "messages[2].tool_call_id"),
        ([USER, said(call()), answer(), answer()], "messages[3].tool_call_id"),
        ([USER, said(call()), USER], "messages[2]"),
        ([USER, said(call())], "messages[1]"),
        ([USER, said(call(), call()), answer()], "messages[1].tool_calls[1].id"),
        ([USER, {"role": "function", "name": "look", "content": "x"}], "messages[1].name"),
        ([USER, {"role": "assistant", "audio": {"id": "audio_1"}}], "messages[1].audio"),
        ([USER, said({"id": "c", "type": "custom"})], "messages[1].tool_calls[0].custom"),
        ([USER, said({"id": "c"})], "messages[1].tool_calls[0].function"),
    ],
)
def test_what_is_wrong_with_a_message_is_named(messages: Any, field: str):
    """The path of what is at fault, in the vendor's words."""
    assert refused(messages).startswith(field)


# --- how to answer ------------------------------------------------------------------------------------------------


def test_every_parameter_finds_its_canonical_word():
    """None is dropped."""
    generation = asked(
        max_completion_tokens=5, temperature=1, top_p=0.5, frequency_penalty=-1, presence_penalty=2, stop=["a", "b"],
        seed=7, logprobs=True, top_logprobs=3, reasoning_effort="minimal", verbosity="low", service_tier="flex",
        user="u", prompt_cache_key="k", parallel_tool_calls=True,
    ).generation  # fmt: skip
    assert (generation.max_output_tokens, generation.temperature, generation.top_p) == (5, 1.0, 0.5)
    assert (generation.frequency_penalty, generation.presence_penalty) == (-1.0, 2.0)
    assert (generation.stop, generation.seed, generation.top_logprobs) == (["a", "b"], 7, 3)
    assert (generation.reasoning_effort, generation.verbosity) == ("minimal", "low")
    assert (generation.service_tier, generation.user, generation.prompt_cache_key) == ("flex", "u", "k")
    assert generation.parallel_tool_calls is True


def test_older_names_mean_the_same():
    """`max_tokens`, a single stop, and logprobs without a number of alternatives."""
    generation = asked(max_tokens=5, stop="x", logprobs=True).generation
    assert (generation.max_output_tokens, generation.stop, generation.top_logprobs) == (5, ["x"], 0)


def test_null_is_as_good_as_absent():
    """Clients send what they have no value for."""
    names = ("n", "stream", "stream_options", "tools", "tool_choice", "stop", "response_format", "max_tokens", "store")
    assert asked(**dict.fromkeys(names)) == asked()


def test_what_only_this_protocol_knows_goes_only_where_it_is_spoken():
    """There is no common word for these."""
    extra = asked(logit_bias={"50256": -100}, prediction={"type": "content", "content": "x"}).generation.extra
    assert extra == {
        "openai-chat-completions": {
            "logit_bias": {"50256": -100}, "prediction": {"type": "content", "content": "x"}
        }
    }  # fmt: skip


def test_k27_formats_of_the_answer():
    """Text is what there is anyway; JSON, any or by a schema."""
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    assert asked(response_format={"type": "text"}).generation.output_format is None
    assert asked(response_format={"type": "json_object"}).generation.output_format == OutputFormat(type="json_object")
    fit = asked(response_format={"type": "json_schema", "json_schema": schema}).generation.output_format
    assert fit == OutputFormat(type="json_schema", name="answer", schema={"type": "object"}, strict=True)


def test_tools_of_both_kinds_and_choices_among_them():
    """Functions and custom tools; one by name, or some."""
    tools = [LOOK, SHELL]
    request = asked(tools=tools, tool_choice="required")
    assert request.generation.tools == [
        Tool(name="look", parameters={"type": "object"}), CustomTool(name="shell", description="runs")
    ]  # fmt: skip
    assert request.generation.tool_choice == "required"
    named = {"type": "function", "function": {"name": "look"}}
    assert asked(tools=tools, tool_choice=named).generation.tool_choice == NamedToolChoice(name="look")
    custom = {"type": "custom", "custom": {"name": "shell"}}
    assert asked(tools=tools, tool_choice=custom).generation.tool_choice == NamedToolChoice(name="shell")
    some = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    assert asked(tools=tools, tool_choice=some).generation.tool_choice == AllowedTools(names=["look"], mode="required")
    assert asked(tool_choice="auto").generation.tool_choice is None


def test_runs_are_kept_unless_the_client_says_otherwise():
    """Unlike at the vendor's: what is kept can be resumed."""
    assert [asked(**fields).store for fields in ({}, {"store": True}, {"store": None}, {"store": False})] == [
        True, True, True, False
    ]  # fmt: skip


def test_what_an_answer_repeats():
    """The model by the name that was asked for, and whether counts are wanted in the stream."""
    request = asked(stream=True, stream_options={"include_usage": True}, metadata={"a": "b"})
    assert codec.to_builtins(request.echo) == {"model": "p/m"}
    assert (request.stream, request.metadata) == (True, {"a": "b"})
    assert codec.to_builtins(asked().echo) == {"model": "p/m", "include_usage": False}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"colour": "red"}, "colour"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "flat"}]}, "tools[0]"),
        ({"tools": [LOOK, LOOK]}, "tools[1]"),
        ({"tools": [LOOK], "functions": []}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"functions": [{"name": "a"}], "function_call": {"name": "b"}}, "function_call"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "sometimes", "tools": [LOOK]}, "tool_choice"),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
    ],
)
def test_what_is_wrong_with_a_parameter_is_named(fields: dict[str, Any], field: str):
    """Unknown ones too: a typo must not pass silently."""
    assert refused(**fields).startswith(field)


def test_what_is_missing_is_named():
    """The two that must be there."""
    for body, field in ((b"{}", "model"), (b'{"model":"m"}', "messages")):
        with pytest.raises(InvalidRequest) as caught:
            read(body)
        assert caught.value.field == field


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"model":"\xff"}', b"[" * 100_000])
def test_k19_what_is_no_request_is_refused(body: bytes):
    """Broken JSON, other JSON, broken UTF-8 and bottomless nesting alike."""
    with pytest.raises(InvalidRequest):
        read(body)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_reading_raises_nothing_else(body: bytes):
    """Whatever comes."""
    with suppress(InvalidRequest):
        read(body)


def test_the_dialect_closes_its_streams_as_the_vendor_does():
    """`[DONE]` is the last frame."""
    assert (CHAT.name, CHAT.closing) == ("chat", b"data: [DONE]\n\n")
