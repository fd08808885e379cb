"""The native dialect: the log's events as frames, filtered by the view, checked by the linter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.dialects.base import View, sse
from tailrace.dialects.native.encode import NATIVE, NativeEncoder
from tailrace.dialects.native.lint import Linter, Violation
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import ItemDelta, ItemDone, ItemStart, Payload, StepStart, TraceContext
from tailrace.schema.items import FunctionCallItem, MessageItem, ReasoningItem
from tailrace.wire.sse import SseEvent, SseParser
from tests.support.events import START, runs

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")


def batch(payloads: list[Payload], first_seq: int = 1) -> Batch:
    return Batch("r", first_seq, 5, TRACE, payloads=payloads)


def parse(data: bytes) -> list[SseEvent]:
    parser = SseParser()
    return [*parser.feed(data), *parser.close()]


def lint(frames: list[SseEvent]) -> list[Violation]:
    linter = Linter()
    found = [v for frame in frames for v in linter.frame(frame.data, frame.event, frame.id)]
    return [*found, *linter.end()]


@given(runs())
def test_a_frame_is_the_event_in_its_envelope(payloads: list[Payload]):
    """The fast path writes what encoding the event as a value writes, to the byte; a reader gets the event back."""
    whole = batch(payloads)
    assert NATIVE.shared is not None
    frames = parse(NATIVE.shared(whole))
    assert [frame.data for frame in frames] == [codec.encode(event) for event in whole.events()]
    assert [codec.decode_event(frame.data) for frame in frames] == list(whole.events())
    assert [(frame.id, frame.event) for frame in frames] == [(str(e.seq), e.type) for e in whole.events()]


@given(runs(), st.data())
def test_the_bytes_do_not_depend_on_the_batches(payloads: list[Payload], data: st.DataObject):
    """Design rule 1: who comes back at any cursor, to a log cut into other batches, reads the same bytes."""
    assert NATIVE.shared is not None
    after = data.draw(st.integers(0, len(payloads) - 1))
    rest = b"".join(NATIVE.shared(batch([payload], seq)) for seq, payload in enumerate(payloads, 1) if seq > after)
    assert NATIVE.shared(batch(payloads).after(after)) == rest
    assert sse(NativeEncoder(View()).encode(batch(payloads)), after) == rest


@given(runs(), st.sampled_from(["summary", "none"]), st.sampled_from(["full", "summary", "none"]))
def test_a_view_leaves_out_and_never_renumbers(payloads: list[Payload], reasoning: str, tools: str):
    """What a filter lets through keeps its seq; what it shortens keeps its start and end."""
    view = View(reasoning=reasoning, tools=tools)
    seen = NativeEncoder(view).encode(batch(payloads))
    assert [payloads[frame.seq - 1] for frame in seen] == [codec.decode_event(frame.data).payload for frame in seen]
    kinds = {p.item_id: view.detail(p.item_type) for p in payloads if isinstance(p, ItemStart)}
    for seq, payload in enumerate(payloads, 1):
        detail = kinds.get(getattr(payload, "item_id", ""), "full")
        shown = detail == "full" or (detail == "summary" and not isinstance(payload, ItemDelta))
        assert (seq in {frame.seq for frame in seen}) is shown


@given(runs())
def test_lint_finds_nothing_in_what_we_encode(payloads: list[Payload]):
    """Every legal run's stream is clean, but for the missing end where it was cut off."""
    assert NATIVE.shared is not None
    rules = {violation.rule for violation in lint(parse(NATIVE.shared(batch(payloads))))}
    assert rules <= {"terminal"}


def _frames() -> list[SseEvent]:
    assert NATIVE.shared is not None
    item = MessageItem(id="a", content="x")
    payloads = [START, StepStart(step=1, provider_id="p", model_id="m"), ItemStart(item_id="a", item_type="message"),
                ItemDone(item_id="a", final_item=item)]  # fmt: skip
    return parse(NATIVE.shared(batch(payloads)))


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("seq", lambda f: [f[0], f[2], f[3]]),
        ("order", lambda f: [f[0], f[1], f[3]]),
        ("event-name", lambda f: [SseEvent(data=f[0].data, event="x", id=f[0].id)]),
        ("cursor", lambda f: [SseEvent(data=f[0].data, event=f[0].event, id="9")]),
        ("event-id", lambda f: [SseEvent(data=f[0].data.replace(b'"seq":1', b'"seq":2'), event=f[0].event, id="2")]),
        ("schema", lambda f: [SseEvent(data=b'{"seq":1}', event="message")]),
        (
            "schema",
            lambda f: [SseEvent(data=f[0].data.replace(b'"type":"response_start","payload"', b'"type":"x","payload"'))],
        ),
        ("terminal", lambda f: f),
        ("empty", lambda f: []),
        (
            "timestamp",
            lambda f: [
                f[0],
                SseEvent(data=f[1].data.replace(b'"timestamp":5', b'"timestamp":4'), event=f[1].event, id="2"),
            ],
        ),
    ],
)
def test_lint_names_the_rule_that_is_broken(rule: str, spoil: object):
    """One spoilt stream per rule, each found by name."""
    assert rule in {violation.rule for violation in lint(spoil(_frames()))}


def test_lint_takes_a_stream_that_was_resumed():
    """A stream that begins in the middle is checked as far as that goes."""
    frames = _frames()[2:]
    assert lint(frames) == []


def test_c38_an_envelope_whose_type_is_not_its_payloads_is_refused():
    """The two types must agree."""
    data = codec.encode(next(iter(batch([START]).events()))).replace(
        b'"type":"response_start","pay', b'"type":"item_done","pay'
    )
    with pytest.raises(Exception, match=r"payload\.type"):
        codec.decode_event(data)


def test_tools_and_reasoning_are_told_apart():
    """`tools=none` hides calls, not thoughts."""
    call = FunctionCallItem(id="f", name="n", arguments="{}", call_id="c")
    thought = ReasoningItem(id="t", content="hm")
    payloads = [START, ItemStart(item_id="f", item_type="function_call"), ItemDone(item_id="f", final_item=call),
                ItemStart(item_id="t", item_type="reasoning"), ItemDone(item_id="t", final_item=thought)]  # fmt: skip
    assert [frame.seq for frame in NativeEncoder(View(tools="none")).encode(batch(payloads))] == [1, 4, 5]
