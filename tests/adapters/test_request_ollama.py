"""What Ollama is asked."""

import pytest

from tailrace.adapters.ollama.request import build
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import FilePart, ImagePart, ProviderItem, TextPart
from tailrace.schema.request import AllowedTools, NamedToolChoice, OutputFormat, Tool
from tests.support.items import ELSEWHERE, agent, ask, call, output, system, thought, user

LOOK, GO = Tool(name="look", description="Looks.", parameters={"type": "object"}), Tool(name="go")
PNG = "data:image/png;base64,iVBORw0K"


def body(*items, model="qwen3:8b", quirks=None, stream=True, **generation):
    return build(ask(*items, model=model, stream=stream, **generation), quirks or {})


def messages(*items, **generation):
    return body(*items, **generation)["messages"]


def refused(*items, **generation):
    with pytest.raises(InvalidRequest) as raised:
        body(*items, **generation)
    return raised.value.field


def offered(**generation):
    return [tool["function"]["name"] for tool in body(user(), tools=[LOOK, GO], **generation).get("tools", ())]


def test_a_plain_question():
    """Sampling and limits stand in `options`."""
    said = body(
        user("hello"), instructions="be kind", max_output_tokens=9, temperature=0.5, top_k=5, stop=["END"], seed=7,
        frequency_penalty=0.1, stream=False,
    )  # fmt: skip
    assert said == {
        "model": "qwen3:8b",
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}],
        "stream": False,
        "options": {
            "num_predict": 9, "temperature": 0.5, "top_k": 5, "stop": ["END"], "seed": 7, "frequency_penalty": 0.1,
        },
    }  # fmt: skip


def test_a_host_s_greatest_limit():
    """More is not asked for."""
    assert body(user(), max_output_tokens=99, quirks={"most_tokens": 50})["options"] == {"num_predict": 50}
    assert body(user(), max_output_tokens=9, quirks={"most_tokens": 50})["options"] == {"num_predict": 9}


def test_a_format():
    """Any object, or a schema with its description in it."""
    schema = {"type": "object", "properties": {}}
    assert body(user(), output_format=OutputFormat(type="json_object"))["format"] == "json"
    wanted = OutputFormat(type="json_schema", schema=schema, description="d")
    assert body(user(), output_format=wanted)["format"] == {**schema, "description": "d"}
    assert body(user(), output_format=OutputFormat(type="json_schema", schema=schema))["format"] == schema
    assert schema == {"type": "object", "properties": {}}


def test_thinking_is_on_or_off():
    """A number of tokens is an effort, and that is on."""
    assert "think" not in body(user())
    assert body(user(), reasoning_effort="high")["think"] is True
    assert body(user(), thinking_budget=2048)["think"] is True
    assert body(user(), reasoning_effort="none")["think"] is False
    assert body(user(), thinking_budget=0)["think"] is False


def test_thinking_in_levels():
    """Of models that have them; off is not one."""
    for model in ("gpt-oss:20b", "library/gpt-oss:120b-cloud"):
        assert body(user(), model=model, reasoning_effort="minimal")["think"] == "low"
        assert body(user(), model=model, reasoning_effort="medium")["think"] == "medium"
        assert body(user(), model=model, reasoning_effort="xhigh")["think"] == "high"
        assert body(user(), model=model, thinking_budget=9000)["think"] == "high"
    assert body(user(), model="gpt-oss", reasoning_effort="xhigh", quirks={"max_think": "max"})["think"] == "max"
    assert refused(user(), model="gpt-oss", reasoning_effort="none") == "reasoning_effort"
    assert refused(user(), model="gpt-oss", thinking_budget=0) == "thinking_budget"


def test_tool_choices_are_made_by_what_is_offered():
    """A tool that must be called is offered alone; that any must be called cannot be said."""
    assert offered() == offered(tool_choice="auto") == ["look", "go"]
    assert offered(tool_choice=NamedToolChoice(name="go")) == ["go"]
    assert offered(tool_choice=AllowedTools(names=["go"], mode="required")) == ["go"]
    assert offered(tool_choice=AllowedTools(names=["look"])) == ["look"]
    assert offered(tool_choice="none") == []
    assert refused(user(), tools=[LOOK], tool_choice="required") == "tool_choice"
    assert body(user(), tools=[LOOK])["tools"] == [
        {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
    ]


def test_probabilities():
    """Of the tokens, and of so many others."""
    said = body(user(), top_logprobs=2)
    assert (said["logprobs"], said["top_logprobs"]) == (True, 2)


def test_a_turn_is_one_message():
    """Thinking, text and calls, with arguments as an object; an answer names its tool."""
    item = ProviderItem(id="p", provider_type="web_search_call", data={})
    said = messages(
        system("s"), user(), thought("hm"), agent("I look."), item, call("c1", '{"at": 1}'), output("c1", "no", False)
    )
    assert said == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": "I look.",
            "thinking": "hm",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": {"at": 1}}}],
        },
        {"role": "tool", "content": "The tool call failed:\nno", "tool_call_id": "c1", "tool_name": "look"},
    ]


def test_thinking_is_left_out_where_it_is_not_wanted():
    """By a host; and another's is never brought."""
    assert "thinking" not in messages(user(), thought("hm"), agent("a"), quirks={"replay_thinking": False})[1]
    assert "thinking" not in messages(user(), thought("hm", "signature", "x", home=ELSEWHERE), agent("a"))[1]
    assert messages(user(), thought("hm"), user()) == messages(user(), user())


def test_images_are_base64():
    """A tool's follow its answer in a user's message."""
    said = messages(user("see", parts=[TextPart(text="see"), ImagePart(url=PNG)]))
    assert said == [{"role": "user", "content": "see", "images": ["iVBORw0K"]}]
    said = messages(user(), call(), output(parts=[TextPart(text="it"), ImagePart(url=PNG)]))
    assert said[2]["content"] == "it"
    assert said[3] == {"role": "user", "content": "", "images": ["iVBORw0K"]}


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (ImagePart(url="https://host/a.png"), "input.parts.url"),
        (ImagePart(file_id="f"), "input.parts.url"),
        (ImagePart(url="data:image/png,plain"), "input.parts.url"),
        (FilePart(data="data:application/pdf;base64,AAAA"), "input.parts.data"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_place(part, field):
    """Files, and images that are elsewhere."""
    assert refused(user("see", parts=[part])) == field


def test_a_custom_call_in_history_has_its_text_as_an_object():
    """As its tool is offered."""
    said = messages(user(), call("c1", "free text", kind="custom"), output())
    assert said[1]["tool_calls"][0]["function"]["arguments"] == {"input": "free text"}
