"""A run's whole log as one value: JSON lines, compressed with Zstandard (RFC 8878).

The first line says what batches there are, column by column: {"version": 1, "first_seq": of the first, "traces":
[{traceparent, tracestate?}, …], "counts": [how many events each batch has, …], "timestamps": […], "trace_of": [index of
each batch's trace, …]}. Each line behind it is a payload, as it stood in the log to the byte (JSON as `codec` writes it
holds no line end).
"""

import threading
from collections.abc import Iterator, Sequence

import zstandard
from msgspec import Struct

from tailrace.schema import codec
from tailrace.schema.batch import Batch, StoredBatch
from tailrace.schema.events import TraceContext

SMALL = 32 << 10  # bytes; to make a compressor takes longer than to compress so little


class _Own(threading.local):
    """Each thread's own compressor, for what is small: two threads cannot use one at a time, and one that has
    compressed much would hold on to the memory which that took."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor()


_own = _Own()


class _Contents(Struct):
    version: int
    first_seq: int
    traces: list[TraceContext]
    counts: list[int]
    timestamps: list[int]
    trace_of: list[int]


def pack(batches: Sequence[Batch]) -> bytes:
    """The batches, of which each begins where the last one ended, as one value.

    Raises ValueError for a gap between them, and for a payload with a line end in it.
    """
    lines: list[bytes] = []
    for batch in batches:
        due = batches[0].first_seq + len(lines)
        if batch.first_seq != due:
            raise ValueError(f"event {due} is missing")
        lines += batch.raw
    traces: dict[TraceContext, int] = {}
    contents = _Contents(
        version=1,
        first_seq=batches[0].first_seq,
        counts=[len(batch.raw) for batch in batches],
        timestamps=[batch.timestamp for batch in batches],
        trace_of=[traces.setdefault(batch.trace, len(traces)) for batch in batches],
        traces=list(traces),
    )
    body = b"\n".join(lines)
    if body.count(b"\n") != len(lines) - 1:
        raise ValueError("a payload holds a line end")
    data = codec.encode(contents) + b"\n" + body
    return (_own.compressor if len(data) <= SMALL else zstandard.ZstdCompressor()).compress(data)


def unpack(run_id: str, data: bytes, after: int = 0) -> Iterator[Batch]:
    """What `pack` was given, behind seq `after`, as batches of `run_id`; each is made when it is asked for."""
    head, _, body = zstandard.ZstdDecompressor().decompress(data).partition(b"\n")
    return _batches(run_id, codec.decode(head, _Contents), body.split(b"\n"), after)


def _batches(run_id: str, contents: _Contents, lines: list[bytes], after: int) -> Iterator[Batch]:
    first_seq, start = contents.first_seq, 0
    for count, timestamp, trace in zip(contents.counts, contents.timestamps, contents.trace_of, strict=True):
        end = start + count
        if first_seq + end - 1 > after:
            start = max(start, after + 1 - first_seq)
            yield StoredBatch(run_id, first_seq + start, timestamp, contents.traces[trace], lines[start:end])
        start = end
