"""Requests in the words of Gemini."""

import pytest

from tailrace.adapters.google_gemini.request import BEGIN, CONTINUE, ONE_CALL, UNSIGNED, build, own_headers, path
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import FilePart, ImagePart, MessageItem, ProviderItem, TextPart
from tailrace.schema.request import AllowedTools, CustomTool, HostedTool, NamedToolChoice, OutputFormat, Tool
from tests.support.items import agent, ask, call, opaque, output, system, thought, user

SIGNATURE = "EqwCCqkCAQw51sdT+/=="
HOME = ("here", "gemini-2.5-pro")
LOOK, GO = Tool(name="look", parameters={"type": "object", "properties": {"at": {"type": "string"}}}), Tool(name="go")
SEARCH = HostedTool(wire="google-gemini", data={"googleSearch": {}})
PNG = "data:image/png;base64,AAAA"


def contents(*items, model="gemini-2.5-pro", quirks=None, **generation):
    """The turns: who, and the parts."""
    turns = build(ask(*items, model=model, **generation), quirks or {})["contents"]
    return [(turn["role"], turn["parts"]) for turn in turns]


def config(model="gemini-3-flash-preview", **generation):
    return build(ask(user(), model=model, **generation), {}).get("generationConfig", {})


def refused(model="gemini-3-flash-preview", **generation):
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), model=model, **generation), {})
    return raised.value.field


def responses(*results, ids=True):
    return [
        {"functionResponse": {**({"id": call_id} if ids else {}), "name": "look", "response": {word: text}}}
        for call_id, word, text in results
    ]


# --- the address ------------------------------------------------------------------------------------------------


def test_the_model_and_the_method_stand_in_the_address():
    """A name cannot lead elsewhere."""
    assert path("gemini-3-pro", True) == "/models/gemini-3-pro:streamGenerateContent?alt=sse"
    assert path("gemini-3-pro", False) == "/models/gemini-3-pro:generateContent"
    assert path("../x?key=1#", False) == "/models/..%2Fx%3Fkey%3D1%23:generateContent"


# --- the conversation -------------------------------------------------------------------------------------------


def test_turns_alternate():
    """What follows in one role is one turn; instructions and the system's first words have a place of their own."""
    items = [system("Be brief."), user("a"), user("b"), agent("c"), system("d")]
    body = build(ask(*items, instructions="Be kind."), {})
    assert body["systemInstruction"] == {"parts": [{"text": "Be kind.\n\nBe brief."}]}
    assert [(turn["role"], [part["text"] for part in turn["parts"]]) for turn in body["contents"]] == [
        ("user", ["a", "b"]),
        ("model", ["c"]),
        ("user", ["d"]),
    ]


def test_the_user_begins_and_ends():
    """Otherwise it is said for them."""
    assert contents(agent("a")) == [
        ("user", [{"text": BEGIN}]),
        ("model", [{"text": "a"}]),
        ("user", [{"text": CONTINUE}]),
    ]
    assert contents(user("  "), user("a")) == [("user", [{"text": "a"}])]


def test_all_responses_of_a_batch_are_one_turn_right_behind_their_calls():
    """In the order of the calls, under their names; what was said meanwhile comes behind."""
    turns = contents(user(), call("a"), call("b", '{"x":1}'), user("stop"), output("a"), output("b", "no", False))
    calls = [
        {"functionCall": {"id": "a", "name": "look", "args": {}}},
        {"functionCall": {"id": "b", "name": "look", "args": {"x": 1}}},
    ]
    assert turns[1:] == [
        ("model", calls),
        ("user", responses(("a", "output", "done"), ("b", "error", "no"))),
        ("user", [{"text": "stop"}]),
    ]


def test_a_response_without_its_call_is_left_out():
    """It would have no name."""
    assert contents(user("a"), output("nobody")) == [("user", [{"text": "a"}])]


def test_where_ids_are_not_taken_the_order_tells():
    """As on Vertex."""
    turns = contents(user(), call("a"), output("a"), quirks={"call_ids": False})
    assert "id" not in turns[1][1][0]["functionCall"]
    assert turns[2][1] == responses(("a", "output", "done"), ids=False)


@pytest.mark.parametrize(
    ("model", "beside"), [("gemini-2.5-flash", True), ("gemini-3-pro-preview", False), ("gemini-9", False)]
)
def test_pictures_in_a_tool_s_answer(model, beside):
    """In the response, or behind all of them in a turn of the user's, by the model's family."""
    shown = output("a", "", parts=[TextPart(text="see"), ImagePart(url=PNG)])
    turns = contents(user(), call("a"), call("b"), shown, output("b"), user("so?"), model=model)
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    first = turns[2][1][0]["functionResponse"]
    assert first["response"] == {"output": "see"}
    assert first.get("parts") == (None if beside else [picture])
    assert len(turns[2][1]) == 2
    assert turns[3] == ("user", [*([picture] if beside else []), {"text": "so?"}])


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (ImagePart(url=PNG), {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
        (
            ImagePart(url="https://h/a.JPG?x=1"),
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://h/a.JPG?x=1"}},
        ),
        (ImagePart(file_id="https://g/v1beta/files/1"), {"fileData": {"fileUri": "https://g/v1beta/files/1"}}),
        (
            FilePart(data="data:application/pdf;base64,AA==", filename="a.pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
        ),
        (
            FilePart(url="gs://bucket/a", filename="a.mp4"),
            {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/a"}},
        ),
    ],
)
def test_pictures_and_files(part, said):
    """By content, by address, or as uploaded; the kind is told where it is known."""
    assert contents(user("see", parts=[part])) == [("user", [{"text": "see"}, said])]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (ImagePart(), "input.parts.url"),
        (ImagePart(url="data:image/png,raw"), "input.parts.url"),
        (FilePart(filename="a"), "input.parts.data"),
        (FilePart(data="AAAA"), "input.parts.data"),
    ],
)
def test_a_file_that_cannot_be_sent_is_named(part, field):
    """With its place."""
    with pytest.raises(InvalidRequest) as raised:
        contents(user("see", parts=[part]))
    assert raised.value.field == field


# --- thought signatures -----------------------------------------------------------------------------------------


def signed(part, data=SIGNATURE, home=HOME):
    return thought("", f"thoughtSignature/{part}", data, home)


def test_a6_a_call_gets_its_signature_back():
    """The first of a turn's calls, whatever stands between; thoughts in words stay here."""
    turns = contents(user(), thought("hm"), signed("functionCall"), agent("a"), call("a"), call("b"), user())
    assert turns[1][1][0] == {"text": "a"}
    assert [part.get("thoughtSignature") for part in turns[1][1]] == [None, SIGNATURE, None]


def given(*items):
    """The signatures of the calls, in order."""
    parts = [part for _, parts in contents(user(), *items, user()) for part in parts]
    return [part.get("thoughtSignature") for part in parts if "functionCall" in part]


def test_a_signature_finds_its_call_in_its_own_turn():
    """Behind those of calls that are gone, and before those that protocols move to the front; never in another turn."""
    first, second = signed("functionCall", "AAAA"), signed("functionCall", "AAAB")
    one, two = (call("a"), output("a")), (call("b"), output("b"))
    assert given(first, second, *one, *two) == ["AAAB", None]
    assert given(first, second, call("a"), call("b"), output("a"), output("b")) == ["AAAA", "AAAB"]
    assert given(call("a"), first, call("b"), output("a"), output("b")) == [None, "AAAA"]
    assert given(first, agent("a"), user("and?"), *one) == [None]
    assert given(first, *one, second, *two) == ["AAAA", "AAAB"]


def test_a6_a_text_gets_its_signature_back():
    """On its last part."""
    message = agent("a", opaque=opaque("thoughtSignature/text", SIGNATURE, HOME))
    assert contents(user(), message, user())[1][1] == [{"text": "a", "thoughtSignature": SIGNATURE}]


@pytest.mark.parametrize("home", [("elsewhere", HOME[1]), ("here", "gemini-2.5-flash")])
def test_another_model_s_signatures_are_not_said(home):
    """Nor what is no base64, and would cost the request."""
    message = agent("a", opaque=opaque("thoughtSignature/text", SIGNATURE, home))
    turns = contents(user(), message, signed("functionCall", home=home), call(), output())
    assert "thoughtSignature" not in str(turns)
    assert "thoughtSignature" not in str(contents(user(), signed("functionCall", "a.b!"), call(), output()))


@pytest.mark.parametrize(("model", "stands_in"), [("gemini-3-flash-preview", True), ("gemini-2.5-pro", False)])
def test_a_call_without_a_signature_is_said_to_have_none(model, stands_in):
    """On the models that want one; only the first call of each turn."""
    turns = contents(user(), call("a"), call("b"), output("a"), output("b"), call("c"), output("c"), model=model)
    said = [[part.get("thoughtSignature") for part in parts] for who, parts in turns if who == "model"]
    assert said == ([[UNSIGNED, None], [UNSIGNED]] if stands_in else [[None, None], [None]])


def test_a_provider_s_own_parts_go_back_signed():
    """And those of other wires do not."""
    part = {"toolCall": {"id": "t", "toolType": "GOOGLE_SEARCH_WEB"}}
    own = ProviderItem(id="p", provider_type="toolCall", data=part)
    other = ProviderItem(id="q", provider_type="web_search_call", data={"type": "web_search_call"})
    turns = contents(user(), signed("toolCall"), own, other, agent("a"), user())
    assert turns[1][1] == [{**part, "thoughtSignature": SIGNATURE}, {"text": "a"}]


# --- tools ------------------------------------------------------------------------------------------------------


def tools(*offered, choice=None):
    body = build(ask(user(), tools=list(offered), tool_choice=choice), {})
    return body.get("tools"), body.get("toolConfig", {}).get("functionCallingConfig")


def test_functions_stand_together():
    """Beside the provider's own tools, which are as they came."""
    said, _ = tools(SEARCH, LOOK, GO)
    declared = [{"name": "look", "parametersJsonSchema": LOOK.parameters}, {"name": "go"}]
    assert said == [{"googleSearch": {}}, {"functionDeclarations": declared}]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (None, None),
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (NamedToolChoice(name="go"), {"mode": "ANY", "allowedFunctionNames": ["go"]}),
        (
            AllowedTools(names=["go", "look"], mode="required"),
            {"mode": "ANY", "allowedFunctionNames": ["look", "go"]},
        ),
        (AllowedTools(names=["go", "look"]), {"mode": "AUTO"}),
        (AllowedTools(names=[]), {"mode": "NONE"}),
    ],
)
def test_the_choice(choice, said):
    """In modes and names."""
    offered, mode = tools(LOOK, GO, choice=choice)
    assert mode == said
    assert len(offered[0]["functionDeclarations"]) == 2


def test_of_allowed_tools_only_those_are_offered():
    """Where the choice cannot say it."""
    offered, mode = tools(LOOK, GO, choice=AllowedTools(names=["go"]))
    assert ([tool["name"] for tool in offered[0]["functionDeclarations"]], mode) == (["go"], {"mode": "AUTO"})


def test_a_tool_of_the_provider_s_own_cannot_be_forced():
    """The choice is refused by name."""
    own = HostedTool(wire="google-gemini", data={"type": "search"})
    for choice in (NamedToolChoice(name="search"), AllowedTools(names=["search"], mode="required")):
        with pytest.raises(InvalidRequest) as raised:
            tools(own, LOOK, choice=choice)
        assert raised.value.field == "tool_choice"


@pytest.mark.parametrize("name", ["9lives", "-x", "a.b", "é", "look" * 20, "ok_-1"])
def test_names_begin_with_a_letter(name):
    """There and back (the API: a letter or `_` first, up to 64 letters, digits, `_`, `-`)."""
    tool = CustomTool(name=name)
    said, _ = tools(tool)
    ((declared,),) = (group["functionDeclarations"] for group in said)
    assert declared["name"][0].isalpha() or declared["name"][0] == "_"
    assert len(declared["name"]) <= 64
    assert declared["name"].isascii()
    history = contents(user(), call(name=name, kind="custom", arguments="x"), output(), tools=[tool])
    assert history[1][1][0]["functionCall"] == {"id": "c1", "name": declared["name"], "args": {"input": "x"}}


def test_one_call_at_a_time_is_an_instruction():
    """The wire has no word for it; to be allowed several is its habit, and without tools there is nothing to say."""
    body = build(ask(user(), instructions="Be kind.", tools=[LOOK], parallel_tool_calls=False), {})
    assert body["systemInstruction"] == {"parts": [{"text": f"Be kind.\n\n{ONE_CALL}"}]}
    assert "systemInstruction" not in build(ask(user(), tools=[LOOK], parallel_tool_calls=True), {})
    assert "systemInstruction" not in build(ask(user(), parallel_tool_calls=False), {})


# --- how to answer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        ("gemini-3-flash-preview", {"reasoning_effort": "minimal"}, {"thinkingLevel": "minimal"}),
        ("gemini-3-flash-preview", {"reasoning_effort": "xhigh"}, {"thinkingLevel": "high"}),
        ("gemini-3-flash-preview", {"thinking_budget": 5000}, {"thinkingLevel": "medium"}),
        ("gemini-3-pro-preview", {"reasoning_effort": "medium"}, {"thinkingLevel": "high"}),
        ("gemini-3-pro-preview", {"reasoning_effort": "minimal"}, {"thinkingLevel": "low"}),
        ("gemini-3.1-pro-preview", {"reasoning_effort": "medium"}, {"thinkingLevel": "medium"}),
        ("gemini-9-ultra", {"reasoning_effort": "low"}, {"thinkingLevel": "low"}),
        ("gemini-2.5-pro", {"reasoning_effort": "minimal"}, {"thinkingBudget": 128}),
        ("gemini-2.5-pro", {"reasoning_effort": "high"}, {"thinkingBudget": 32768}),
        ("gemini-2.5-pro", {"thinking_budget": 99_999}, {"thinkingBudget": 32768}),
        ("gemini-2.5-flash", {"thinking_budget": 2000}, {"thinkingBudget": 2000}),
        ("gemini-2.5-flash-lite", {"reasoning_effort": "minimal"}, {"thinkingBudget": 512}),
        ("gemini-2.5-flash", {"reasoning_summary": "auto"}, {}),
    ],
)
def test_how_much_to_think(model, asked, said):
    """A level or a budget by the model's family; thoughts are shown where they are asked for."""
    assert config(model, **asked) == {"thinkingConfig": {"includeThoughts": True, **said}}


@pytest.mark.parametrize("off", [{"reasoning_effort": "none"}, {"thinking_budget": 0}])
def test_not_to_think(off):
    """Where the model can do without; where it cannot, the field is named."""
    assert config("gemini-2.5-flash", **off) == {"thinkingConfig": {"thinkingBudget": 0}}
    assert config("gemini-3-flash-preview", **off) == {"thinkingConfig": {"thinkingLevel": "minimal"}}
    assert config("gemini-2.0-flash", **off) == {}
    for model in ("gemini-2.5-pro", "gemini-3-pro-preview"):
        assert refused(model, **off) == next(iter(off))


def test_a_model_that_does_not_think():
    """Is not asked to."""
    assert refused("gemini-2.0-flash", reasoning_effort="low") == "reasoning_effort"
    assert refused("gemma-3-27b-it", thinking_budget=2048) == "thinking_budget"


def test_the_form_of_the_answer():
    """Any JSON, or one that fits a schema of the subset, with its description."""
    assert config(output_format=OutputFormat(type="json_object")) == {"responseMimeType": "application/json"}
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}, "additionalProperties": False}
    wanted = OutputFormat(type="json_schema", name="n", description="It.", schema=schema, strict=True)
    said = config(output_format=wanted)["responseJsonSchema"]
    assert (said["description"], said["additionalProperties"]) == ("It.", False)
    assert said["properties"]["a"] == {"type": "string", "description": "(minLength: 1)"}
    assert refused(output_format=OutputFormat(type="json_schema")) == "output_format.schema"


def test_sampling():
    """Each under the wire's name for it."""
    asked = {
        "max_output_tokens": 9, "temperature": 0.5, "top_p": 0.4, "top_k": 3, "stop": ["x"], "seed": 1,
        "frequency_penalty": 0.1, "presence_penalty": 0.2, "top_logprobs": 2,
    }  # fmt: skip
    assert config(**asked) == {
        "maxOutputTokens": 9, "temperature": 0.5, "topP": 0.4, "topK": 3, "stopSequences": ["x"], "seed": 1,
        "frequencyPenalty": 0.1, "presencePenalty": 0.2, "responseLogprobs": True, "logprobs": 2,
    }  # fmt: skip
    assert config(top_logprobs=0) == {"responseLogprobs": True}


def test_service_tiers():
    """In the body or in a header, as the host reads it; where in neither, the standard one needs no word."""
    assert build(ask(user(), service_tier="flex"), {})["serviceTier"] == "flex"
    assert build(ask(user(), service_tier="default"), {})["serviceTier"] == "standard"
    in_header = {"service_tier": "header"}
    assert "serviceTier" not in build(ask(user(), service_tier="flex"), in_header)
    assert own_headers(ask(user(), service_tier="flex"), in_header) == {"X-Vertex-AI-LLM-Shared-Request-Type": "flex"}
    assert own_headers(ask(user(), service_tier="default"), in_header) == {}
    assert own_headers(ask(user(), service_tier="flex"), {}) == {}
    assert "serviceTier" not in build(ask(user(), service_tier="default"), {"service_tier": "no"})
    with pytest.raises(InvalidRequest) as raised:
        build(ask(user(), service_tier="flex"), {"service_tier": "no"})
    assert raised.value.field == "service_tier"
    assert refused(service_tier="scale") == "service_tier"


def test_an_image_of_the_model_s_goes_back():
    """For models that edit what they drew."""
    drawn = MessageItem(id="a", content="", parts=[ImagePart(url=PNG)])
    assert contents(user(), drawn, user())[1][1] == [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
