"""What the chat wire is asked."""

import pytest
from msgspec.structs import replace

from tailrace.adapters.canonical import UNSEEN
from tailrace.adapters.openai_chat_completions.quirks import BETWEEN
from tailrace.adapters.openai_chat_completions.request import build, own_headers
from tailrace.adapters.wires import QUIRKS
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import FilePart, ImagePart, ProviderItem, TextPart
from tailrace.schema.request import NamedToolChoice, OutputFormat, Tool
from tailrace.upstream.registry import load_builtin
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


def test_what_the_system_shows_the_user_shows():
    """Its own role takes text only; nothing is lost, also at the head."""
    shown = replace(system("see"), parts=[ImagePart(url=PNG)])
    for row in ({}, {"many_system_messages": True}):
        said = messages(system("a"), shown, user(), quirks=row)
        assert [each["role"] for each in said] == ["system", "user", "user"]
        assert [part["type"] for part in said[1]["content"]] == ["text", "image_url"]


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
    assert "service_tier" not in build(ask(user(), service_tier="auto"), {})


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


def test_a_host_that_can_be_made_to_call_but_not_what():
    """Then only the tool that is meant is offered."""
    body = build(ask(user(), tools=[LOOK, Tool(name="go")], tool_choice=NamedToolChoice(name="go")), FORCED)
    assert body["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in body["tools"]] == ["go"]
    assert len(build(ask(user(), tools=[LOOK, Tool(name="go")], tool_choice="auto"), FORCED)["tools"]) == 2
    with pytest.raises(InvalidRequest):
        build(ask(user(), tools=[LOOK], tool_choice="required"), {"tool_choice": "auto"})
    assert build(ask(user(), tools=[LOOK], tool_choice="none"), {"tool_choice": "auto"})["tool_choice"] == "none"


FORCED = {"tool_choice": "required"}
OFF = {"thinking": {"type": "disabled"}}


@pytest.mark.parametrize(
    ("form", "asked", "said"),
    [
        ("openai", {"reasoning_effort": "none"}, {"reasoning_effort": "none"}),
        ("openrouter", {"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}),
        ("zai", {"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}}),
        ("zai", {"thinking_budget": 2048}, {"thinking": {"type": "enabled"}}),
        ("kimi", {"thinking_budget": 0}, OFF),
        ("deepseek", {"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ("deepseek", {"reasoning_effort": "none"}, OFF),
        ("qwen", {"reasoning_effort": "low"}, {"enable_thinking": True, "thinking_budget": 2048}),
        ("qwen", {"thinking_budget": 3000}, {"enable_thinking": True, "thinking_budget": 3000}),
        ("qwen", {"reasoning_effort": "none"}, {"enable_thinking": False}),
        ("chat-template", {"reasoning_effort": "low"}, {"chat_template_kwargs": {"enable_thinking": True}}),
        ("chat-template", {"reasoning_effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("none", {"reasoning_effort": "none"}, {}),
    ],
)
def test_thinking_in_each_hosts_form(form, asked, said):
    """On, off, by effort and by budget; nothing where nothing was asked."""
    plain = build(ask(user()), {"reasoning": form})
    assert build(ask(user(), **asked), {"reasoning": form}) == {**plain, **said}
    assert not THINKING & plain.keys()


THINKING = {"reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget", "chat_template_kwargs"}


def test_a_host_without_words_for_thinking():
    """Asking for some is refused by name."""
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), reasoning_effort="low"), {"reasoning": "none"})
    assert raised.value.field == "reasoning_effort"


def test_efforts_in_a_hosts_own_words():
    """Another word, or none at all."""
    row = {"efforts": {"minimal": "low", "none": ""}}
    assert build(ask(user(), reasoning_effort="minimal"), row)["reasoning_effort"] == "low"
    assert build(ask(user(), reasoning_effort="high"), row)["reasoning_effort"] == "high"
    assert "reasoning_effort" not in build(ask(user(), reasoning_effort="none"), row)


@pytest.mark.parametrize(
    ("beside", "off"),
    [
        ("always", []),
        ("unforced", ["required", NamedToolChoice(name="look")]),
        ("unchosen", ["none", "required", NamedToolChoice(name="look")]),
        ("never", [None, "auto", "none", "required", NamedToolChoice(name="look")]),
    ],
)
def test_thinking_is_off_beside_tools_where_a_host_wants_it_so(beside, off):
    """It is said so, whether thinking was asked for or not; without tools it stays."""
    row = {"reasoning": "kimi", "reasoning_beside_tools": beside}
    for choice in (None, "auto", "none", "required", NamedToolChoice(name="look")):
        for asked in ({}, {"reasoning_effort": "high"}):
            body = build(ask(user(), tools=[LOOK], tool_choice=choice, **asked), row)
            assert (body.get("thinking") == OFF["thinking"]) == (choice in off)
    assert build(ask(user(), reasoning_effort="high"), row)["thinking"] == {"type": "enabled"}


def test_openais_own_models_by_their_rows():
    """Those that reason have developers, another limit and no sampling; all keep nothing and have short ids."""
    body = build(ask(system("s"), user(), call("x" * 50), output("x" * 50), model="gpt-5-mini", instructions="i"), {})
    assert [each["role"] for each in body["messages"][:2]] == ["developer", "developer"]
    assert body["store"] is False
    assert len(body["messages"][-1]["tool_call_id"]) == 40
    assert body["messages"][3]["tool_calls"][0]["id"] == body["messages"][-1]["tool_call_id"]
    for name, value in {"temperature": 0.5, "top_p": 0.5, "frequency_penalty": 1, "top_logprobs": 2}.items():
        with pytest.raises(InvalidRequest) as raised:
            build(ask(user(), model="o3", **{name: value}), {})
        assert raised.value.field == name
    assert "temperature" not in build(ask(user(), model="o3", temperature=1), {})
    assert build(ask(user(), model="gpt-5-chat-latest", temperature=0.5), {})["temperature"] == 0.5
    assert build(ask(system("s"), user(), model="gpt-4.1"), {})["messages"][0]["role"] == "system"


def test_mistrals_conversation():
    """Results bear their tool's name, the assistant speaks between them and the user, reasoning is text."""
    row = {
        "tool_result_name": True, "assistant_after_tool_result": True, "call_id_length": 9, "reasoning_as_text": "all",
    }  # fmt: skip
    said = messages(user(), thought("hm"), call(), output(), user("and?"), quirks=row)
    assert [each["role"] for each in said] == ["user", "assistant", "tool", "assistant", "user"]
    assert said[1]["content"] == "hm"
    assert said[2]["name"] == "look"
    assert said[3]["content"] == BETWEEN
    assert [each["role"] for each in messages(user(), call(), output(), agent(), quirks=row)][-1] == "assistant"


def test_a_turn_that_only_calls_has_something_to_say_where_it_must():
    """A filler; a turn with text has its text."""
    row = {"call_filler": "."}
    assert messages(user(), call(), output(), quirks=row)[1]["content"] == "."
    assert messages(user(), agent("so"), call(), output(), quirks=row)[1]["content"] == "so"
    assert messages(user(), call(), output())[1]["content"] == ""


def test_when_reasoning_goes_back():
    """Where there is some, in turns with calls, or always; under the host's name, and with its filler."""
    turn = [user(), call(), output(), agent("so"), user(), thought("hm"), agent("yes")]
    for replay, texts in [
        ("no", [None, None, None]), ("present", [None, None, "hm"]), ("calls", [".", None, "hm"]),
        ("all", [".", ".", "hm"]),
    ]:  # fmt: skip
        row = {"replay_reasoning": replay, "reasoning_field": "reasoning", "reasoning_filler": "."}
        said = messages(*turn, quirks=row)
        assert [each.get("reasoning") for each in said if each["role"] == "assistant"] == texts


def test_reasoning_of_another_model_goes_back_as_text_where_the_row_says_so():
    """Or else not at all; the model's own stays what it is."""
    turn = [user(), thought("theirs", "signature", "s", home=ELSEWHERE), thought("own"), agent("so"), user()]
    assert messages(*turn)[1]["content"] == "so"
    assert messages(*turn, quirks={"reasoning_as_text": "foreign"})[1]["content"] == "theirs\n\nso"
    assert messages(*turn, quirks={"reasoning_as_text": "all"})[1]["content"] == "theirs\n\nown\n\nso"


def test_models_that_see_no_pictures_are_told_of_them():
    """In what the user shows and in what a tool does."""
    shown = [user("see", parts=[ImagePart(url=PNG)]), call(), output(text="here", parts=[ImagePart(url=PNG)])]
    said = messages(*shown, quirks={"images": False})
    assert [each["content"] for each in said] == [f"see\n{UNSEEN.text}", "", f"here\n{UNSEEN.text}"]


def test_all_tools_are_strict_or_none_is():
    """Where a host wants it so; elsewhere as each tool says, or nothing is said."""
    odd = Tool(name="odd", parameters={"type": "object", "additionalProperties": {"type": "string"}})
    fit = Tool(name="fit", parameters={"type": "object", "properties": {"a": {"type": "string"}}})

    def strictness(tools, strict):
        return [each["function"].get("strict") for each in build(ask(user(), tools=tools), {"strict": strict})["tools"]]

    assert strictness([fit, fit_too := Tool(name="too", parameters=fit.parameters)], "all") == [True, True]
    assert strictness([fit, odd], "all") == [False, False]
    assert strictness([fit_too, Tool(name="s", parameters=fit.parameters, strict=True)], "asked") == [None, True]
    assert strictness([Tool(name="s", parameters=fit.parameters, strict=True)], "no") == [None]


def test_schemas_in_a_hosts_flavour():
    """A root without a union, or Moonshot's own kind."""
    union = {"type": "object", "properties": {"a": {"const": 1}}, "anyOf": [{"required": ["a"]}]}
    tools = [Tool(name="look", parameters=union)]
    offered = build(ask(user(), tools=tools), {"schemas": "no-root-union"})["tools"][0]["function"]["parameters"]
    assert offered == {"type": "object", "properties": {"a": {"const": 1}}}
    offered = build(ask(user(), tools=tools), {"schemas": "moonshot"})["tools"][0]["function"]["parameters"]
    assert offered == {"type": "object", "properties": {"a": {"enum": [1], "type": "integer"}}}


def test_what_a_host_always_wants():
    """A limit, and fields of its own, which the request's own words outweigh field by field."""
    row = {"max_tokens": 99, "extra_body": {"provider": {"sort": "price", "only": ["a"]}}}
    assert build(ask(user()), row)["max_tokens"] == 99
    assert build(ask(user(), max_output_tokens=9), row)["max_tokens"] == 9
    extra = {"openai-chat-completions": {"provider": {"sort": "latency"}}}
    assert build(ask(user(), extra=extra), row)["provider"] == {"sort": "latency", "only": ["a"]}


def test_a_cache_key_in_a_header():
    """Where the host takes it there."""
    row = {"prompt_cache_header": "x-grok-conv-id"}
    assert own_headers(ask(user(), prompt_cache_key="k"), row) == {"x-grok-conv-id": "k"}
    assert own_headers(ask(user(), prompt_cache_key="a\r\nb: c"), row)["x-grok-conv-id"].isalnum()
    assert own_headers(ask(user()), row) == own_headers(ask(user(), prompt_cache_key="k"), {}) == {}


def test_every_built_in_row_is_of_the_flags_kinds():
    """A value of another type would be misread in silence."""
    for provider in load_builtin().values():
        for name, value in provider.quirks.items():
            assert type(value) is type(QUIRKS[provider.wire][name]), (provider.provider_id, name)


def test_the_output_limit_has_the_name_that_the_model_wants():
    """The provider's row counts, else the model's, else the common one."""
    assert build(ask(user(), model="gpt-5-mini", max_output_tokens=9), {})["max_completion_tokens"] == 9
    named = build(ask(user(), max_output_tokens=9), {"max_tokens_field": "max_completion_tokens"})
    assert named["max_completion_tokens"] == 9
