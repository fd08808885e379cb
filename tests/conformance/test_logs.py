"""Every log against the one suite, and against a list."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.log.base import Log
from tailrace.log.memory import MemoryLog
from tailrace.log.redis import RedisLog
from tailrace.log.redis_client import Redis
from tailrace.log.sqlite import SqliteLog
from tailrace.schema.errors import Sealed, StaleEpoch
from tailrace.testing.log_conformance import TRACE, LogConformance, delta, done, read_all, seqs, texts
from tests.support.redis import RedisCluster, RedisServer

EMBEDDED: dict[str, Callable[[Path], Log]] = {
    "memory": lambda _: MemoryLog(),
    "sqlite": lambda folder: SqliteLog(folder / "log.db"),
    "sqlite, gathering": lambda folder: SqliteLog(folder / "log.db", gather_ms=1),
}
SERVED = {"redis": ("redis", 0.0), "redis, gathering": ("redis", 1.0), "cluster": ("cluster", 0.0)}
"""The fixture of the server, and `gather_ms`."""


@asynccontextmanager
async def redis_log(server: RedisServer | RedisCluster, gather_ms: float = 0) -> AsyncIterator[Log]:
    """An empty log in Redis."""
    server.ask("FLUSHALL")
    client = Redis(server.url, gather_ms=gather_ms)
    log = RedisLog(client)
    yield log
    await log.close()
    await client.close()


@pytest.fixture(params=[*EMBEDDED, *SERVED])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    """An empty log of each kind."""
    if request.param in SERVED:
        server, gather_ms = SERVED[request.param]
        async with redis_log(request.getfixturevalue(server), gather_ms) as opened:
            yield opened
        return
    opened = EMBEDDED[request.param](tmp_path)
    yield opened
    await opened.close()


class TestLogs(LogConformance):
    """The suite, for each of them."""


RUNS = ["a", "b", "c"]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("acquire"), st.sampled_from(RUNS)),
        st.tuples(st.just("append"), st.sampled_from(RUNS), st.integers(1, 5), st.booleans()),
        st.tuples(st.just("zombie"), st.sampled_from(RUNS)),
        st.tuples(st.just("end"), st.sampled_from(RUNS)),
        st.tuples(st.just("delete"), st.sampled_from(RUNS)),
        st.tuples(st.just("read"), st.sampled_from(RUNS), st.integers(0, 40), st.integers(1, 10)),
    ),
    max_size=60,
)


class Model:
    """A log as three lists would keep it: per run its texts, its epoch, and whether it has ended."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.texts: dict[str, list[str]] = {}
        self.epochs: dict[str, int] = {}
        self.ended: set[str] = set()

    async def acquire(self, run: str) -> None:
        if run in self.ended:
            with pytest.raises(Sealed):
                await self.log.acquire(run)
            return
        epoch = await self.log.acquire(run)
        assert epoch > self.epochs.get(run, 0)
        self.epochs[run] = epoch
        self.texts.setdefault(run, [])

    async def append(self, run: str, count: int, twice: bool) -> None:
        if run not in self.epochs or run in self.ended:
            return
        appends: list[Awaitable[object]] = []
        for _ in range(1 + twice):
            said = [f"{run}{len(self.texts[run]) + number}" for number in range(count)]
            self.texts[run] += said
            appends.append(self.log.append(run, self.epochs[run], [delta(text) for text in said], TRACE))
        await asyncio.gather(*appends)

    async def zombie(self, run: str) -> None:
        if run in self.epochs and run not in self.ended:
            with pytest.raises(StaleEpoch):
                await self.log.append(run, self.epochs[run] - 1, [delta("zombie")], TRACE)

    async def end(self, run: str) -> None:
        if run in self.epochs and run not in self.ended:
            await self.log.append(run, self.epochs[run], [done(run)], TRACE)
            self.ended.add(run)

    async def delete(self, run: str) -> None:
        await self.log.delete([run])
        self.texts.pop(run, None)
        self.epochs.pop(run, None)
        self.ended.discard(run)

    async def read(self, run: str, after: int, limit: int) -> None:
        batches = await read_all(self.log, run, after, limit)
        assert texts(batches) == self.texts.get(run, [])[after:]

    async def check(self) -> None:
        heads = {run: await self.log.head(run) for run in RUNS}
        assert {run for run, head in heads.items() if head is not None} == set(self.epochs)
        assert {run for run, head in heads.items() if head is not None and head.sealed} == self.ended
        for run in RUNS:
            batches = await read_all(self.log, run)
            assert texts(batches) == self.texts.get(run, [])
            assert seqs(batches) == list(range(1, len(self.texts.get(run, [])) + (run in self.ended) + 1))


async def play(model: Model, actions: Sequence[tuple[Any, ...]]) -> None:
    """Do it, and compare."""
    for name, *arguments in actions:
        await getattr(model, name)(*arguments)
    await model.check()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=40, deadline=None)
@given(actions=ACTIONS)
def test_a_log_does_what_a_list_would(kind: str, actions: list[tuple[Any, ...]]) -> None:
    """Whatever is done in whatever order, the log and the model agree; also after it was closed and opened again."""

    async def embedded(folder: Path) -> None:
        model = Model(EMBEDDED[kind](folder))
        await play(model, actions)
        await model.log.close()
        if kind == "sqlite":
            model.log = EMBEDDED[kind](folder)
            await model.check()
            await model.log.close()

    with TemporaryDirectory() as folder:
        asyncio.run(embedded(Path(folder)))


@settings(max_examples=40, deadline=None)
@given(actions=ACTIONS)
def test_the_log_in_redis_does_what_a_list_would(redis: RedisServer, actions: list[tuple[Any, ...]]) -> None:
    """The same in Redis; and another process, which has nothing in memory, finds the same."""

    async def served() -> None:
        async with redis_log(redis) as log:
            model = Model(log)
            await play(model, actions)
            client = Redis(redis.url)
            model.log = RedisLog(client)
            await model.check()
            await model.log.close()
            await client.close()

    asyncio.run(served())
