"""A Redis Cluster: slots that go from one node to another, and nodes that die, under runs that are written and read."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tailrace.log.redis import RedisLog
from tailrace.log.redis_client import Redis
from tailrace.log.redis_keys import keys_of
from tailrace.log.redis_route import slot_of
from tailrace.testing.log_conformance import TRACE, collect, delta, deltas, done, read_all, seqs, whole
from tests.support.redis import RedisCluster, RedisServer, redis_cluster, redis_server

NODE_TIMEOUT_MS = "3000"  # a node that is merely slow must not be taken for dead

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_to_return")]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path, cluster_node_timeout=NODE_TIMEOUT_MS) as running:
        yield running


@pytest.fixture
async def logs(cluster: RedisCluster) -> AsyncIterator[tuple[RedisLog, RedisLog]]:
    """Those of two processes."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(2):
            client = Redis(cluster.url)
            made.append(RedisLog(client))
            stack.push_async_callback(client.close)
            stack.push_async_callback(made[-1].close)
        yield made[0], made[1]


async def asked(server: RedisServer, *command: str) -> str:
    """One command, to this very node: the whole answer."""
    client = Redis(server.url)
    answer = await client.call(*command)
    await client.close()
    return answer.decode() if isinstance(answer, bytes) else str(answer)


async def replicated(server: RedisServer) -> int:
    """How far the stream of changes goes that a master gives its replicas."""
    (offset,) = re.findall(r"^master_repl_offset:(\d+)", await asked(server, "INFO", "replication"), re.MULTILINE)
    return int(offset)


def test_a_key_s_slot_is_its_hash_tag_s(tmp_path: Path) -> None:
    """As Redis itself has it."""
    with redis_server(tmp_path, cluster_enabled="yes") as server:
        for key in (
            "123456789",
            "foo",
            "{foo}bar",
            "a{foo}b{c}",
            "a{foo",
            "a}foo{",
            "foo{}{bar}",
            "foo{{bar}}zap",
            "{}",
        ):
            assert server.ask("CLUSTER", "KEYSLOT", key) == b":%d" % slot_of(key.encode()), key


async def test_runs_are_spread_and_commands_go_straight_to_their_nodes(
    cluster: RedisCluster, logs: tuple[RedisLog, RedisLog]
) -> None:
    """The node that clients know is asked about a slot once."""
    here, _ = logs
    run_ids = [f"run{number}" for number in range(30)]
    epochs = {run_id: await here.acquire(run_id) for run_id in run_ids}
    moved = await asked(cluster.nodes[0], "INFO", "errorstats")
    for run_id, epoch in epochs.items():
        for number in range(5):
            await here.append(run_id, epoch, deltas(2, number * 2), TRACE)
    assert await asked(cluster.nodes[0], "INFO", "errorstats") == moved
    assert "errorstat_MOVED" in moved
    assert len({cluster.owner(keys_of(run_id).events.decode()).port for run_id in run_ids}) == 3


async def test_a_slot_that_goes_elsewhere_takes_its_runs_along(
    cluster: RedisCluster, logs: tuple[RedisLog, RedisLog]
) -> None:
    """Key by key, while the run is written by one process and read by another: nothing is lost, doubled or held up."""
    here, there = logs
    keys = keys_of("r")
    slot = str(slot_of(keys.events))
    source = cluster.owner(keys.events.decode())
    target = next(node for node in cluster.nodes if node is not source)
    epoch = await here.acquire("r")
    await here.append("r", epoch, [delta("first")], TRACE)
    reading = asyncio.ensure_future(collect(there, "r"))
    moved = asyncio.Event()

    async def write() -> None:
        while not moved.is_set():
            await here.append("r", epoch, deltas(2), TRACE)
            await asyncio.sleep(0.002)
        await here.append("r", epoch, [delta("last"), done("r")], TRACE)

    writing = asyncio.ensure_future(write())
    ids = {node.port: await asked(node, "CLUSTER", "MYID") for node in cluster.nodes}
    assert await asked(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port]) == "OK"
    assert await asked(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port]) == "OK"
    for key in (keys.events, keys.meta):
        await asyncio.sleep(0.05)
        assert source.ask("MIGRATE", "127.0.0.1", str(target.port), key.decode(), "0", "5000") == b"+OK"
    await asyncio.sleep(0.05)
    for node in (target, source, *cluster.nodes):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
    await asyncio.sleep(0.05)
    moved.set()
    await asyncio.wait_for(writing, 20)
    seen = await asyncio.wait_for(reading, 20)
    assert cluster.owner(keys.events.decode()) is target
    assert whole(seen) == whole(await read_all(here, "r"))
    assert seqs(seen) == list(range(1, seen[-1].last_seq + 1))


async def test_a_replica_takes_the_place_of_a_node_that_died(
    tmp_path: Path, cluster: RedisCluster, logs: tuple[RedisLog, RedisLog]
) -> None:
    """Also of the one that clients know. Writer and reader go on, and what had not reached the replica is appended
    again."""
    (tmp_path / "replica").mkdir()
    with redis_server(tmp_path / "replica", cluster_enabled="yes", cluster_node_timeout=NODE_TIMEOUT_MS) as replica:
        first = cluster.nodes[0]
        replica.wait_for(b"+OK", "CLUSTER", "MEET", "127.0.0.1", str(first.port))
        replica.wait_for(b"+OK", "CLUSTER", "REPLICATE", await asked(first, "CLUSTER", "MYID"))
        while "master_link_status:up" not in await asked(replica, "INFO", "replication"):
            await asyncio.sleep(0.05)
        here, there = logs
        run_ids = [f"run{number}" for number in range(12)]
        epochs = {run_id: await here.acquire(run_id) for run_id in run_ids}
        assert first in {cluster.owner(keys_of(run_id).events.decode()) for run_id in run_ids}
        for run_id in run_ids:
            await here.append(run_id, epochs[run_id], deltas(2), TRACE)
        reading = [asyncio.ensure_future(collect(there, run_id)) for run_id in run_ids]
        await asyncio.sleep(0.2)
        while await replicated(replica) < await replicated(first):
            await asyncio.sleep(0.01)
        replica.freeze()
        for run_id in run_ids:
            await here.append(run_id, epochs[run_id], deltas(2, 2), TRACE)
        first.kill()
        replica.thaw()
        for run_id in run_ids:
            await here.append(run_id, epochs[run_id], [done(run_id)], TRACE)
        for run_id, seen in zip(run_ids, await asyncio.wait_for(asyncio.gather(*reading), 20), strict=True):
            assert seqs(seen) == [1, 2, 3, 4, 5]
            assert whole(await read_all(there, run_id)) == whole(seen)
