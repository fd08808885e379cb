"""The chat dialect's way out: chunks as a pure fold of the log, and the same answer as a whole."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.dialects.base import View
from tailrace.schema import codec
from tailrace.schema.events import (
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemError,
    ItemStart,
    Payload,
    ProviderEvent,
    ResponseError,
    StepDone,
    TurnAborted,
    UsageUpdate,
)
from tailrace.schema.items import (
    MessageItem,
    Opaque,
    OutputItem,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.response import ErrorInfo, Usage
from tests.support.chat import (
    START,
    STEP,
    asked,
    call,
    chunks,
    completion,
    deltas,
    done,
    folded,
    message_of,
    reason_of,
    run,
    text,
)
from tests.support.events import runs

USAGE = Usage(prompt_tokens=20, completion_tokens=9, total_tokens=29, cached_tokens=3, reasoning_tokens=4)
CITATION = {"type": "url_citation", "url": "https://x.test", "title": "X", "start_index": 0, "end_index": 2}
LOGPROB = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}


# --- the form -----------------------------------------------------------------------------------------------------


def test_the_chunks_of_a_plain_answer():
    """The role first, then the pieces as they came, then the finish reason; the head is always the same."""
    role, *rest = chunks(run(*text("Hel", "lo")))
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "p/m"}
    assert role == {**head, "choices": [choice({"role": "assistant"})]}
    assert rest == [
        {**head, "choices": [choice({"content": "Hel"})]},
        {**head, "choices": [choice({"content": "lo"})]},
        {**head, "choices": [choice({}, "stop")]},
    ]


def choice(delta: Any, finish: str | None = None) -> Any:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def test_k12_every_chunk_has_the_same_id_and_date_and_model():
    """Clients key on the id: it never changes within an answer, nor from one reader to the next."""
    heads = {(c["id"], c["created"], c["model"]) for c in chunks(run(*text("a", "b"), *call("{}"), usage=USAGE))}
    assert heads == {("chatcmpl-1", 5, "p/m")}


def test_k9_the_counts_come_last_in_a_chunk_without_choices_where_they_were_asked_for():
    """All other chunks then say `usage: null`; a count of zero is a count."""
    *before, last = chunks(run(*text("a"), usage=USAGE, include_usage=True))
    assert {chunk["usage"] for chunk in before} == {None}
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    assert all("usage" not in chunk for chunk in chunks(run(*text("a"), usage=USAGE)))
    zero = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
    assert chunks(run(usage=zero, include_usage=True))[-1]["usage"]["total_tokens"] == 0


def test_k9_counts_from_the_middle_of_a_step_serve_where_none_came_at_its_end():
    """A provider that tells its counts early and then no more is believed."""
    update = UsageUpdate(response_id="chatcmpl-1", usage=USAGE)
    assert chunks(run(update, include_usage=True))[-1]["usage"]["total_tokens"] == 29


def test_what_the_request_said_is_not_said_again():
    """Items from before the first step are the conversation so far."""
    given: list[OutputItem] = [MessageItem(id="input_1", content="old"), MessageItem(id="input_2", content="q")]
    before = [
        event
        for item in given
        for event in (ItemStart(item_id=item.id, item_type="message"), ItemDone(item_id=item.id, final_item=item))
    ]
    payloads = [START, asked(), *before, STEP, *text("new"), *done()]
    assert folded(chunks(payloads)) == completion(payloads, given)
    assert folded(chunks(payloads))["choices"][0]["message"]["content"] == "new"


def test_a_run_of_another_protocol_reads_as_chat_too():
    """Without what a chat request says of itself, the model is the run's, and the counts are told."""
    received = chunks([START, STEP, *text("a"), *done(usage=USAGE)])
    assert {chunk["model"] for chunk in received} == {"m"}
    assert received[-1]["usage"]["total_tokens"] == 29


# --- text ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [("hel", "lo"), ("1", "1", "1"), ("foo\n", "\n\nbar"), ("a", "aa", "aaa", "a")])
def test_f1_pieces_that_overlap_are_not_taken_for_one(pieces: tuple[str, ...]):
    """A delta is an increment because it came as one; text is never compared with text."""
    assert [delta["content"] for delta in deltas(run(*text(*pieces))) if "content" in delta] == list(pieces)
    assert message_of(run(*text(*pieces)))["content"] == "".join(pieces)


def test_k3_k4_markup_in_a_text_goes_through_once_and_unchanged():
    """What looks like a tool call in the text is text: neither held back, nor doubled, nor cut."""
    pieces = ("Pre <use_", "tool><name>x</na", "me></use_tool", "><use_tool>", "</use_tool>")
    message = message_of(run(*text(*pieces)))
    assert message == {"role": "assistant", "content": "".join(pieces), "refusal": None}


def test_messages_stand_a_blank_line_apart():
    """The protocol has one text per answer."""
    payloads = run(*text("One.", item_id="a"), *text("Two.", item_id="b"))
    assert message_of(payloads)["content"] == "One.\n\nTwo."


def test_messages_that_grow_at_once_take_turns():
    """The later one waits until the earlier has ended, lest their pieces mix."""
    payloads = run(
        ItemStart(item_id="a", item_type="message"),
        ItemStart(item_id="b", item_type="message", initial_content="b"),
        ItemDelta(item_id="b", delta_content="2"),
        ItemDelta(item_id="a", delta_content="1"),
        ItemDone(item_id="b", final_item=MessageItem(id="b", content="b2")),
        ItemDelta(item_id="a", delta_content="1"),
        ItemDone(item_id="a", final_item=MessageItem(id="a", content="11")),
    )
    assert [delta["content"] for delta in deltas(payloads) if "content" in delta] == ["1", "1", "\n\nb", "2"]
    assert message_of(payloads)["content"] == "11\n\nb2"


def test_a_final_item_completes_what_its_deltas_left_out():
    """What is missing at the end of a text is sent when the item ends; what was said otherwise cannot be taken back."""
    start = ItemStart(item_id="a", item_type="message")
    end = ItemDone(item_id="a", final_item=MessageItem(id="a", content="abc"))
    assert [d for d in deltas(run(start, end)) if "content" in d] == [{"content": "abc"}]
    grown = ItemDelta(item_id="a", delta_content="ab")
    assert [d for d in deltas(run(start, grown, end)) if "content" in d] == [{"content": "ab"}, {"content": "c"}]
    other = ItemDelta(item_id="a", delta_content="xy")
    assert [d for d in deltas(run(start, other, end)) if "content" in d] == [{"content": "xy"}]


def test_an_empty_answer_is_an_empty_text():
    """Clients that join strings are not given null, where nothing else was said either."""
    assert message_of(run()) == {"role": "assistant", "content": "", "refusal": None}


def test_a_refusal_has_a_field_of_its_own():
    """The refusal's words do not stand in `content`; that it was one is no filter's doing."""
    final = MessageItem(id="a", content="I will not.", parts=[RefusalPart(refusal="I will not.")])
    payloads = run(
        ItemStart(item_id="a", item_type="message"),
        ItemDelta(item_id="a", delta_content="I will ", channel="refusal"),
        ItemDelta(item_id="a", delta_content="not.", channel="refusal"),
        ItemDone(item_id="a", final_item=final),
        reason="refusal",
    )
    assert message_of(payloads) == {"role": "assistant", "content": None, "refusal": "I will not."}
    assert reason_of(payloads) == "stop"


def test_annotations_and_logprobs_travel_with_the_text():
    """A citation takes this protocol's form; probabilities stand beside the delta; other annotations have no form."""
    other = {"type": "char_location", "cited_text": "x"}
    part = TextPart(text="ab", annotations=[CITATION, other], logprobs=[LOGPROB])
    payloads = run(
        ItemStart(item_id="a", item_type="message"),
        ItemDelta(item_id="a", delta_content="ab"),
        ItemDelta(item_id="a", delta_content=codec.encode([LOGPROB]).decode(), channel="logprobs"),
        ItemDelta(item_id="a", delta_content=codec.encode(CITATION).decode(), channel="annotation"),
        ItemDelta(item_id="a", delta_content=codec.encode(other).decode(), channel="annotation"),
        ItemDone(item_id="a", final_item=MessageItem(id="a", content="ab", parts=[part])),
    )
    details = {name: CITATION[name] for name in ("url", "title", "start_index", "end_index")}
    assert message_of(payloads)["annotations"] == [{"type": "url_citation", "url_citation": details}]
    assert completion(payloads)["choices"][0]["logprobs"] == {"content": [LOGPROB], "refusal": None}


# --- reasoning ----------------------------------------------------------------------------------------------------


def thoughts(*pieces: str, item_id: str = "rs", opaque: Opaque | None = None) -> list[Payload]:
    final = ReasoningItem(id=item_id, content="".join(pieces), opaque=opaque)
    return [
        ItemStart(item_id=item_id, item_type="reasoning"),
        *(ItemDelta(item_id=item_id, delta_content=piece) for piece in pieces),
        ItemDone(item_id=item_id, final_item=final),
    ]


def test_reasoning_streams_in_its_own_field():
    """`reasoning_content`, as many servers send it; a second thought stands a blank line apart."""
    payloads = run(*thoughts("Let ", "me see."), *thoughts("So.", item_id="rs2"), *text("Yes."))
    message = message_of(payloads)
    assert (message["reasoning_content"], message["content"]) == ("Let me see.\n\nSo.", "Yes.")


def test_sealed_reasoning_can_come_back():
    """A provider that wants its signed reasoning back gets it from a client that returns the message as it got it."""
    sealed = [Opaque(provider_id="p", model_id="m", kind="signature", data=data) for data in ("one", "two")]
    payloads = run(*thoughts("a", opaque=sealed[0]), *thoughts("", item_id="rs2", opaque=sealed[1]), *call("{}"))
    details = message_of(payloads)["reasoning_details"]
    assert [(entry["id"], entry["index"], entry["type"]) for entry in details] == [
        ("rs", 0, "reasoning.encrypted"),
        ("rs2", 1, "reasoning.encrypted"),
    ]


@pytest.mark.parametrize("detail", ["summary", "none"])
def test_a_view_without_reasoning(detail: Any):
    """Reasoning has no start and end of its own in this protocol, so that a summary of it is nothing."""
    payloads = run(*thoughts("hm"), *text("a"))
    assert deltas(payloads, view=View(reasoning=detail)) == [{"role": "assistant"}, {"content": "a"}, {}]


def test_a_view_of_calls_by_their_end_only():
    """`summary` shows each call whole; `none` leaves out calls, and the finish reason still tells of them."""
    payloads = run(*call('{"a"', ":1}"), reason="tool_calls")
    entry = {"index": 0, "id": "call_fc", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    assert deltas(payloads, view=View(tools="summary")) == [{"role": "assistant"}, {"tool_calls": [entry]}, {}]
    hidden = chunks(payloads, view=View(tools="none"))
    assert [c["choices"][0]["finish_reason"] for c in hidden] == [None, "tool_calls"]


# --- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "with_calls", "expected"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("tool_calls", True, "tool_calls"),
        ("length", False, "length"),
        ("length", True, "tool_calls"),
        ("limit", False, "length"),
        ("content_filter", False, "content_filter"),
        ("content_filter", True, "content_filter"),
        ("refusal", False, "content_filter"),
        ("pause", False, "stop"),
    ],
)
def test_k8_how_an_answer_ends(reason: Any, with_calls: bool, expected: str):
    """One table; that there are calls to answer is decided by their being there. A filter's word stands (F16)."""
    assert reason_of(run(*text("a"), *(call("{}") if with_calls else ()), reason=reason)) == expected


def test_k8_half_a_call_is_none_to_answer():
    """A call that the limit cut is shown as far as it came, and the reason says why."""
    begun, grown, _ = call('{"a"')
    payloads = run(begun, grown, ItemCancelled(item_id="fc", reason="length"), reason="length")
    assert message_of(payloads)["tool_calls"][0]["function"]["arguments"] == '{"a"'
    assert reason_of(payloads) == "length"


ERROR = ErrorInfo(code="rate_limited", message="slow down", retryable=True, details={"field": "model"})


@pytest.mark.parametrize("events", [[], text("half"), call("{}")], ids=["nothing", "text", "a whole call"])
def test_k24_f5_f23_an_error_is_an_error_whatever_came_before_it(events: list[Payload]):
    """The frame that the vendor's clients raise on, and nothing behind it that would make the answer look whole: its
    calls, too, belong to a run that has failed."""
    ended = [StepDone(step=1, provider_id="p", model_id="m", finish_reason="error")]
    received = chunks([START, asked(), STEP, *events, *ended, ResponseError(response_id="r", error=ERROR)])
    assert received[-1] == {
        "error": {
            "message": "slow down", "type": "rate_limit_error", "param": "model", "code": "rate_limit_exceeded"
        }
    }  # fmt: skip
    assert all(c["choices"][0]["finish_reason"] is None for c in received[:-1])


def test_an_item_that_failed_keeps_what_was_sent_of_it():
    """The lane is free for the next item."""
    start, grown, _ = text("ha")
    lost = ItemError(item_id="msg", error=ErrorInfo(code="interrupted", message="lost"))
    payloads = run(start, grown, lost, *text("All of it.", item_id="b"))
    assert message_of(payloads)["content"] == "ha\n\nAll of it."


def test_a_cancelled_run_ends_as_an_error():
    """An answer that was called off must not look whole."""
    *_, last = chunks([START, asked(), STEP, *text("a"), TurnAborted(turn_id="t", reason="enough")])
    assert (last["error"]["code"], last["error"]["message"]) == ("cancelled", "cancelled: enough")


# --- laws ---------------------------------------------------------------------------------------------------------


@st.composite
def answers(draw: st.DrawFn) -> list[Payload]:
    """Legal answers whose items grow at the same time, each to what its end says."""
    queues = [_grown(draw, f"i{place}") for place in range(draw(st.integers(0, 4)))]
    events: list[Payload] = []
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        events.append(queue.pop(0))
    return run(*events, reason=draw(st.sampled_from(["stop", "length", "tool_calls"])), usage=USAGE, include_usage=True)


def _grown(draw: st.DrawFn, item_id: str) -> list[Payload]:
    pieces = draw(st.lists(st.text(max_size=5), max_size=4))
    match draw(st.sampled_from(["text", "refusal", "thought", "sealed", "call"])):
        case "text":
            return text(*pieces, item_id=item_id)
        case "thought":
            return thoughts(*pieces, item_id=item_id)
        case "sealed":
            opaque = Opaque(provider_id="p", model_id="m", kind="k", data="d")
            return thoughts(*pieces, item_id=item_id, opaque=opaque)
        case "call":
            return call(*pieces, item_id=item_id)
        case _:
            full = "".join(pieces)
            events = [
                event if not isinstance(event, ItemDelta) else ItemDelta(
                    item_id=item_id, delta_content=event.delta_content, channel="refusal"
                )
                for event in text(*pieces, item_id=item_id)
            ]  # fmt: skip
            return [
                *events[:-1],
                ItemDone(
                    item_id=item_id, final_item=MessageItem(id=item_id, content=full, parts=[RefusalPart(refusal=full)])
                ),
            ]


@given(answers())
def test_the_chunks_add_up_to_the_whole(payloads: list[Payload]):
    """Non-streaming = fold(streaming), however the items interleave."""
    assert folded(chunks(payloads)) == completion(payloads)


@given(runs(), st.lists(st.integers(1, 5), max_size=10))
@settings(max_examples=200)
def test_every_legal_log_makes_a_legal_stream(payloads: list[Payload], sizes: list[int]):
    """Whatever the log holds, and however it was batched: the same chunks, the role once and first, one end at most."""
    received = chunks(payloads)
    assert received == chunks(payloads, sizes=sizes)
    choices = [choice for chunk in received for choice in chunk.get("choices", ())]
    roles = [at for at, choice in enumerate(choices) if "role" in choice["delta"]]
    assert roles in ([], [0])
    ends = [at for at, c in enumerate(received) if "error" in c or any(e["finish_reason"] for e in c["choices"])]
    assert len(ends) <= 1
    if ends:
        assert all(not chunk["choices"] for chunk in received[ends[0] + 1 :])


def test_what_providers_say_beside_the_answer_is_not_shown():
    """Their items and events stay in the native view."""
    item = ItemStart(item_id="ws", item_type="provider_item", provider_type="web_search_call")
    event = ProviderEvent(provider_id="p", name="safety", data={"a": 1})
    payloads = [START, asked(), STEP, event, item]
    assert deltas(payloads) == [{"role": "assistant"}]
