"""What is measured of the scaled log: runs in a Redis of the bench's own."""

import shutil
from functools import partial
from statistics import median

from bench.client import stream_run, stream_wire
from bench.load import Bench, Load, System, measure
from bench.processes import passthrough, redis_server, tailrace
from bench.report import Figure


async def redis(bench: Bench) -> list[Figure]:
    """The loads of `paced` and `burst` with the log in Redis; nothing where redis-server is not installed."""
    if shutil.which("redis-server") is None:
        bench.say("redis: left out, redis-server is not installed")
        return []
    up = bench.upstream
    async with redis_server(bench.folder) as url:

        def systems() -> list[System]:
            return [
                System("passthrough", partial(passthrough, up), stream_wire),
                System("tailrace", lambda: tailrace(up, bench.fresh(), "redis", {"REDIS_URL": url}), stream_run),
            ]

        paced, burst = systems(), systems()
        await measure(bench, "redis, paced", Load(50, 60, 20), bench.rounds, paced)
        await measure(bench, "redis, burst", Load(20, 200, 0), 3 * bench.rounds, burst)
    least, cost = (median(system.cpu_us) for system in paced)
    most, rate = (median(system.per_s) for system in burst)
    return [
        Figure("redis", "CPU per event, paced", "µs", cost, least, 2.5, of_ratio=True),
        Figure("redis", "events/s, burst", "1/s", rate, most, 20_000, at_least=True),
    ]
