"""A work queue in Redis: for any number of processes, on PARTITIONS streams that each have one consumer group.

A claim is a pending entry of the group; its lease is the time that it has been idle, by Redis' own clock, so that the
clocks of nodes do not matter. What it costs depends on the runs in the queue only (the keys are in redis.lua).

Who waits is woken by a message; who missed it looks again after a third of a lease, which is also when lapsed claims
are taken over.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from zlib import crc32

from tailrace.log.redis_client import Redis, Subscriber
from tailrace.log.redis_link import Argument
from tailrace.log.work import MAX_DELIVERIES, Job, Kind
from tailrace.schema.errors import NotReady

PARTITIONS = 8
GROUPS: dict[Kind, str] = {
    "run": "tailrace-runner-group",
    "project": "tailrace-projector-group",
    "tool": "tailrace-tool-workers",
}
TIDY_S = 60.0  # how often consumers are looked through
FORGET_MS = 600_000  # one that was not heard of for so long, and holds nothing, is of a node that is gone

_Share = tuple[int, tuple[Argument, ...]]  # a partition, and arguments of a script for it
_EVERYWHERE: list[_Share] = [(partition, ()) for partition in range(PARTITIONS)]
_START = b"0-0"  # XAUTOCLAIM's cursor, when it has been through


def partition_of(run_id: str) -> int:
    """The partition that a run belongs to."""
    return crc32(run_id.encode()) % PARTITIONS


class _Claim(NamedTuple):
    """What a job's token says: the entry, and how often it was delivered, which makes each claim of it another one."""

    partition: int
    entry_id: str
    nth: str


def _claim_of(job: Job) -> _Claim:
    partition, entry_id, nth = job.token.split()
    return _Claim(int(partition), entry_id, nth)


class RedisWork:
    """`log.work.Work` over `redis`, which belongs to the caller and outlives it. A claim lapses after `lease_s`."""

    def __init__(self, redis: Redis, kind: Kind, *, lease_s: float) -> None:
        self._redis = redis
        self._lease_ms = int(lease_s * 1000)
        self._poll_s = lease_s / 3
        queues = [f"tailrace:work:{{{kind}:{p}}}" for p in range(PARTITIONS)]
        self._keys = [(queue, f"{queue}:runs", f"{queue}:again", f"{queue}:dead") for queue in queues]
        self._channel = f"tailrace:work:{kind}"
        self._who = (GROUPS[kind], redis.node_id, self._channel)
        self._filled = set(range(PARTITIONS))  # where there may be something to claim
        self._cursors = [_START] * PARTITIONS
        self._next_poll = self._next_tidy = 0.0
        self._woken = asyncio.Event()
        self._handing_over: set[asyncio.Task[None]] = set()
        self._closed = False
        redis.subscribe(self._channel.encode(), Subscriber(self._look_everywhere, self._wake))

    # --- the queue's interface ----------------------------------------------------------------------------------------

    async def put(self, run_ids: Sequence[str]) -> None:
        """See `Work.put`."""
        await self._each("put", [(partition_of(run_id), (run_id,)) for run_id in dict.fromkeys(run_ids)])

    async def claim(self, limit: int) -> list[Job]:
        """See `Work.claim`. What comes to be claimed when nobody waits for it any more is handed over."""
        while True:
            self._check_open()
            self._woken.clear()
            claiming = asyncio.ensure_future(self._claim(limit))
            try:
                jobs = await asyncio.shield(claiming)
            except asyncio.CancelledError:
                self._hand_over(claiming)
                raise
            if jobs:
                return jobs
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_poll):
                    await self._woken.wait()

    async def renew(self, jobs: Sequence[Job]) -> list[Job]:
        """See `Work.renew`."""
        claims = [_claim_of(job) for job in jobs]
        answers = await self._each("renew", [(claim.partition, (claim.entry_id, claim.nth)) for claim in claims])
        lost = {(p, entry_id.decode()) for p, entry_ids in answers.items() for entry_id in entry_ids}
        return [job for job, claim in zip(jobs, claims, strict=True) if claim[:2] in lost]

    async def done(self, jobs: Sequence[Job]) -> None:
        """See `Work.done`."""
        await self._finish((job, -1) for job in jobs)

    async def failed(self, jobs: Sequence[Job]) -> None:
        """See `Work.failed`: the claims are left to lapse."""

    async def release(self, jobs: Sequence[Job]) -> None:
        """See `Work.release`."""
        await self._finish((job, job.deliveries - 1) for job in jobs)

    async def waiting(self) -> int:
        """See `Work.waiting`. A claim that has lapsed counts as held until somebody takes it over. Raises NotReady."""
        return sum((await self._each("waiting", _EVERYWHERE)).values())

    async def dead(self) -> list[str]:
        """See `Work.dead`. Raises NotReady."""
        self._check_open()
        found = await asyncio.gather(*(self._redis.call("HKEYS", dead) for _, _, _, dead in self._keys))
        return [run_id.decode() for run_ids in found for run_id in run_ids]

    async def close(self) -> None:
        """See `Work.close`."""
        if self._closed:
            return
        if self._handing_over:
            await asyncio.wait(self._handing_over)
        with suppress(NotReady):
            await self._each("tidy", [(p, (FORGET_MS, 1)) for p, _ in _EVERYWHERE])
        self._closed = True
        self._redis.unsubscribe(self._channel.encode())
        self._woken.set()

    # --- partitions ---------------------------------------------------------------------------------------------------

    async def _script(self, name: str, partition: int, arguments: Iterable[Argument]) -> Any:
        self._check_open()
        return await self._redis.script(name, self._keys[partition], *self._who, partition, *arguments)

    async def _each(self, name: str, shares: Sequence[_Share]) -> dict[int, Any]:
        """Run a script on each of the partitions, at once, with its share of the arguments: what each answers."""
        arguments: defaultdict[int, list[Argument]] = defaultdict(list)
        for partition, share in shares:
            arguments[partition] += share
        answers = await asyncio.gather(*(self._script(name, p, some) for p, some in arguments.items()))
        return dict(zip(arguments, answers, strict=True))

    async def _finish(self, ending: Iterable[tuple[Job, int]]) -> None:
        shares: list[_Share] = []
        for job, deliveries in ending:
            claim = _claim_of(job)
            shares.append((claim.partition, (claim.entry_id, claim.nth, job.run_id, deliveries)))
        await self._each("finish", shares)

    # --- claiming -----------------------------------------------------------------------------------------------------

    async def _claim(self, limit: int) -> list[Job]:
        """What there is right now, where there may be something; from time to time, lapsed claims too."""
        now = asyncio.get_running_loop().time()
        lease_ms = self._lease_ms if now >= self._next_poll else 0
        if lease_ms:
            self._filled.update(range(PARTITIONS))
            self._next_poll = now + self._poll_s
            await self._tidy(now)
        jobs: list[Job] = []
        try:
            for partition in random.sample(sorted(self._filled), len(self._filled)):
                if len(jobs) < limit:
                    jobs += await self._claim_from(partition, limit - len(jobs), lease_ms)
        except NotReady:
            if not jobs:
                raise
        if lease_ms and (len(jobs) == limit or any(cursor != _START for cursor in self._cursors)):
            self._next_poll = now  # there may be more that has lapsed
        return jobs

    async def _claim_from(self, partition: int, limit: int, lease_ms: int) -> list[Job]:
        self._filled.discard(partition)
        arguments = (limit, MAX_DELIVERIES, lease_ms, self._cursors[partition])
        self._cursors[partition], *claims = await self._script("claim", partition, arguments)
        if len(claims) == limit:
            self._filled.add(partition)
        return [
            Job(run_id.decode(), deliveries, f"{partition} {entry_id.decode()} {count}")
            for run_id, deliveries, entry_id, count in claims
        ]

    async def _tidy(self, now: float) -> None:
        if now >= self._next_tidy:
            self._next_tidy = now + TIDY_S
            await self._each("tidy", [(p, (FORGET_MS, 0)) for p, _ in _EVERYWHERE])

    def _hand_over(self, claiming: "asyncio.Task[list[Job]]") -> None:
        async def release() -> None:
            with suppress(NotReady):  # then they lapse
                await self.release(await claiming)

        task = asyncio.get_running_loop().create_task(release())
        self._handing_over.add(task)
        task.add_done_callback(self._handing_over.discard)

    def _wake(self, message: bytes) -> None:
        self._filled.add(int(message))
        self._woken.set()

    def _look_everywhere(self) -> None:
        """There is a new connection: messages may have been missed."""
        self._next_poll = 0.0
        self._woken.set()

    def _check_open(self) -> None:
        if self._closed:
            raise NotReady("the queue is closed")
