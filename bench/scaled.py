"""What is measured of the scaled log: runs in a Redis of the bench's own."""

import shutil
from contextlib import AsyncExitStack
from statistics import median

from bench.client import stream_run, stream_wire
from bench.load import Bench, Load, System, measure
from bench.processes import helper, redis_server, tailrace
from bench.report import Figure


async def redis(bench: Bench) -> list[Figure]:
    """The loads of `paced` and `burst` with the log in Redis; nothing where redis-server is not installed."""
    if shutil.which("redis-server") is None:
        bench.say("redis: left out, redis-server is not installed")
        return []
    up = bench.upstream
    async with AsyncExitStack() as stack:
        bare = await stack.enter_async_context(helper("bench.passthrough", f"http://127.0.0.1:{up.port}"))
        url = await stack.enter_async_context(redis_server(bench.folder))
        server = await stack.enter_async_context(tailrace(up, bench.folder, "redis", {"REDIS_URL": url}))
        paced = [System("passthrough", bare, stream_wire), System("tailrace", server, stream_run)]
        burst = [System(system.name, system.process, system.drive) for system in paced]
        await measure(bench, "redis, paced", Load(50, 60, 20), bench.rounds, paced)
        await measure(bench, "redis, burst", Load(20, 200, 0), 3 * bench.rounds, burst)
    least, cost = (median(system.cpu_us) for system in paced)
    most, rate = (median(system.per_s) for system in burst)
    return [
        Figure("redis", "CPU per event, paced", "µs", cost, least, 2.5, of_ratio=True),
        Figure("redis", "events/s, burst", "1/s", rate, most, 20_000, at_least=True),
    ]
