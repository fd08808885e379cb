"""The native dialect: the log's events as frames, filtered by the view."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.dialects.base import View, sse
from tailrace.dialects.native.encode import NATIVE, NativeEncoder
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import ItemDelta, ItemDone, ItemStart, Payload, TraceContext
from tailrace.schema.items import FunctionCallItem, ReasoningItem
from tailrace.wire.sse import SseEvent, SseParser
from tests.support.events import START, runs

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")


def batch(payloads: list[Payload], first_seq: int = 1) -> Batch:
    return Batch("r", first_seq, 5, TRACE, payloads=payloads)


def parse(data: bytes) -> list[SseEvent]:
    parser = SseParser()
    return [*parser.feed(data), *parser.close()]


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
