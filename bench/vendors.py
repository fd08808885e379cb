"""What is measured of `/v1`: a vendor's wire in and out through the durable log, and requests answered as a whole."""

import asyncio
import time
from functools import partial
from statistics import median, quantiles

from bench.client import Connection, asked, call, stream_wire
from bench.load import SETTLE_S, Bench, Load, System, measure
from bench.processes import passthrough, tailrace
from bench.report import Figure

CLIENTS = 10
REQUESTS = 1000


async def responses(bench: Bench) -> list[Figure]:
    """50 paced streams, the Responses API in and out: CPU per event."""
    up = bench.upstream
    plain = System("passthrough", partial(passthrough, up), stream_wire)
    through = System("tailrace", lambda: tailrace(up, bench.fresh(), "responses", {}), stream_wire)
    await measure(bench, "responses", Load(50, 60, 20), bench.rounds, [plain, through])
    cost, least = median(through.cpu_us), median(plain.cpu_us)
    return [Figure("responses", "CPU per event", "µs", cost, least, 2.4, of_ratio=True)]


async def requests(bench: Bench) -> list[Figure]:
    """Requests that do not stream, 10 at a time, of an upstream that answers at once."""
    per_s: list[float] = []
    p99_ms: list[float] = []
    cpu_ms: list[float] = []
    async with tailrace(bench.upstream, bench.folder, "requests", {}) as server:
        await _ask(server.port, REQUESTS // 10)
        for number in range(bench.repeats):
            cpu, began = server.cpu_s(), time.monotonic()
            times = await _ask(server.port, REQUESTS)
            per_s.append(REQUESTS / (time.monotonic() - began))
            p99_ms.append(quantiles(times, n=100)[98] * 1000)
            await asyncio.sleep(SETTLE_S)
            cpu_ms.append((server.cpu_s() - cpu) / REQUESTS * 1000)
            bench.say(
                f"requests {number + 1}/{bench.repeats}: {per_s[-1]:.0f} requests/s, p99 {p99_ms[-1]:.1f} ms, "
                f"{cpu_ms[-1]:.2f} ms CPU per request"
            )
    return [
        Figure("requests", "requests/s", "1/s", median(per_s), goal=600, at_least=True),
        Figure("requests", "latency p99", "ms", median(p99_ms), goal=30),
        Figure("requests", "CPU per request", "ms", median(cpu_ms)),
    ]


async def _ask(port: int, total: int) -> list[float]:
    """So many requests, shared among the clients: how many seconds each took."""
    times: list[float] = []

    async def client() -> None:
        connection = await Connection.open(port)
        for _ in range(total // CLIENTS):
            began = time.monotonic()
            await call(connection, "POST", "/v1/responses", {"model": "bench", "input": asked(1, 0)})
            times.append(time.monotonic() - began)
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
    return times
