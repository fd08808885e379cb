"""Log to store: folds what was appended and writes snapshots, many runs in one transaction; archives what is sealed.

A change is written at once if the last round was 250 ms ago, else when it is; so the number of writes depends on time,
not on tokens. The last snapshot of a run goes with its archive. `settle` writes without waiting.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import structlog

from tailrace.fold.reducer import Reducer
from tailrace.log.base import Log, batches
from tailrace.schema.errors import NotReady
from tailrace.schema.response import ENDED
from tailrace.store.base import Projection, Store

logger = structlog.get_logger()

INTERVAL_S = 0.25
RETRY_S = 0.5
ATTEMPTS = 5
RESTING = ENDED | {"requires_action"}  # nothing more for a while: what is kept in memory can go


class Projector:
    """Keeps the store in step with the log. One per log.

    A run that cannot be projected, time after time while others can, is set aside: it holds up nobody, and `set_aside`
    shows it until the server starts again.
    """

    def __init__(self, log: Log, store: Store, *, keep_s: float, clock: Callable[[], float]) -> None:
        self._log = log
        self._store = store
        self._keep_s = keep_s
        self._clock = clock
        self._states: dict[str, Reducer] = {}
        self._dirty: set[str] = set()
        self._urgent = asyncio.Event()
        self._writing = asyncio.Lock()
        self._archived: dict[str, float] = {}  # run_id -> when its log may go, in the order they were archived
        self._failures: Counter[str] = Counter()
        self.set_aside: set[str] = set()

    async def run(self) -> None:
        """Project until cancelled. What is in the log already is projected first."""
        self._dirty.update(head.run_id for head in await self._log.heads())
        collector = asyncio.create_task(self._collect(), name="projector: collect")
        try:
            while True:
                await self._round()
        finally:
            collector.cancel()

    async def _collect(self) -> None:
        while True:
            self._dirty |= await self._log.changed()
            self._urgent.set()
            await asyncio.sleep(INTERVAL_S)

    async def _round(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._until_due()):
                await self._urgent.wait()
        self._urgent.clear()
        try:
            await self.flush()
            await self._let_go()
        except NotReady as error:
            logger.warning("projection put off", error=error.message)
        if self._dirty:
            await asyncio.sleep(RETRY_S)
            self._urgent.set()

    async def settle(self, run_id: str) -> None:
        """Project this run now."""
        self._dirty.add(run_id)
        await self.flush()

    async def flush(self) -> None:
        """Write what has changed. Raises NotReady, after which nothing is lost: it is written the next time."""
        async with self._writing:
            dirty, self._dirty = self._dirty - self.set_aside, set()
            try:
                await self._write(dirty)
            except Exception:  # noqa: BLE001  # whatever is wrong with one run must not hold up the others
                await self._store.ping()  # raises NotReady where no run is to blame
                for run_id in dirty:
                    await self._try(run_id)

    async def _write(self, run_ids: set[str]) -> None:
        """Project these in one transaction; if that fails, they are to be folded anew."""
        try:
            projections = [made for run_id in run_ids if (made := await self._project(run_id)) is not None]
            if projections:
                await self._store.project(projections)
        except BaseException:
            self._dirty |= run_ids
            for run_id in run_ids:
                self._states.pop(run_id, None)
            raise
        self._forget(projections)

    async def _try(self, run_id: str) -> None:
        """Project one run that may be the one to blame; set it aside after so many failures."""
        self._dirty.discard(run_id)
        try:
            await self._write({run_id})
            self._failures.pop(run_id, None)
        except Exception as error:  # see `flush`
            self._failures[run_id] += 1
            logger.warning("projection failed", run_id=run_id, error=type(error).__name__, times=self._failures[run_id])
            if self._failures[run_id] >= ATTEMPTS:
                self._dirty.discard(run_id)
                self.set_aside.add(run_id)
                logger.exception("projection given up", run_id=run_id)

    async def _project(self, run_id: str) -> Projection | None:
        state = self._states.setdefault(run_id, Reducer())
        before = state.last_seq
        await asyncio.sleep(0)  # between runs the streams have their turn
        async for batch in batches(self._log, run_id, before):
            state.fold((batch,))
        if state.start is None:  # deleted meanwhile
            del self._states[run_id]
            return None
        if state.last_seq == before:
            return None
        archive = [batch async for batch in batches(self._log, run_id)] if state.status in ENDED else None
        return Projection(response=state.response(), archive=archive)

    def _forget(self, projections: list[Projection]) -> None:
        gone_at = self._clock() + self._keep_s
        for projection in projections:
            if projection.response.status in RESTING:
                self._states.pop(projection.response.id, None)
            if projection.archive is not None:
                self._archived[projection.response.id] = gone_at

    def _until_due(self) -> float | None:
        """Seconds until the next archived log may go; None where there is none."""
        due = next(iter(self._archived.values()), None)
        return None if due is None else max(INTERVAL_S, due - self._clock())

    async def _let_go(self) -> None:
        """Delete the logs of runs that have been in the archive for long enough."""
        now = self._clock()
        due = [run_id for run_id, gone_at in self._archived.items() if gone_at <= now]
        if due:
            await self._log.delete(due)
            for run_id in due:
                del self._archived[run_id]
