"""Tool calls in the chat dialect: whole or in pieces, alone or several at once, byte for byte what the model said."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema import codec
from tailrace.schema.events import ItemCancelled, ItemDelta, ItemDone, ItemStart, Payload
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem
from tests.support.chat import asked, call, chunks, deltas, message_of, reason_of, run, text
from tests.support.decoding import hear, sse


def test_f9_a_call_is_announced_once_and_then_grows_by_increments():
    """Id, type and name come in its first chunk only; the arguments are never cumulative."""
    assert deltas(run(*call('{"c"', ":1}"), reason="tool_calls")) == [
        {"role": "assistant"},
        {
            "tool_calls": [
                {"index": 0, "id": "call_fc", "type": "function", "function": {"name": "look", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"c"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
        {},
    ]


@pytest.mark.parametrize(
    "pieces", [('{"a":', "{", '"b":1}}'), ('{"n":', "1", "1", "1}"), tuple('{"aa":"boo"}'), ("{}",)]
)
def test_f2_fragments_come_out_as_they_went_in(pieces: tuple[str, ...]):
    """Increment or whole is decided by the event's type: equal and overlapping fragments are kept."""
    message = message_of(run(*call(*pieces), reason="tool_calls"))
    assert message["tool_calls"][0]["function"]["arguments"] == "".join(pieces)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def partitions(draw: st.DrawFn, whole: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@given(st.data(), st.dictionaries(st.text(max_size=4), json_values, max_size=3), st.booleans())
def test_any_partition_of_any_json_comes_out_byte_exact(data: st.DataObject, value: Any, escaped: bool):
    """Whatever a provider splits, and however, a client adds up to the same bytes: from the wire to the chunks."""
    whole = codec.encode(value).decode()
    if escaped:
        whole = "".join(c if ord(c) < 128 else "".join(f"\\u{u:04x}" for u in utf16(c)) for c in whole)
    pieces = data.draw(partitions(whole))
    for wire, stream in ARGUMENTS.items():
        heard = hear(wire, stream(pieces, whole)).payloads
        call = heard_call(heard)
        assert call["id"] == "call_1"
        assert call["function"] == {"name": "look", "arguments": whole}


def heard_call(heard: list[Payload]) -> Any:
    """The one call of an answer that was heard."""
    (call,) = message_of([*heard[:1], asked(include_usage=True), *heard[1:]])["tool_calls"]
    return call


def utf16(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def _chat_stream(pieces: list[str], whole: str) -> bytes:
    def chunk(delta: Any, finish: str | None = None) -> Any:
        return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    first = chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "look", "arguments": ""}}]})
    rest = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces]
    return sse(first, *rest, chunk({}, "tool_calls"), done=True)


def _responses_stream(pieces: list[str], whole: str) -> bytes:
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look"}
    kind = "response.function_call_arguments"
    place = {"item_id": "fc_1", "output_index": 0}
    output = {**item, "arguments": whole}
    return sse(
        {"type": "response.created", "response": {"id": "r", "model": "m", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}},
        *({"type": f"{kind}.delta", **place, "delta": piece} for piece in pieces),
        {"type": f"{kind}.done", **place, "arguments": whole},
        {"type": "response.output_item.done", "output_index": 0, "item": output},
        {
            "type": "response.completed",
            "response": {"id": "r", "model": "m", "status": "completed", "output": [output]},
        },
    )


def _messages_stream(pieces: list[str], whole: str) -> bytes:
    block = {"type": "tool_use", "id": "call_1", "name": "look", "input": {}}
    usage = {"input_tokens": 1, "output_tokens": 1}
    return sse(
        {"type": "message_start", "message": {"id": "m", "model": "m", "content": [], "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}}
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    )


ARGUMENTS = {
    "openai-chat-completions": _chat_stream,
    "openai-responses": _responses_stream,
    "anthropic-messages": _messages_stream,
}


def test_k22_long_arguments_and_split_characters():
    """Eight thousand bytes and more, in pieces of one byte on the wire: nothing is split, nothing read."""
    whole = codec.encode({"text": "é😀" * 4000}).decode()
    heard = hear("openai-chat-completions", _chat_stream([whole], whole), chunk=1).payloads
    assert heard_call(heard)["function"]["arguments"] == whole


def test_k5_a_call_without_arguments_is_an_empty_object():
    """An empty string is no JSON, and clients parse it: `{}` is what is meant."""
    heard = hear("openai-chat-completions", _chat_stream([], "")).payloads
    assert heard_call(heard)["function"]["arguments"] == "{}"


def test_k6_all_calls_of_an_answer_are_told_each_at_its_index():
    """Parallel calls that grow at the same time keep apart."""
    a, b = call("1", "2", item_id="a"), call("3", "4", item_id="b")
    payloads = run(*(event for pair in zip(a, b, strict=True) for event in pair), reason="tool_calls")
    calls = message_of(payloads)["tool_calls"]
    assert [(c["id"], c["function"]["arguments"]) for c in calls] == [("call_a", "12"), ("call_b", "34")]
    assert reason_of(payloads) == "tool_calls"


def test_f3_an_answer_of_calls_alone_has_no_text():
    """Nothing is shown in place of a text that was not said."""
    message = message_of(run(*call('{"a":1}'), reason="tool_calls"))
    assert message["content"] is None
    assert len(message["tool_calls"]) == 1


def test_f4_a_text_before_a_call_ends_nothing():
    """Only the terminal event ends an answer: what comes behind the first message is told, too."""
    message = message_of(run(*text("Let me look."), *call("{}"), *text("Done.", item_id="b"), reason="tool_calls"))
    assert message["content"] == "Let me look.\n\nDone."
    assert message["tool_calls"][0]["function"]["name"] == "look"


def test_k7_outputs_are_never_shown():
    """What a tool answered within the run is not the assistant's word; a call that was answered waits for nobody."""
    output = FunctionCallOutputItem(id="out", call_id="call_fc", output="resources/list failed", success=False)
    payloads = run(
        *call("{}"),
        ItemStart(item_id="out", item_type="function_call_output", call_id="call_fc"),
        ItemDone(item_id="out", final_item=output),
        *text("So."),
    )
    assert message_of(payloads)["content"] == "So."
    assert reason_of(payloads) == "stop"


def test_f10_a_legacy_function_call_is_told_once():
    """Who offered `functions` gets a `function_call`, one, and no tool calls beside it."""
    payloads = run(*call('{"a"', ":1}"), *call("{}", item_id="b"), reason="tool_calls", legacy=True)
    assert message_of(payloads) == {
        "role": "assistant", "content": None, "refusal": None,
        "function_call": {"name": "look", "arguments": '{"a":1}'},
    }  # fmt: skip
    assert reason_of(payloads) == "function_call"


def test_a_custom_tool_is_called_with_free_text():
    """The log says which calls these are."""
    payloads = run(*call("a b", " c", name="shell", kind="custom"), reason="tool_calls")
    expected = {"id": "call_fc", "type": "custom", "custom": {"name": "shell", "input": "a b c"}}
    assert message_of(payloads)["tool_calls"] == [expected]


def test_a_call_whose_name_comes_late_is_told_when_it_is_whole():
    """Its first chunk must have id and name."""
    item = FunctionCallItem(id="fc", name="look", arguments="{}", call_id="call_fc")
    payloads = run(
        ItemStart(item_id="fc", item_type="function_call"),
        ItemDelta(item_id="fc", delta_content="{"),
        ItemDelta(item_id="fc", delta_content="}"),
        ItemDone(item_id="fc", final_item=item),
        reason="tool_calls",
    )
    assert len([delta for delta in deltas(payloads) if "tool_calls" in delta]) == 1
    assert message_of(payloads)["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}


def test_a_call_that_was_broken_off_is_an_error_and_not_a_call():
    """Half of it was sent; an answer that goes on to its end behind it would have the client run that half."""
    begun = [
        ItemStart(item_id="fc", item_type="function_call", name="look", call_id="c"),
        ItemDelta(item_id="fc", delta_content='{"at":'),
        ItemCancelled(item_id="fc"),
    ]
    *_, last = chunks(run(*begun, *call("{}", item_id="again"), reason="tool_calls"))
    assert last["error"]["code"] == "interrupted"
    *_, last = chunks(run(*begun, reason="length"))
    assert last["choices"][0]["finish_reason"] == "length"
