"""A load, what is put under it, and what it costs: what the scenarios share."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import mkdtemp
from typing import NamedTuple

from bench.processes import Process

SETTLE_S = 0.5  # what is done behind a run's end (archive, projection) is part of its cost
Drive = Callable[[int, int, int, list[int]], Awaitable[None]]


@dataclass(slots=True)
class Bench:
    """What every scenario needs: the folder for data, the upstream, how long to measure, where to tell of progress.

    The same code costs some 15 % more or less in one process than in another, for as long as they live: a figure of
    CPU is the median over some `starts`.
    """

    folder: Path
    upstream: Process
    starts: int
    rounds: int  # of each start
    say: Callable[[str], None]

    @property
    def repeats(self) -> int:
        """How often to measure what one process is enough for."""
        return self.starts * self.rounds

    def fresh(self) -> Path:
        """A folder that nobody has used yet."""
        return Path(mkdtemp(dir=self.folder))


class Load(NamedTuple):
    """`streams` at a time, of `events` each, `interval_ms` apart."""

    streams: int
    events: int
    interval_ms: int

    @property
    def total(self) -> int:
        """How many events that makes."""
        return self.streams * self.events


@dataclass(slots=True)
class System:
    """Something that stands between the upstream and the client, and what a round of load cost it, round by round."""

    name: str
    start: Callable[[], AbstractAsyncContextManager[Process]]
    drive: Drive
    cpu_us: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    async def round(self, process: Process, load: Load) -> None:
        """Put the load on its process once and note what it cost."""
        latencies: list[int] = []
        gap = load.interval_ms / 1000 / load.streams  # so that the streams' events do not all come at once

        async def one(number: int) -> None:
            await asyncio.sleep(number * gap)
            await self.drive(process.port, load.events, load.interval_ms, latencies)

        cpu = process.cpu_s()
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(load.streams):
                group.create_task(one(number))
        took = time.monotonic() - began
        await asyncio.sleep(SETTLE_S)
        self.cpu_us.append((process.cpu_s() - cpu) / load.total * 1e6)
        self.per_s.append(load.total / took)
        cuts = quantiles(latencies, n=100)
        self.p50_ms.append(cuts[49] / 1e6)
        self.p99_ms.append(cuts[98] / 1e6)


async def measure(bench: Bench, name: str, load: Load, rounds: int, systems: Sequence[System]) -> None:
    """All systems under this load, in turn, for so many rounds of each of the bench's starts."""
    for start in range(1, bench.starts + 1):
        async with AsyncExitStack() as stack:
            running = [(system, await stack.enter_async_context(system.start())) for system in systems]
            await _measure_start(bench, f"{name} {start}/{bench.starts}", load, rounds, running)


async def _measure_start(
    bench: Bench, name: str, load: Load, rounds: int, running: Sequence[tuple[System, Process]]
) -> None:
    """After a round that warms them up and is forgotten."""
    for system, process in running:
        await System(system.name, system.start, system.drive).round(process, load)
    for number in range(1, rounds + 1):
        for system, process in running:
            await system.round(process, load)
            bench.say(
                f"{name} {number}/{rounds} {system.name}: {system.cpu_us[-1]:.0f} µs CPU per event, "
                f"{system.per_s[-1]:,.0f} events/s, p50 {system.p50_ms[-1]:.2f} ms, p99 {system.p99_ms[-1]:.2f} ms"
            )
