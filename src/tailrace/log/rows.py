"""Batches as rows of the SQLite log. Those of one run that wait together (log/journal.py) become one row: to insert a
row costs a sixth of all that an event costs which comes alone.

A row's `parts` say what batches it holds: how many events each has, and when it was appended, in turn; None where it
holds one. Its `timestamp` is the last one's.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tailrace.log.journal import Row
from tailrace.schema.batch import Batch, StoredBatch
from tailrace.schema.events import TraceContext

MOST_BYTES = 4096  # of what is joined, about: whoever reads one event of a row reads all of it

Stored = tuple[int, int, int, int, int, str, str | None, bytes | None, bytes]
"""id, run, first_seq, last_seq, timestamp (ms), traceparent, tracestate, parts (msgpack), payloads (JSON lines)."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[int]).decode


def joined(rows: Iterable[Row]) -> list[Stored]:
    """The rows as they are written, in the order of their ids. One that holds several has the last one's id, so that
    the greatest id stays what it is."""
    open_: dict[int, list[Row]] = {}  # by run
    size: dict[int, int] = {}
    stored: list[Stored] = []
    for row in rows:
        _, run, first_seq, _, _, traceparent, tracestate, _, payloads = row
        group = open_.get(run)
        if group is not None:
            _, _, _, last_seq, _, parent, state, _, _ = group[-1]
            follows = first_seq == last_seq + 1 and parent == traceparent and state == tracestate
            if follows and size[run] < MOST_BYTES:
                group.append(row)
                size[run] += len(payloads)
                continue
            stored.append(_one(group))
        open_[run], size[run] = [row], len(payloads)
    stored += map(_one, open_.values())
    stored.sort()
    return stored


def _one(group: Sequence[Row]) -> Stored:
    number, run, _, last_seq, timestamp, traceparent, tracestate, _, _ = group[-1]
    told = None
    if len(group) > 1:
        told = _encode([part for row in group for part in (row[3] - row[2] + 1, row[4])])
    payloads = b"\n".join([row[-1] for row in group])
    return (number, run, group[0][2], last_seq, timestamp, traceparent, tracestate, told, payloads)


def parted(
    run_id: str, first_seq: int, timestamp: int, trace: TraceContext, parts: bytes | None, payloads: bytes, after: int
) -> Iterator[Batch]:
    """The batches of a row that reach behind seq `after`."""
    raw, start = payloads.split(b"\n"), 0
    told = _decode(parts) if parts is not None else [len(raw), timestamp]
    for count, at in zip(told[::2], told[1::2], strict=True):
        end = start + count
        if first_seq + end - 1 > after:
            yield StoredBatch(run_id, first_seq + start, at, trace, raw[start:end])
        start = end
