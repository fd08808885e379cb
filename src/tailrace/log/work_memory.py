"""A work queue in this process's memory: for a server that is alone, and needs nobody to take over from it."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Sequence

from tailrace.log.work import MAX_DELIVERIES, Job
from tailrace.schema.errors import NotReady


class MemoryWork:
    """`log.work.Work` within one process. A claim lapses `lease_s` seconds after it was made, or renewed."""

    def __init__(self, *, lease_s: float = 1.0) -> None:
        self._lease_s = lease_s
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._again: set[str] = set()  # put while they were claimed
        self._claims: dict[str, tuple[Job, asyncio.TimerHandle]] = {}
        self._deliveries: Counter[str] = Counter()
        self._dead: OrderedDict[str, None] = OrderedDict()
        self._tokens = 0
        self._change = asyncio.Event()
        self._closed = False

    async def put(self, run_ids: Sequence[str]) -> None:
        """See `Work.put`."""
        self._check_open()
        for run_id in run_ids:
            if run_id in self._claims:
                self._again.add(run_id)
                continue
            if run_id in self._dead:
                del self._dead[run_id]
                self._deliveries.pop(run_id, None)
            self._wait(run_id)

    async def claim(self, limit: int) -> list[Job]:
        """See `Work.claim`."""
        while not self._waiting:
            self._check_open()
            self._change.clear()
            await self._change.wait()
        self._check_open()
        return [self._claim() for _ in range(min(limit, len(self._waiting)))]

    async def renew(self, jobs: Sequence[Job]) -> list[Job]:
        """See `Work.renew`."""
        lost = [job for job in jobs if not self._holds(job)]
        for job in jobs:
            if job not in lost:
                self._hold(job)
        return lost

    async def done(self, jobs: Sequence[Job]) -> None:
        """See `Work.done`."""
        for job in jobs:
            if self._let_go(job):
                self._deliveries.pop(job.run_id, None)
                if job.run_id in self._again:
                    self._wait(job.run_id)

    async def failed(self, jobs: Sequence[Job]) -> None:
        """See `Work.failed`: the claim is left to lapse."""

    async def release(self, jobs: Sequence[Job]) -> None:
        """See `Work.release`."""
        for job in jobs:
            if self._let_go(job):
                self._deliveries[job.run_id] -= 1
                self._wait(job.run_id)

    async def waiting(self) -> int:
        """See `Work.waiting`."""
        return len(self._waiting)

    async def dead(self) -> list[str]:
        """See `Work.dead`."""
        return list(self._dead)

    async def close(self) -> None:
        """See `Work.close`."""
        self._closed = True
        self._change.set()
        for _, timer in self._claims.values():
            timer.cancel()

    def _wait(self, run_id: str) -> None:
        self._again.discard(run_id)
        self._waiting[run_id] = None
        self._change.set()

    def _claim(self) -> Job:
        run_id, _ = self._waiting.popitem(last=False)
        self._deliveries[run_id] += 1
        self._tokens += 1
        job = Job(run_id, self._deliveries[run_id], str(self._tokens))
        self._hold(job)
        return job

    def _hold(self, job: Job) -> None:
        held = self._claims.pop(job.run_id, None)
        if held is not None:
            held[1].cancel()
        timer = asyncio.get_running_loop().call_later(self._lease_s, self._lapse, job)
        self._claims[job.run_id] = (job, timer)

    def _holds(self, job: Job) -> bool:
        held = self._claims.get(job.run_id)
        return held is not None and held[0].token == job.token

    def _let_go(self, job: Job) -> bool:
        """End the claim; False where it was lost before."""
        if not self._holds(job):
            return False
        self._claims.pop(job.run_id)[1].cancel()
        return True

    def _lapse(self, job: Job) -> None:
        if not self._let_go(job):
            return
        if job.deliveries >= MAX_DELIVERIES:
            self._again.discard(job.run_id)
            self._dead[job.run_id] = None
        else:
            self._wait(job.run_id)

    def _check_open(self) -> None:
        if self._closed:
            raise NotReady("the queue is closed")
