"""Requests in Anthropic's words, and what is canonical of them."""

import pytest

from tailrace.adapters.wires import WIRES
from tailrace.dialects.messages.body import Body, Prompt, read
from tailrace.dialects.messages.count import PICTURE, tokens_of
from tailrace.dialects.messages.request import generation_of, opening
from tailrace.dialects.messages.signature import signature_of
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    Opaque,
    ProviderItem,
    ReasoningItem,
    TextPart,
)
from tailrace.schema.request import HostedTool, ModelRequest, NamedToolChoice, OutputFormat, Tool
from tests.support.messages import AWAY, HOME, body, items

OWN, OTHER = "anthropic-messages", "openai-responses"
TOOL = {"name": "look", "description": "looks", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}}
EPHEMERAL = {"type": "ephemeral"}
PDF = {"type": "base64", "media_type": "application/pdf"}


def user(content):
    return {"role": "user", "content": content}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def result(content=None, **fields):
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **fields}


def refused(fields, wire=OWN):
    """The field that is at fault."""
    with pytest.raises(InvalidRequest) as caught:
        generation_of(body(**fields), wire)
    return caught.value.field


# --- the conversation --------------------------------------------------------------------------------------------


def test_k1_string_content_and_text_parts_are_the_same_message():
    """A message's content may be a string or a list of blocks."""
    plain, listed = items(user("hi")), items(user([{"type": "text", "text": "hi"}]))
    assert plain == listed == [MessageItem(id="input_1", content="hi", origin="user")]


def test_f12_roles_stay_apart():
    """Each message keeps its role, also a system's in mid-conversation."""
    said = items(user("Q1"), assistant({"type": "text", "text": "A1"}), {"role": "system", "content": "S"}, user("Q2"))
    assert [(item.origin, item.content) for item in said] == [
        ("user", "Q1"),
        ("agent", "A1"),
        ("system", "S"),
        ("user", "Q2"),
    ]


def test_a_call_and_its_result_come_back():
    """tool_use and tool_result become a call and its output, under the call's id."""
    _, call, output = items(user("hi"), assistant(USE), user([result("done", is_error=True)]))
    assert call == FunctionCallItem(id="input_2", name="look", arguments='{"at":"it"}', call_id="toolu_1")
    assert output == FunctionCallOutputItem(
        id="input_3", call_id="toolu_1", output="done", success=False, origin="user"
    )


def test_results_with_pictures_keep_them():
    """A result's blocks are parts; what the user says beside it is a message behind it."""
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    shown = result([{"type": "text", "text": "see"}, picture])
    said = items(user("hi"), assistant(USE), user([shown, {"type": "text", "text": "so?"}]))
    assert said[2].parts == [TextPart(text="see"), ImagePart(url="data:image/png;base64,AAAA")]
    assert said[2].output == "see"
    assert said[3] == MessageItem(id="input_4", content="so?", origin="user")


def test_pictures_and_documents_become_parts():
    """Each source of an image or a document has its part; a document of text is text."""
    (said,) = items(
        user([
            {"type": "image", "source": {"type": "url", "url": "https://host/a.png"}},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
            {"type": "document", "title": "T", "source": {**PDF, "data": "AA"}},
            {"type": "document", "source": {"type": "url", "url": "https://host/a.pdf"}},
            {"type": "document", "title": "T", "context": "C", "source": {"type": "text", "data": "D"}},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "E"}]}},
        ])
    )  # fmt: skip
    assert said.parts == [
        ImagePart(url="https://host/a.png"),
        ImagePart(file_id="file_1"),
        FilePart(filename="T", data="data:application/pdf;base64,AA"),
        FilePart(url="https://host/a.pdf"),
        TextPart(text="C"),
        TextPart(text="T\n\nD"),
        TextPart(text="E"),
    ]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([user([result("x")])], "messages.0.content.0.tool_use_id"),
        ([user([{"type": "search_result", "source": "s", "title": "t", "content": []}])], "messages.0.content.0.type"),
        ([user([{"type": "text", "text": "a", "odd": 1}])], "messages.0.content.0.odd"),
        ([user("")], "messages.0.content"),
        ([assistant({"type": "image", "source": {"type": "url", "url": "u"}})], "messages.0.content.0.type"),
        (
            [user([{"type": "document", "source": {"type": "url", "url": "u"}, "citations": {"enabled": True}}])],
            "messages.0.content.0.citations",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_place(messages, field):
    """Nothing is dropped in silence: the error names the block."""
    with pytest.raises(InvalidRequest) as caught:
        items(*messages)
    assert caught.value.field == field


def test_the_vendors_server_blocks_are_kept_whole():
    """A server tool's call and result go back as they came, without the client's cache marks."""
    block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    (kept,) = items(assistant({**block, "cache_control": EPHEMERAL}))
    assert kept == ProviderItem(id="input_1", provider_type="server_tool_use", data=block)


# --- thinking ----------------------------------------------------------------------------------------------------


def test_a_vendors_signature_comes_back_byte_for_byte():
    """An unsealed signature is that of the provider and model that are asked."""
    (kept,) = items(assistant({"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk+/="}))
    assert kept.content == "hm"
    assert kept.opaque == Opaque(provider_id="p", model_id="m", kind="signature", data="c2lnbmVk+/=")
    (hidden,) = items(assistant({"type": "redacted_thinking", "data": "c2VhbA=="}))
    assert hidden.opaque == Opaque(provider_id="p", model_id="m", kind="redacted_thinking", data="c2VhbA==")


def test_a_vendors_signature_is_nobodys_where_the_provider_does_not_speak_this_protocol():
    """Thinking that another wire cannot have signed has no continuation data there."""
    (kept,) = items(assistant({"type": "thinking", "thinking": "hm", "signature": "sig"}), home=AWAY)
    assert kept.opaque is None


@pytest.mark.parametrize("home", [HOME, AWAY])
def test_another_providers_data_comes_back_under_its_own_name(home):
    """A seal is opened for whoever it is bound to, wherever the conversation goes on."""
    opaque = Opaque(provider_id="q", model_id="n", kind="encrypted_content", data="enc")
    signature = signature_of(ReasoningItem(id="rs_1", content="hm", opaque=opaque), "q", "n")
    (kept,) = items(assistant({"type": "thinking", "thinking": "hm", "signature": signature}), home=home)
    assert kept == ReasoningItem(
        id="input_1", content="hm", summary_parts=["hm"], opaque=opaque, correlation_id="rs_1"
    )  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
def test_another_providers_data_never_reaches_a_provider_that_it_is_not_of(wire):
    """No wire says what another provider's seal holds."""
    opaque = Opaque(provider_id="q", model_id="n", kind="signature", data="SECRET-OF-Q")
    sealed = Opaque(provider_id="q", model_id="n", kind="encrypted_content", data="SECRET-OF-Q")
    signature = signature_of(ReasoningItem(id="rs_1", content="hm", opaque=sealed), "q", "n")
    said = items(user("a"), assistant({"type": "thinking", "thinking": "hm", "signature": signature}, USE))
    said += [ReasoningItem(id="x", content="hm", opaque=opaque), MessageItem(id="y", content="so")]
    request = ModelRequest(provider_id="p", model_id="m", items=said, generation=generation_of(body(), wire))
    assert b"SECRET-OF-Q" not in codec.encode(WIRES[wire].build(request, {}))


def test_thinking_that_was_never_signed_is_kept_as_text():
    """A seal of nothing lets a client send the thinking back, and binds it to nobody."""
    signature = signature_of(ReasoningItem(id="item_1", content="hm"), "q", "n")
    (kept,) = items(assistant({"type": "thinking", "thinking": "hm", "signature": signature}))
    assert (kept.content, kept.opaque) == ("hm", None)


# --- how to answer -----------------------------------------------------------------------------------------------


def test_common_words_are_canonical():
    """What every provider may have a word for is said in ours."""
    generation = generation_of(
        body(
            system=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            tools=[{**TOOL, "strict": True}],
            tool_choice={"type": "tool", "name": "look", "disable_parallel_tool_use": True},
            temperature=0.5,
            top_p=0.9,
            top_k=3,
            stop_sequences=["END"],
            metadata={"user_id": "u"},
            service_tier="standard_only",
        ),
        OWN,
    )
    assert generation.instructions == "a\n\nb"
    assert generation.tools == [Tool(name="look", description="looks", parameters={"type": "object"}, strict=True)]
    assert generation.tool_choice == NamedToolChoice(name="look")
    assert generation.parallel_tool_calls is False
    assert (generation.max_output_tokens, generation.temperature, generation.top_p) == (4096, 0.5, 0.9)
    assert (generation.top_k, generation.stop, generation.user) == (3, ["END"], "u")
    assert generation.service_tier == "default"
    assert generation.extra is None


def test_a_long_user_name_is_a_digest_elsewhere():
    """Its own client names users at length; OpenAI takes 64 characters."""
    asked = body(metadata={"user_id": "u" * 200})
    assert generation_of(asked, OWN).user == "u" * 200
    assert len(generation_of(asked, OTHER).user) == 64


@pytest.mark.parametrize(("choice", "said"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_tool_choices_have_their_words(choice, said):
    """`any` is our `required`."""
    assert generation_of(body(tools=[TOOL], tool_choice={"type": choice}), OTHER).tool_choice == said


def test_k16_the_system_prompt_is_whole_wherever_it_stands():
    """System messages before anyone has spoken are part of it; later ones stay in their places."""
    asked = body(system="a", messages=[{"role": "system", "content": "b"}, user("hi")])
    assert generation_of(asked, OTHER).instructions == "a\n\nb"
    assert opening(asked) == 1


@pytest.mark.parametrize(
    ("fields", "own", "other"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, (2048, None), (None, "low")),
        ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, (4000, None), (None, "medium")),
        ({"thinking": {"type": "disabled"}}, (0, None), (None, None)),
        ({"thinking": {"type": "adaptive"}}, (None, None), (None, None)),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, (None, None), (None, "xhigh")),
        ({}, (None, None), (None, None)),
    ],
)
def test_thinking_is_a_budget_at_home_and_an_effort_elsewhere(fields, own, other):
    """Only its own wire takes a number; adaptive thinking is up to the model."""
    for wire, expected in ((OWN, own), (OTHER, other)):
        generation = generation_of(body(**fields), wire)
        assert (generation.thinking_budget, generation.reasoning_effort) == expected


def test_what_only_the_vendor_has_words_for_goes_there_as_it_came():
    """Cache marks, adaptive thinking, output_config, containers: verbatim to the vendor's wire."""
    system = [{"type": "text", "text": "a", "cache_control": EPHEMERAL}]
    tools = [{**TOOL, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    marked = user([{"type": "text", "text": "hi", "cache_control": EPHEMERAL}])
    config = {"effort": "high", "task_budget": {"tokens": 9}}
    asked = body(
        system=system, tools=tools, messages=[marked], output_config=config, container="c1",
        thinking={"type": "adaptive", "display": "omitted"}, context_management={"edits": []},
    )  # fmt: skip
    assert generation_of(asked, OWN).extra == {
        OWN: {
            "container": "c1",
            "output_config": config,
            "thinking": {"type": "adaptive", "display": "omitted"},
            "tools": tools,
            "system": system,
            "cache_control": EPHEMERAL,
        }
    }


def test_a_mark_inside_a_tools_result_marks_the_conversations_end():
    """Where a client marks the last block of its last message, the whole conversation is to be cached."""
    messages = [user("hi"), assistant(USE), user([result("x", cache_control=EPHEMERAL)])]
    assert generation_of(body(messages=messages), OWN).extra == {OWN: {"cache_control": EPHEMERAL}}
    assert generation_of(body(messages=messages), OTHER).extra is None


def test_server_tools_go_to_their_own_wire_only():
    """The vendor's tools keep their definition there, and are refused by name elsewhere."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    assert generation_of(body(tools=[search]), OWN).tools == [HostedTool(wire=OWN, data=search)]
    assert refused({"tools": [TOOL, search]}, OTHER) == "tools.1.type"


def test_json_answers_have_a_schema():
    """output_config.format is canonical elsewhere, and so is the beta's older name for it."""
    form = {"type": "json_schema", "schema": {"type": "object"}}
    expected = OutputFormat(type="json_schema", name="output", schema={"type": "object"}, strict=True)
    assert generation_of(body(output_config={"format": form}), OTHER).output_format == expected
    assert generation_of(body(output_format=form), OTHER).output_format == expected
    assert generation_of(body(output_format=form), OWN).extra == {OWN: {"output_config": {"format": form}}}


@pytest.mark.parametrize(
    ("fields", "wire", "field"),
    [
        ({"container": "c1"}, OTHER, "container"),
        ({"mcp_servers": [{"type": "url"}]}, OTHER, "mcp_servers"),
        ({"speed": "fast"}, OTHER, "speed"),
        ({"output_config": {"task_budget": {}}}, OTHER, "output_config.task_budget"),
        ({"output_config": {"effort": "enormous"}}, OTHER, "output_config.effort"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, OTHER, "tools.0.defer_loading"),
        ({"tools": [TOOL, TOOL]}, OWN, "tools"),
        ({"tools": [{"name": "x"}]}, OWN, "tools.0.input_schema"),
        ({"tools": [{**TOOL, "name": 3}]}, OWN, "tools.0.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "odd"}}, OWN, "tool_choice.name"),
        ({"thinking": {"type": "enabled"}}, OWN, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, OWN, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, OWN, "max_tokens"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(fields, wire, field):
    """The vendor's name of the parameter, at its place."""
    assert refused(fields, wire) == field


def test_hints_about_tools_change_no_answer():
    """Other wires are offered the tool without them."""
    hints = {"cache_control": EPHEMERAL, "eager_input_streaming": True, "input_examples": [{}], "defer_loading": False}
    assert generation_of(body(tools=[{**TOOL, **hints}]), OTHER).tools == generation_of(body(tools=[TOOL]), OTHER).tools


# --- the body ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        (b'{"model":"m","messages":[{"role":"user","content":"x"}]}', "max_tokens", "Field required"),
        (b'{"model":"m","max_tokens":1,"messages":[]}', "messages", "length"),
        (b'{"model":"m","max_tokens":0,"messages":[{"role":"user","content":"x"}]}', "max_tokens", ">= 1"),
        (b'{"model":"m","max_tokens":1,"messages":[{"role":"tool","content":"x"}]}', "messages.0.role", "tool"),
        (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"n":2}', "n", "Extra inputs"),
        (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"top_p":2}', "top_p", "1"),
        (b"{", None, ""),
        (b'{"model":"\xff"}', None, ""),
    ],
)  # fmt: skip
def test_a_wrong_body_names_the_field(data, field, message):
    """In the vendor's form of a path."""
    with pytest.raises(InvalidRequest) as caught:
        read(data, Body)
    assert caught.value.field == field
    assert message in caught.value.message


# --- counting ----------------------------------------------------------------------------------------------------


def count(**fields):
    given = {"model": "m", "messages": [user("hello")], **fields}
    return tokens_of(read(codec.encode(given), Prompt))


def test_tokens_are_counted_by_the_rule():
    """Four bytes a token, four tokens a message; pictures and tools are counted too."""
    assert count() == 4 + 2
    assert count(messages=[user("é" * 10)]) == 4 + 5
    picture = {"type": "image", "source": {"type": "url", "url": "https://host/a.png"}}
    assert count(messages=[user([picture])]) == 4 + PICTURE
    pdf = {"type": "document", "source": {**PDF, "data": "A" * 4096}}
    assert count(messages=[user([pdf])]) == 4 + 96
    assert count(tools=[TOOL]) > count() + 4
    assert count(system=[{"type": "text", "text": "12345678", "cache_control": EPHEMERAL}]) == count() + 2


def test_signatures_cost_nothing_and_inputs_do():
    """What is for machines is not counted."""
    thinking = {"type": "thinking", "thinking": "12345678"}
    messages = [user("hello"), assistant(thinking, USE)]
    signed = [user("hello"), assistant({**thinking, "signature": "s" * 400}, USE)]
    assert count(messages=messages) == count(messages=signed) > count() + 4 + 2
