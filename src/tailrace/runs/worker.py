"""The runner as a worker among others: claims runs, has them driven, keeps its claims, hands over when it is told to.

A claim lapses with its worker (`Work.renew`); who claims the run then opens its log under a higher epoch, so that a
worker that was only thought dead can harm nothing (design rule 4).
"""

import asyncio
from contextlib import suppress

import structlog

from tailrace.log.work import Job, Work
from tailrace.runs.runner import Runner
from tailrace.schema.errors import LogError, NotFound, NotReady
from tailrace.store.base import Store

logger = structlog.get_logger()

RETRY_S = 0.5


class RunWorker:
    """Drives up to `capacity` claimed runs at a time; renews its claims every `renew_s` seconds."""

    def __init__(self, work: Work, store: Store, runner: Runner, *, capacity: int, renew_s: float) -> None:
        self._work = work
        self._store = store
        self._runner = runner
        self._capacity = capacity
        self._renew_s = renew_s
        self._held: dict[asyncio.Task[None], Job] = {}
        self._room = asyncio.Event()
        self._leaving = False

    async def run(self) -> None:
        """Claim and drive until cancelled; what is held then stays with its tasks (see `drain`)."""
        while True:
            self._room.clear()
            free = self._capacity - len(self._held)
            if free <= 0:
                await self._room.wait()
                continue
            try:
                jobs = await self._work.claim(free)
            except NotReady as error:
                logger.warning("claiming put off", error=error.message)
                await asyncio.sleep(RETRY_S)
                continue
            for job in jobs:
                task = asyncio.create_task(self._carry_out(job), name=f"job {job.run_id}")
                self._held[task] = job
                task.add_done_callback(self._let_go)

    async def renew(self) -> None:
        """Keep the claims until cancelled; what another has claimed meanwhile is left to it.

        A run whose claim lapsed, and which this process claimed again, goes on undisturbed.
        """
        while True:
            await asyncio.sleep(self._renew_s)
            if not self._held:
                continue
            try:
                lost = await self._work.renew(list(self._held.values()))
            except NotReady as error:
                logger.warning("claims not renewed", error=error.message)
                continue
            kept = {job.run_id for job in self._held.values() if job not in lost}
            self._runner.leave({job.run_id for job in lost} - kept)

    async def drain(self, within_s: float) -> None:
        """Let runs end within so many seconds, then hand over the rest. Claim no more before (cancel `run`)."""
        if self._held:
            await asyncio.wait(self._held, timeout=within_s)
        self._leaving = True
        self._runner.leave([job.run_id for job in self._held.values()])
        if self._held:
            await asyncio.wait(self._held)

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._held.pop(task, None)
        self._room.set()

    async def _carry_out(self, job: Job) -> None:
        """Drive the run until this process has no more to do with it; hand it over where that did not end well."""
        over = False
        try:
            over = await self._drive(job.run_id)
        except NotFound:
            over = True  # deleted meanwhile
        except LogError:
            over = True  # another has taken it, and sees to it
        except NotReady as error:
            logger.warning("run put off", run_id=job.run_id, error=error.message)
            await asyncio.sleep(RETRY_S)
        except Exception as error:
            logger.exception("run failed", run_id=job.run_id, error=type(error).__name__)
            return  # its claim lapses: another tries, and after too many the run is dead (`Work.dead`)
        with suppress(NotReady):  # then the claim lapses
            await (self._work.done([job]) if over else self._work.release([job]))

    async def _drive(self, run_id: str) -> bool:
        """False where the run was left in the middle: handed over, or the log was out of reach."""
        await self._runner.take(await self._store.get_run(run_id))
        if self._leaving:
            self._runner.leave([run_id])
        return await self._runner.ended(run_id)
