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
    """Events `first_seq` to `last_seq` of `run_id`: `payloads` as values (brought up to date, see
    `codec.decode_payload`), `raw` as JSON as it rests; either is made from the other when first asked for.

    `grows`: it does no more than let items grow, as nearly every batch does. `ends`: its last event ends the run.
    `size`: the bytes of its payloads, a line each.
    """

    # What is not known yet is an empty slot, which `__getattr__` fills: what is known is had without a call.
    __slots__ = (
        "_frames",
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

    payloads: Sequence[Payload]
    raw: Sequence[bytes]
    grows: bool
    ends: bool
    size: int

    def __init__(
        self,
        run_id: str,
        first_seq: int,
        timestamp: int,
        trace: TraceContext,
        *,
        payloads: Sequence[Payload] | None = None,
        raw: Sequence[bytes] | None = None,
    ) -> None:
        known = payloads if payloads is not None else raw
        if not known:
            raise ValueError("a batch holds at least one event")
        self.run_id = run_id
        self.first_seq = first_seq
        self.last_seq = first_seq + len(known) - 1
        self.timestamp = timestamp
        self.trace = trace
        if payloads is not None:
            self.payloads = payloads
            last = type(payloads[-1])
            self.ends = last in ENDING
            self.grows = last in GROWING and (len(payloads) == 1 or GROWING.issuperset(map(type, payloads)))
        if raw is not None:
            self.raw = raw
            if payloads is not None:  # it is about to be published
                self.size = len(raw[0]) + 1 if len(raw) == 1 else sum(map(len, raw)) + len(raw)
        self._frames: dict[str, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "payloads":
            self._decode()
        elif name == "raw":
            self.raw = [codec.encode(payload) for payload in self.payloads]
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

    def events(self) -> Iterator[Event]:
        """The events in their envelopes."""
        return (
            codec.envelope(self.run_id, self.first_seq + offset, self.timestamp, self.trace, payload)
            for offset, payload in enumerate(self.payloads)
        )

    def memo(self, key: str, make: Callable[["Batch"], bytes]) -> bytes:
        """What `make` turns this batch into, made once however many readers ask (encode once, send many)."""
        made = self._frames.get(key)
        if made is None:
            made = self._frames[key] = make(self)
        return made

    def after(self, seq: int) -> "Batch":
        """The part of this batch behind `seq`: itself where that is all of it.

        Raises ValueError where nothing is left.
        """
        if seq < self.first_seq:
            return self
        skip = seq - self.first_seq + 1
        return Batch(self.run_id, seq + 1, self.timestamp, self.trace, raw=self.raw[skip:])
