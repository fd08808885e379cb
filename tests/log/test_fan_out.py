"""What one run costs Redis, whatever number of readers it has on a node (design, "How a run goes" 4)."""

import asyncio
import re

from tailrace.log.redis import RedisLog
from tailrace.log.redis_client import Redis
from tailrace.log.redis_keys import keys_of
from tailrace.testing.log_conformance import TRACE, collect, delta, done, seqs
from tests.support.topology import shared_redis

APPENDS = 50
READERS = 500
UPKEEP = {"ping", "info"}  # of the connections, and our own


async def carried_out(redis: Redis) -> dict[str, int]:
    """How often Redis has carried out each command."""
    told = (await redis.call("INFO", "commandstats")).decode()
    counts = re.findall(r"cmdstat_([^:]+):calls=(\d+)", told)
    return {name: int(number) for name, number in counts if name not in UPKEEP}


async def cost(run_id: str, readers: int) -> dict[str, int]:
    """The commands that APPENDS appends take, while so many on another node wait for each and read it."""
    writing, reading = Redis(shared_redis().url), Redis(shared_redis().url)
    writer, reader = RedisLog(writing), RedisLog(reading)
    epoch = await writer.acquire(run_id)
    await writer.append(run_id, epoch, [delta("first")], TRACE)
    tails = [reader.tail(run_id) for _ in range(readers)]
    for tail in tails:
        await anext(tail)
    rest = [asyncio.ensure_future(anext(tail)) for tail in tails]
    await asyncio.sleep(0)  # all of them wait
    assert await writing.call("PUBSUB", "NUMSUB", keys_of(run_id).channel) == [keys_of(run_id).channel, 1]
    before = await carried_out(writing)
    for number in range(APPENDS):
        await writer.append(run_id, epoch, [delta(str(number))], TRACE)
        batches = await asyncio.gather(*rest)
        assert {id(batch) for batch in batches} == {id(batches[0])}, "one batch, which all of them share"
        rest = [asyncio.ensure_future(anext(tail)) for tail in tails]
        await asyncio.sleep(0)
    after = await carried_out(writing)
    await writer.append(run_id, epoch, [done(run_id)], TRACE)
    await asyncio.gather(*rest)
    assert [seqs(await collect(reader, run_id))[-1]] == [APPENDS + 2]
    for log, redis in ((writer, writing), (reader, reading)):
        await log.close()
        await redis.close()
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


async def test_500_readers_of_a_run_cost_redis_as_much_as_one():
    """One message per append to the node, and no other command: they share what it brings, the very same batch."""
    shared_redis().wait_for(b"+OK", "FLUSHALL")
    alone, many = await cost("alone", 1), await cost("many", READERS)
    assert alone == many
    assert many["publish"] == many["evalsha"] == APPENDS
    shared_redis().wait_for(b"+OK", "FLUSHALL")
