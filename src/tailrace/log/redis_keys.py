"""What a run is called in Redis (the catalogue is in redis.lua), and how its batches look there."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tailrace.log.base import Head
from tailrace.log.redis_client import DIGESTS
from tailrace.log.redis_link import pack
from tailrace.schema.batch import Batch
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


def append_command(keys: Keys, epoch: int, node_id: str, batch: Batch) -> bytes:
    """The fenced append of a batch, the same to the byte each time."""
    trace = batch.trace
    return pack(
        b"EVALSHA", _APPEND, b"2", keys.events, keys.meta, epoch, node_id, batch.first_seq, batch.last_seq,
        int(batch.ends), batch.timestamp, trace.traceparent, trace.tracestate or b"", keys.channel,
        b"\n".join(batch.raw),
    )  # fmt: skip


def batch_from(run_id: str, message: bytes) -> tuple[Batch, bool]:
    """An append as it is told on its run's channel, and whether it ends the run."""
    about, *raw = message.split(b"\n")
    first_seq, timestamp, sealed, traceparent, tracestate = about.split(b" ", 4)
    trace = TraceContext(traceparent.decode(), tracestate.decode() or None)
    return Batch(run_id, int(first_seq), int(timestamp), trace, raw=raw), sealed == b"1"


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
            made.append(Batch(run_id, seq - len(raw) + 1, int(timestamp), trace, raw=raw))
            raw = []
    return made
