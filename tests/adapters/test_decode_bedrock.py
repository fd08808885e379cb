"""What only Bedrock's Converse has: blocks without a beginning, citations, its own tools, and errors as frames."""

from base64 import b64encode
from typing import Any

import pytest

from tailrace.adapters.wires import WIRES
from tailrace.schema.items import CancelledItem, ProviderItem
from tailrace.wire import eventstream
from tests.support.decoding import CONTEXT, Heard, framed, hear

WIRE = "bedrock-converse"
USAGE = {"inputTokens": 20, "outputTokens": 9, "totalTokens": 29}
METADATA = {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 5}, "p": "abcdef"}}


def delta(index: int, **said: Any) -> dict[str, Any]:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": said}}


def start(index: int, **said: Any) -> dict[str, Any]:
    return {"contentBlockStart": {"contentBlockIndex": index, "start": said}}


def stop(index: int) -> dict[str, Any]:
    return {"contentBlockStop": {"contentBlockIndex": index}}


def answer(*events: Any, reason: str = "end_turn", end: Any = METADATA) -> Heard:
    said = [{"messageStart": {"role": "assistant"}}, *events, {"messageStop": {"stopReason": reason}}]
    return hear(WIRE, framed(WIRE, *said, *([end] if end else [])))


def whole(*content: dict[str, Any], reason: str = "end_turn", **fields: Any) -> Heard:
    body = {"output": {"message": {"role": "assistant", "content": list(content)}}, "stopReason": reason}
    return hear(WIRE, {**body, "usage": USAGE, "metrics": {"latencyMs": 5}, **fields}, whole=True)


def cite(name: str) -> dict[str, Any]:
    return {"location": {"web": {"domain": name}}}


def annotations(heard: Heard) -> list[tuple[str, list[str]]]:
    """Each part of the one message, with what it cites."""
    (item,) = heard.items
    return [
        (part.text, [each["location"]["web"]["domain"] for each in part.annotations or ()]) for part in item.parts or ()
    ]


# --- text and citations -----------------------------------------------------------------------------------------


def test_blocks_of_text_are_parts_of_one_message():
    """As people read them; something else between two of them parts them."""
    heard = answer(delta(0, text="a"), stop(0), delta(1, text="b"), stop(1))
    (item,) = heard.items
    assert item.content == "ab"
    assert [part.text for part in item.parts] == ["a", "b"]
    call = [start(1, toolUse={"toolUseId": "t", "name": "f"}), delta(1, toolUse={"input": "{}"}), stop(1)]
    heard = answer(delta(0, text="a"), stop(0), *call, delta(2, text="b"), stop(2))
    assert heard.types == ["message", "function_call", "message"]


def test_a_citation_belongs_to_its_block_or_to_the_text_before():
    """It may come before its text; a block of nothing but citations is about what was said last."""
    heard = answer(
        delta(0, citation=cite("a")),
        delta(0, text="one"),
        delta(0, citation=cite("b")),
        stop(0),
        delta(1, text="two"),
        stop(1),
        delta(2, citation=cite("c")),
        delta(2, citation=cite("d")),
        stop(2),
        delta(3, text="three"),
        stop(3),
    )
    assert annotations(heard) == [("one", ["a", "b"]), ("two", ["c", "d"]), ("three", [])]


def test_citations_of_a_whole_answer():
    """Beside their text, or in a block of their own."""
    heard = whole(
        {"citationsContent": {"citations": [cite("a")], "content": [{"text": "one"}]}},
        {"text": "two"},
        {"citationsContent": {"citations": [cite("b")]}},
    )
    assert annotations(heard) == [("one", ["a"]), ("two", ["b"])]


def test_a_citation_and_no_text_at_all():
    """Nothing is lost."""
    assert annotations(answer(delta(0, citation=cite("a")), stop(0))) == [("", ["a"])]


# --- reasoning --------------------------------------------------------------------------------------------------


def test_a6_reasoning_keeps_what_goes_back_unread():
    """A signature, in one piece or several; redacted content byte for byte, without a text."""
    heard = answer(
        delta(0, reasoningContent={"text": "let "}),
        delta(0, reasoningContent={"text": "me see"}),
        delta(0, reasoningContent={"signature": "EqQB"}),
        delta(0, reasoningContent={"signature": "+/=="}),
        stop(0),
        delta(1, reasoningContent={"redactedContent": "RXE+/w=="}),
        stop(1),
        delta(2, text="done"),
        stop(2),
    )
    plain, redacted, _ = heard.items
    assert (plain.content, plain.opaque.kind, plain.opaque.data) == ("let me see", "reasoning_signature", "EqQB+/==")
    assert (redacted.content, redacted.opaque.kind, redacted.opaque.data) == ("", "redacted_content", "RXE+/w==")


def test_redacted_content_in_pieces_is_one():
    """Base64 with padding in its middle would be none."""
    pieces = [b64encode(piece).decode() for piece in (b"a", b"bc", b"def")]
    heard = answer(*(delta(0, reasoningContent={"redactedContent": piece}) for piece in pieces), stop(0))
    assert heard.items[0].opaque.data == b64encode(b"abcdef").decode()
    heard = answer(*(delta(0, reasoningContent={"redactedContent": piece}) for piece in ("no base64", "!")), stop(0))
    assert heard.items[0].opaque.data == "no base64!"


# --- tools ------------------------------------------------------------------------------------------------------


def test_c16_a_call_without_arguments():
    """An empty input is an empty object, in a stream and in a whole answer."""
    begun = start(0, toolUse={"toolUseId": "t1", "name": "f"})
    for heard in (
        answer(begun, delta(0, toolUse={"input": ""}), stop(0), reason="tool_use"),
        answer(begun, stop(0), reason="tool_use"),
        whole({"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}, reason="tool_use"),
    ):
        assert heard.calls == [("f", "{}", "t1")]
        assert heard.step_done.finish_reason == "tool_calls"


@pytest.mark.parametrize("stops", [True, False])
def test_c19_a_call_that_hit_the_limit_is_not_run(stops):
    """With its block's end or without."""
    begun = [start(0, toolUse={"toolUseId": "t1", "name": "f"}), delta(0, toolUse={"input": '{"a'})]
    heard = answer(*begun, *([stop(0)] if stops else []), reason="max_tokens")
    assert heard.calls == []
    assert isinstance(heard.items[0], CancelledItem)
    assert (heard.items[0].reason, heard.step_done.finish_reason) == ("length", "length")


def test_the_provider_s_own_tools_travel_whole():
    """Call and result as they stand in a message, so that they can go back; the same from a whole answer."""
    use = {"toolUseId": "t1", "name": "nova_grounding", "type": "server_tool_use"}
    result = {"toolUseId": "t1", "type": "nova_grounding_result", "status": "success"}
    streamed = answer(
        start(0, toolUse=use),
        delta(0, toolUse={"input": '{"query":'}),
        delta(0, toolUse={"input": '"x"}'}),
        stop(0),
        start(1, toolResult=result),
        delta(1, toolResult=[{"text": "[HIDDEN]"}]),
        delta(1, toolResult=[{"json": {"a": 1}}]),
        stop(1),
    )
    blocks = [
        {"toolUse": {**use, "input": {"query": "x"}}},
        {"toolResult": {**result, "content": [{"text": "[HIDDEN]"}, {"json": {"a": 1}}]}},
    ]
    for heard in (streamed, whole(*blocks)):
        assert [item.data for item in heard.items if isinstance(item, ProviderItem)] == blocks
        assert [item.provider_type for item in heard.items] == ["toolUse", "toolResult"]
        assert heard.step_done.finish_reason == "stop"


def test_a_block_that_nobody_knows_travels_whole():
    """With a beginning or without; also where it comes in several pieces."""
    heard = answer(
        start(0, image={"format": "png"}),
        delta(0, image={"source": {"bytes": "aGk="}}),
        stop(0),
        delta(1, wonder={"a": 1}),
        delta(1, wonder={"a": 2}),
        stop(1),
    )
    assert [item.data for item in heard.items] == [
        {"image": {"format": "png", "source": {"bytes": "aGk="}}},
        {"wonder": {"deltas": [{"a": 1}, {"a": 2}]}},
    ]
    assert whole({"image": {"format": "png"}}).items[0].data == {"image": {"format": "png"}}


# --- the end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("a_new_one", "stop"),
    ],
)
def test_why_it_stopped(said, reason):
    """In our words; a reason that is new is told as well."""
    heard = answer(delta(0, text="a"), stop(0), reason=said)
    assert heard.step_done.finish_reason == reason
    assert any("stopReason" in told for told in heard.events("response")) == (said == "a_new_one")


@pytest.mark.parametrize("said", ["malformed_model_output", "malformed_tool_use"])
def test_an_answer_that_broke_off_is_an_error_with_its_counts(said):
    """Another try may do; the tokens were spent."""
    heard = answer(delta(0, text="a"), stop(0), reason=said)
    assert (heard.response.error.code, heard.response.error.retryable) == ("server_error", True)
    assert said in heard.response.error.message
    assert heard.response.usage.total_tokens == 29


def test_an_answer_without_its_counts_is_whole():
    """Some gateway may drop the last event: the reason to stop was there."""
    heard = answer(delta(0, text="a"), stop(0), end=None)
    assert heard.response.status == "complete"
    assert heard.response.usage is None


def test_blocks_that_never_stop_end_with_the_message():
    """Each in its way, in the order in which they began; a call whose input is not there will not be run."""
    call = [start(2, toolUse={"toolUseId": "t", "name": "f"}), delta(2, toolUse={"input": "{}"})]
    open_ones = [delta(0, reasoningContent={"text": "hm"}), delta(1, text="a")]
    assert answer(*open_ones, *call, reason="tool_use").types == ["reasoning", "message", "function_call"]
    heard = answer(*open_ones, call[0], reason="tool_use")
    assert heard.types == ["reasoning", "message", "cancelled"]
    assert (heard.items[2].reason, heard.step_done.finish_reason) == ("incomplete", "stop")


def test_a_gateway_that_asks_again_begins_anew():
    """What was open is called off; indexes mean other blocks now."""
    again = {"messageStart": {"role": "assistant"}}
    cut = [start(2, toolUse={"toolUseId": "t", "name": "f"}), delta(2, toolUse={"input": '{"a'})]
    heard = answer(
        delta(0, reasoningContent={"text": "hm"}),
        stop(0),
        delta(1, text="half"),
        *cut,
        again,
        delta(0, text="whole"),
        stop(0),
    )
    assert heard.types == ["reasoning", "cancelled", "cancelled", "message"]
    assert heard.items[3].content == "whole"
    assert {item.reason for item in heard.items[1:3]} == {"interrupted"}


def test_c36_what_comes_behind_a_block_s_end_is_kept_and_changes_nothing():
    """A delta, an end, a beginning."""
    late = [delta(0, text=" more"), stop(0), start(0, toolUse={"toolUseId": "t", "name": "f"})]
    heard = answer(delta(0, text="a"), stop(0), *late)
    assert [item.content for item in heard.items] == ["a"]
    assert [heard.events(name)[0] for event in late for name in event] == [
        data for event in late for data in event.values()
    ]


def test_a7_cached_tokens_are_prompt_tokens():
    """The provider counts them apart; its total does not."""
    usage = {
        "inputTokens": 11, "outputTokens": 236, "totalTokens": 1275, "cacheReadInputTokens": 28,
        "cacheReadInputTokenCount": 28, "cacheWriteInputTokens": 1000, "cacheWriteInputTokenCount": 1000,
    }  # fmt: skip
    heard = answer(delta(0, text="a"), stop(0), end={"metadata": {"usage": usage}})
    counts = heard.response.usage
    assert (counts.prompt_tokens, counts.completion_tokens, counts.total_tokens) == (1039, 236, 1275)
    assert (counts.cached_tokens, counts.cache_write_tokens) == (28, 1000)
    assert heard.events("usage") == []
    details = [{"ttl": "5m", "inputTokens": 7}]
    heard = answer(delta(0, text="a"), stop(0), end={"metadata": {"usage": {**USAGE, "cacheDetails": details}}})
    assert heard.events("usage")[0]["cacheDetails"] == details


def test_what_stands_beside_the_answer_is_told_once():
    """Traces, metrics, the model's own fields; padding is not."""
    end = {"metadata": {**METADATA["metadata"], "trace": {"promptRouter": {"invokedModelId": "m"}}}}
    heard = answer(delta(0, text="a"), stop(0), end=end)
    assert heard.events("response") == [
        {"metrics": {"latencyMs": 5}, "trace": {"promptRouter": {"invokedModelId": "m"}}}
    ]
    heard = whole({"text": "a"}, additionalModelResponseFields={"stop_sequence": "END"})
    assert heard.events("response")[0]["additionalModelResponseFields"] == {"stop_sequence": "END"}


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "retryable"),
    [
        ("internalServerException", "server_error", True),
        ("modelStreamErrorException", "server_error", True),
        ("serviceUnavailableException", "overloaded", True),
        ("throttlingException", "rate_limited", True),
        ("modelTimeoutException", "timeout", True),
        ("validationException", "invalid_request", False),
        ("accessDeniedException", "permission", False),
    ],
)
def test_an_exception_in_mid_stream(name, code, retryable):
    """By its name, with its message; what came stays, cut."""
    said = framed(WIRE, {"messageStart": {"role": "assistant"}}, delta(0, text="half"))
    heard = hear(WIRE, said + eventstream.exception(name, b'{"message":"no"}'))
    error = heard.response.error
    assert (error.code, error.retryable, error.message) == (code, retryable, "no")
    assert heard.items[0].partial.content == "half"


def test_an_exception_that_is_no_json():
    """Its bytes are its message."""
    heard = hear(WIRE, framed(WIRE, delta(0, text="a")) + eventstream.exception("validationException", b"oops"))
    assert (heard.response.error.code, heard.response.error.message) == ("invalid_request", "oops")


def test_an_error_that_the_service_did_not_model():
    """Code and message stand in the headers."""
    headers: eventstream.Headers = {
        ":message-type": "error",
        ":error-code": "InternalServerException",
        ":error-message": "It broke.",
    }
    heard = hear(WIRE, framed(WIRE, delta(0, text="a")) + eventstream.frame(headers, b""))
    assert (heard.response.error.code, heard.response.error.message) == ("server_error", "It broke.")


@pytest.mark.parametrize("at", [1, -1])
def test_a_frame_with_a_wrong_checksum_is_never_heard(at):
    """The answer breaks off there; what came before it stays."""
    bad = bytearray(framed(WIRE, delta(0, text=" and more")))
    bad[at] ^= 1
    heard = hear(WIRE, framed(WIRE, delta(0, text="half")) + bytes(bad))
    assert heard.response.error.code == "protocol_error"
    assert heard.items[0].partial.content == "half"


def test_events_out_of_place_are_kept_and_change_nothing():
    """A delta of another kind than its block, a second beginning, an index that is none."""
    call = start(0, toolUse={"toolUseId": "t", "name": "f"})
    odd = [delta(0, text="x"), stop(None), call, delta(None, text="x"), start(None, toolUse={})]
    heard = answer(call, *odd, delta(0, toolUse={"input": "{}"}), stop(0), reason="tool_use")
    assert heard.calls == [("f", "{}", "t")]
    assert len([p for p in heard.payloads if type(p).__name__ == "ProviderEvent"]) == len(odd) + 1  # and the metrics


def test_no_text_opens_no_message():
    """Models begin and end with empty deltas: they say nothing, and so does the end of their block."""
    heard = answer(delta(0, text=""), stop(0), start(1), stop(1))
    assert heard.items == []
    assert heard.events("contentBlockStop") == heard.events("contentBlockStart") == []


def test_a_body_of_letters_is_told_from_frames():
    """No frame may be so long that its length begins with a letter or a bracket."""
    for first in WIRES[WIRE].decoder.FRAMING.others:
        assert first[0] > eventstream.MAX_FRAME_BYTES >> 24
    decoder = WIRES[WIRE].decoder(CONTEXT)
    decoder.feed(b'{"message":"Too many requests"}')
    decoder.close()
    assert decoder.error is not None
