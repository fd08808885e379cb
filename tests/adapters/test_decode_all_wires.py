"""What holds on every wire: framing, the end and the lack of it, errors, and what nobody knows."""

import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.framing import SSE
from tailrace.adapters.replay import decode_events
from tailrace.adapters.wires import WIRES
from tailrace.schema import codec
from tailrace.schema.errors import ProviderError
from tailrace.schema.events import ItemDone, ItemStart, Payload, ResponseError, StepDone
from tailrace.schema.items import CancelledItem, FunctionCallItem, MessageItem
from tests.support.decoding import ANSWERS, BODIES, CONTEXT, ENDS, PIECEMEAL, SEALED, Heard, checked, framed, hear, sse

EACH = pytest.mark.parametrize("wire", sorted(ANSWERS))
EACH_SSE = pytest.mark.parametrize("wire", sorted(wire for wire in ANSWERS if WIRES[wire].decoder.FRAMING is SSE))
TEXT = "It is caf\u00e9 \U0001f600 time."


def stream(wire: str) -> bytes:
    return framed(wire, *ANSWERS[wire])


def cut_short(wire: str) -> list[Any]:
    """The events of the answer without those that end it."""
    return ANSWERS[wire][: -ENDS.get(wire, 1)]


def decoded(wire: str, data: bytes, cuts: list[int]) -> list[Payload]:
    decoder = WIRES[wire].decoder(CONTEXT)
    edges = [0, *sorted(cuts), len(data)]
    payloads = [payload for start, end in pairwise(edges) for payload in decoder.feed(data[start:end])]
    return [*payloads, *decoder.close()]


def assert_interrupted(heard: Heard) -> None:
    """A failed run that says so once, and has finished no call that was under way."""
    assert heard.response.status == "error"
    assert heard.response.error is not None
    assert heard.response.error.code == "stream_interrupted"
    assert heard.response.error.retryable


@EACH
def test_an_answer_is_decoded(wire):
    """Reasoning with what goes back unread, text, a call, counts, the reason and the provider's ids."""
    heard = hear(wire, stream(wire))
    reasoning, message, call = heard.items
    assert heard.types == ["reasoning", "message", "function_call"]
    assert reasoning.content == "Look at the clock."
    assert wire not in SEALED or reasoning.opaque.data == "sealed"
    assert message.content == TEXT
    assert message.parts is None
    assert (call.name, call.arguments, call.call_id) == ("clock", '{"zone":"Europe/Paris"}', "call_1")
    assert heard.response.status == "complete"
    assert heard.step_done.finish_reason == "tool_calls"
    names_itself = wire != "bedrock-converse"
    assert heard.step_done.model_id == ("m-1" if names_itself else "m")
    assert heard.step_done.provider_response_id in {"resp_1", "msg_1", "chat_1", None}
    start = next(p for p in heard.payloads if isinstance(p, ItemStart) and p.item_type == "function_call")
    assert (start.name, start.call_id) == ("clock", "call_1")


@EACH
def test_c4_usage_is_exact(wire):
    """Input, output and total as the provider counts them."""
    usage = hear(wire, stream(wire)).response.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (20, 9, 29)


@EACH
def test_c6_a_split_at_every_byte_gives_the_same_events(wire):
    """Cut in two at each offset, and fed byte by byte."""
    data = stream(wire)
    whole = decoded(wire, data, [])
    assert all(decoded(wire, data, [cut]) == whole for cut in range(len(data)))
    assert decoded(wire, data, list(range(len(data)))) == whole


@EACH_SSE
@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_c7_line_ends_comments_and_data_in_two_lines_change_nothing(wire, end):
    """CRLF, CR, comments in between, and JSON that is broken over two data lines."""
    frames = [b": comment\n\ndata: " + codec.encode(event).replace(b",", b",\ndata: ", 1) for event in ANSWERS[wire]]
    data = b"\n\n".join([*frames, b""])
    assert data.count(b"\ndata: ") > len(frames)
    assert hear(wire, data.replace(b"\n", end)).payloads == hear(wire, stream(wire)).payloads


@EACH
def test_c8_the_last_event_counts_without_its_blank_line(wire):
    """The end of the bytes right behind the terminal event is success; before it, it is an interruption (A1)."""
    data = stream(wire)
    if wire != "bedrock-converse":  # whose frames have no end mark
        assert hear(wire, data.rstrip(b"\n")).payloads == hear(wire, data).payloads
    assert_interrupted(hear(wire, framed(wire, *cut_short(wire))))


@EACH
def test_a1_the_end_of_the_bytes_anywhere_before_the_end_is_an_error(wire):
    """Cut at every byte before the terminal event is whole: never success, never a step that is done."""
    end = framed(wire, *ANSWERS[wire][: len(cut_short(wire)) + 1])
    data = end if wire == "bedrock-converse" else end.rstrip(b"\n")
    for cut in range(len(data)):
        decoder = WIRES[wire].decoder(CONTEXT)
        payloads = [*decoder.feed(data[:cut]), *decoder.close()]
        assert decoder.done
        assert decoder.error.code == "stream_interrupted"
        assert not any(isinstance(payload, StepDone) for payload in payloads)


ERRORS: dict[str, tuple[dict[str, Any], str]] = {
    "openai-responses": ({"type": "error", "code": "server_error", "message": "sorry"}, "server_error"),
    "anthropic-messages": ({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}, "overloaded"),
    "openai-chat-completions": ({"error": {"message": "no", "code": 502}, "choices": []}, "server_error"),
    "google-gemini": ({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}, "overloaded"),
    "bedrock-converse": ({"error": {"code": "throttlingException", "message": "no"}}, "rate_limited"),
    "ollama": ({"error": "the model runner has died"}, "server_error"),
}
# Where nothing but known fields has a name: what is unknown is told with them, at the end.
NAMELESS = {"openai-chat-completions", "google-gemini"}


@EACH
def test_c10_an_error_in_mid_stream_ends_the_run_once(wire):
    """Exactly one terminal event, status error, retryable, and nothing behind it is heard (A4)."""
    event, code = ERRORS[wire]
    heard = hear(wire, framed(wire, *ANSWERS[wire][:-1], event, ANSWERS[wire][-1], done=True))
    assert [type(p) for p in heard.payloads if type(p).__name__.startswith("Response")][1:] == [ResponseError]
    assert heard.response.status == "error"
    assert (heard.response.error.code, heard.response.error.retryable) == (code, True)


@pytest.mark.parametrize("wire", PIECEMEAL)
def test_a2_an_error_within_arguments_completes_no_call(wire):
    """The call stays where it stood, cancelled, with the arguments as far as they came."""
    opened = next(n for n, event in enumerate(ANSWERS[wire], 1) if codec.encode(event).count(b'{\\"zon"'))
    for end in (ERRORS[wire][0], None):
        heard = hear(wire, framed(wire, *ANSWERS[wire][:opened], *([end] if end else [])))
        assert heard.calls == []
        assert isinstance(heard.items[-1], CancelledItem)
        assert heard.items[-1].partial.arguments == '{"zon'


@EACH
def test_a4_a_decoder_says_nothing_after_the_end(wire):
    """Fed, closed or given a body once more after an end of either kind, it gives nothing."""
    for data in (stream(wire), framed(wire, ERRORS[wire][0])):
        decoder = WIRES[wire].decoder(CONTEXT)
        decoder.feed(data + framed(wire, done=True))
        decoder.close()
        assert decoder.done
        assert decoder.feed(data) == decoder.close() == []


@EACH
def test_c21_unknown_events_and_missing_fields_do_no_harm(wire):
    """Between any two events an unknown one, with each optional field gone: the answer completes, with its usage."""
    strange = {"type": "response.wonder", "novelty": {"deep": [1]}, "choices": None}
    events: list[Any] = [strange]
    for event in ANSWERS[wire]:
        events += [event, strange, b"\xff{not json", b"[1,2]"]
    heard = hear(wire, framed(wire, *events))
    assert heard.calls == hear(wire, stream(wire)).calls
    assert heard.response.usage.total_tokens == 29
    assert heard.step_done.finish_reason == "tool_calls"
    if wire in NAMELESS:
        assert any(told["novelty"] == {"deep": [1]} for told in heard.events("response"))
    else:
        name = "oddity" if wire == "bedrock-converse" else "response.wonder"
        assert heard.events(name).count(strange) == len(ANSWERS[wire])
    assert len(heard.events("unreadable")) >= 2


@EACH
def test_c22_ids_that_are_taken_are_not_used_twice(wire):
    """An id of an earlier step, and a missing one, are replaced by the prefix and a count; the provider's is kept."""
    taken = frozenset({"rs_1", "msg_1", "fc_1", "call_1", "x1"})
    context = DecodeContext(provider_id="p", model_id="m", step=2, id_prefix="x", taken_ids=taken)
    heard = checked(decode_events(WIRES[wire].decoder, stream(wire), context=context))
    ids = [item.id for item in heard.items]
    assert len(set(ids)) == 3
    assert not taken & set(ids)
    assert heard.items[2].correlation_id in {"fc_1", "call_1"}
    assert heard.calls[0][2] == "call_1"


@EACH
def test_a_whole_body_gives_what_its_stream_gives(wire):
    """Non-streaming is the stream, folded (design rule 7): one delta each, the same items."""
    streamed, whole = hear(wire, stream(wire)), hear(wire, BODIES[wire], whole=True)
    assert whole.items == streamed.items
    assert whole.step_done == streamed.step_done
    assert [codec.decode_any(d) if d.startswith("{") else d for d in whole.deltas()] == [
        "Look at the clock.",
        TEXT,
        {"zone": "Europe/Paris"},
    ]


@EACH
def test_a_body_where_a_stream_was_asked_for_is_read_all_the_same(wire):
    """Some gateways answer with plain JSON, however it is split."""
    body = b" \n" + codec.encode(BODIES[wire])
    assert hear(wire, body, chunk=5).items == hear(wire, stream(wire)).items


@EACH
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error":{"message":"no","type":"invalid_request_error"}}', "invalid_request"),
        (b'\xef\xbb\xbf{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', "rate_limited"),
        (b'[{"error":{"status":"UNAVAILABLE","message":"later"}}]', "overloaded"),
        (b"<html><title>Bad gateway</title></html>", "protocol_error"),
    ],
)
def test_an_error_body_under_status_200_is_an_error(wire, body, code, whole):
    """JSON, a list of it, or a page: the error itself, and no answer."""
    with pytest.raises(ProviderError) as caught:
        hear(wire, body, whole=whole)
    assert caught.value.code == code


@EACH
@pytest.mark.parametrize("body", [b"", b"null", b'"text"', b"{}", b'{"answer":1}', b"[]", b"\xff"])
def test_a_body_that_is_no_answer_is_an_error(wire, body):
    """Whatever it is, there is a terminal event."""
    heard = hear(wire, body, whole=True)
    assert (heard.response.status, heard.response.error.code) == ("error", "protocol_error")


@EACH
def test_an_endless_event_is_refused(wire):
    """An event over the limit is an error of the protocol; the items before it stay."""
    decoder = WIRES[wire].decoder(CONTEXT)
    decoder._parser._limit = 5000  # the real one is 24 MiB and more
    endless = framed(wire, b"x" * 6000)[:6000]
    assert decoder.feed(framed(wire, *ANSWERS[wire][:3]) + endless)
    assert decoder.close() is not None
    assert decoder.done
    assert decoder.error.code == "protocol_error"


WRONG = st.sampled_from(
    [None, 0, -5, 2**70, 1.5, True, "", "x", [], [None], {}, {"type": 3}, [[{}]], {"a": {"b": None}}]
)


@EACH
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_c21_no_wrong_type_raises_or_breaks_the_grammar(wire, data):
    """Any values of any events replaced by others, or gone, in any order: a legal run comes out, one way or another."""
    events: list[Any] = copy.deepcopy(ANSWERS[wire])
    for _ in range(data.draw(st.integers(1, 4))):
        target: Any = data.draw(st.sampled_from(events))
        while isinstance(target, dict | list) and target:
            key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
            inner = target[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.integers(0, 3)) == 0:
                if isinstance(target, dict) and data.draw(st.booleans()):
                    del target[key]
                else:
                    target[key] = copy.deepcopy(data.draw(WRONG))
                break
            target = inner
    if data.draw(st.integers(0, 3)) == 0:
        events = data.draw(st.permutations(events))
    try:
        hear(wire, framed(wire, *events, done=data.draw(st.booleans())))
    except ProviderError:
        pytest.fail("a stream is no error body")


@EACH
@settings(max_examples=100, deadline=None)
@given(cuts=st.lists(st.integers(0, 4000)))
def test_random_splits_give_the_same_events(wire, cuts):
    """However the network cuts the bytes."""
    data = stream(wire)
    assert decoded(wire, data, [cut for cut in cuts if cut < len(data)]) == decoded(wire, data, [])


@pytest.mark.parametrize("wire", sorted(ANSWERS.keys() - {"bedrock-converse", "ollama"}))  # whose counts come last
def test_c10_tokens_spent_on_a_broken_answer_are_counted(wire):
    """What is known of the usage survives the error."""
    if wire == "openai-responses":
        failed = {**ANSWERS[wire][-1]["response"], "status": "failed", "error": {"code": "server_error"}}
        data = sse(*ANSWERS[wire][:-1], {"type": "response.failed", "response": failed})
    else:
        data = sse(*ANSWERS[wire][: -1 if wire == "anthropic-messages" else None], ERRORS[wire][0])
    assert hear(wire, data).response.usage.total_tokens == 29


@pytest.mark.parametrize("wire", ["openai-responses", "anthropic-messages"])
def test_a_late_event_is_kept_and_changes_nothing(wire):
    """C36: a delta behind an item's end travels as a provider event; on the chat wire items end with the answer."""
    events = ANSWERS[wire]
    late = next(event for event in events if str(event["type"]).endswith("delta"))
    heard = hear(wire, sse(*events[:-1], late, events[-1]))
    assert heard.items == hear(wire, stream(wire)).items
    assert heard.events(late["type"]) == [late]


@EACH
def test_50_000_deltas_are_decoded_in_linear_time(wire):
    """Nothing is joined or compared per delta: one long answer keeps its text, in one piece, at its end."""
    events = ANSWERS[wire]
    piece = next(event for event in events if TEXT[:9] in codec.encode(event).decode())
    at = events.index(piece)
    heard = [
        payload
        for payload in decode_events(
            WIRES[wire].decoder,
            framed(wire, *events[:at]) + framed(wire, piece) * 50_000 + framed(wire, *events[at + 1 :]),
        )
        if isinstance(payload, ItemDone)
    ]
    message = next(p.final_item for p in heard if isinstance(p.final_item, MessageItem))
    assert len(message.content) in {len(TEXT), 9 * 50_000 + len(TEXT) - 9}
    assert any(isinstance(p.final_item, FunctionCallItem) for p in heard)
