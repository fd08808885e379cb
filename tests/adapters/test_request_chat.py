"""What the chat wire is asked."""

import pytest

from tailrace.adapters.openai_chat_completions.request import build
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import FilePart, ImagePart, ProviderItem, TextPart
from tailrace.schema.request import NamedToolChoice, OutputFormat, Tool
from tests.support.items import ELSEWHERE, agent, ask, call, output, system, thought, user

LOOK = Tool(name="look", parameters={"type": "object"})
PNG = "data:image/png;base64,iVBORw0K"


def messages(*items, quirks=None, **generation):
    return build(ask(*items, **generation), quirks or {})["messages"]


def test_a_plain_question():
    """A stream is asked for its usage; a plain answer brings it anyway."""
    assert build(ask(user("hello"), instructions="be kind", max_output_tokens=9, temperature=0.5), {}) == {
        "model": "model-1",
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
        "temperature": 0.5,
    }
    assert "stream_options" not in build(ask(user(), stream=False), {})
    assert "stream_options" not in build(ask(user()), {"stream_options": False})


def test_a_turn_is_one_message_with_its_calls():
    """Text and calls of a turn stand together; foreign words have no place."""
    item = ProviderItem(id="p", provider_type="server_tool_use", data={})
    assert messages(user(), thought("hm"), agent("I look"), item, call("c1", '{"at": 1}'), output("c1", "blue")) == [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": "I look",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "blue"},
    ]


def test_a22_answers_stand_in_the_order_of_their_calls():
    """One message each."""
    said = messages(user(), call("c1"), call("c2"), output("c1"), output("c2"))
    assert [message.get("tool_call_id") for message in said[2:]] == ["c1", "c2"]


def test_c16_and_c17_arguments_are_always_an_object():
    """Hosts parse them: none is {}, what is no object is put into one, an object goes as it came."""
    for sent, said in [
        ("", "{}"),
        ('{ "at": 1 }', '{ "at": 1 }'),
        ('{"at', '{"malformed_arguments":"{\\"at"}'),
        ("[1]", '{"malformed_arguments":"[1]"}'),
    ]:
        assert messages(user(), call(arguments=sent), output())[1]["tool_calls"][0]["function"]["arguments"] == said
    custom = messages(user(), call(arguments="patch", kind="custom"), output())[1]["tool_calls"][0]
    assert custom["function"]["arguments"] == '{"input":"patch"}'


def test_c23_a_failed_tool_is_said_to_have_failed():
    """The wire has no word for it, so that the text says it."""
    said = messages(user(), call(), output(text="exit 3", success=False))
    assert said[2]["content"] == "The tool call failed:\nexit 3"


def test_a9_ids_are_made_fit_alike_on_both_sides():
    """For a host that wants nine letters and digits."""
    said = messages(user(), call("call_abc"), output("call_abc"), quirks={"call_id_length": 9})
    assert said[1]["tool_calls"][0]["id"] == said[2]["tool_call_id"]
    assert len(said[2]["tool_call_id"]) == 9
    kept = messages(user(), call("abcdef123"), output("abcdef123"), quirks={"call_id_length": 9})
    assert kept[2]["tool_call_id"] == "abcdef123"


def test_reasoning_is_brought_back_only_where_the_host_wants_it():
    """There always, if only as an empty text; never another provider's."""
    turn = [user(), thought("hm"), thought("x", "signature", "s", home=ELSEWHERE), call(), output()]
    assert "reasoning_content" not in messages(*turn)[1]
    assert messages(*turn, quirks={"replay_reasoning": "all"})[1]["reasoning_content"] == "hm"
    bare = messages(user(), call(), output(), agent(), quirks={"replay_reasoning": "all"})
    assert [message.get("reasoning_content") for message in bare] == [None, "", None, ""]


def test_a6_reasoning_details_go_back_to_their_own_model_only():
    """A host that sends them knows them again; all of a turn's stand in one list."""
    one = '[{"type":"reasoning.encrypted","data":"Ep8C","index":0}]'
    other = '[{"type":"reasoning.text","text":"hm","signature":"s","index":0}]'
    turn = [user(), thought("", "reasoning_details", one), thought("hm", "reasoning_details", other), agent(), user()]
    assert messages(*turn)[1]["reasoning_details"] == [
        {"type": "reasoning.encrypted", "data": "Ep8C", "index": 0},
        {"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0},
    ]
    assert messages(*turn, quirks={"replay_reasoning": "all"})[1]["reasoning_content"] == "hm"
    foreign = messages(user(), thought("hm", "reasoning_details", one, home=ELSEWHERE), agent(), user())
    assert "reasoning_details" not in foreign[1]


def test_system_messages_keep_their_place():
    """Where the host takes them anywhere; else those at the head are one, and the user says the later ones."""
    anywhere = messages(system("a"), user(), system("b"), quirks={"many_system_messages": True}, instructions="i")
    assert [(each["role"], each["content"]) for each in anywhere] == [
        ("system", "i"), ("system", "a"), ("user", "hello"), ("system", "b"),
    ]  # fmt: skip
    first = messages(system("a"), user(), system("b"), instructions="i")
    assert [(each["role"], each["content"]) for each in first] == [
        ("system", "i\n\na"), ("user", "hello"), ("user", "b"),
    ]  # fmt: skip


def test_images_and_files_in_input():
    """URLs as they are; `original` is the nearest detail that the wire knows."""
    parts = [
        TextPart(text="see"),
        ImagePart(url=PNG, detail="original"),
        FilePart(data="data:application/pdf;base64,JVBE", filename="a.pdf"),
        FilePart(file_id="file_1"),
    ]
    assert messages(user("see", parts=parts))[0]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "file", "file": {"file_id": "file_1"}},
    ]


def test_images_of_a_tool_follow_in_a_users_message():
    """After all answers of the turn."""
    shown = output("c1", "see", parts=[ImagePart(url=PNG)])
    said = messages(user(), call("c1"), call("c2"), shown, output("c2"))
    assert [message["role"] for message in said[2:]] == ["tool", "tool", "user"]
    assert said[4]["content"] == [{"type": "image_url", "image_url": {"url": PNG}}]


@pytest.mark.parametrize("part", [ImagePart(file_id="file_1"), FilePart(url="https://host/a.pdf")])
def test_what_the_wire_cannot_say_is_refused_by_name(part):
    """Never dropped silently."""
    with pytest.raises(InvalidRequest) as raised:
        messages(user("see", parts=[part]))
    assert raised.value.field.startswith("input.parts.")


def test_reasoning_in_each_hosts_words():
    """A field, or an object that also takes a budget; "none" as the host says it."""
    assert build(ask(user(), reasoning_effort="high"), {})["reasoning_effort"] == "high"
    as_object = {"reasoning": "openrouter"}
    assert build(ask(user(), reasoning_effort="high"), as_object)["reasoning"] == {"effort": "high"}
    assert build(ask(user(), thinking_budget=2048), as_object)["reasoning"] == {"max_tokens": 2048}
    off = {"reasoning_off": {"thinking": {"type": "disabled"}}}
    body = build(ask(user(), reasoning_effort="none"), off)
    assert body["thinking"] == {"type": "disabled"}
    assert "reasoning_effort" not in body


def test_a_budget_is_refused_where_the_host_knows_none():
    """It has no equivalent there."""
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), thinking_budget=2048), {})
    assert raised.value.field == "thinking_budget"


def test_tools_and_choices():
    """`strict` is said only where it was."""
    tools = [LOOK, Tool(name="go", description="Goes.", strict=True)]
    body = build(ask(user(), tools=tools, tool_choice=NamedToolChoice(name="go")), {})
    assert body["tools"][0] == {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    assert body["tools"][1]["function"]["strict"] is True
    assert body["tool_choice"] == {"type": "function", "function": {"name": "go"}}


def test_the_form_of_the_answer():
    """A schema with its name, or any object."""
    wanted = OutputFormat(type="json_schema", name="count", description="A count.", schema={"type": "object"})
    assert build(ask(user(), output_format=wanted), {})["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "count", "description": "A count.", "schema": {"type": "object"}},
    }
    plain = build(ask(user(), output_format=OutputFormat(type="json_object")), {})
    assert plain["response_format"] == {"type": "json_object"}
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), output_format=OutputFormat(type="json_schema")), {})
    assert raised.value.field == "output_format.schema"


def test_probabilities_and_tiers():
    """Of the tokens themselves, and of so many others; Anthropic's tier has a name here, too."""
    assert build(ask(user(), top_logprobs=2), {})["logprobs"] is True
    assert build(ask(user(), top_logprobs=0), {})["top_logprobs"] == 0
    assert build(ask(user(), service_tier="standard_only"), {})["service_tier"] == "default"


def test_a_cache_key_is_said_where_the_host_knows_it():
    """It is a hint; a host that does not know the field may refuse it."""
    assert "prompt_cache_key" not in build(ask(user(), prompt_cache_key="k"), {})
    assert build(ask(user(), model="gpt-4.1", prompt_cache_key="k"), {})["prompt_cache_key"] == "k"
    assert build(ask(user(), prompt_cache_key="k"), {"prompt_cache_key": True})["prompt_cache_key"] == "k"


def test_a_host_that_heeds_no_choice():
    """`none` is said by offering none; a call cannot be forced."""
    deaf = {"tool_choice": "no"}
    assert "tools" not in build(ask(user(), tools=[LOOK], tool_choice="none"), deaf)
    assert "tool_choice" not in build(ask(user(), tools=[LOOK], tool_choice="auto"), deaf)
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), tools=[LOOK], tool_choice="required"), deaf)
    assert raised.value.field == "tool_choice"


def test_the_output_limit_has_the_name_that_the_model_wants():
    """The provider's row counts, else the model's, else the common one."""
    assert build(ask(user(), model="gpt-5-mini", max_output_tokens=9), {})["max_completion_tokens"] == 9
    named = build(ask(user(), max_output_tokens=9), {"max_tokens_field": "max_completion_tokens"})
    assert named["max_completion_tokens"] == 9
