"""Runs as Messages streams, and as whole messages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.adapters.replay import decode_events
from tailrace.adapters.wires import WIRES
from tailrace.dialects.base import View
from tailrace.dialects.messages.signature import signature_of
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, ProviderError
from tailrace.schema.events import (
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemStart,
    ProviderEvent,
    ResponseDone,
    ResponseError,
    StepDone,
    TurnAborted,
    UsageUpdate,
)
from tailrace.schema.items import (
    FunctionCallItem,
    MessageItem,
    Opaque,
    ProviderItem,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.response import ErrorInfo, Usage
from tests.support import events as any_runs
from tests.support.linting import broken
from tests.support.messages import ASKED, START, STEP, frames, message, streamed
from tests.support.shared_data import ABSENT, shared_dir

SPENT = Usage(
    prompt_tokens=100, completion_tokens=20, total_tokens=120, cached_tokens=60, cache_write_tokens=30,
    reasoning_tokens=5,
)  # fmt: skip
DONE = ResponseDone(response_id="msg_1", status="complete", finish_reason="stop", usage=SPENT)
CITATION = {"type": "char_location", "cited_text": "x", "document_index": 0}


def done(reason="stop", usage=SPENT):
    step = StepDone(step=1, provider_id="p", model_id="m", finish_reason=reason, usage=usage)
    return [step, ResponseDone(response_id="msg_1", status="complete", finish_reason=reason, usage=usage)]


def run(*payloads, reason="stop"):
    return [START, ASKED, STEP, *payloads, *done(reason)]


def text(item_id, *pieces, final=None):
    started = ItemStart(item_id=item_id, item_type="message")
    final = final or MessageItem(id=item_id, content="".join(pieces))
    return [started, *grown(item_id, *pieces), ItemDone(item_id=item_id, final_item=final)]


def thought(item_id, *pieces, opaque=None):
    final = ReasoningItem(id=item_id, content="".join(pieces), opaque=opaque)
    started = ItemStart(item_id=item_id, item_type="reasoning")
    return [started, *grown(item_id, *pieces), ItemDone(item_id=item_id, final_item=final)]


def call(item_id, *pieces, name="look", known=True, kind=None):
    call_id = f"call_{item_id}"
    final = FunctionCallItem(id=item_id, name=name, arguments="".join(pieces), call_id=call_id, kind=kind)
    early = {"name": name, "call_id": call_id} if known else {}
    started = ItemStart(item_id=item_id, item_type="function_call", **early)
    return [started, *grown(item_id, *pieces), ItemDone(item_id=item_id, final_item=final)]


def grown(item_id, *pieces):
    return [ItemDelta(item_id=item_id, delta_content=piece) for piece in pieces]


def legal(payloads, *, allowed=frozenset()):
    """The stream breaks no rule but those allowed."""
    data = b"".join(frame.bare() for frame in frames(payloads))
    assert broken("messages", data, endpoint=True) <= allowed
    return payloads


def kinds(payloads):
    return [event["type"] for event in streamed(legal(payloads))]


# --- the shape of a stream ---------------------------------------------------------------------------------------


def test_a_stream_is_told_as_the_vendor_tells_it():
    """message_start, a ping, blocks, message_delta with the cost, message_stop; the model as it was asked for."""
    made = [codec.decode_any(frame.data) for frame in frames(legal(run(*text("a", "He", "llo"))))]
    zero = {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
    assert made == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1", "type": "message", "role": "assistant", "model": "p/m", "content": [],
                "stop_reason": None, "stop_sequence": None, "usage": zero,
            },
        },
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "He"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "llo"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {
                "input_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 60,
                "output_tokens": 20, "output_tokens_details": {"thinking_tokens": 5},
            },
        },
        {"type": "message_stop"},
    ]  # fmt: skip


def test_the_input_is_not_the_answer():
    """Items before the first model call, and those of the user later on, are no content."""
    given = text("u", "question", final=MessageItem(id="u", content="question", origin="user"))
    steering = ItemStart(item_id="s", item_type="message", origin="user", initial_content="also")
    payloads = [START, ASKED, *given, *text("old", "earlier"), STEP, steering, *text("a", "answer"), *done()]
    assert message(payloads)["content"] == [{"type": "text", "text": "answer"}]


def test_what_the_provider_told_of_the_cost_stands_in_the_beginning():
    """Usage that comes before the first item is in message_start."""
    early = UsageUpdate(response_id="msg_1", usage=Usage(prompt_tokens=9, completion_tokens=1, total_tokens=10))
    start = streamed(run(early, *text("a", "x")))[0]
    assert start["message"]["usage"]["input_tokens"] == 9
    assert start["message"]["usage"]["output_tokens"] == 1


def test_an_answer_of_nothing_is_a_message_without_content():
    """Even then there is a beginning and an end."""
    assert kinds(run()) == ["message_start", "message_delta", "message_stop"]
    assert message(run())["content"] == []


def test_k12_ids_are_the_same_from_frame_to_frame_and_from_reader_to_reader():
    """The frames are a function of the log: whoever reads it again gets the same bytes."""
    payloads = run(*thought("r", "hm"), *text("a", "x"), *call("c", "{}"))
    assert frames(payloads) == frames(payloads, sizes=[1] * 40)


# --- blocks ------------------------------------------------------------------------------------------------------


def test_thinking_is_signed_at_its_end():
    """The vendor's signature is sent as it is."""
    opaque = Opaque(provider_id="p", model_id="m", kind="signature", data="c2ln+/==")
    payloads = legal(run(*thought("r", "h", "m", opaque=opaque), *text("a", "x")))
    assert message(payloads)["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "c2ln+/=="}


@pytest.mark.parametrize("opaque", [None, Opaque(provider_id="p", model_id="m", kind="encrypted_content", data="enc")])
def test_thinking_of_other_providers_is_sealed(opaque):
    """A client gets a signature in any case, and what it holds is ours to open."""
    item = ReasoningItem(id="r", content="hm", opaque=opaque)
    content = message(legal(run(*thought("r", "hm", opaque=opaque), *text("a", "x"))))["content"]
    assert content[0] == {"type": "thinking", "thinking": "hm", "signature": signature_of(item, "p", "m")}
    assert content[0]["signature"]


def test_redacted_thinking_is_one_block():
    """It has no text, and its data is sent as it is."""
    opaque = Opaque(provider_id="p", model_id="m", kind="redacted_thinking", data="c2VhbA==")
    payloads = legal(run(*thought("r", opaque=opaque), *text("a", "x")))
    assert message(payloads)["content"][0] == {"type": "redacted_thinking", "data": "c2VhbA=="}


def test_thinking_that_shows_nothing_is_still_sent():
    """With continuation data there is a block, without it there is none."""
    opaque = Opaque(provider_id="p", model_id="m", kind="encrypted_content", data="enc")
    payloads = legal(run(*thought("r1", opaque=opaque), *thought("r2"), *text("a", "x")))
    assert [block["type"] for block in message(payloads)["content"]] == ["thinking", "text"]


def test_citations_of_the_vendors_kind_are_passed_on():
    """Other vendors' annotations have no word here."""
    final = MessageItem(
        id="a", content="x", parts=[TextPart(text="x", annotations=[CITATION, {"type": "url_citation"}])]
    )
    cited = ItemDelta(item_id="a", delta_content=codec.encode(CITATION).decode(), channel="annotation")
    payloads = run(
        ItemStart(item_id="a", item_type="message"), *grown("a", "x"), cited, ItemDone(item_id="a", final_item=final)
    )
    assert message(legal(payloads))["content"] == [{"type": "text", "text": "x", "citations": [CITATION]}]


def test_a_refusal_is_text_and_a_stop_reason():
    """The words stand in the text."""
    final = MessageItem(id="a", content="No.", parts=[RefusalPart(refusal="No.")])
    said = ItemDelta(item_id="a", delta_content="No.", channel="refusal")
    payloads = run(
        ItemStart(item_id="a", item_type="message"), said, ItemDone(item_id="a", final_item=final), reason="refusal"
    )
    made = message(legal(payloads))
    assert (made["content"], made["stop_reason"]) == ([{"type": "text", "text": "No."}], "refusal")


def test_the_final_item_is_authoritative():
    """What the deltas left unsaid is said before the block stops."""
    payloads = run(*text("a", "Hel", final=MessageItem(id="a", content="Hello")))
    assert message(legal(payloads))["content"] == [{"type": "text", "text": "Hello"}]


def test_a_call_waits_for_its_name_but_not_for_its_end():
    """Where name and id come late the block begins late, with all its input."""
    early, late = run(*call("c", '{"a"', ":1}"), reason="tool_calls"), run(*call("c", '{"a"', ":1}", known=False))
    block = {"type": "tool_use", "id": "call_c", "name": "look", "input": {"a": 1}}
    assert message(legal(early))["content"] == message(legal(late))["content"] == [block]
    assert len(streamed(early)) == len(streamed(late)) + 1


def test_k5_a_call_without_arguments_has_an_empty_object():
    """Neither no input nor `null`."""
    for arguments in ("", "{}"):
        assert message(legal(run(*call("c", arguments))))["content"][0]["input"] == {}


@pytest.mark.parametrize("arguments", ["*** Begin Patch", "[1]", "null", '"x"'])
def test_what_is_no_object_is_said_as_one(arguments):
    """A custom tool's free text, or a broken call, is the object's only member."""
    payloads = legal(run(*call("c", *arguments, kind="custom"), reason="tool_calls"))
    assert message(payloads)["content"][0]["input"] == {"input": arguments}


def test_server_blocks_are_the_vendors_own():
    """The vendor's blocks come as they were; other vendors' items have no word here."""
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    squeezed = {"type": "compaction", "content": "in short", "encrypted_content": "e"}
    payloads = []
    for item_id, data in {"s": use, "f": found, "q": squeezed, "o": {"type": "web_search_call"}}.items():
        kind = data["type"]
        payloads.append(ItemStart(item_id=item_id, item_type="provider_item", provider_type=kind))
        final = ProviderItem(id=item_id, provider_type=kind, data=data)
        payloads.append(ItemDone(item_id=item_id, final_item=final))
    assert message(legal(run(*payloads)))["content"] == [use, found, squeezed]


def test_interleaved_items_are_blocks_one_after_another():
    """A later item waits until the ones before it have ended; then all of it is said."""
    a, c = text("a", "1", "2"), call("c", "{", "}")
    mixed = [a[0], c[0], a[1], c[1], c[2], a[2], c[3], a[3]]
    made = [(event["type"], event.get("index")) for event in streamed(legal(run(*mixed, reason="tool_calls")))]
    assert made[1:5] == [
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
    ]
    assert made[5] == ("content_block_start", 1)
    assert frames(run(*mixed))[4].seq < frames(run(*mixed))[6].seq


def test_k6_all_calls_of_a_turn_are_told():
    """Parallel calls are blocks of their own, in their order."""
    payloads = legal(run(*call("c1", '{"a":1}'), *call("c2", '{"a":2}'), *call("c3", '{"a":3}'), reason="tool_calls"))
    made = message(payloads)
    assert [block["input"]["a"] for block in made["content"]] == [1, 2, 3]
    assert made["stop_reason"] == "tool_use"


@given(st.text(min_size=1, max_size=40), st.data())
def test_f1_any_partition_of_a_text_adds_up_to_it(said, data):
    """Repeated, overlapping and equal pieces are pieces like others."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=8)))
    pieces = [said[start:end] for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True)]
    assert message(run(*text("a", *pieces)))["content"] == [{"type": "text", "text": said}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), st.booleans(), st.data())
def test_f2_any_partition_of_any_arguments_is_byte_exact(value, known, data):
    """What the client concatenates is what the model sent (K22: opaque, whatever their size)."""
    arguments = codec.encode(value).decode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=12)))
    pieces = [arguments[start:end] for start, end in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]
    payloads = run(*call("c", *pieces, known=known), reason="tool_calls")
    sent = [event["delta"]["partial_json"] for event in streamed(payloads) if event["type"] == "content_block_delta"]
    assert "".join(sent) == arguments
    assert message(payloads)["content"][0]["input"] == value


def test_k22_long_arguments_and_characters_of_many_bytes_stay_whole():
    """No frame splits a character, and nothing has a limit of 8 KB."""
    arguments = codec.encode({"text": "żółw 🐢 " * 2000}).decode()
    payloads = legal(run(*call("c", *(arguments[at : at + 7] for at in range(0, len(arguments), 7)))))
    assert message(payloads)["content"][0]["input"]["text"] == "żółw 🐢 " * 2000


# --- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("content_filter", "refusal"),
        ("refusal", "refusal"),
        ("pause", "pause_turn"),
        ("limit", "pause_turn"),
    ],
)
def test_k8_stop_reasons_have_their_words(reason, said):
    """One table decides."""
    assert message(legal(run(*text("a", "x"), reason=reason)))["stop_reason"] == said


def test_the_vendors_own_words_at_the_end_are_passed_on():
    """Which stop sequence it was, and counts that only the vendor has."""
    notes = ProviderEvent(provider_id="p", name="response", data={"stop_sequence": "END", "odd": 1})
    counts = ProviderEvent(provider_id="p", name="usage", data={"server_tool_use": {"web_search_requests": 1}, "x": 2})
    made = message(legal(run(*text("a", "x"), notes, counts)))
    assert (made["stop_reason"], made["stop_sequence"]) == ("stop_sequence", "END")
    assert made["usage"]["server_tool_use"] == {"web_search_requests": 1}
    assert not {"odd", "x"} & (made.keys() | made["usage"].keys())


def test_f13_errors_in_mid_stream_are_of_the_vendors_form():
    """A typed event, the last one; nothing says that the message is complete (F16, F23)."""
    error = ErrorInfo(code="overloaded", message="too much", retryable=True)
    begun = ItemStart(item_id="a", item_type="message")
    cut = ItemCancelled(item_id="a", reason="interrupted")
    payloads = [START, ASKED, STEP, begun, *grown("a", "x"), cut, ResponseError(response_id="msg_1", error=error)]
    assert kinds(payloads)[-2:] == ["content_block_stop", "error"]
    assert streamed(payloads)[-1] == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "too much"},
        "request_id": "msg_1",
    }


def test_k24_an_error_before_any_output_is_all_there_is():
    """No message begins that could not go on."""
    error = ResponseError(response_id="msg_1", error=ErrorInfo(code="rate_limited", message="later"))
    assert kinds([START, ASKED, STEP, error]) == ["error"]
    assert kinds([START, ASKED, TurnAborted(turn_id="t", reason="enough")]) == ["error"]


def broken_call(*after, reason="tool_calls"):
    started = ItemStart(item_id="b", item_type="function_call", name="look", call_id="call_b")
    cut = ItemCancelled(item_id="b", reason="interrupted")
    return run(started, *grown("b", '{"path":"/tmp'), cut, *after, reason=reason)


def test_a_call_that_was_broken_off_ends_the_stream():
    """Its client would run it: what comes behind it is told to nobody who has seen it."""
    assert kinds(broken_call(*call("c", '{"path":"/tmp/x"}')))[-2:] == ["content_block_stop", "error"]
    assert kinds(broken_call())[-1] == "error"


def test_a_call_that_was_broken_off_is_left_out_of_a_whole_message():
    """There the message goes on without it."""
    made = message(broken_call(*call("c", '{"path":"/tmp/x"}')))
    assert [block["id"] for block in made["content"]] == ["call_c"]
    assert made["stop_reason"] == "tool_use"


def test_a_call_that_the_limit_cut_is_shown_as_far_as_it_came():
    """The stop reason says that it is not to be run."""
    payloads = legal(broken_call(reason="length"))
    made = message(payloads)
    assert (made["content"][0]["input"], made["stop_reason"]) == ({"path": "/tmp"}, "max_tokens")


# --- views -------------------------------------------------------------------------------------------------------


def test_views_leave_out_or_shorten():
    """`none` leaves a block out, `summary` says it in one piece."""
    payloads = run(*thought("r", "h", "m"), *text("a", "x"), *call("c", "{", "}"), reason="tool_calls")
    hidden = streamed(payloads, View(reasoning="none", tools="none"))
    assert [event["content_block"]["type"] for event in hidden if event["type"] == "content_block_start"] == ["text"]
    short = streamed(payloads, View(reasoning="summary", tools="summary"))
    deltas = [event["delta"] for event in short if event["type"] == "content_block_delta"]
    assert [delta["type"] for delta in deltas] == [
        "thinking_delta",
        "signature_delta",
        "text_delta",
        "input_json_delta",
    ]
    assert deltas[0]["thinking"] == "hm"


# --- laws --------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(any_runs.runs(), st.lists(st.integers(1, 5), max_size=10))
def test_any_run_is_a_legal_stream_and_cut_anywhere_the_same(payloads, sizes):
    """Whatever a log holds; how it was appended does not show. (These runs invent counts, and may be cut off.)"""
    legal(payloads, allowed=frozenset({"usage-rises", "terminal", "empty", "input-json"}))
    assert frames(payloads) == frames(payloads, sizes=sizes)


def recordings():
    shared = shared_dir()
    files = sorted((shared / "recordings").glob("*/*")) if shared else []
    answers = (".sse", ".bin", ".ndjson", ".jsonl", ".response.json")
    return [path for path in files if path.parent.name in WIRES and path.name.endswith(answers)]


@pytest.mark.skipif(shared_dir() is None, reason=ABSENT)
@pytest.mark.parametrize("wire", WIRES)
def test_recordings_of_any_wire_are_legal_streams(wire):
    """Any wire in, this dialect out; compactions alone count anew, as the vendor's own streams do."""
    seen = 0
    for path in recordings():
        if path.parent.name != wire:
            continue
        try:
            payloads = decode_events(WIRES[wire].decoder, path.read_bytes(), whole=path.name.endswith("response.json"))
        except (ProviderError, InvalidJson):
            continue
        seen += 1
        legal(payloads, allowed=frozenset({"usage-rises"} if "compaction" in path.name else ()))
    assert seen > 9
