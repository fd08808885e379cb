"""An archive is the log, to the byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema import codec
from tailrace.schema.batch import Batch, StoredBatch
from tailrace.schema.events import ItemDelta, ProviderEvent, TraceContext
from tailrace.store.archive import pack, unpack

TRACES = st.builds(TraceContext, st.text(max_size=55), st.none() | st.text(max_size=20))
PAYLOADS = st.one_of(
    st.builds(ItemDelta, item_id=st.text(max_size=5), delta_content=st.text()),
    st.builds(
        ProviderEvent,
        provider_id=st.just("p"),
        name=st.text(max_size=5),
        data=st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        ),
    ),
)


@st.composite
def logs(draw: st.DrawFn) -> list[Batch]:
    """A run's batches, one behind the other, from whichever seq on."""
    seq = draw(st.integers(1, 10**6))
    batches = []
    for payloads in draw(st.lists(st.lists(PAYLOADS, min_size=1, max_size=4), min_size=1, max_size=6)):
        raw = [codec.encode(payload) for payload in payloads]
        batches.append(StoredBatch("r", seq, draw(st.integers(0, 2**45)), draw(TRACES), raw))
        seq += len(raw)
    return batches


def parts(batch: Batch) -> tuple[object, ...]:
    """All that a batch is."""
    return batch.run_id, batch.first_seq, batch.last_seq, batch.timestamp, batch.trace, list(batch.raw)


@given(logs())
def test_what_was_packed_is_unpacked(batches: list[Batch]) -> None:
    """Batches, times, traces, and payloads to the byte."""
    assert [parts(batch) for batch in unpack("r", pack(batches))] == [parts(batch) for batch in batches]


@given(logs(), st.data())
def test_any_cursor_gives_the_rest(batches: list[Batch], data: st.DataObject) -> None:
    """Behind a cursor there is what the batches hold behind it, the first one cut."""
    after = data.draw(st.integers(batches[0].first_seq - 2, batches[-1].last_seq + 1))
    rest = [parts(batch.after(after)) for batch in batches if batch.last_seq > after]
    assert [parts(batch) for batch in unpack("r", pack(batches), after)] == rest


def test_a_payload_that_would_be_torn_is_refused() -> None:
    """A line end inside one would make two of it."""
    with pytest.raises(ValueError, match="line end"):
        pack([StoredBatch("r", 1, 0, TraceContext("x"), [b'{\n"type": "item_delta"}'])])


def test_a_log_with_a_gap_is_refused() -> None:
    """A log has none; what has one is not whole."""
    trace = TraceContext("x")
    with pytest.raises(ValueError, match="event 2 is missing"):
        pack([StoredBatch("r", seq, 0, trace, [b"{}"]) for seq in (1, 3)])


def test_an_archive_is_small() -> None:
    """A long answer takes a fraction of its log."""
    trace = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    batches = [
        Batch("r", seq, seq * 20, trace, payloads=[ItemDelta(item_id="item_1", delta_content=f"word {seq % 97} ")])
        for seq in range(1, 5001)
    ]
    assert len(pack(batches)) * 8 < sum(len(batch.raw[0]) for batch in batches)
