"""What the Responses wire is asked."""

import pytest
from msgspec.structs import replace

from tailrace.adapters.openai_responses.request import build, own_headers
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import FilePart, ImagePart, ProviderItem, RefusalPart, TextPart
from tailrace.schema.request import AllowedTools, CustomTool, HostedTool, NamedToolChoice, OutputFormat, Tool
from tailrace.upstream.registry import load_builtin
from tests.support.items import ELSEWHERE, agent, ask, call, opaque, output, system, thought, user

PNG = "data:image/png;base64,iVBORw0K"


def said(*items, **generation):
    return build(ask(*items, **generation), {})["input"]


def test_a_plain_question():
    """Stateless, and with what a reasoning model wants back."""
    assert build(ask(user("hello"), instructions="be kind", max_output_tokens=9, temperature=0.5), {}) == {
        "model": "model-1",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}],
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "instructions": "be kind",
        "max_output_tokens": 9,
        "temperature": 0.5,
    }
    assert build(ask(user(), stream=False), {})["stream"] is False


def test_a6_encrypted_reasoning_goes_back_byte_for_byte_to_its_own_model():
    """Under its own id, with its summary, before the call it led to."""
    item = thought("a\n\nb", "encrypted_content", "gAAAA+/=", summary_parts=["a", "b"])
    assert said(user(), item, call(), output())[1] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
        "encrypted_content": "gAAAA+/=",
    }
    for foreign in (thought("x", "encrypted_content", "d", home=ELSEWHERE), thought("x", "signature", "d"), thought()):
        assert [item["type"] for item in said(user(), foreign, agent())] == ["message", "message"]


def test_a_reasoning_item_goes_back_under_the_providers_id():
    """Also where the run had to give it another."""
    assert said(thought("", "encrypted_content", "d", correlation_id="rs_own"), agent())[0]["id"] == "rs_own"


def test_an_id_that_is_not_the_providers_is_left_out():
    """The API refuses one of another form, and finds the reasoning by its content."""
    item = replace(thought("", "encrypted_content", "d"), id="item_1_1")
    assert "id" not in said(item, agent())[0]


def test_reasoning_that_led_to_nothing_that_can_be_said_is_left_out():
    """A picture that the model made, say: the API takes none back, and refuses reasoning alone."""
    item = thought("", "encrypted_content", "d")
    drawn = agent("", parts=[ImagePart(url=PNG)])
    assert [each["type"] for each in said(user(), item, drawn, user())] == ["message", "message"]
    assert [each["type"] for each in said(user(), item, call(), output())][1] == "reasoning"


def test_outputs_follow_their_calls_at_once_where_they_must():
    """On Azure and at Copilot; elsewhere those of a turn follow together."""
    turn = [user(), call("c1"), call("c2"), agent("so"), output("c1"), output("c2")]
    kinds = ["message", "function_call", "function_call", "message", *["function_call_output"] * 2]
    assert [each["type"] for each in said(*turn)] == kinds
    strict = build(ask(*turn), {"strict_pairing": True})["input"]
    assert [each.get("call_id") for each in strict] == [None, "c1", "c1", "c2", "c2", None]


def test_the_system_speaks_as_a_developer_where_the_host_knows_one():
    """Copies of the API may not."""
    plain = build(ask(system("be brief"), user()), {"developer_role": False})["input"]
    assert [each["role"] for each in plain] == ["system", "user"]


def test_padding_is_left_out_where_it_may_be():
    """Of streams only: `stream_options` says it."""
    asked = {"obfuscation_off": True}
    assert build(ask(user()), asked)["stream_options"] == {"include_obfuscation": False}
    assert "stream_options" not in build(ask(user(), stream=False), asked)


def test_a_long_cache_key_is_said_as_its_digest():
    """The API takes 64 characters."""
    assert build(ask(user(), prompt_cache_key="k" * 64), {})["prompt_cache_key"] == "k" * 64
    said_key = build(ask(user(), prompt_cache_key="k" * 65), {})["prompt_cache_key"]
    assert said_key.startswith("pc_")
    assert len(said_key) <= 64


def test_a9_calls_and_outputs_are_paired_by_call_id():
    """Not by item id, which is not sent; an id too long for the API is shortened alike on both sides."""
    assert said(call("c1", '{"at": 1}', namespace="ns"), output("c1", "blue")) == [
        {"type": "function_call", "call_id": "c1", "name": "look", "namespace": "ns", "arguments": '{"at": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "blue"},
    ]
    one, other = said(call("x" * 80), output("x" * 80))
    assert one["call_id"] == other["call_id"]
    assert len(one["call_id"]) == 40


def test_a9_custom_calls_have_custom_outputs():
    """The output's type follows its call's."""
    assert said(call("c1", "*** patch", kind="custom"), output("c1", "ok")) == [
        {"type": "custom_tool_call", "call_id": "c1", "name": "look", "input": "*** patch"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
    ]


def test_who_called_goes_back_with_the_call_and_its_output():
    """A program of the model's, where it was one."""
    caller = opaque("caller", '{"type":"program","caller_id":"call_9"}')
    for item in said(call(opaque=caller), output()):
        assert item["caller"] == {"type": "program", "caller_id": "call_9"}


def test_reasoning_without_a_summary_goes_back_as_its_own_text():
    """A host whose model shows its reasoning."""
    item = said(thought("because", "encrypted_content", "d"), agent())[0]
    assert item["summary"] == []
    assert item["content"] == [{"type": "reasoning_text", "text": "because"}]


def test_c17_malformed_arguments_go_back_as_they_came():
    """The wire takes any text; none at all is {}."""
    assert said(call(arguments='{"at'))[0]["arguments"] == '{"at'
    assert said(call(arguments=""))[0]["arguments"] == "{}"


def test_c23_a_failed_tool_is_said_to_have_failed():
    """The wire has no word for it, so that the text says it."""
    assert said(call(), output(text="exit 3", success=False))[1]["output"] == "The tool call failed:\nexit 3"


def test_messages_of_all_three_origins():
    """Roles, the assistant's refusals and phases, and nothing for an empty message."""
    refused = agent("no", parts=[RefusalPart(refusal="no")], phase="final_answer")
    assert said(system("be brief"), user("a"), agent(""), refused) == [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "no"}],
            "phase": "final_answer",
        },
    ]


def test_images_and_files_in_input_and_in_outputs():
    """By URL, data URL or file id."""
    parts = [
        TextPart(text="see"),
        ImagePart(url=PNG, detail="low"),
        ImagePart(file_id="file_1"),
        FilePart(data="data:application/pdf;base64,JVBE"),
        FilePart(url="https://host/a.pdf"),
        FilePart(file_id="file_2"),
    ]
    wanted = [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "detail": "low", "image_url": PNG},
        {"type": "input_image", "detail": "auto", "file_id": "file_1"},
        {"type": "input_file", "filename": "file", "file_data": "data:application/pdf;base64,JVBE"},
        {"type": "input_file", "file_url": "https://host/a.pdf"},
        {"type": "input_file", "file_id": "file_2"},
    ]
    assert said(user("see", parts=parts))[0]["content"] == wanted
    assert said(call(), output(text="see", parts=parts))[1]["output"] == wanted


@pytest.mark.parametrize("part", [ImagePart(), FilePart(filename="a")])
def test_a_part_with_nothing_in_it_is_refused_by_name(part):
    """Never dropped silently."""
    with pytest.raises(InvalidRequest) as raised:
        said(user("see", parts=[part]))
    assert raised.value.field.startswith("input.parts.")


def test_reasoning_by_effort_or_by_the_nearest_to_a_budget():
    """The wire has no budget; the least effort that holds it is its equivalent."""
    for asked, effort in [
        ({"reasoning_effort": "high"}, "high"),
        ({"thinking_budget": 3000}, "medium"),
        ({"thinking_budget": 99999}, "xhigh"),
        ({"reasoning_effort": "low", "thinking_budget": 9999}, "low"),
    ]:
        assert build(ask(user(), **asked), {})["reasoning"] == {"effort": effort, "summary": "auto"}
    assert build(ask(user(), thinking_budget=0), {})["reasoning"] == {"effort": "none"}
    assert build(ask(user(), reasoning_effort="low"), {"reasoning_summary": ""})["reasoning"] == {"effort": "low"}


def test_a_model_that_does_not_reason_is_not_asked_to():
    """It refuses the fields, so that asking for an effort is refused here, by name."""
    assert "include" not in build(ask(user(), model="gpt-4.1-mini"), {})
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), model="gpt-4o", thinking_budget=2048), {})
    assert raised.value.field == "thinking_budget"


def test_tools_and_choices():
    """`strict` is always said, and false unless asked for."""
    tools = [Tool(name="look", description="Looks.", parameters={"type": "object"}), Tool(name="go", strict=True)]
    body = build(ask(user(), tools=tools, tool_choice=NamedToolChoice(name="go")), {})
    nothing = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert body["tools"] == [
        {
            "type": "function",
            "name": "look",
            "description": "Looks.",
            "parameters": {"type": "object"},
            "strict": False,
        },
        {"type": "function", "name": "go", "parameters": nothing, "strict": True},
    ]
    assert body["tool_choice"] == {"type": "function", "name": "go"}
    assert build(ask(user(), tools=tools, tool_choice="required"), {})["tool_choice"] == "required"


def test_free_text_tools_and_namespaces_are_the_wires_own_words():
    """With their grammar; the tools of a namespace stand together, where the first one stood."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
    tools = [
        Tool(name="read", namespace="files"),
        CustomTool(name="patch", description="Patches.", format=grammar),
        Tool(name="write", namespace="files"),
    ]
    offered = build(ask(user(), tools=tools, tool_choice=NamedToolChoice(name="patch")), {})
    assert offered["tool_choice"] == {"type": "custom", "name": "patch"}
    group, custom = offered["tools"]
    assert custom == {"type": "custom", "name": "patch", "description": "Patches.", "format": grammar}
    assert (group["type"], group["name"]) == ("namespace", "files")
    assert [tool["name"] for tool in group["tools"]] == ["read", "write"]


def test_allowed_tools_are_said_and_all_tools_stay():
    """So that the provider's cache holds."""
    search = HostedTool(wire="openai-responses", data={"type": "web_search", "filters": {}})
    tools = [Tool(name="look"), CustomTool(name="patch"), search, Tool(name="go")]
    choice = AllowedTools(names=["patch", "web_search", "look"], mode="required")
    body = build(ask(user(), tools=tools, tool_choice=choice), {})
    assert len(body["tools"]) == 4
    assert body["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "look"}, {"type": "custom", "name": "patch"}, {"type": "web_search"}],
    }


def test_the_form_of_the_answer():
    """A schema has a name; verbosity stands beside it."""
    wanted = OutputFormat(type="json_schema", schema={"type": "object"}, strict=True)
    assert build(ask(user(), output_format=wanted, verbosity="low"), {})["text"] == {
        "verbosity": "low",
        "format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": True},
    }
    plain = build(ask(user(), output_format=OutputFormat(type="json_object")), {})
    assert plain["text"] == {"format": {"type": "json_object"}}


def test_probabilities_are_asked_for_twice():
    """How many, and that they be in the answer."""
    body = build(ask(user(), top_logprobs=3), {})
    assert body["top_logprobs"] == 3
    assert body["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]


def test_a_summary_as_asked_outweighs_the_usual_one():
    """Also without an effort; a model that does not reason has none."""
    body = build(ask(user(), reasoning_effort="low", reasoning_summary="detailed"), {})
    assert body["reasoning"] == {"effort": "low", "summary": "detailed"}
    assert build(ask(user(), reasoning_summary="auto"), {})["reasoning"] == {"summary": "auto"}
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), model="gpt-4o", reasoning_summary="concise"), {})
    assert raised.value.field == "reasoning_summary"


def test_the_providers_own_items_go_back_as_they_came():
    """Those of this wire only."""
    data = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "x"}}
    own = ProviderItem(id="ws_1", provider_type="web_search_call", data=data)
    other = ProviderItem(id="p", provider_type="server_tool_use", data={"type": "server_tool_use"})
    assert said(own, other) == [data]


# --- endpoints that take not all of it --------------------------------------------------------------------------

CODEX = load_builtin()["openai-codex"].quirks


def codex(*items, **generation):
    return build(replace(ask(*items, **generation), thread_id="thread-1"), CODEX)


def test_the_codex_endpoint_is_never_told_what_it_refuses():
    """Limits and sampling are left unsaid, also those that a client adds in the wire's own words; what it must have is
    there: nothing is stored, and encrypted reasoning comes back, asked for once."""
    body = codex(
        user(), instructions="be kind", max_output_tokens=9, temperature=0.5, top_p=0.5, top_logprobs=3, user="u",
        reasoning_effort="low", verbosity="low", service_tier="flex",
        extra={"openai-responses": {"truncation": "auto", "include": ["reasoning.encrypted_content"], "metadata": {}}},
    )  # fmt: skip
    assert body == {
        "model": "model-1",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}],
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low"},
        "service_tier": "flex",
        "prompt_cache_key": "thread-1",
        "instructions": "be kind",
    }


def test_an_item_goes_back_to_codex_without_its_id():
    """Reasoning is known by what it encrypts; calls and outputs by their call."""
    body = codex(user(), thought("a", "encrypted_content", "gAAAA"), call(), output())
    assert not [item for item in body["input"] if "id" in item]
    assert [item.get("call_id") for item in body["input"]] == [None, None, "c1", "c1"]


@pytest.mark.parametrize(
    ("items", "instructions", "roles"),
    [
        ([system("be kind"), user()], "be kind", ["user"]),
        ([system("be kind"), system("be brief"), user()], "be kind", ["developer", "user"]),
        ([system("be kind")], "be kind", ["user"]),
        ([system("be kind"), system("be brief")], "be kind", ["developer", "user"]),
        ([user()], "", ["user"]),
    ],
)
def test_codex_has_instructions_and_something_to_answer(items, instructions, roles):
    """The first of the system's messages, where none were given; where the system alone spoke, its last word again."""
    body = codex(*items)
    assert body["instructions"] == instructions
    assert [item["role"] for item in body["input"]] == roles
    if not any(item.origin == "user" for item in items):
        assert body["input"][-1]["content"] == [{"type": "input_text", "text": items[-1].content}]


def test_the_caches_key_is_independent_of_the_sessions_headers():
    """A request's own key goes before the conversation's; without a conversation there are neither."""
    named = replace(ask(user(), prompt_cache_key="mine"), thread_id="thread-1")
    assert build(named, CODEX)["prompt_cache_key"] == "mine"
    told = {"session-id": "thread-1", "thread-id": "thread-1", "x-client-request-id": "thread-1"}
    assert own_headers(named, CODEX) == told
    assert own_headers(ask(user()), CODEX) == {}
    assert "prompt_cache_key" not in build(ask(user()), CODEX)
    assert own_headers(named, {}) == {}
    assert "prompt_cache_key" not in build(replace(named, generation=ask(user()).generation), {})
