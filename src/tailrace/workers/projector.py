"""Log to store: folds what was appended and writes snapshots, many runs in one transaction; archives what is sealed.

Any number of projectors may work on one store: each run is claimed by one at a time, and a snapshot that is not newer
than what is stored changes nothing (`Store.project`). The last snapshot of a run goes with its archive.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

import structlog

from tailrace.fold.folds import Folds
from tailrace.fold.reducer import Reducer
from tailrace.log.base import Log, pages
from tailrace.log.work import Job, Work
from tailrace.schema.errors import NotReady
from tailrace.schema.response import ENDED
from tailrace.store.base import Projection, Store

logger = structlog.get_logger()

AT_ONCE = 64  # runs that are claimed together
FOLDED_AT_ONCE = 64  # events, in one turn of the loop: some tenths of a millisecond
RETRY_S = 0.5
MAX_HELD = 1024  # folds kept in memory, to go on from; another's is read anew
RESTING = ENDED | {"requires_action"}  # nothing more for a while: what is kept in memory can go


Freed = Callable[[Collection[str]], Awaitable[None]]


class _Held:
    """A run's fold, and up to which seq it was projected: its writer folds on as well."""

    __slots__ = ("fold", "seq")

    def __init__(self, fold: Reducer) -> None:
        self.fold = fold
        self.seq = 0


class Projector:
    """Keeps the store in step with the log. `keep_s`: how long the log of an archived run stays for its readers;
    `freed` is told the threads whose runs have ended.

    A run that cannot be projected holds up nobody: it is handed out again, and dead after so many times (`Work.dead`).
    """

    def __init__(self, log: Log, store: Store, folds: Folds, work: Work, *, keep_s: float, freed: Freed) -> None:
        self._log = log
        self._folds = folds
        self._store = store
        self._work = work
        self._keep_s = keep_s
        self._freed = freed
        self._free: set[str] = set()
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._writing = asyncio.Lock()
        self._folded = 0  # events, since others last had their turn

    async def run(self) -> None:
        """Project what is claimed, until cancelled."""
        while True:
            try:
                await self._carry_out(await self._work.claim(AT_ONCE))
            except NotReady as error:
                logger.warning("projection put off", error=error.message)
                await asyncio.sleep(RETRY_S)

    async def settle(self, run_id: str) -> None:
        """Project this run now. Raises NotReady."""
        async with self._writing:
            await self._write([run_id])

    async def _carry_out(self, jobs: Sequence[Job]) -> None:
        try:
            async with self._writing:
                failed = await self._project_all([job.run_id for job in jobs])
        except NotReady:  # nobody's fault: it is done the next time
            with suppress(NotReady):
                await self._work.release(jobs)
            raise
        await self._tell_freed()
        await self._work.done([job for job in jobs if job.run_id not in failed])
        await self._work.failed([job for job in jobs if job.run_id in failed])

    async def _tell_freed(self) -> None:
        """Raises NotReady, and then it is told the next time."""
        if not self._free:
            return
        free, self._free = self._free, set()
        try:
            await self._freed(free)
        except NotReady:
            self._free |= free
            raise

    async def _project_all(self, run_ids: Sequence[str]) -> set[str]:
        """Project these; those that could not be. Raises NotReady where no run is to blame."""
        try:
            await self._write(run_ids)
        except Exception:  # noqa: BLE001  # whatever is wrong with one run must not hold up the others
            await self._check_engines()
            return {run_id for run_id in run_ids if not await self._succeeds(run_id)}
        return set()

    async def _succeeds(self, run_id: str) -> bool:
        """Project one run that may be the one to blame."""
        try:
            await self._write([run_id])
        except Exception as error:  # see `_project_all`
            await self._check_engines()
            logger.exception("projection failed", run_id=run_id, error=type(error).__name__)
            return False
        return True

    async def _check_engines(self) -> None:
        """Raises NotReady where the log or the store is out of reach: then no run is to blame."""
        await self._log.ping()
        await self._store.ping()

    async def _write(self, run_ids: Sequence[str]) -> None:
        """Project these; if that fails, they are to be projected anew."""
        try:
            projections = [made for run_id in run_ids if (made := await self._project(run_id)) is not None]
            if projections:
                await self._store.project(projections)
        except BaseException:
            for run_id in run_ids:
                self._held.pop(run_id, None)
            raise
        await self._forget(projections)

    async def _project(self, run_id: str) -> Projection | None:
        held = self._hold(run_id)
        fold, before = held.fold, held.fold.last_seq
        new = [batch async for page in pages(self._log, run_id, before) for batch in page]
        fold.fold(new)
        if fold.start is None:  # deleted meanwhile
            del self._held[run_id]
            return None
        if fold.last_seq == held.seq:
            return None
        response = fold.response()
        held.seq = response.last_seq
        await self._let_others(response.last_seq - before)
        if response.status not in ENDED:
            return Projection(response=response, archive=None)
        is_all = bool(new) and new[0].first_seq == 1 and new[-1].last_seq == response.last_seq
        archive = new if is_all else [batch async for page in pages(self._log, run_id) for batch in page]
        return Projection(response=response, archive=archive)

    async def _let_others(self, folded: int) -> None:
        """Between runs the streams have their turn, when some have been folded of so many events."""
        self._folded += folded
        if self._folded >= FOLDED_AT_ONCE:
            self._folded = 0
            await asyncio.sleep(0)

    def _hold(self, run_id: str) -> _Held:
        held = self._held.get(run_id)
        if held is None:
            held = self._held[run_id] = _Held(self._folds.of(run_id))
        self._held.move_to_end(run_id)
        if len(self._held) > MAX_HELD:
            self._held.popitem(last=False)
        return held

    async def _forget(self, projections: Sequence[Projection]) -> None:
        for projection in projections:
            if projection.response.status in RESTING:
                self._held.pop(projection.response.id, None)
            if projection.response.status in ENDED:
                self._free.add(projection.response.thread_id)
        archived = [projection.response.id for projection in projections if projection.archive is not None]
        if archived:
            await self._log.expire(archived, self._keep_s)
