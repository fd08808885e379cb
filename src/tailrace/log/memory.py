"""A log in memory: for tests, and for who does not mind to lose it all. Keeps everything until `delete`."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from itertools import islice

from tailrace.log.base import Head, Offered, Push, Told
from tailrace.log.expiry import Expiry
from tailrace.log.live import Live, last_seq_of, page, unknown
from tailrace.log.writer import Clock, Writer, check_payloads, wall_clock
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import Payload, TraceContext


class _Run:
    """One run: where it stands and all its batches."""

    __slots__ = ("batches", "writer")

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.batches: list[Batch] = []


class MemoryLog:
    """`log.base.Log` in this process's memory. `clock` gives milliseconds since the epoch."""

    def __init__(self, *, clock: Clock = wall_clock) -> None:
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._live = Live(self.head, self.read)
        self._expiry = Expiry(self.delete)

    async def acquire(self, run_id: str) -> int:
        """See `Log.acquire`."""
        self._live.check_open()
        run = self._runs.get(run_id)
        if run is None:
            live = self._live.open(run_id)
            live.learn(0, sealed=False)
            run = self._runs[run_id] = _Run(Writer(live))
        epoch = run.writer.acquire()
        self._live.acquired(run_id, epoch)
        return epoch

    async def append(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext) -> Batch:
        """See `Log.append`."""
        batch = self._append(run_id, epoch, payloads, trace)
        await asyncio.sleep(0)  # as with a durable log, readers get their turn at each append
        return batch

    def offer(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext, told: Told) -> Offered:
        """See `Log.offer`."""
        return self._append(run_id, epoch, payloads, trace)

    def _append(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext) -> Batch:
        self._live.check_open()
        check_payloads(payloads)
        raw = [codec.encode(payload) for payload in payloads]
        run = self._runs.get(run_id)
        if run is None:
            raise unknown(run_id)
        batch = run.writer.append(epoch, list(payloads), raw, trace, self._clock())
        run.batches.append(batch)
        if run.writer.live.publish(batch):
            self._live.note_change(run.writer.live)
        if run.writer.sealed:
            run.writer.live.seal()
        return batch

    async def head(self, run_id: str) -> Head | None:
        """See `Log.head`."""
        self._live.check_open()
        run = self._runs.get(run_id)
        return run.writer.head() if run is not None else None

    async def read(self, run_id: str, after: int = 0, limit: int = 1024) -> list[Batch]:
        """See `Log.read`."""
        self._live.check_open()
        run = self._runs.get(run_id)
        if run is None:
            return []
        start = bisect_right(run.batches, after, key=last_seq_of)
        return page(islice(run.batches, start, None), after, limit)

    def tail(self, run_id: str, after: int = 0, push: Push | None = None) -> AsyncIterator[Batch]:
        """See `Log.tail`."""
        return self._live.tail(run_id, after, push)

    async def changed(self) -> set[str]:
        """See `Log.changed`."""
        return await self._live.changed()

    async def superseded(self) -> set[str]:
        """See `Log.superseded`."""
        return await self._live.superseded()

    async def expire(self, run_ids: Sequence[str], seconds: float) -> None:
        """See `Log.expire`."""
        self._live.check_open()
        known = [run_id for run_id in run_ids if run_id in self._runs]
        self._expiry.add([run_id for run_id in known if self._runs[run_id].writer.sealed], seconds)

    async def delete(self, run_ids: Sequence[str]) -> None:
        """See `Log.delete`."""
        self._live.check_open()
        for run_id in run_ids:
            self._runs.pop(run_id, None)
            self._live.forget(run_id)

    async def ping(self) -> None:
        """See `Log.ping`."""
        self._live.check_open()

    async def close(self) -> None:
        """See `Log.close`."""
        await self._expiry.close()
        self._live.close()
