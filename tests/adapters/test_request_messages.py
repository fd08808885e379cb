"""What the Messages wire is asked."""

import pytest

from tailrace.adapters.anthropic_messages.quirks import DEFAULTS, MODELS
from tailrace.adapters.anthropic_messages.request import build, own_headers
from tailrace.adapters.canonical import look_up
from tailrace.adapters.turns import BEGIN, CONTINUE
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import FilePart, ImagePart, ProviderItem, TextPart
from tailrace.schema.request import NamedToolChoice, OutputFormat, Tool
from tests.support.items import ELSEWHERE, HERE, agent, ask, call, opaque, output, system, thought, user

LOOK = Tool(name="look", description="Looks.", parameters={"type": "object", "properties": {"at": {}}})
OLD, NEW = "claude-haiku-4-5", "claude-opus-5-5"
PNG = "data:image/png;base64,iVBORw0K"


def messages(*items, **generation):
    return build(ask(*items, **generation), {})["messages"]


def text(words):
    return {"type": "text", "text": words}


def test_a_plain_question():
    """The least there can be: a model, a limit, a message."""
    assert build(ask(user("hello"), model=OLD), {}) == {
        "model": OLD,
        "max_tokens": 32000,
        "messages": [{"role": "user", "content": [text("hello")]}],
        "stream": True,
    }


def test_c16_a_call_without_arguments_is_echoed_as_an_object():
    """A tool that takes nothing has the input {}, never an empty string."""
    for arguments in ("", "  ", "{}"):
        assert messages(user(), call(arguments=arguments), output())[1]["content"][0]["input"] == {}


def test_c17_malformed_arguments_are_echoed_as_an_object_that_says_so():
    """The wire wants an object: what is none is put into one."""
    for arguments in ('{"at": "he', "[1]", "null", "[" * 5000):
        block = messages(user(), call(arguments=arguments), output(success=False))[1]["content"][0]
        assert block["input"] == {"malformed_arguments": arguments}


def test_c18_thinking_goes_back_in_order_before_the_call():
    """The second request of a tool loop has the turn's thinking and redacted blocks where they stood."""
    said = messages(
        user(),
        thought("let me see", "signature", "EqQB+/=="),
        thought("", "redacted_thinking", "Ep8C"),
        call(arguments='{"at": "sky"}'),
        output(text="blue"),
    )
    assert said[1] == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "let me see", "signature": "EqQB+/=="},
            {"type": "redacted_thinking", "data": "Ep8C"},
            {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "sky"}},
        ],
    }
    assert said[2]["content"] == [{"type": "tool_result", "tool_use_id": "c1", "content": [text("blue")]}]


def test_a6_opaque_reasoning_goes_back_to_its_own_model_only():
    """Another provider, another model or another wire's kind: left out. Unsigned: left out."""
    foreign = [
        thought("x", "signature", "s", home=ELSEWHERE),
        thought("x", "signature", "s", home=(HERE[0], "model-2")),
        thought("x", "encrypted_content", "s"),
        thought("x"),
    ]
    for item in foreign:
        assert messages(user(), item, agent("yes"), user())[1] == {"role": "assistant", "content": [text("yes")]}


def test_a6_signed_thinking_that_was_not_shown_goes_back_too():
    """The signature counts, not the text."""
    said = messages(user(), thought("", "signature", "s"), agent("yes"), user())
    assert said[1]["content"][0] == {"type": "thinking", "thinking": "", "signature": "s"}


def test_c23_a_failed_tool_is_said_to_have_failed():
    """`success` false is `is_error`, in history as in the loop."""
    block = messages(user(), call(), output(text="exit 3", success=False))[2]["content"][0]
    assert block == {"type": "tool_result", "tool_use_id": "c1", "content": [text("exit 3")], "is_error": True}


def test_a9_call_ids_pair_calls_and_results_and_are_made_fit():
    """The pairing key is the call_id; one that the wire refuses is changed alike on both sides."""
    said = messages(user(), call("functions.look:0"), call("ok-1"), output("functions.look:0"), output("ok-1"))
    first, second = (block["id"] for block in said[1]["content"])
    assert [block["tool_use_id"] for block in said[2]["content"]] == [first, second]
    assert first.isalnum()
    assert second == "ok-1"


def test_a22_results_of_parallel_calls_stand_in_one_message_before_what_the_user_said():
    """All results of a turn come first, in one user message."""
    said = messages(user(), call("c1"), call("c2"), output("c1"), output("c2"), user("and?"))
    assert [message["role"] for message in said] == ["user", "assistant", "user"]
    assert [block["type"] for block in said[2]["content"]] == ["tool_result", "tool_result", "text"]


def test_roles_alternate_and_empty_text_is_not_sent():
    """Messages of one role are one message; nothing but white space is nothing."""
    said = messages(user("a"), user("  "), user("b"), agent(""), agent("c"), user("d"))
    assert said == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c")]},
        {"role": "user", "content": [text("d")]},
    ]


def test_a_conversation_that_ends_in_the_assistants_text_is_asked_to_go_on():
    """The API wants the last word to be the user's."""
    assert messages(user(), agent("half a sen"))[-1] == {"role": "user", "content": [text(CONTINUE)]}


def test_the_user_begins():
    """The API refuses a conversation that begins with the assistant, as one cut out of a longer one may."""
    begun = messages(agent("The number is four."), user("Repeat it."))
    assert begun[0] == {"role": "user", "content": [text(BEGIN)]}
    assert [message["role"] for message in begun] == ["user", "assistant", "user"]


def test_system_messages_join_the_instructions_only_at_the_head():
    """Before anyone has spoken they are the system prompt, later the user's words."""
    body = build(ask(system("be brief"), user(), agent(), system("now be long"), user(), instructions="be kind"), {})
    assert body["system"] == "be kind\n\nbe brief"
    assert body["messages"][2]["content"] == [text("now be long"), text("hello")]


def test_images_and_files_in_input():
    """Https and data URLs, file ids, PDF and text."""
    parts = [
        TextPart(text="see"),
        ImagePart(url="https://host/a.png"),
        ImagePart(url=PNG),
        ImagePart(file_id="file_1"),
        FilePart(data="data:application/pdf;base64,JVBE", filename="a.pdf"),
        FilePart(data="data:text/plain;charset=utf-8;base64,aGk="),
        FilePart(url="https://host/a.pdf"),
    ]
    assert messages(user("see", parts=parts))[0]["content"] == [
        text("see"),
        {"type": "image", "source": {"type": "url", "url": "https://host/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
        {"type": "document", "source": {"type": "url", "url": "https://host/a.pdf"}},
    ]


def test_text_beside_parts_that_do_not_repeat_it_is_not_lost():
    """A message may bring its words as `content` and only the image as a part."""
    assert messages(user("see", parts=[ImagePart(url=PNG)]))[0]["content"][0] == text("see")


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (ImagePart(url="data:image/png,raw"), "input.parts.url"),
        (ImagePart(), "input.parts.url"),
        (FilePart(data="data:application/zip;base64,AAAA"), "input.parts.data"),
        (FilePart(data="data:text/plain;base64,////"), "input.parts.data"),
        (FilePart(), "input.parts.data"),
    ],
)
def test_what_the_wire_cannot_say_is_refused_by_name(part, field):
    """Never dropped silently."""
    with pytest.raises(InvalidRequest) as raised:
        messages(user("see", parts=[part]))
    assert raised.value.field == field


def test_images_of_a_failed_tool_stand_beside_its_result():
    """A result that is an error takes only text."""
    shown = output(text="no", success=False, parts=[ImagePart(url="https://host/a.png")])
    blocks = messages(user(), call(), shown)[2]["content"]
    assert [block["type"] for block in blocks] == ["tool_result", "image"]
    assert blocks[0]["content"] == [text("no")]


def test_tools_and_choices():
    """Each choice in the wire's words; without tools nothing is said."""
    body = build(ask(user(), tools=[LOOK], tool_choice="auto", model=OLD), {})
    assert body["tools"] == [{"name": "look", "description": "Looks.", "input_schema": LOOK.parameters}]
    assert body["tool_choice"] == {"type": "auto"}
    for choice, said in [("required", {"type": "any"}), ("none", {"type": "none"})]:
        assert build(ask(user(), tools=[LOOK], tool_choice=choice, model=OLD), {})["tool_choice"] == said
    named = build(ask(user(), tools=[LOOK], tool_choice=NamedToolChoice(name="look"), model=OLD), {})
    assert named["tool_choice"] == {"type": "tool", "name": "look"}
    assert "tool_choice" not in build(ask(user(), tool_choice="auto"), {})


@pytest.mark.parametrize("choice", ["required", NamedToolChoice(name="other")])
def test_a_choice_that_cannot_be_met_is_refused(choice):
    """A call may be forced only of a tool that is offered."""
    tools = None if choice == "required" else [LOOK]
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), tools=tools, tool_choice=choice), {})
    assert raised.value.field == "tool_choice"


def test_thinking_by_budget_leaves_room_for_an_answer():
    """`max_tokens` is raised above the budget."""
    body = build(ask(user(), model=OLD, thinking_budget=4096, max_output_tokens=2048), {})
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert body["max_tokens"] == 5120
    assert build(ask(user(), model=OLD, reasoning_effort="low"), {})["thinking"]["budget_tokens"] == 2048
    assert "thinking" not in build(ask(user(), model=OLD, reasoning_effort="none"), {})


def test_a_budget_too_small_for_the_api_is_refused():
    """Fewer than 1024 tokens are no budget."""
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), thinking_budget=10), {})
    assert raised.value.field == "thinking_budget"


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.2), ("top_k", 5), ("top_p", 0.5)])
def test_sampling_is_refused_beside_thinking(name, value):
    """The API allows none but a `top_p` close to 1; without thinking it is said."""
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), model=OLD, thinking_budget=2048, **{name: value}), {})
    assert raised.value.field == name
    assert build(ask(user(), model=OLD, **{name: value}), {})[name] == value
    assert build(ask(user(), model=OLD, thinking_budget=2048, top_p=0.97), {})["top_p"] == 0.97


def test_temperatures_end_at_1():
    """What the other wires take up to 2, this one cannot say."""
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), model=OLD, temperature=1.5), {})
    assert raised.value.field == "temperature"


def test_newer_models_think_by_effort():
    """An effort, or the least one that holds the budget; the readable summary is asked for."""
    for asked, effort in [({"reasoning_effort": "minimal"}, "low"), ({"thinking_budget": 10000}, "high")]:
        body = build(ask(user(), model=NEW, **asked), {})
        assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
        assert body["output_config"] == {"effort": effort}
        assert body["max_tokens"] == 32000


def test_a_forced_call_goes_without_thinking():
    """The API refuses both at once; the call is what was asked for more plainly."""
    asked = {"tools": [LOOK], "tool_choice": "required", "reasoning_effort": "high"}
    assert "thinking" not in build(ask(user(), model=OLD, **asked), {})
    assert build(ask(user(), model="claude-sonnet-5", **asked), {})["thinking"] == {"type": "disabled"}
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), model=NEW, **asked), {})
    assert raised.value.field == "tool_choice"


def test_a_tool_loop_that_began_without_thinking_goes_on_without():
    """After a change of model in mid-loop the first turn's thinking is another's, and the API refuses to think on."""
    asked = {"model": HERE[1], "thinking_budget": 2048}
    foreign = thought("x", "signature", "s", home=ELSEWHERE)
    assert "thinking" not in build(ask(user(), foreign, call(), output(), **asked), {})
    assert "thinking" in build(ask(user(), thought("x", "signature", "s"), call(), output(), **asked), {})
    assert "thinking" in build(ask(user(), foreign, call(), output(), agent(), user(), **asked), {})


@pytest.mark.parametrize(
    ("generation", "field"), [({"reasoning_effort": "none"}, "reasoning_effort"), ({"temperature": 0.5}, "temperature")]
)
def test_what_a_model_cannot_do_is_refused(generation, field):
    """A model that always thinks, and takes no temperature."""
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), model=NEW, **generation), {})
    assert raised.value.field == field
    assert "temperature" not in build(ask(user(), model=NEW, temperature=1), {})


@pytest.mark.parametrize(
    ("model", "thinking", "off"),
    [
        ("claude-3-5-haiku-20241022", "budget", "omit"),
        ("claude-3-7-sonnet-latest", "budget", "omit"),
        ("claude-sonnet-4-20250514", "budget", "omit"),
        ("claude-opus-4-1", "budget", "omit"),
        ("claude-haiku-4-5-20251001", "budget", "omit"),
        ("claude-sonnet-4-6", "adaptive", "omit"),
        ("claude-opus-4-8", "adaptive", "omit"),
        ("claude-opus-5", "adaptive", "disabled"),
        ("claude-sonnet-5-5", "adaptive", "between_tools"),
        ("claude-fable-5-1", "adaptive", ""),
        ("claude-not-yet-6", "adaptive", ""),
        ("another-model", "budget", "omit"),
    ],
)
def test_the_models_table(model, thinking, off):
    """Each family is found by its names."""
    row = look_up(model, DEFAULTS, MODELS, {})
    assert (row["thinking"], row["thinking_off"]) == (thinking, off)


def test_a_providers_quirks_outweigh_the_models():
    """What the operator says counts most."""
    assert build(ask(user()), {"max_tokens": 99})["max_tokens"] == 99


def test_server_tools_go_back_with_their_results_only():
    """The block as it came; a call that was never answered is left out, unless its turn is the last."""
    used = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []}
    use = ProviderItem(id="p1", provider_type="server_tool_use", data=used)
    result = ProviderItem(id="p2", provider_type="web_search_tool_result", data=found)
    other = ProviderItem(id="p3", provider_type="web_search_call", data={"type": "web_search_call"})
    assert messages(user(), use, result, other, agent(), user())[1]["content"] == [used, found, text("hi")]
    assert messages(user(), use, agent(), user())[1]["content"] == [text("hi")]
    assert messages(user(), use)[1]["content"] == [used]


def test_custom_calls_of_another_wire_become_calls_with_one_input():
    """Free text is no object."""
    assert messages(user(), call(arguments="*** patch", kind="custom"), output())[1]["content"][0]["input"] == {
        "input": "*** patch"
    }


def test_calls_stand_last_in_their_message():
    """What was said after them stands before: their results must follow at once."""
    turn = messages(user(), thought("hm", "signature", "s"), call("c1"), agent("so"), call("c2"), output("c1"))[1]
    assert [block["type"] for block in turn["content"]] == ["thinking", "text", "tool_use", "tool_use"]


def test_thinking_that_led_to_nothing_is_left_out():
    """The API refuses a message that ends in it, also where what came after has no words on this wire."""
    search = ProviderItem(id="p", provider_type="web_search_call", data={})
    said = messages(user(), thought("hm", "signature", "s"), search, user("and?"))
    assert said == [{"role": "user", "content": [text("hello"), text("and?")]}]


def test_betas_are_asked_for_in_a_header():
    """Those of the provider's row."""
    assert own_headers(ask(user()), {}) == {}
    assert own_headers(ask(user()), {"betas": ["a-1", "b-2"]}) == {"anthropic-beta": "a-1,b-2"}


def marked(**fields):
    return {**fields, "cache_control": {"type": "ephemeral"}}


def test_of_too_many_cache_marks_the_last_ones_stay():
    """Four there may be, the request's own included; what was given is as it was."""
    tools = [marked(name=f"t{number}", input_schema={"type": "object"}) for number in range(3)]
    system = [marked(type="text", text=words) for words in "ab"]
    extra = {"anthropic-messages": {"tools": tools, "system": system, "cache_control": {"type": "ephemeral"}}}
    body = build(ask(user(), extra=extra), {})
    assert ["cache_control" in tool for tool in body["tools"]] == [False, False, True]
    assert ["cache_control" in block for block in body["system"]] == [True, True]
    assert all("cache_control" in tool for tool in tools)
    few = {"anthropic-messages": {"tools": tools[:2], "system": system}}
    assert build(ask(user(), extra=few), {})["tools"] == tools[:2]


def test_one_call_at_a_time():
    """A part of the choice; where there is no other, of `auto`."""
    one = {"tools": [LOOK], "parallel_tool_calls": False, "model": OLD}
    assert build(ask(user(), **one), {})["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    forced = build(ask(user(), tool_choice="required", **one), {})["tool_choice"]
    assert forced == {"type": "any", "disable_parallel_tool_use": True}
    assert build(ask(user(), tool_choice="none", **one), {})["tool_choice"] == {"type": "none"}


def test_an_answer_that_fits_a_schema():
    """Beside the effort; with its description, and closed as the API wants it."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    wanted = OutputFormat(type="json_schema", name="count", description="A count.", schema=schema)
    config = build(ask(user(), model=NEW, output_format=wanted, reasoning_effort="low"), {})["output_config"]
    assert config["effort"] == "low"
    number = {"type": "integer", "description": "(minimum: 1)"}
    assert config["format"] == {
        "type": "json_schema",
        "schema": {**schema, "properties": {"n": number}, "additionalProperties": False, "description": "A count."},
    }
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), output_format=OutputFormat(type="json_object")), {})
    assert raised.value.field == "output_format"


def test_tiers_and_users_in_the_wires_words():
    """Two tiers there are; the user is metadata."""
    assert build(ask(user(), service_tier="default"), {})["service_tier"] == "standard_only"
    assert build(ask(user(), user="u1"), {})["metadata"] == {"user_id": "u1"}
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), service_tier="flex"), {})
    assert raised.value.field == "service_tier"


def test_who_called_goes_back_with_the_call():
    """A program of the model's, where it was one, and to its own model only."""
    caller = '{"type":"code_execution_20260120","tool_id":"srv_1"}'
    block = messages(user(), call(opaque=opaque("caller", caller)), output())[1]["content"][0]
    assert block["caller"] == {"type": "code_execution_20260120", "tool_id": "srv_1"}
    foreign = messages(user(), call(opaque=opaque("caller", caller, home=ELSEWHERE)), output())[1]["content"][0]
    assert set(foreign) == {"type", "id", "name", "input"}
