"""A batch: consecutive events of one run, appended together; the unit in which a log stores and wakes.

All events of a batch share a timestamp and a trace context, because both are given at the append (design: ids, `seq`
and time only at `log.append`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.schema.events import ENDING, GROWING, Event, Payload, ProviderEvent, TraceContext

UNREADABLE = "unreadable"


class Batch:
    """Events `first_seq` to `last_seq` of `run_id`: `payloads` as values, `raw` the same as JSON as it rests (made of
    them where it is not known yet).

    `grows`: it does no more than let items grow, as nearly every batch does. `ends`: its last event ends the run.
    `size`: the bytes of its payloads, a line each.
    """

    # Looked at fifty times for each event: so all of it is plain slots, and what must be made is another class's.
    __slots__ = (
        "_made",
        "_made_by",
        "ends",
        "first_seq",
        "grows",
        "last_seq",
        "payloads",
        "raw",
        "run_id",
        "size",
        "timestamp",
        "trace",
    )

    def __init__(
        self,
        run_id: str,
        first_seq: int,
        timestamp: int,
        trace: TraceContext,
        payloads: Sequence[Payload],
        raw: Sequence[bytes] | None = None,
    ) -> None:
        count = len(payloads)
        if not count:
            raise ValueError("a batch holds at least one event")
        if raw is None:
            raw = [codec.encode(payload) for payload in payloads]
        self.run_id = run_id
        self.first_seq = first_seq
        self.last_seq = first_seq + count - 1
        self.timestamp = timestamp
        self.trace = trace
        self.payloads = payloads
        self.raw = raw
        self.size = len(raw[0]) + 1 if count == 1 else sum(map(len, raw)) + count
        last = type(payloads[-1])
        self.ends = last in ENDING
        self.grows = last in GROWING and (count == 1 or GROWING.issuperset(map(type, payloads)))
        self._made_by: Callable[[Batch], bytes] | None = None
        self._made = b""

    def events(self) -> Iterator[Event]:
        """The events in their envelopes."""
        return (
            codec.envelope(self.run_id, self.first_seq + offset, self.timestamp, self.trace, payload)
            for offset, payload in enumerate(self.payloads)
        )

    def memo(self, make: Callable[["Batch"], bytes]) -> bytes:
        """What `make` turns this batch into, made once however many readers ask in turn (encode once, send many)."""
        if self._made_by is not make:
            self._made = make(self)
            self._made_by = make
        return self._made

    def after(self, seq: int) -> "Batch":
        """The part of this batch behind `seq`: itself where that is all of it.

        Raises ValueError where nothing is left.
        """
        if seq < self.first_seq:
            return self
        return StoredBatch(self.run_id, seq + 1, self.timestamp, self.trace, self.raw[seq - self.first_seq + 1 :])


class StoredBatch(Batch):
    """A batch as it was read: all that its JSON says, `payloads` (brought up to date, see `codec.decode_payload`) first
    of all, is made when first asked for."""

    __slots__ = ()

    def __init__(self, run_id: str, first_seq: int, timestamp: int, trace: TraceContext, raw: Sequence[bytes]) -> None:
        if not raw:
            raise ValueError("a batch holds at least one event")
        self.run_id = run_id
        self.first_seq = first_seq
        self.last_seq = first_seq + len(raw) - 1
        self.timestamp = timestamp
        self.trace = trace
        self.raw = raw
        self._made_by = None
        self._made = b""

    def __getattr__(self, name: str) -> Any:
        """Of a slot that is empty yet."""
        if name == "payloads":
            self._decode()
        elif name == "size":
            self.size = sum(map(len, self.raw)) + len(self.raw)
        elif name == "grows":
            self.grows = GROWING.issuperset(map(type, self.payloads))
        elif name == "ends":
            self.ends = type(self.payloads[-1]) in ENDING
        return object.__getattribute__(self, name)

    def _decode(self) -> None:
        """What cannot be read (a damaged file, another program's doing) becomes a `provider_event` that holds it: it
        spoils neither the run's other events nor other runs."""
        raw, payloads = list(self.raw), []
        for at, data in enumerate(raw):
            try:
                payloads.append(codec.decode_payload(data))
            except InvalidJson as error:
                kept = {"error": error.message, "raw": data.decode("utf-8", "backslashreplace")}
                damage = ProviderEvent(provider_id="tailrace", name=UNREADABLE, data=kept)
                payloads.append(damage)
                raw[at] = codec.encode(damage)
        self.raw, self.payloads = raw, payloads
