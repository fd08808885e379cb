"""Tools under names that a wire takes, free-text tools as functions, and the calls turned back."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.tools import Offer, ToolNames, narrowed, offer_of, unforced
from tailrace.adapters.wires import WIRES
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.events import ItemStart
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.request import AllowedTools, CustomTool, Generation, NamedToolChoice, Tool
from tests.support.decoding import hear, sse
from tests.support.items import ask, call, output, user

FLAT = ["anthropic-messages", "openai-chat-completions"]
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
LOOK, GO, PATCH = Tool(name="look"), Tool(name="go"), CustomTool(name="patch", description="Patches.", format=GRAMMAR)


def functions(wire, body):
    """The offered tools: name, description, schema."""
    if wire == "anthropic-messages":
        return [(tool["name"], tool.get("description"), tool["input_schema"]) for tool in body["tools"]]
    plain = (tool["function"] for tool in body["tools"])
    return [(tool["name"], tool.get("description"), tool["parameters"]) for tool in plain]


def streamed(wire, name, pieces):
    """A call of `name` whose arguments come in these pieces."""
    if wire == "anthropic-messages":
        block = {"type": "tool_use", "id": "call_1", "name": name, "input": {}}
        return sse(
            {"type": "message_start", "message": {"id": "m", "model": "m"}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            *(
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "input_json_delta", "partial_json": piece},
                }
                for piece in pieces
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
            {"type": "message_stop"},
        )
    deltas = [
        {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": name, "arguments": ""}}]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces),
    ]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return sse(*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}, done=True)


def called(wire, tools, name, pieces):
    """What the decoder makes of a call, told of the tools."""
    callees = WIRES[wire].callees(Generation(tools=tools))
    context = DecodeContext(provider_id="p", model_id="m", callees=callees)
    return hear(wire, streamed(wire, name, pieces), context=context)


# --- names ------------------------------------------------------------------------------------------------------


def test_a_name_that_the_wire_takes_is_itself():
    """With its namespace in front where the wire has none."""
    assert ToolNames(limit=64, flat=True).of("read", "files") == "files__read"
    assert ToolNames(limit=64, flat=False).of("read", "files") == "read"


@given(name=st.text(min_size=1, max_size=200), namespace=st.one_of(st.none(), st.text(min_size=1, max_size=80)))
@pytest.mark.parametrize("limit", [64, 128])
def test_any_name_becomes_one_that_the_wire_takes(limit, name, namespace):
    """Not too long, of plain characters, and no other's."""
    said = ToolNames(limit=limit, flat=True).of(name, namespace)
    assert 0 < len(said) <= limit
    assert all(char.isascii() and (char.isalnum() or char in "_-") for char in said)
    assert said != ToolNames(limit=limit, flat=True).of(name + "!", namespace)


def test_two_tools_of_one_name_are_refused():
    """Also where only the prefix makes them one."""
    tools = [Tool(name="b__c", namespace="a"), Tool(name="c", namespace="a__b")]
    with pytest.raises(InvalidRequest) as raised:
        offer_of(Generation(tools=tools), "w", ToolNames(limit=64, flat=True))
    assert raised.value.field == "tools[1].name"
    assert len(offer_of(Generation(tools=tools), "w", ToolNames(limit=64, flat=False)).tools) == 2


# --- there and back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", FLAT)
def test_a_free_text_tool_is_offered_as_a_function_of_one_string(wire):
    """What form the text must have, the description says."""
    name, description, schema = functions(wire, WIRES[wire].build(ask(user(), tools=[PATCH]), {}))[0]
    assert (name, schema["required"]) == ("patch", ["input"])
    assert description == "Patches.\n\nThe input must match this lark grammar:\nstart: /.+/"


@pytest.mark.parametrize("wire", FLAT)
def test_its_calls_come_back_as_free_text(wire):
    """The deltas are the text, too, so that they add up to the call."""
    heard = called(wire, [PATCH], "patch", ['{"inp', 'ut": "*** Beg', "in\\n\\u", '00e9"', "}"])
    (item,) = heard.items
    assert (item.name, item.arguments, item.kind) == ("patch", "*** Begin\n\u00e9", "custom")
    assert "".join(heard.deltas()) == item.arguments


@pytest.mark.parametrize("wire", FLAT)
def test_namespaces_there_and_back(wire):
    """One name on the wire; the item, and its start, have the tool's own."""
    tools = [Tool(name="read", namespace="files"), Tool(name="a.b")]
    offered = [name for name, *_ in functions(wire, WIRES[wire].build(ask(user(), tools=tools), {}))]
    assert offered[0] == "files__read"
    for said, name, namespace in [(offered[0], "read", "files"), (offered[1], "a.b", None)]:
        heard = called(wire, tools, said, ["{}"])
        (item,) = heard.items
        assert (item.name, item.namespace, item.kind) == (name, namespace, None)
        assert [event.name for event in heard.payloads if isinstance(event, ItemStart)] == [name]


@pytest.mark.parametrize("wire", FLAT)
def test_a_call_in_history_has_the_name_under_which_its_tool_is_offered(wire):
    """So that the model knows it again."""
    tool = Tool(name="a.b", namespace="n")
    body = WIRES[wire].build(ask(user(), call(name="a.b", namespace="n"), output(), tools=[tool]), {})
    said = body["messages"][1]
    name = said["content"][0]["name"] if wire == FLAT[0] else said["tool_calls"][0]["function"]["name"]
    assert name == functions(wire, body)[0][0]


@pytest.mark.parametrize("wire", FLAT)
@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        ([], ""),
        (["{}"], ""),
        (['{"input": "a', '\nb"}'], "a\nb"),  # a line break that JSON would have escaped
        (['{"patch": "a"}'], '{"patch": "a"}'),
        (['{"input": "a", "more": 1}'], '{"input": "a", "more": 1}'),
        (['{"input": 7}'], '{"input": 7}'),
        (['"a"'], '"a"'),
        (['{"input": "a\\q"}'], '{"input": "a\\q"}'),
        (['{"input": "say "hi""}'], '{"input": "say "hi""}'),
        (['{"input": "a'], '{"input": "a'),
    ],
)
def test_what_is_no_such_object_is_passed_on_as_it_came(wire, pieces, arguments):
    """The tool will say what is wrong with it; nothing is lost."""
    (item,) = called(wire, [PATCH], "patch", pieces).items
    assert (item.arguments, item.kind) == (arguments, "custom")


def test_a_call_that_was_cut_is_not_whole():
    """Neither as an object, nor as a text that happens to be one."""
    wire = "openai-chat-completions"
    callees = WIRES[wire].callees(Generation(tools=[PATCH]))
    context = DecodeContext(provider_id="p", model_id="m", callees=callees)
    for piece in ('{"input": "{}', '{"inp'):
        cut = streamed(wire, "patch", [piece]).replace(b'"finish_reason":"tool_calls"', b'"finish_reason":"length"')
        assert hear(wire, cut, context=context).types == ["cancelled"]


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])), cuts=st.lists(st.integers(0, 400), max_size=8))
@pytest.mark.parametrize("is_escaped", [False, True])
def test_any_text_comes_out_as_it_went_in(is_escaped, text, cuts):
    """However its JSON is written, and wherever it is split."""
    units = text.encode("utf-16-be")
    escaped = "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
    inner = escaped if is_escaped else text.replace("\\", "\\\\").replace('"', '\\"')
    raw = '{"input": "' + "".join(f"\\u{ord(c):04x}" if ord(c) < 32 else c for c in inner) + '"}'
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[start:end] for start, end in pairwise(edges)]
    heard = called("anthropic-messages", [PATCH], "patch", pieces)
    assert [item.arguments for item in heard.items if isinstance(item, FunctionCallItem)] == [text]
    assert "".join(heard.deltas()) == text


def test_on_the_responses_wire_names_and_kinds_are_their_own():
    """Nothing is to be turned back, but a name that it would refuse."""
    callees = WIRES["openai-responses"].callees
    assert callees(Generation(tools=[PATCH, Tool(name="read", namespace="files")])) == {}
    assert [callee.name for callee in callees(Generation(tools=[Tool(name="a.b")])).values()] == ["a.b"]


# --- the choice -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [
        AllowedTools(names=["no"]),
        AllowedTools(names=[], mode="required"),
        NamedToolChoice(name="no"),
    ],
)
@pytest.mark.parametrize("wire", sorted(WIRES))
def test_a_choice_that_cannot_be_met_is_refused(wire, choice):
    """On every wire, by the same name."""
    with pytest.raises(InvalidRequest) as raised:
        WIRES[wire].build(ask(user(), tools=[LOOK], tool_choice=choice), {})
    assert raised.value.field == "tool_choice"


def test_allowed_tools_where_the_wire_has_no_word_for_them():
    """All tools stay where the choice says it all; otherwise those that may be called."""
    tools = [LOOK, GO, PATCH]

    def narrow(*names, mode="auto"):
        return narrowed(Offer(tools, AllowedTools(names=list(names), mode=mode)))

    assert narrow("look", mode="required") == Offer(tools, NamedToolChoice(name="look"))
    assert narrow("look", "go", "patch") == Offer(tools, "auto")
    assert narrow("patch", "look", mode="required") == Offer([LOOK, PATCH], "required")
    assert narrow() == Offer(tools, "none")


@pytest.mark.parametrize("wire", FLAT)
def test_a_namespaced_tool_can_be_named(wire):
    """By its own name, or with its namespace in front."""
    tools = [LOOK, Tool(name="read", namespace="files")]
    for name in ("read", "files__read"):
        body = WIRES[wire].build(ask(user(), tools=tools, tool_choice=NamedToolChoice(name=name)), {})
        choice = body["tool_choice"]
        assert (choice.get("function") or choice)["name"] == "files__read"


def test_a_forced_call_is_forced_once():
    """A run whose every step must call would never end; what is not allowed stays so."""
    assert unforced("required") is None
    assert unforced(NamedToolChoice(name="look")) is None
    assert unforced("none") == "none"
    assert unforced(AllowedTools(names=["look"], mode="required")) == AllowedTools(names=["look"])
