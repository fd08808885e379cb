"""Readers of runs that others write: a run's appends come to this node once, whatever number of readers it has here.

While somebody reads a run (its LiveRun is alive) this node listens to the run's channel; what comes in sequence is
shown as it comes. Each subscription is followed, on the same connection, by a look at where the log stands, so that
nothing falls in between; what was missed is read from the log, once, and shown in its place. So a reader never notices
a lost connection, but for the delay.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from weakref import finalize

import structlog

from tailrace.log.base import Head
from tailrace.log.live import TAIL_PAGE, Live, LiveRun
from tailrace.log.redis_client import QUICK_S, Redis, Subscriber
from tailrace.log.redis_keys import Keys, batch_from, head_from, head_query, keys_of
from tailrace.log.redis_link import pack
from tailrace.schema.batch import Batch
from tailrace.schema.errors import NotReady

RETRY_S = 0.5

logger = structlog.get_logger(__name__)


class _Followed:
    """A run that is listened to. `target` is the seq up to which it is known to go, `sealed` whether it ends there."""

    __slots__ = ("finalizer", "keys", "mending", "sealed", "target", "waiting")

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.target = 0
        self.sealed = False
        self.mending: asyncio.Task[None] | None = None
        self.waiting: list[asyncio.Future[Head | None]] = []
        self.finalizer: finalize[..., LiveRun] | None = None


class Followers:
    """Feeds the live ends of runs. `read` gives a page of the log."""

    def __init__(self, redis: Redis, live: Live, read: Callable[[str, int, int], Awaitable[list[Batch]]]) -> None:
        self._redis = redis
        self._live = live
        self._read = read
        self._followed: dict[str, _Followed] = {}
        self._closed = False

    async def follow(self, run: LiveRun) -> Head | None:
        """Feed this live end from now on, as long as it lives: where the log stands. Raises NotReady."""
        answer: asyncio.Future[Head | None] = asyncio.get_running_loop().create_future()
        self.begin(run, answer)
        try:
            async with asyncio.timeout(QUICK_S):
                return await answer
        except TimeoutError:
            raise NotReady("Redis does not answer: the run cannot be listened to") from None

    def begin(self, run: LiveRun, answer: "asyncio.Future[Head | None] | None" = None) -> None:
        """The same, without waiting for it."""
        run_id = run.run_id
        followed = self._followed.get(run_id)
        known = followed is not None
        if followed is None:
            followed = self._followed[run_id] = _Followed(keys_of(run_id))
        if answer is not None:
            followed.waiting.append(answer)
        if followed.finalizer is None or not followed.finalizer.alive:
            loop = asyncio.get_running_loop()
            followed.finalizer = finalize(run, loop.call_soon_threadsafe, self._unread, run_id)
            followed.finalizer.atexit = False
        ask = partial(self._ask, run_id)
        if known:
            ask()
        else:
            self._redis.subscribe(followed.keys.channel, Subscriber(ask, partial(self._message, run_id)))

    def drop(self, run_id: str) -> None:
        """Listen no more."""
        followed = self._followed.pop(run_id, None)
        if followed is None:
            return
        self._redis.unsubscribe(followed.keys.channel)
        if followed.finalizer is not None:
            followed.finalizer.detach()

    def _unread(self, run_id: str) -> None:
        if self._live.find(run_id) is None:
            self.drop(run_id)

    def _ask(self, run_id: str) -> None:
        followed = self._followed.get(run_id)
        if followed is not None and not self._closed:
            self._redis.events.send(pack(*head_query(followed.keys)), partial(self._stands, run_id, followed), QUICK_S)

    def _stands(self, run_id: str, followed: _Followed, reply: Any) -> None:
        """The log was seen, after the subscription began."""
        run = self._live.find(run_id)
        if self._followed.get(run_id) is not followed:
            return  # it was asked before this process wrote the run itself
        if not isinstance(reply, list):  # a new connection asks by itself
            if self._redis.events.up:
                asyncio.get_running_loop().call_later(RETRY_S, self._ask, run_id)
            return
        head = head_from(run_id, reply)
        waiting, followed.waiting = followed.waiting, []
        for answer in waiting:
            if not answer.done():
                answer.set_result(head)
        if run is None:
            self.drop(run_id)
        elif head is None:
            self._deleted(run_id)
        elif run.known:
            if head.last_seq < run.last_seq:
                lost = run.last_seq - head.last_seq
                logger.warning("redis has lost events that were read", run_id=run_id, events=lost)
            self._reach(run, followed, head.last_seq, head.sealed)
        else:
            run.learn(head.last_seq, head.sealed)
            run.wake()

    def _message(self, run_id: str, message: bytes) -> None:
        followed, run = self._followed.get(run_id), self._live.find(run_id)
        if not message:
            self._deleted(run_id)
        elif followed is not None and run is not None and run.known:
            batch, sealed = batch_from(run_id, message)
            if batch.first_seq == run.last_seq + 1:
                run.publish(batch)
            self._reach(run, followed, batch.last_seq, sealed)

    def _deleted(self, run_id: str) -> None:
        self.drop(run_id)
        self._live.forget(run_id)

    def _reach(self, run: LiveRun, followed: _Followed, last_seq: int, sealed: bool) -> None:
        """The log goes up to `last_seq`: read what is missing here, and close where it is the end."""
        followed.target = max(followed.target, last_seq)
        followed.sealed = followed.sealed or sealed
        if run.last_seq < followed.target:
            if followed.mending is None:
                followed.mending = asyncio.get_running_loop().create_task(self._mend(run, followed))
        elif followed.sealed:
            run.seal()
            self.drop(run.run_id)

    async def _mend(self, run: LiveRun, followed: _Followed) -> None:
        """Show what was missed, read once for all readers."""
        while run.last_seq < followed.target and not self._closed and not run.gone:
            try:
                page = await self._read(run.run_id, run.last_seq, TAIL_PAGE)
            except NotReady as error:
                logger.warning("reading put off", run_id=run.run_id, error=error.message)
                await asyncio.sleep(RETRY_S)
                continue
            if not page:
                break  # deleted, or lost: where it was the latter, its writer will append it again
            for batch in page:
                if batch.last_seq > run.last_seq:
                    run.publish(batch.after(run.last_seq))
        followed.mending = None
        if run.last_seq >= followed.target:
            self._reach(run, followed, run.last_seq, sealed=False)

    def close(self) -> None:
        """Listen to nothing more."""
        self._closed = True
        for run_id in list(self._followed):
            self.drop(run_id)
