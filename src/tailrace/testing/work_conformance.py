"""What every queue of work keeps (`log.work`), as tests for pytest.

Subclass `WorkConformance` in a test module whose fixtures give `workers`: two ways into one empty queue (the same
twice, where there is only one), with a lease that does not lapse in a test; and `hasty`: with a lease of HASTY_S.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from tailrace.log.work import MAX_DELIVERIES, Job, Work
from tailrace.schema.errors import NotReady

DEADLINE = 5.0  # seconds; only what hangs comes near it
HASTY_S = 0.1

Workers = tuple[Work, Work]


async def soon(awaitable: Awaitable[Any]) -> Any:
    """Its result. Raises TimeoutError where it does not come."""
    return await asyncio.wait_for(awaitable, DEADLINE)


async def claimed(work: Work, count: int) -> list[Job]:
    """So many jobs."""
    jobs: list[Job] = []
    while len(jobs) < count:
        jobs += await soon(work.claim(count - len(jobs)))
    return jobs


def names(jobs: Sequence[Job]) -> list[str]:
    """The runs that they are about, in order."""
    return sorted(job.run_id for job in jobs)


async def empty(work: Work) -> bool:
    """Is there nothing to claim? What is put now is claimed alone."""
    await work.put(["empty?"])
    jobs = await claimed(work, 1)
    await work.done(jobs)
    return names(jobs) == ["empty?"] and await work.waiting() == 0


class WorkConformance:
    """The suite."""

    async def test_what_is_put_is_claimed(self, workers: Workers) -> None:
        """Once, for the first time."""
        work, other = workers
        await work.put(["a", "b"])
        await work.put(["c"])
        assert await work.waiting() == 3
        jobs = await claimed(other, 3)
        assert names(jobs) == ["a", "b", "c"]
        assert [job.deliveries for job in jobs] == [1, 1, 1]
        assert await work.waiting() == 0
        assert await empty(work)

    async def test_run_ids_come_back_to_the_letter(self, workers: Workers) -> None:
        """Whatever they are made of."""
        work, _ = workers
        run_ids = ["läuft/🙂", "with space", "a\tb", "x" * 500]
        await work.put(run_ids)
        assert names(await claimed(work, 4)) == sorted(run_ids)

    async def test_a_claim_waits_until_something_is_put(self, workers: Workers) -> None:
        """And is then woken."""
        work, other = workers
        waiting = asyncio.ensure_future(work.claim(5))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await other.put(["a"])
        assert names(await soon(waiting)) == ["a"]

    async def test_a_claim_is_limited(self, workers: Workers) -> None:
        """The rest is for others."""
        work, other = workers
        await work.put([str(number) for number in range(10)])
        mine = await claimed(work, 3)
        assert len(mine) == 3
        assert await work.waiting() == 7
        theirs = await claimed(other, 7)
        assert len(set(names(mine + theirs))) == 10

    async def test_a_run_is_in_the_queue_once(self, workers: Workers) -> None:
        """However often it is put before somebody claims it."""
        work, _ = workers
        for _ in range(3):
            await work.put(["a", "a"])
        assert await work.waiting() == 1
        await work.done(await claimed(work, 1))
        assert await empty(work)

    async def test_a_run_put_while_claimed_is_handed_out_afterwards(self, workers: Workers) -> None:
        """Not before `done`, and once: no change is missed, and none is worked on twice at once."""
        work, other = workers
        await work.put(["a"])
        jobs = await claimed(work, 1)
        for _ in range(3):
            await other.put(["a"])
        assert await empty(other)
        await work.done(jobs)
        again = await claimed(other, 1)
        assert names(again) == ["a"]
        assert again[0].deliveries == 1
        await other.done(again)
        assert await empty(work)

    async def test_what_is_done_can_be_put_again(self, workers: Workers) -> None:
        """As if it were the first time."""
        work, _ = workers
        for _ in range(MAX_DELIVERIES + 2):
            await work.put(["a"])
            jobs = await claimed(work, 1)
            assert jobs[0].deliveries == 1
            await work.done(jobs)

    async def test_what_is_released_is_claimed_at_once(self, workers: Workers) -> None:
        """However often; it does not count as a delivery, and what was put meanwhile is in it."""
        work, other = workers
        await work.put(["a"])
        for _ in range(MAX_DELIVERIES + 2):
            jobs = await claimed(work, 1)
            assert jobs[0].deliveries == 1
            await other.put(["a"])
            await work.release(jobs)
            assert await work.waiting() == 1
        await other.done(await claimed(other, 1))
        assert await empty(work)

    async def test_renewing_says_what_is_lost(self, workers: Workers) -> None:
        """Nothing that is held."""
        work, _ = workers
        await work.put(["a", "b"])
        jobs = await claimed(work, 2)
        assert await work.renew(jobs) == []
        assert await work.renew([]) == []
        await work.done(jobs[:1])
        assert await work.renew(jobs) == jobs[:1]

    async def test_what_ends_twice_ends_once(self, workers: Workers) -> None:
        """A claim that is over can be neither done nor released."""
        work, other = workers
        await work.put(["a"])
        jobs = await claimed(work, 1)
        await work.done(jobs)
        await work.release(jobs)
        assert await empty(work)
        await work.put(["a"])
        theirs = await claimed(other, 1)
        await work.done(jobs)
        await work.release(jobs)
        assert await other.renew(theirs) == []
        assert await empty(work)

    async def test_a_lapsed_claim_is_handed_to_another(self, hasty: Workers) -> None:
        """Who lost it is told, and can harm nothing any more."""
        work, other = hasty
        await work.put(["a"])
        mine = await claimed(work, 1)
        theirs = await claimed(other, 1)
        assert (theirs[0].run_id, theirs[0].deliveries) == ("a", 2)
        assert await work.renew(mine) == mine
        await work.done(mine)
        await work.release(mine)
        await other.done(theirs)
        assert await empty(work)

    async def test_a_renewed_claim_does_not_lapse(self, hasty: Workers) -> None:
        """As long as it is renewed, nobody else gets it."""
        work, other = hasty
        await work.put(["a"])
        mine = await claimed(work, 1)
        taking = asyncio.ensure_future(other.claim(1))
        for _ in range(10):
            await asyncio.sleep(HASTY_S / 4)
            assert await work.renew(mine) == []
        assert not taking.done()
        await work.done(mine)
        await other.put(["b"])
        assert names(await soon(taking)) == ["b"]

    async def test_c41_what_fails_time_after_time_is_dead(self, hasty: Workers) -> None:
        """Handed out MAX_DELIVERIES times, then shown and left alone, until it is put again."""
        work, other = hasty
        await work.put(["poison", "good"])
        tries = 0
        while tries < MAX_DELIVERIES:
            for job in await soon(work.claim(2)):
                if job.run_id == "good":
                    await work.done([job])
                else:
                    tries += 1
                    assert job.deliveries == tries
                    await work.failed([job])
        while await other.dead() != ["poison"]:
            assert await empty(work)
            await asyncio.sleep(HASTY_S / 4)
        assert await empty(work)
        await work.put(["poison"])
        jobs = await claimed(work, 1)
        assert (jobs[0].run_id, jobs[0].deliveries) == ("poison", 1)
        assert await work.dead() == []
        await work.done(jobs)

    async def test_a_cancelled_claim_loses_nothing(self, workers: Workers) -> None:
        """At whatever turn of the loop: what it would have got is there for the next one."""
        work, other = workers
        for turns in range(12):
            taking = asyncio.ensure_future(work.claim(1))
            putting = asyncio.ensure_future(other.put(["a"]))
            for _ in range(turns):
                await asyncio.sleep(0)
            taking.cancel()
            outcome = (await asyncio.gather(taking, return_exceptions=True))[0]
            await putting
            who, jobs = (work, outcome) if isinstance(outcome, list) else (other, await claimed(other, 1))
            assert names(jobs) == ["a"]
            await who.done(jobs)
        assert await empty(work)

    async def test_two_workers_share_the_work(self, workers: Workers) -> None:
        """Each run goes to one of them, and all runs do."""
        run_ids = [str(number) for number in range(300)]
        shares: list[list[str]] = [[], []]
        through = asyncio.Event()

        async def toil(work: Work, share: list[str]) -> None:
            while True:
                jobs = await work.claim(7)
                share += [job.run_id for job in jobs]
                await work.done(jobs)
                if sum(map(len, shares)) >= len(run_ids):
                    through.set()

        toiling = [asyncio.ensure_future(toil(work, share)) for work, share in zip(workers, shares, strict=True)]
        await workers[0].put(run_ids)
        await soon(through.wait())
        for task in toiling:
            task.cancel()
        await asyncio.gather(*toiling, return_exceptions=True)
        assert sorted(shares[0] + shares[1]) == sorted(run_ids)

    async def test_a_closed_queue_is_not_ready(self, workers: Workers) -> None:
        """Who waits is woken."""
        work, _ = workers
        waiting = asyncio.ensure_future(work.claim(1))
        await asyncio.sleep(0.01)
        await work.close()
        for call in (waiting, work.claim(1), work.put(["a"])):
            try:
                await soon(call)
            except NotReady:
                continue
            raise AssertionError("NotReady was not raised")
        await work.close()
