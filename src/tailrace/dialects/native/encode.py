"""Events in their envelopes, one frame each (contract §4, the stream)."""

from tailrace.dialects.base import Detail, Dialect, Frame, View
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import ItemDelta, ItemStart, Payload, type_of


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
    run_id, timestamp, trace, made = batch.run_id, batch.timestamp, batch.trace, []
    payloads = batch.payloads  # see `frames`
    for seq, (payload, raw) in enumerate(zip(payloads, batch.raw, strict=True), batch.first_seq):
        kind = type_of(payload)
        data = codec.event_json(run_id, seq, timestamp, trace, kind, raw)
        made.append(b"id: %d\nevent: %b\ndata: %b\n\n" % (seq, kind.encode(), data))
    return b"".join(made)


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
