"""The one JSON door: what goes through it comes back, what does not fit is named, what is old or new is taken in."""

import gc
import subprocess
import sys
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema import codec
from tailrace.schema.batch import Batch, StoredBatch
from tailrace.schema.errors import InvalidJson
from tailrace.schema.events import Event, ItemDelta, Payload, ProviderEvent, TraceContext, type_of
from tailrace.schema.items import ImagePart, MessageItem, OutputItem, TextPart
from tailrace.schema.response import Response
from tests.support.events import runs

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


@given(runs())
def test_payloads_come_back_as_they_were(payloads: list[Payload]):
    """Encoding and decoding a payload changes nothing; the type travels as a tag."""
    for payload in payloads:
        data = codec.encode(payload)
        assert codec.decode_payload(data) == payload
        assert codec.decode_any(data)["type"] == type_of(payload)


@given(runs())
def test_the_garbage_collector_does_not_know_of_payloads(payloads: list[Payload]):
    """Streams wait while it looks through what it knows of."""
    for payload in payloads:
        assert not gc.is_tracked(codec.decode_payload(codec.encode(payload)))


def test_optional_fields_are_absent_and_origin_is_always_there():
    """A reader must not have to guess who said something (contract §1)."""
    assert codec.encode(MessageItem(id="a", content="")) == b'{"type":"message","id":"a","content":"","origin":"agent"}'
    parts = [TextPart(text="see"), ImagePart(url="https://example.org/a.png")]
    item = MessageItem(id="a", content="see", origin="user", parts=parts)
    assert codec.decode(codec.encode(item), OutputItem) == item


@pytest.mark.parametrize(
    ("data", "kind", "field"),
    [
        (b"{", Response, None),
        (b'{"type":"message","id":"a"}', OutputItem, "content"),
        (b'{"type":"message","id":1,"content":""}', OutputItem, "id"),
        (b'{"type":"message","id":"a","content":"","parts":[{"type":"text"}]}', OutputItem, "parts[0].text"),
        (b"\xff", OutputItem, None),
        (b"[" * 5000, OutputItem, None),
    ],
)
def test_what_does_not_fit_is_named(data: bytes, kind: Any, field: str | None):
    """The error says where, as a path."""
    with pytest.raises(InvalidJson) as error:
        codec.decode(data, kind)
    assert error.value.field == field


def test_deeply_nested_json_is_an_error_and_no_crash():
    """What a hostile provider may send."""
    with pytest.raises(InvalidJson):
        codec.decode_any(b"[" * 100_000)


@given(st.text(max_size=40), st.integers(1, 2**40), st.integers(1, 2**40))
def test_event_ids_are_uuids_of_run_and_seq(run_id: str, seq: int, other: int):
    """Version 8, the same each time, another for another event."""
    made = UUID(codec.event_id(run_id, seq))
    assert (made.version, str(made)) == (8, codec.event_id(run_id, seq))
    assert (codec.event_id(run_id, other) == str(made)) == (other == seq)
    assert codec.event_id(run_id + "x", seq) != str(made)


def test_an_older_payload_is_brought_up_to_date(monkeypatch: pytest.MonkeyPatch):
    """The upcast hook: yesterday's shape, today's value; a log that holds both is read as one."""
    old = b'{"type":"item_delta","id":"a","text":"x"}'
    with pytest.raises(InvalidJson):
        codec.decode_payload(old)
    monkeypatch.setitem(
        codec.UPCASTS,
        "item_delta",
        lambda was: {"type": "item_delta", "item_id": was["id"], "delta_content": was["text"]},
    )
    today = ItemDelta(item_id="a", delta_content="x")
    assert codec.decode_payload(old) == today
    assert list(StoredBatch("r", 1, 0, TRACE, [old, codec.encode(today)]).payloads) == [today, today]


def test_a_newer_payload_is_kept_whole():
    """A type that only a later version knows changes nothing and is not lost."""
    data = b'{"type":"from_the_future","what":[1,2]}'
    kept = codec.decode_payload(data)
    assert kept == ProviderEvent(
        provider_id="tailrace", name="from_the_future", data={"type": "from_the_future", "what": [1, 2]}
    )


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (rb'"cut \ud83d"', "cut \ufffd"),
        (rb'"\ude00 cut"', "\ufffd cut"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\\ud83d \ud83d"', "\\ud83d \ufffd"),
        (rb'"\ud83d\n"', "\ufffd\n"),
        (rb'"\\\ud83d\n\udc00\ud83d\ude00"', "\\\ufffd\n\ufffd\U0001f600"),
        (rb'"\\ud83d\ude00"', "\\ud83d\ufffd"),
        ('"cut \ud83d"', "cut \ufffd"),
    ],
)
def test_half_a_surrogate_pair_is_heard_as_a_replacement(said, heard):
    """Clients that cut text by UTF-16 units send it; a whole pair and an escaped backslash stay as they are."""
    assert codec.decode_any(said) == codec.decode(said, str) == heard


def test_half_a_surrogate_pair_is_never_said():
    """Nor does it cost what stands around it; two halves side by side are the character."""
    value = {"a\ud800": ["b\udc00c", "\ud83d\ude00", 7], "z": TextPart(text="\ud83d")}
    said = {"a\ufffd": ["b\ufffdc", "\U0001f600", 7], "z": {"type": "text", "text": "\ufffd"}}
    assert codec.decode_any(codec.encode(value)) == said
    assert codec.decode_any(codec.encode_canonical(value)) == said


@given(st.text(st.characters(), max_size=8))
def test_any_text_can_be_said(text: str):
    """Halves of pairs included: what is heard is well-formed, and said again stays as it is."""
    heard = codec.decode_any(codec.encode(text))
    assert codec.decode_any(codec.encode(heard)) == heard
    assert heard == text or any("\ud800" <= character <= "\udfff" for character in text)


@given(runs())
def test_an_event_read_back_is_the_event(payloads: list[Payload]):
    """Envelope and payload survive the way out and in."""
    for event in Batch("r", 1, 7, TRACE, payloads=payloads).events():
        assert codec.decode_event(codec.encode(event)) == event
        assert isinstance(event, Event)
        assert type(event.payload) in get_args(Payload)


RACE = """
import sys
from threading import Barrier, Thread
from msgspec import defstruct
from tailrace.schema import codec

sys.setswitchinterval(1e-6)

def decode(start, kind):
    start.wait()
    codec.decode(b'{"a": {"c": [{"d": 1}]}, "b": {"c": [{"d": 2}]}}', kind)

for _ in range(100):
    leaf = defstruct("Leaf", [(f"x{n}", int, 0) for n in range(20)] + [("d", int, 0)])
    middle = defstruct("Middle", [("c", list[leaf])] + [(f"y{n}", leaf | None, None) for n in range(20)])
    kinds = [defstruct(name, [("a", middle), ("b", middle)]) for name in "PQRS"] * 2
    start = Barrier(len(kinds))
    threads = [Thread(target=decode, args=(start, kind)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@pytest.mark.slow  # a process of its own, because it was a segmentation fault
def test_threads_that_meet_new_types_at_once_do_not_bring_the_process_down():
    """A fresh server's first requests decode in several threads; the types they meet share types within."""
    assert subprocess.run([sys.executable, "-c", RACE], check=False).returncode == 0
