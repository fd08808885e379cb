"""What only the queue in Redis does: it stays, it is shared out over partitions, and it outlives its workers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tailrace.log import work_redis
from tailrace.log.redis_client import Redis
from tailrace.log.work_redis import GROUPS, PARTITIONS, RedisWork, partition_of
from tailrace.schema.errors import NotReady
from tailrace.testing.work_conformance import claimed, names, soon
from tests.support.redis import RedisServer, redis_server

pytestmark = pytest.mark.usefixtures("quick_to_return")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


class Workers:
    """Queues as different processes would have them, over one server."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    def __call__(self, server: RedisServer, *, lease_s: float = 60) -> RedisWork:
        client = Redis(server.url)
        work = RedisWork(client, "project", lease_s=lease_s)
        self._stack.push_async_callback(client.close)
        self._stack.push_async_callback(work.close)
        return work


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        yield Workers(stack)


def queue(partition: int) -> str:
    """The stream of a partition."""
    return f"tailrace:work:{{project:{partition}}}"


async def test_runs_are_spread_over_partitions_with_a_group_each(server: RedisServer, workers: Workers) -> None:
    """Under names that others know; the consumer is the node."""
    work = workers(server)
    run_ids = [f"run_{number}" for number in range(64)]
    await work.put(run_ids)
    for partition in range(PARTITIONS):
        held = [run_id for run_id in run_ids if partition_of(run_id) == partition]
        assert server.ask("XLEN", queue(partition)) == b":%d" % len(held)
    await claimed(work, 64)
    groups = await work._redis.call("XINFO", "GROUPS", queue(0))
    assert groups[0][b"name"] == GROUPS["project"].encode() == b"tailrace-projector-group"
    consumers = await work._redis.call("XINFO", "CONSUMERS", queue(0), GROUPS["project"])
    assert [consumer[b"name"] for consumer in consumers] == [work._redis.node_id.encode()]


async def test_what_is_worked_off_leaves_nothing(server: RedisServer, workers: Workers) -> None:
    """C43: after thousands of runs the queue is as small as at its beginning."""
    work = workers(server)
    for start in range(0, 3000, 500):
        await work.put([f"run_{number}" for number in range(start, start + 500)])
        await work.done(await claimed(work, 500))
    for partition in range(PARTITIONS):
        assert server.ask("XLEN", queue(partition)) == b":0"
        for part in ("runs", "again", "dead"):
            assert server.ask("EXISTS", f"{queue(partition)}:{part}") == b":0"


async def test_the_queue_survives_kill_9_of_redis(server: RedisServer, workers: Workers) -> None:
    """Runs put and claims held, both (with `appendfsync always`); who waits is woken by what is put afterwards."""
    work, other = workers(server), workers(server)
    await work.put(["claimed", "waiting"])
    mine = await claimed(work, 1)
    server.kill()
    server.start()
    theirs = await claimed(other, 1)
    assert names(mine + theirs) == ["claimed", "waiting"]
    assert await work.renew(mine) == []
    await work.done(mine)
    await other.done(theirs)
    waiting = asyncio.ensure_future(other.claim(1))
    await asyncio.sleep(0)
    server.kill()
    server.start()
    await work.put(["new"])
    assert names(await soon(waiting)) == ["new"]


async def test_a_cut_connection_misses_no_wake_up(server: RedisServer, workers: Workers) -> None:
    """Each time that it listens anew, it looks first."""
    work, other = workers(server), workers(server)
    for number in range(20):
        waiting = asyncio.ensure_future(work.claim(1))
        await asyncio.sleep(0.002 * (number % 3))
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await other.put([str(number)])
        jobs = await soon(waiting)
        assert names(jobs) == [str(number)]
        await work.done(jobs)


async def test_a_message_lost_is_made_up_for_by_looking(server: RedisServer, workers: Workers) -> None:
    """A third of a lease later at the latest."""
    work = workers(server, lease_s=0.3)
    waiting = asyncio.ensure_future(work.claim(1))
    await asyncio.sleep(0.01)
    work._redis._subscribers.clear()
    await workers(server).put(["a"])
    assert names(await soon(waiting)) == ["a"]


async def test_many_claims_of_a_dead_node_are_taken_over_together(server: RedisServer, workers: Workers) -> None:
    """Not a few per third of a lease: the cursor is followed to its end at once."""
    dead, heir = workers(server), workers(server, lease_s=0.5)
    await dead.put([str(number) for number in range(500)])
    await claimed(dead, 500)
    await asyncio.sleep(0.6)
    async with asyncio.timeout(5):
        jobs = [job for _ in range(50) for job in await claimed(heir, 10)]
    assert len(set(names(jobs))) == 500
    assert {job.deliveries for job in jobs} == {2}


async def test_consumers_of_nodes_that_are_gone_are_forgotten(
    server: RedisServer, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that leaves, at once; one that was not heard of, later, and never while it holds a claim."""
    staying, leaving, lost, holding = (workers(server) for _ in range(4))
    partition = partition_of("r")

    async def consumers() -> set[bytes]:
        answer = await staying._redis.call("XINFO", "CONSUMERS", queue(partition), GROUPS["project"])
        return {consumer[b"name"] for consumer in answer}

    for work in (leaving, lost, holding, staying):
        await work.put(["r"])
        jobs = await claimed(work, 1)
        await (work.done(jobs) if work is not holding else staying.put(["other"]))
        if work is holding:
            break
    node = {work: work._redis.node_id.encode() for work in (staying, leaving, lost, holding)}
    assert await consumers() >= {node[leaving], node[lost], node[holding]}
    await leaving.close()
    assert node[leaving] not in await consumers()
    monkeypatch.setattr(work_redis, "FORGET_MS", 50)
    await asyncio.sleep(0.1)
    await staying._tidy(float("inf"))
    assert await consumers() == {node[holding]}


async def test_the_lease_is_as_long_as_redis_says(server: RedisServer, workers: Workers) -> None:
    """Whatever the claimer's clock says; and a node that was away does not lose what nobody took."""
    work, other = workers(server, lease_s=0.2), workers(server, lease_s=0.2)
    await work.put(["r"])
    mine = await claimed(work, 1)
    await asyncio.sleep(0.3)
    assert await work.renew(mine) == []
    await asyncio.sleep(0.3)
    theirs = await claimed(other, 1)
    assert theirs[0].deliveries == 2
    assert await work.renew(mine) == mine


async def test_no_redis_is_not_ready(server: RedisServer, workers: Workers) -> None:
    """For whoever asks; nothing hangs."""
    work = workers(server)
    await work.put(["r"])
    server.kill()
    for call in (work.put(["r"]), work.claim(1), work.waiting(), work.dead()):
        with pytest.raises(NotReady):
            await soon(call)
    server.start()
    assert names(await claimed(work, 1)) == ["r"]


async def test_in_a_cluster_every_script_keeps_to_one_slot(tmp_path: Path, workers: Workers) -> None:
    """The whole life of a claim, on a server that checks slots."""
    with redis_server(tmp_path, cluster_enabled="yes") as server:
        server.make_cluster()
        work, other = workers(server), workers(server)
        run_ids = [str(number) for number in range(20)]
        await work.put(run_ids)
        jobs = await claimed(other, 20)
        assert await other.renew(jobs) == []
        await work.put(run_ids[:5])
        await other.release(jobs[:10])
        await other.done(jobs[10:])
        assert await work.waiting() >= 10
        assert await work.dead() == []
        await other.close()
