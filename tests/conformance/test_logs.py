"""Every log against the one suite, and against a list."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.log.base import Log
from tailrace.log.memory import MemoryLog
from tailrace.log.sqlite import SqliteLog
from tailrace.schema.errors import Sealed, StaleEpoch
from tailrace.testing.log_conformance import TRACE, LogConformance, delta, done, read_all, seqs, texts

LOGS: dict[str, Callable[[Path], Log]] = {
    "memory": lambda _: MemoryLog(),
    "sqlite": lambda folder: SqliteLog(folder / "log.db"),
    "sqlite, gathering": lambda folder: SqliteLog(folder / "log.db", gather_ms=1),
}


@pytest.fixture(params=LOGS)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    """An empty log of each kind."""
    log = LOGS[request.param](tmp_path)
    yield log
    await log.close()


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
        assert {head.run_id for head in await self.log.heads()} == set(self.epochs)
        assert {head.run_id for head in await self.log.unsealed()} == set(self.epochs) - self.ended
        for run in RUNS:
            batches = await read_all(self.log, run)
            assert texts(batches) == self.texts.get(run, [])
            assert seqs(batches) == list(range(1, len(self.texts.get(run, [])) + (run in self.ended) + 1))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=40, deadline=None)
@given(actions=ACTIONS)
def test_a_log_does_what_a_list_would(kind: str, actions: list[tuple[str, ...]]) -> None:
    """Whatever is done in whatever order, the log and the model agree; also after it was closed and opened again."""

    async def play(folder: Path) -> None:
        model = Model(LOGS[kind](folder))
        for name, *arguments in actions:
            await getattr(model, name)(*arguments)
        await model.check()
        await model.log.close()
        if kind == "sqlite":
            model.log = LOGS[kind](folder)
            await model.check()
            await model.log.close()

    with TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))
