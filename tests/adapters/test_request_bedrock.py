"""What Bedrock's Converse is asked."""

import pytest

from tailrace.adapters.bedrock_converse.request import DOCUMENT_ALONE, NO_TOOLS, build, path
from tailrace.adapters.turns import BEGIN, CONTINUE
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import FilePart, ImagePart, ProviderItem, TextPart
from tailrace.schema.request import AllowedTools, NamedToolChoice, OutputFormat, Tool
from tests.support.items import ELSEWHERE, agent, ask, call, output, system, thought, user

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-2-lite-v1:0"
LOOK = Tool(name="look", description="Looks.", parameters={"type": "object", "properties": {}})
GO = Tool(name="go")
PNG, PDF = "data:image/png;base64,iVBORw0K", "data:application/pdf;base64,JVBERi0="


def body(*items, model="model-1", quirks=None, **generation):
    return build(ask(*items, model=model, **generation), quirks or {})


def messages(*items, **generation):
    return body(*items, **generation)["messages"]


def refused(*items, **generation):
    with pytest.raises(InvalidRequest) as raised:
        body(*items, **generation)
    return raised.value.field


def tool(name):
    return {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object", "properties": {}}}}}


# --- the path ---------------------------------------------------------------------------------------------------


def test_a_model_s_name_is_one_segment_of_the_path():
    """Colons and slashes of an ARN would end it."""
    arn = "arn:aws:bedrock:us-east-1:1:inference-profile/x.y"
    assert path(CLAUDE, True) == "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream"
    assert path(arn, False) == "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx.y/converse"


# --- how to answer ----------------------------------------------------------------------------------------------


def test_a_plain_question():
    """The model and the kind of answer are in the path."""
    said = body(
        system("Be brief."), user("hello"), instructions="be kind", max_output_tokens=9, temperature=0.5, stop=["END"],
        user="u-1", service_tier="flex", top_p=0.9,
    )  # fmt: skip
    assert said == {
        "system": [{"text": "be kind\n\nBe brief."}],
        "messages": [{"role": "user", "content": [{"text": "hello"}]}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
        "requestMetadata": {"user": "u-1"},
        "serviceTier": {"type": "flex"},
    }


def test_words_that_the_api_does_not_take():
    """A tier, a temperature, JSON without a schema."""
    assert refused(user(), service_tier="scale") == "service_tier"
    assert refused(user(), temperature=1.5) == "temperature"
    assert refused(user(), output_format=OutputFormat(type="json_object")) == "output_format"


def test_a_user_is_named_in_the_characters_that_there_are():
    """Claude Code, for one, puts JSON there."""
    assert body(user(), user='{"id":"ü"}' + "x" * 300)["requestMetadata"]["user"] == "__id_:____" + "x" * 246


def test_a_schema_is_said_as_a_text():
    """Made fit for the provider's subset where it can be."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wanted = OutputFormat(type="json_schema", name="n", description="d", schema=schema)
    form = body(user(), output_format=wanted)["outputConfig"]["textFormat"]
    assert form["type"] == "json_schema"
    said = form["structure"]["jsonSchema"]
    assert (said["name"], said["description"]) == ("n", "d")
    assert codec.decode_any(said["schema"])["additionalProperties"] is False


def test_tools_and_the_choice_among_them():
    """That it may choose is left unsaid; none of them is said by offering none."""
    assert body(user(), tools=[LOOK])["toolConfig"] == {
        "tools": [{"toolSpec": {**tool("look")["toolSpec"], "description": "Looks."}}]
    }
    for choice, said in [
        ("required", {"any": {}}),
        (NamedToolChoice(name="go"), {"tool": {"name": "go"}}),
        (AllowedTools(names=["go"], mode="required"), {"tool": {"name": "go"}}),
    ]:
        assert body(user(), tools=[LOOK, GO], tool_choice=choice)["toolConfig"]["toolChoice"] == said
    assert "toolChoice" not in body(user(), tools=[GO], tool_choice="auto")["toolConfig"]
    assert "toolConfig" not in body(user(), tools=[GO], tool_choice="none")
    assert refused(user(), tools=[GO], tool_choice="required", model="meta.llama3-70b-instruct-v1:0") == "tool_choice"
    assert refused(user(), tools=[GO], parallel_tool_calls=False) == "parallel_tool_calls"


def test_a_history_with_calls_wants_tools():
    """One that is none, where none are offered."""
    assert body(user(), call(), output())["toolConfig"] == {"tools": [NO_TOOLS]}
    assert body(user(), call(), output(), tools=[GO], tool_choice="none")["toolConfig"] == {"tools": [NO_TOOLS]}
    assert body(user(), call(), output(), tools=[GO])["toolConfig"] == {"tools": [tool("go")]}


def test_strict_tools():
    """Where the schema is fit for it."""
    fit = Tool(name="fit", parameters={"type": "object", "properties": {"a": {"type": "string"}}}, strict=True)
    (said,) = body(user(), tools=[fit])["toolConfig"]["tools"]
    assert said["toolSpec"]["strict"] is True
    assert said["toolSpec"]["inputSchema"]["json"]["additionalProperties"] is False


# --- thinking ---------------------------------------------------------------------------------------------------


def test_claude_thinks_by_a_budget_with_room_for_an_answer():
    """In its own words, beside the wire's."""
    said = body(user(), model=CLAUDE, reasoning_effort="low", max_output_tokens=100)
    assert said["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    assert said["inferenceConfig"] == {"maxTokens": 3072}
    assert body(user(), model=CLAUDE, thinking_budget=4096)["inferenceConfig"]["maxTokens"] >= 5120
    assert "inferenceConfig" not in body(user(), model=CLAUDE, reasoning_effort="none")


def test_newer_claudes_think_by_an_effort():
    """And may not have all words."""
    said = body(user(), model="anthropic.claude-opus-4-7", reasoning_effort="high")["additionalModelRequestFields"]
    assert said["thinking"]["type"] == "adaptive"
    assert said["output_config"] == {"effort": "high"}
    assert refused(user(), model="anthropic.claude-opus-5-5", reasoning_effort="none") == "reasoning_effort"


def test_claude_does_not_think_where_it_may_not():
    """Where a call is forced, and in a tool loop that began without; then there is no limit to raise."""
    forced = body(user(), model=CLAUDE, reasoning_effort="low", tools=[GO], tool_choice="required")
    assert "additionalModelRequestFields" not in forced
    history = [user(), call(), output()]
    assert "additionalModelRequestFields" not in body(*history, model=CLAUDE, reasoning_effort="low")
    signed = thought("hm", "reasoning_signature", "sig", home=("here", CLAUDE))
    kept = body(user(), signed, call(), output(), model=CLAUDE, reasoning_effort="low")
    assert kept["additionalModelRequestFields"]["thinking"]["type"] == "enabled"


def test_claude_s_sampling():
    """`top_k` is its own word; with thinking it takes none."""
    assert body(user(), model=CLAUDE, top_k=5)["additionalModelRequestFields"] == {"top_k": 5}
    assert refused(user(), model=CLAUDE, reasoning_effort="low", temperature=0.5) == "temperature"


def test_nova_thinks_in_three_efforts():
    """The greatest takes no limit and no sampling."""
    said = body(user(), model=NOVA, reasoning_effort="minimal", top_k=5)["additionalModelRequestFields"]
    assert said == {
        "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"},
        "inferenceConfig": {"topK": 5},
    }
    assert refused(user(), model=NOVA, reasoning_effort="xhigh", max_output_tokens=5) == "max_output_tokens"
    assert "additionalModelRequestFields" not in body(user(), model=NOVA, reasoning_effort="none")


def test_other_models():
    """One that takes a word; and one that cannot be told, unless a provider's quirks say how."""
    said = body(user(), model="openai.gpt-oss-120b-1:0", reasoning_effort="xhigh")
    assert said["additionalModelRequestFields"] == {"reasoning_effort": "high"}
    assert refused(user(), model="openai.gpt-oss-120b-1:0", reasoning_effort="none") == "reasoning_effort"
    assert refused(user(), reasoning_effort="low") == "reasoning_effort"
    assert refused(user(), thinking_budget=2048) == "thinking_budget"
    assert "additionalModelRequestFields" not in body(user(), reasoning_effort="none")
    arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/x"
    told = body(user(), model=arn, quirks={"thinking": "budget"}, thinking_budget=2048)
    assert told["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 2048
    assert body(user(), temperature=1)["inferenceConfig"] == {"temperature": 1}  # not every model's own


# --- the conversation -------------------------------------------------------------------------------------------


def test_results_of_parallel_calls_stand_in_one_turn():
    """First in it, in their order; what the user said meanwhile comes after."""
    said = messages(
        user(), agent("I look."), call("c1", '{"at": 1}'), call("c2"),
        output("c1"), user("Well?"), output("c2", "bad", False), model=CLAUDE,
    )  # fmt: skip
    assert [turn["role"] for turn in said] == ["user", "assistant", "user"]
    assert said[1]["content"] == [
        {"text": "I look."},
        {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"at": 1}}},
        {"toolUse": {"toolUseId": "c2", "name": "look", "input": {}}},
    ]
    assert said[2]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "done"}], "status": "success"}},
        {"toolResult": {"toolUseId": "c2", "content": [{"text": "bad"}], "status": "error"}},
        {"text": "Well?"},
    ]


def test_a_failure_is_said_in_words_where_the_model_hears_no_status():
    """So that it is not lost."""
    result = messages(user(), call(), output("c1", "no", False))[2]["content"][0]["toolResult"]
    assert result == {"toolUseId": "c1", "content": [{"text": "The tool call failed:"}, {"text": "no"}]}
    empty = messages(user(), call(), output("c1", ""))[2]["content"][0]["toolResult"]
    assert empty["content"]


def test_ids_that_the_wire_refuses_are_replaced_in_both_places():
    """The same for call and result."""
    said = messages(user(), call("functions.look:0"), output("functions.look:0"))
    used, answered = said[1]["content"][0]["toolUse"], said[2]["content"][0]["toolResult"]
    assert used["toolUseId"] == answered["toolUseId"]
    assert used["toolUseId"].isalnum()


def test_reasoning_goes_back_byte_for_byte_to_the_model_that_it_is_of():
    """Signed or redacted; another's, and what nobody signed, does not."""
    signed = thought("let me see", "reasoning_signature", "EqQB+/==")
    redacted = thought("", "redacted_content", "RXE+/w==")
    said = messages(
        user(), signed, redacted, agent("so"), thought("mine", "reasoning_signature", "x", home=ELSEWHERE), user()
    )
    assert said[1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "let me see", "signature": "EqQB+/=="}}},
        {"reasoningContent": {"redactedContent": "RXE+/w=="}},
        {"text": "so"},
    ]
    assert len(messages(user(), thought("unsigned"), user())) == 1


def test_the_user_begins_and_ends():
    """The API refuses anything else."""
    said = messages(agent("half a sen"))
    assert said[0] == {"role": "user", "content": [{"text": BEGIN}]}
    assert said[-1] == {"role": "user", "content": [{"text": CONTINUE}]}
    assert messages(user(" "), user("a")) == [{"role": "user", "content": [{"text": "a"}]}]


def test_images_and_documents():
    """By value or from S3; names of documents are plain, and no two the same."""
    parts = [
        TextPart(text="see"), ImagePart(url=PNG), ImagePart(url="s3://bucket/a.JPG"),
        FilePart(data=PDF, filename="a_b (1).pdf"), FilePart(data=PDF, filename="a/b (1).pdf"),
        FilePart(data="data:text/x-python;base64,YQ=="),
    ]  # fmt: skip
    source = {"bytes": "JVBERi0="}
    assert messages(user("see", parts=parts))[0]["content"] == [
        {"text": "see"},
        {"image": {"format": "png", "source": {"bytes": "iVBORw0K"}}},
        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.JPG"}}}},
        {"document": {"format": "pdf", "name": "a b (1)", "source": source}},
        {"document": {"format": "pdf", "name": "a b (1) (2)", "source": source}},
        {"document": {"format": "txt", "name": "document", "source": {"bytes": "YQ=="}}},
    ]


def test_a_document_is_never_alone():
    """The API wants a text beside it."""
    said = messages(user("", parts=[FilePart(data=PDF)]))
    assert said[0]["content"][-1] == {"text": DOCUMENT_ALONE}


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (ImagePart(url="https://host/a.png"), "input.parts.url"),
        (ImagePart(file_id="f"), "input.parts.url"),
        (ImagePart(url="data:image/tiff;base64,AAAA"), "input.parts.url"),
        (ImagePart(url="s3://bucket/picture"), "input.parts.url"),
        (FilePart(url="https://host/a.pdf"), "input.parts.data"),
        (FilePart(data="data:application/zip;base64,AAAA"), "input.parts.data"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_place(part, field):
    """A kind, or a way, that the API does not take."""
    assert refused(user("see", parts=[part])) == field


def test_images_in_a_tool_s_answer_stay_in_it():
    """The result holds them."""
    result = messages(user(), call(), output(parts=[TextPart(text="it"), ImagePart(url=PNG)]))[2]["content"]
    assert [list(block) for block in result[0]["toolResult"]["content"]] == [["text"], ["image"]]


def test_the_provider_s_own_blocks_go_back_as_they_came():
    """In the assistant's turn; a call without a result, one without its id, and another's block, are left out."""
    use = {"toolUse": {"toolUseId": "t1", "name": "nova_grounding", "type": "server_tool_use", "input": {}}}
    result = {"toolResult": {"toolUseId": "t1", "type": "x", "content": [{"text": "[HIDDEN]"}]}}
    lost = {"toolUse": {**use["toolUse"], "toolUseId": "t2"}}
    items = [
        ProviderItem(id="p", provider_type=kind, data=data)
        for kind, data in [
            ("toolUse", use), ("toolResult", result), ("toolUse", lost), ("server_tool_use", {"id": "x"}),
            ("toolUse", {"id": "x"}), ("image", 7), ("toolUse", {"toolUse": {"type": "server_tool_use"}}),
            ("toolResult", {"toolResult": {"content": []}}),
        ]
    ]  # fmt: skip
    assert messages(user(), *items, user())[1] == {"role": "assistant", "content": [use, result]}
