"""The log in Redis (or Valkey): for any number of processes; the engine that decides is Redis itself, by redis.lua.

An append is one round trip, whatever its size; those of many runs share a write (redis_link.py). It is as durable as
Redis is told to be: with `appendfsync always` what is acknowledged survives the death of Redis, with `everysec` all but
its last second or two, which the writers append again (redis_appender.py).

This process reads its own appends from memory, once they are acknowledged; those of others come over one subscription
(redis_follow.py).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

import structlog

from tailrace.log.base import Head, Offered, Push, Told
from tailrace.log.live import PAGE_BYTES, Live, unknown
from tailrace.log.redis_appender import Appender, EventsLost
from tailrace.log.redis_client import Redis, Subscriber
from tailrace.log.redis_follow import Followers
from tailrace.log.redis_keys import batches_from, head_from, head_query, keys_of
from tailrace.log.writer import Clock, check_payloads, wall_clock
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import NotReady, Sealed, StaleEpoch, TailraceError
from tailrace.schema.events import Payload, TraceContext

MAX_APPENDERS = 4096  # runs whose writers are kept in memory; the others are looked up again
PING_MS = 60_000  # how long the key stays that `ping` writes
LINGER_S = 5.0  # how long an ended run's writer stays, in case that Redis forgets the end

logger = structlog.get_logger(__name__)


class RedisLog:
    """`log.base.Log` over `redis`, which belongs to the caller and outlives it. `clock` gives milliseconds."""

    def __init__(self, redis: Redis, *, clock: Clock = wall_clock) -> None:
        self._redis = redis
        self._clock = clock
        self._appenders: dict[str, Appender] = {}
        self._lingering: dict[str, Appender] = {}  # of runs that have just ended
        self._live = Live(self._watch, self._read)
        self._followers = Followers(redis, self._live, self._read)
        self._channel = f"tailrace:node:{redis.node_id}".encode()
        redis.subscribe(self._channel, Subscriber(self._verify, self._superseded))

    # --- writing ------------------------------------------------------------------------------------------------------

    async def acquire(self, run_id: str) -> int:
        """See `Log.acquire`. What this process has shown to readers and Redis has lost is appended again."""
        self._live.check_open()
        answer = await self._redis.script("acquire", [keys_of(run_id).meta], self._redis.node_id, run_id)
        if not isinstance(answer, list):
            raise Sealed(f"run {run_id!r} has ended")
        epoch, last_seq, timestamp, again = answer
        known = self._appenders.get(run_id)
        if known is not None and known.epoch > epoch:
            return int(epoch)  # stale already: another task of this process was faster
        self._followers.drop(run_id)
        appender = self._keep(run_id, epoch, last_seq, timestamp)
        if known is not None:
            known.supersede()
        if again:
            self._live.acquired(run_id, epoch)
        await self._make_whole(appender, last_seq, timestamp)
        return int(epoch)

    async def _make_whole(self, appender: Appender, last_seq: int, timestamp: int) -> None:
        """See that the log has what this process has shown to readers. Raises StaleEpoch and NotReady."""
        if appender.last_seq == last_seq:
            return
        try:
            await appender.refill(last_seq)
        except EventsLost:  # its readers are told; the run goes on from what there is
            logger.exception("events lost", run_id=appender.run.run_id)
            self._live.forget(appender.run.run_id)
            self._keep(appender.run.run_id, appender.epoch, last_seq, timestamp)

    async def append(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext) -> Batch:
        """See `Log.append`."""
        self._live.check_open()
        check_payloads(payloads)
        raw = [codec.encode(payload) for payload in payloads]
        payloads = list(payloads)
        appender = self._appenders.get(run_id) or await self._appender(run_id)
        if appender.epoch != epoch:
            raise StaleEpoch(f"run {run_id!r} is written under epoch {appender.epoch}, not {epoch}")
        appended: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()
        appender.append(payloads, raw, trace, partial(_settle, appended), wanted=lambda: not appended.done())
        return await appended

    def offer(self, run_id: str, epoch: int, payloads: Sequence[Payload], trace: TraceContext, told: Told) -> Offered:
        """See `Log.offer`: `told` is called with Redis's answer."""
        self._live.check_open()
        check_payloads(payloads)
        appender = self._appenders.get(run_id)
        if appender is None or appender.epoch != epoch:
            return False
        appender.append(list(payloads), [codec.encode(payload) for payload in payloads], trace, told)
        return True

    async def _appender(self, run_id: str) -> Appender:
        """The writer of a run that this process acquired and has not in memory. Raises what speaks against it."""
        answer = await self._redis.call(*head_query(keys_of(run_id)))
        head = head_from(run_id, answer)
        if head is None:
            raise unknown(run_id)
        if head.sealed:
            raise Sealed(f"run {run_id!r} has ended")
        if answer[3] != self._redis.node_id.encode():
            raise StaleEpoch(f"run {run_id!r} was acquired by another process")
        return self._appenders.get(run_id) or self._keep(run_id, head.epoch, head.last_seq, int(answer[4] or 0))

    def _keep(self, run_id: str, epoch: int, last_seq: int, timestamp: int) -> Appender:
        for other in list(self._appenders)[: max(0, len(self._appenders) - MAX_APPENDERS + 1)]:
            if self._appenders[other].idle:
                del self._appenders[other]
        run = self._live.open(run_id)
        run.learn(last_seq, sealed=False)
        run.wake()
        self._appenders[run_id] = Appender(
            self._redis, self._live, run,
            epoch=epoch, last_seq=run.last_seq, timestamp=timestamp, clock=self._clock, over=self._over,
        )  # fmt: skip
        return self._appenders[run_id]

    def _over(self, appender: Appender, error: TailraceError | None) -> None:
        """A writer appends nothing more: its readers are fed by others, or have read it all."""
        run_id = appender.run.run_id
        if self._appenders.get(run_id) is not appender or isinstance(error, NotReady):
            return  # another is in its place; or it stays, to refuse what comes under its epoch
        del self._appenders[run_id]
        if error is None:
            self._lingering[run_id] = appender
            asyncio.get_running_loop().call_later(LINGER_S, self._lingering.pop, run_id, None)
        elif isinstance(error, StaleEpoch | Sealed):
            self._live.acquired(run_id, appender.epoch + 1)
            asyncio.get_running_loop().call_soon(self._follow, run_id)
        else:
            self._live.forget(run_id)

    def _superseded(self, message: bytes) -> None:
        """Another process has acquired a run of ours; or, with epoch 0, deleted it: its id may be used anew."""
        epoch, _, run_id = message.decode().partition(" ")
        if epoch == "0":
            self._deleted(run_id)
            return
        appender = self._appenders.get(run_id)
        if appender is None:
            self._live.acquired(run_id, int(epoch))
            self._follow(run_id)
        elif appender.epoch < int(epoch):
            appender.supersede()

    def _follow(self, run_id: str) -> None:
        """Feed who reads a run that was ours."""
        run = self._live.find(run_id)
        if run is not None and run_id not in self._appenders:
            self._followers.begin(run)

    def _verify(self) -> None:
        """There is a new connection: what was missed meanwhile, and what may Redis have lost?"""
        for appender in (*self._appenders.values(), *self._lingering.values()):
            appender.verify()

    # --- reading ------------------------------------------------------------------------------------------------------

    async def head(self, run_id: str) -> Head | None:
        """See `Log.head`."""
        self._live.check_open()
        return head_from(run_id, await self._redis.call(*head_query(keys_of(run_id))))

    async def _watch(self, run_id: str) -> Head | None:
        """Where the log stands, and be told from now on; of a run that others write, as long as somebody reads it."""
        head = await self.head(run_id)
        run = self._live.find(run_id)
        if head is None or head.sealed or run is None or run_id in self._appenders:
            return head
        return await self._followers.follow(run)

    async def read(self, run_id: str, after: int = 0, limit: int = 1024) -> list[Batch]:
        """See `Log.read`. That there is no more is for Redis to say: another process may have appended."""
        self._live.check_open()
        return self._live.page(run_id, after, limit) or await self._read(run_id, after, limit)

    async def _read(self, run_id: str, after: int, limit: int) -> list[Batch]:
        entries = await self._redis.script(
            "read", [keys_of(run_id).events], after, limit, PAGE_BYTES, wait_s=self._redis.patient_s
        )
        return batches_from(run_id, entries)

    def tail(self, run_id: str, after: int = 0, push: Push | None = None) -> AsyncIterator[Batch]:
        """See `Log.tail`."""
        return self._live.tail(run_id, after, push)

    async def changed(self) -> set[str]:
        """See `Log.changed`: what this process has appended to."""
        return await self._live.changed()

    async def superseded(self) -> set[str]:
        """See `Log.superseded`."""
        return await self._live.superseded()

    # --- keeping ------------------------------------------------------------------------------------------------------

    async def expire(self, run_ids: Sequence[str], seconds: float) -> None:
        """See `Log.expire`."""
        self._live.check_open()
        await asyncio.gather(*(self._on_both("expire", run_id, int(seconds * 1000)) for run_id in run_ids))
        for run_id in run_ids:
            self._lingering.pop(run_id, None)  # it is archived

    async def delete(self, run_ids: Sequence[str]) -> None:
        """See `Log.delete`."""
        self._live.check_open()
        await asyncio.gather(*(self._delete(run_id) for run_id in run_ids))

    async def _delete(self, run_id: str) -> None:
        await self._on_both("delete", run_id, keys_of(run_id).channel, run_id, self._redis.node_id)
        self._deleted(run_id)

    def _deleted(self, run_id: str) -> None:
        self._appenders.pop(run_id, None)
        self._lingering.pop(run_id, None)
        self._followers.drop(run_id)
        self._live.forget(run_id)

    async def _on_both(self, script: str, run_id: str, *arguments: str | bytes | int) -> None:
        keys = keys_of(run_id)
        await self._redis.script(script, [keys.events, keys.meta], *arguments)

    async def ping(self) -> None:
        """See `Log.ping`. Writes something, because only that shows that appends can be had."""
        self._live.check_open()
        await self._redis.call("SET", "tailrace:ping", self._redis.node_id, "PX", PING_MS)

    async def close(self) -> None:
        """See `Log.close`."""
        self._redis.unsubscribe(self._channel)
        self._followers.close()
        self._live.close()


def _settle(appended: "asyncio.Future[Batch]", outcome: Batch | TailraceError) -> None:
    """An append's outcome for who awaits it, if anybody does still."""
    if appended.done():
        return
    if isinstance(outcome, Batch):
        appended.set_result(outcome)
    else:
        appended.set_exception(outcome)
