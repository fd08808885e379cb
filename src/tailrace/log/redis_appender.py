"""Appends to one run under one epoch, one after the other; what Redis forgets of them is appended again.

An append says which `seq` it begins with, so that it may be sent again when its answer was lost: the log takes it once
(redis.lua). It is settled by its answer, also where its caller has gone: the next one is only sent then. Where no
answer came in time nobody knows what became of it, and this writer is done for: whoever goes on acquires the run anew.

Redis may lose its last moments when it dies (`appendfsync everysec`). Then the log is shorter than its writer knows,
and the writer appends what is missing from the window of the run's live end, the same to the byte.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from hiredis import ReplyError

from tailrace.log.base import Told
from tailrace.log.live import Live, LiveRun, unknown
from tailrace.log.redis_client import Redis, refused
from tailrace.log.redis_keys import AppendCommands, head_from, head_query, keys_of
from tailrace.log.redis_link import pack
from tailrace.log.writer import Clock
from tailrace.schema.batch import Batch
from tailrace.schema.errors import LogError, NotReady, Sealed, StaleEpoch, TailraceError
from tailrace.schema.events import Payload, TraceContext

logger = structlog.get_logger(__name__)


class EventsLost(LogError):
    """Redis has lost events for good."""


class _Append:
    """What is to be appended, or is being. `told` hears what became of it."""

    __slots__ = ("payloads", "raw", "told", "trace", "wanted")

    def __init__(
        self,
        payloads: list[Payload],
        raw: list[bytes],
        trace: TraceContext,
        told: Told,
        wanted: Callable[[], bool] | None,
    ) -> None:
        self.payloads = payloads
        self.raw = raw
        self.trace = trace
        self.told = told
        self.wanted = wanted


class Appender:
    """A run's writer. `over` is called when it appends nothing more: with the reason, or None where the run ended."""

    def __init__(
        self,
        redis: Redis,
        live: Live,
        run: LiveRun,
        *,
        epoch: int,
        last_seq: int,
        timestamp: int,
        clock: Clock,
        over: Callable[["Appender", TailraceError | None], None],
    ) -> None:
        self.run = run
        self.epoch = epoch
        self.last_seq = last_seq
        self._redis = redis
        self._live = live
        self._keys = keys_of(run.run_id)
        self._commands = AppendCommands(self._keys, epoch, redis.node_id)
        self._timestamp = timestamp
        self._clock = clock
        self._over = over
        self._queue: deque[_Append] = deque()  # the first one is under way
        self._whole = redis.commands.connection(self._keys.meta)  # over which the log was last seen to be whole
        self._lost: TailraceError | None = None
        self._restoring: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Is nothing under way?"""
        return not self._queue and self._restoring is None

    def append(
        self,
        payloads: list[Payload],
        raw: list[bytes],
        trace: TraceContext,
        told: Told,
        wanted: Callable[[], bool] | None = None,
    ) -> None:
        """Append behind all that was asked for before; not at all if it is not `wanted` by then. Raises what it was
        lost for; `told` may hear StaleEpoch, Sealed, NotFound and NotReady."""
        if self._lost is not None:
            raise self._lost
        self._queue.append(_Append(payloads, raw, trace, told, wanted))
        if len(self._queue) == 1:
            self._next()

    def _next(self) -> None:
        """Send the next append that is still wanted."""
        while self._queue:
            append = self._queue[0]
            if append.wanted is None or append.wanted():
                now = self._clock()
                if now > self._timestamp:
                    self._timestamp = now
                batch = Batch(
                    self.run.run_id, self.last_seq + 1, self._timestamp, append.trace,
                    payloads=append.payloads, raw=append.raw,
                )  # fmt: skip
                self._send(batch, partial(self._answered, append, batch))
                return
            self._queue.popleft()  # cancelled before it was sent

    def _send(self, batch: Batch, answer: Callable[[Any], None]) -> None:
        self._redis.commands.send(self._keys.meta, self._commands.of(batch), answer, self._redis.patient_s)

    def _answered(self, append: _Append, batch: Batch, reply: Any) -> None:
        if not self._queue or self._queue[0] is not append:
            return  # superseded meanwhile, and its caller told so
        if type(reply) is int:
            self._appended(append, batch)
        elif type(reply) is ReplyError:  # nothing was written: the run stands as it stood
            self._queue.popleft()
            append.told(refused(reply))
            self._next()
        elif reply == b"SHORT":
            self._restoring = asyncio.get_running_loop().create_task(self._restore(partial(self._again, append, batch)))
        else:
            self._lose(self._refusal(reply))

    def _appended(self, append: _Append, batch: Batch) -> None:
        self._queue.popleft()
        self.last_seq = batch.last_seq
        self._whole = self._redis.commands.connection(self._keys.meta)
        if self.run.publish(batch):
            self._live.note_change(self.run)
        if batch.ends:
            self.run.seal()
            self._lose(None)
        else:
            self._next()
        append.told(batch)

    def _again(self, append: _Append, batch: Batch) -> None:
        self._send(batch, partial(self._answered, append, batch))

    def _refusal(self, reply: Any) -> TailraceError:
        """What an answer other than success says."""
        if reply == b"STALE":
            return StaleEpoch(f"run {self.run.run_id!r} is not written under epoch {self.epoch} any more")
        if reply == b"SEALED":
            return Sealed(f"run {self.run.run_id!r} has ended")
        return reply if isinstance(reply, TailraceError) else LogError(f"the log answered {reply!r}")

    def _lose(self, error: TailraceError | None) -> None:
        """Append nothing more, because of `error`, or because the run ended."""
        waiting, self._queue = self._queue, deque()
        refusal = error or Sealed(f"run {self.run.run_id!r} has ended")
        self._lost = refusal
        if isinstance(error, NotReady):  # it may still be carried out: only a higher epoch makes sure
            self._lost = StaleEpoch(f"nobody knows how the log of run {self.run.run_id!r} stands: acquire it anew")
        for append in waiting:
            append.told(refusal)
        self._over(self, error)

    def supersede(self) -> None:
        """Another has acquired the run."""
        self._lose(self._refusal(b"STALE"))

    # --- what Redis has forgotten -------------------------------------------------------------------------------------

    def verify(self) -> None:
        """After a reconnect: look where the log stands, and see to what is missing or who has taken it."""
        if self.idle:
            query = pack(*head_query(self._keys))
            self._redis.commands.send(self._keys.meta, query, self._stands, self._redis.patient_s)

    def _stands(self, reply: Any) -> None:
        if not isinstance(reply, list) or not self.idle:
            return  # the next append, or the next connection, will tell
        head = head_from(self.run.run_id, reply)
        if head is None:
            return
        if head.epoch > self.epoch or (head.epoch == self.epoch and reply[3] != self._redis.node_id.encode()):
            self.supersede()
        elif head.epoch < self.epoch or head.last_seq < self.last_seq:
            self._restoring = asyncio.get_running_loop().create_task(self._restore(lambda: None))

    async def _restore(self, then: Callable[[], None]) -> None:
        try:
            await self.restore()
        except TailraceError as error:
            self._lose(error)
        else:
            then()
        finally:
            self._restoring = None

    async def restore(self) -> None:
        """Append again what the log has forgotten. Raises EventsLost where that is not in memory any more.

        Also raises NotFound where it cannot have forgotten anything, because we have been connected to it all the
        time: then the run was deleted. And StaleEpoch, Sealed and NotReady.
        """
        if self._whole == self._redis.commands.connection(self._keys.meta):
            raise unknown(self.run.run_id)
        held = await self._redis.script(
            "restore", [self._keys.meta], self.epoch, self._redis.node_id, wait_s=self._redis.patient_s
        )
        if not isinstance(held, int):
            raise self._refusal(held)
        await self.refill(held)

    async def refill(self, held: int) -> None:
        """Append again, from the window, what is behind `held`. Raises as `restore` does."""
        missing = self.last_seq - held
        while held < self.last_seq:
            batch = self.run.batch_after(held)
            if batch is None:
                raise EventsLost(f"Redis has lost events {held + 1} to {self.last_seq} of run {self.run.run_id!r}")
            reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._send(batch, reply.set_result)
            answer = await reply
            if not isinstance(answer, int):
                raise refused(answer) if isinstance(answer, ReplyError) else self._refusal(answer)
            held = batch.last_seq
        self._whole = self._redis.commands.connection(self._keys.meta)
        if missing > 0:
            logger.warning("events that redis had lost were appended again", run_id=self.run.run_id, events=missing)
