"""What is measured. Each scenario takes the bench's processes and answers with its figures."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from functools import partial
from statistics import median

from bench.client import EVENT, BenchError, Connection, asked, ignore, stream_run, stream_wire, submit
from bench.decode import decode
from bench.load import Bench, Load, System, measure
from bench.processes import passthrough, tailrace
from bench.report import Figure
from bench.scaled import redis
from bench.tools import tools
from bench.vendors import requests, responses

GATHER = {"TAILRACE_LOG__GATHER_MS": "2"}


async def _measured(bench: Bench, name: str, load: Load, rounds: int) -> list[System]:
    up = bench.upstream
    systems = [
        System("direct", lambda: nullcontext(up), stream_wire),
        System("passthrough", partial(passthrough, up), stream_wire),
        System("tailrace", lambda: tailrace(up, bench.fresh(), "tailrace", {}), stream_run),
        System("tailrace, gathering", lambda: tailrace(up, bench.fresh(), "gathering", GATHER), stream_run),
    ]
    await measure(bench, name, load, rounds, systems)
    return systems


async def paced(bench: Bench) -> list[Figure]:
    """50 streams of 60 events, 20 ms apart: CPU per event and added latency."""
    name = "paced"
    direct, bare, plain, gathering = await _measured(bench, name, Load(50, 60, 20), bench.rounds)
    figures = []
    for system, goals in ((plain, (2.2, 0.6, 5.0)), (gathering, (1.8, None, None))):
        label = "" if system is plain else " (gathering 2 ms)"
        cpu, p50, p99 = goals
        figures += [
            Figure(name, f"CPU per event{label}", "µs", median(system.cpu_us), median(bare.cpu_us), cpu, of_ratio=True),
            Figure(name, f"added latency p50{label}", "ms", *_added(system, bare, direct, "p50_ms"), p50),
            Figure(name, f"added latency p99{label}", "ms", *_added(system, bare, direct, "p99_ms"), p99),
        ]
    return figures


def _added(system: System, bare: System, direct: System, which: str) -> tuple[float, float]:
    """Latency beyond the direct way's median, of the system and of the passthrough."""
    base = median(direct.p50_ms)
    return median(getattr(system, which)) - base, median(getattr(bare, which)) - base


async def long(bench: Bench) -> list[Figure]:
    """50 streams of 600 events, 6 ms apart, as fast models write long answers: what lasts must cost no more."""
    up = bench.upstream
    bare = System("passthrough", partial(passthrough, up), stream_wire)
    plain = System("tailrace", lambda: tailrace(up, bench.fresh(), "long", {}), stream_run)
    await measure(bench, "long", Load(50, 600, 6), 1, [bare, plain])
    return [
        Figure("long", "CPU per event", "µs", median(plain.cpu_us), median(bare.cpu_us)),
        Figure("long", "latency p50", "ms", median(plain.p50_ms), median(bare.p50_ms)),
        Figure("long", "latency p99", "ms", median(plain.p99_ms), median(bare.p99_ms)),
    ]


async def burst(bench: Bench) -> list[Figure]:
    """20 streams of 200 events as fast as they go: events per second, from the first request to the last event."""
    _, bare, plain, gathering = await _measured(
        bench, "burst", Load(20, 200, 0), 3 * bench.rounds
    )  # short ones, so more of them
    return [
        Figure("burst", "events/s", "1/s", median(plain.per_s), median(bare.per_s), 30_000, at_least=True),
        Figure("burst", "events/s (gathering 2 ms)", "1/s", median(gathering.per_s), median(bare.per_s)),
        Figure("burst", "CPU per event", "µs", median(plain.cpu_us), median(bare.cpu_us)),
    ]


class _First:
    """Notes when a stream's first event comes, and which it is."""

    def __init__(self) -> None:
        self._seen = b"\n"
        self.came: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def __call__(self, data: bytes) -> None:
        if self.came.done():
            return
        self._seen += data
        _, found, rest = self._seen.partition(EVENT)
        number, ended, _ = rest.partition(b"\n")
        if found and ended:
            self.came.set_result(int(number))


async def _time_to_first(port: int, path: str, after: int) -> float:
    """Milliseconds from the connect to the first event behind `after`."""
    first = _First()
    began = time.monotonic()
    connection = await Connection.open(port)
    ended = connection.begin("GET", f"{path}?after={after}", None, first)
    seq = await asyncio.wait_for(first.came, 30)
    took = (time.monotonic() - began) * 1000
    ended.cancel()
    connection.close()
    if seq != after + 1:
        raise BenchError(f"asked for what is behind {after}, got {seq} first")
    return took


async def resume(bench: Bench) -> list[Figure]:
    """A run of 10,000 events resumed from random cursors: from the log, and from the archive when the log is gone."""
    figures = []
    for where, settings in (("log", {}), ("archive", {"TAILRACE_LOG__KEEP_S": "0"})):
        async with tailrace(bench.upstream, bench.folder, f"resume-{where}", settings) as server:
            connection = await Connection.open(server.port)
            path = await submit(connection, asked(10_000, 0))
            await connection.request("GET", path, None, ignore)
            connection.close()
            await asyncio.sleep(2.0)  # until the run is archived and, where so set, its log is gone
            dice = random.Random(4010)
            times = [await _time_to_first(server.port, path, dice.randrange(10_000)) for _ in range(5 * bench.repeats)]
            bench.say(f"resume from the {where}: median {median(times):.1f} ms, at most {max(times):.1f} ms")
            figures += [
                Figure("resume", f"first event, from the {where}, median", "ms", median(times), goal=30),
                Figure("resume", f"first event, from the {where}, slowest", "ms", max(times), goal=30),
            ]
    return figures


async def idle(bench: Bench) -> list[Figure]:
    """An idle server's memory, and what each of 1,000 readers of one silent run adds to it."""
    readers = 1_000
    async with tailrace(bench.upstream, bench.folder, "idle", {}) as server:
        await asyncio.sleep(2.0)
        empty = server.rss()
        bench.say(f"idle server: {empty / 1e6:.1f} MB")
        control = await Connection.open(server.port)
        path = await submit(control, asked(5, 1, hold=True))
        await _read(server.port, path)
        before = server.rss()
        for done in range(0, readers, 50):
            await asyncio.gather(*(_read(server.port, path) for _ in range(50)))
            if not (done + 50) % 250:
                bench.say(f"{done + 50} idle readers: {server.rss() / 1e6:.1f} MB")
        await asyncio.sleep(1.0)
        each = (server.rss() - before) / readers
    return [
        Figure("idle", "server's memory", "MB", empty / 1e6, goal=90),
        Figure("idle", "memory per idle reader", "KB", each / 1e3, goal=30),
    ]


async def _read(port: int, path: str) -> None:
    """Begin to read a run and stay; the end of the server ends it."""
    first = _First()
    connection = await Connection.open(port)
    connection.begin("GET", path, None, first).add_done_callback(lambda ended: ended.exception())
    await asyncio.wait_for(first.came, 30)


SCENARIOS: dict[str, Callable[[Bench], Awaitable[Sequence[Figure]]]] = {
    "paced": paced,
    "long": long,
    "burst": burst,
    "resume": resume,
    "idle": idle,
    "responses": responses,
    "requests": requests,
    "redis": redis,
    "tools": tools,
    "decode": decode,
}
