"""What a run is called in Redis (the catalogue is in redis.lua), and how its batches look there."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tailrace.log.base import Head
from tailrace.log.redis_client import DIGESTS
from tailrace.log.redis_link import pack_begun
from tailrace.schema.batch import Batch, StoredBatch
from tailrace.schema.events import TraceContext

_APPEND = DIGESTS["append"]


class Keys(NamedTuple):
    """A run's keys, and the channel on which its appends are told."""

    events: bytes
    meta: bytes
    channel: bytes


def keys_of(run_id: str) -> Keys:
    """The keys of a run."""
    name = b"tailrace:run:{%b}:" % run_id.encode()
    return Keys(name + b"events", name + b"meta", name + b"live")


def head_query(keys: Keys) -> tuple[str | bytes, ...]:
    """The command that `head_from` reads the answer to."""
    return ("HMGET", keys.meta, "epoch", "last_seq", "sealed", "owner", "timestamp")


def head_from(run_id: str, answer: Sequence[bytes | None]) -> Head | None:
    """Where the log stands; None where there is none."""
    epoch, last_seq, sealed, *_ = answer
    return Head(run_id, int(epoch), int(last_seq or 0), sealed == b"1") if epoch is not None else None


class AppendCommands:
    """The fenced appends of a run under one epoch, each the same to the byte whenever it is made.

    What they have in common is packed once: to pack it each time is a twentieth of all that an event costs.
    """

    __slots__ = ("_same", "_trace", "_writer")

    def __init__(self, keys: Keys, epoch: int, node_id: str) -> None:
        self._writer = ("EVALSHA", _APPEND, 2, keys.events, keys.meta, epoch, node_id, keys.channel)
        self._trace: TraceContext | None = None
        self._same = b""

    def of(self, batch: Batch) -> bytes:
        """The command that appends this batch."""
        if batch.trace is not self._trace:
            self._trace = batch.trace
            self._same = pack_begun(2, *self._writer, batch.trace.traceparent, batch.trace.tracestate or "")
        place = b"%d %d %d %d" % (batch.first_seq, batch.last_seq, batch.ends, batch.timestamp)
        payloads = b"\n".join(batch.raw)
        return b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n" % (self._same, len(place), place, len(payloads), payloads)


def batch_from(run_id: str, message: bytes) -> tuple[Batch, bool]:
    """An append as it is told on its run's channel, and whether it ends the run."""
    about, *raw = message.split(b"\n")
    first_seq, timestamp, sealed, traceparent, tracestate = about.split(b" ", 4)
    trace = TraceContext(traceparent.decode(), tracestate.decode() or None)
    return StoredBatch(run_id, int(first_seq), int(timestamp), trace, raw), sealed == b"1"


def batches_from(run_id: str, entries: Sequence[Any]) -> list[Batch]:
    """The appends, or their ends, that these entries of the events' stream are of."""
    made: list[Batch] = []
    raw: list[bytes] = []
    trace = TraceContext("")
    for entry_id, (_, payload, _, last, _, timestamp, _, traceparent, *state) in entries:
        raw.append(payload)
        seq = int(entry_id.partition(b"-")[0])
        if seq == int(last):
            said = TraceContext(traceparent.decode(), state[1].decode() if state else None)
            trace = trace if trace == said else said
            made.append(StoredBatch(run_id, seq - len(raw) + 1, int(timestamp), trace, raw))
            raw = []
    return made
