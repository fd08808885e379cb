"""Events in their envelopes, one frame each (contract §4, the stream)."""

from functools import lru_cache

from tailrace.dialects.base import Detail, Dialect, Frame, View
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import TYPES, ItemDelta, ItemStart, Payload, TraceContext, type_of


def frames(batch: Batch) -> list[Frame]:
    """The frames of a batch, all of them."""
    run_id, timestamp, trace, made = batch.run_id, batch.timestamp, batch.trace, []
    payloads = batch.payloads  # before `raw`: what cannot be read is replaced by then
    for seq, (payload, raw) in enumerate(zip(payloads, batch.raw, strict=True), batch.first_seq):
        kind = type_of(payload)
        made.append(Frame(seq, kind, codec.event_json(run_id, seq, timestamp, trace, kind, raw)))
    return made


def _shared(batch: Batch) -> bytes:
    """`sse(frames(batch))`, without making a value of each frame: what a lone event costs counts."""
    run_id, first, timestamp, trace = batch.run_id, batch.first_seq, batch.timestamp, batch.trace
    payloads = batch.payloads  # see `frames`
    if len(payloads) == 1:
        return _template(run_id, trace, type(payloads[0])) % (first, first, first, timestamp, batch.raw[0])
    made = []
    for seq, (payload, raw) in enumerate(zip(payloads, batch.raw, strict=True), first):
        made.append(_template(run_id, trace, type(payload)) % (seq, seq, seq, timestamp, raw))
    return b"".join(made)


@lru_cache(maxsize=4096)
def _template(run_id: str, trace: TraceContext, kind: type[Payload]) -> bytes:
    name = TYPES[kind]
    return b"id: %%d\nevent: %b\ndata: %b\n\n" % (name.encode(), codec.event_template(run_id, trace, name))


class NativeEncoder:
    """Frames with what the view leaves out left out. The cursor stays the log's `seq`: a filter never defines it."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._shortened: dict[str, Detail] = {}  # by item_id

    def encode(self, batch: Batch) -> list[Frame]:
        """The frames of this batch that the view lets through."""
        return [frame for frame, payload in zip(frames(batch), batch.payloads, strict=True) if self._shows(payload)]

    def _shows(self, payload: Payload) -> bool:
        if isinstance(payload, ItemStart):
            detail = self._view.detail(payload.item_type)
            if detail != "full":
                self._shortened[payload.item_id] = detail
        detail = self._shortened.get(getattr(payload, "item_id", ""), "full")
        return detail == "full" or (detail == "summary" and not isinstance(payload, ItemDelta))


NATIVE = Dialect("native", NativeEncoder, _shared)
