"""Processes that fight over the same runs, and that die, and a Redis that dies: this module, run, is one of them.

What a process was told is in the log, or has read there, is there, once, in its place; epochs only ever rise (design
rules 1, 2 and 4).
"""

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tailrace.log.redis import RedisLog
from tailrace.log.redis_client import Redis
from tailrace.schema.errors import LogError, NotFound, NotReady
from tailrace.testing.log_conformance import TRACE, collect, delta, done, read_all, seqs, soon, texts
from tests.support.redis import RedisServer, redis_server

RUNS = [f"run_{number}" for number in range(4)]
PROCESSES = 3
LINES = 3000
ROOT = Path(__file__).resolve().parents[2]


def say(*words: object) -> None:
    """One line, out of the process before anything else happens."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def fight(log: RedisLog, run_id: str, dice: random.Random) -> None:
    """Take the run, append as long as nobody else takes it, or until the fancy goes; for ever."""
    while True:
        try:
            epoch = await log.acquire(run_id)
            for _ in range(dice.randint(1, 60)):
                payloads = [delta(f"{epoch}/{dice.getrandbits(64):x}") for _ in range(dice.randint(1, 4))]
                batch = await log.append(run_id, epoch, payloads, TRACE)
                say(run_id, batch.first_seq, *texts([batch]))
        except (LogError, NotReady):
            await asyncio.sleep(dice.random() * 0.01)


async def watch(log: RedisLog, run_id: str) -> None:
    """Read the run from its beginning, as it grows, whoever writes it."""
    after = 0
    while True:
        try:
            async for batch in log.tail(run_id, after):
                assert batch.first_seq == after + 1
                after = batch.last_seq
                say(run_id, batch.first_seq, *texts([batch]))
        except (NotFound, NotReady):
            await asyncio.sleep(0.01)


async def process(url: str, seed: int) -> None:
    """One of the processes: fights over all runs, and reads them, until killed."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    log = RedisLog(Redis(url, patient_s=5))
    dice = random.Random(seed)
    watching = [watch(log, run_id) for run_id in RUNS]
    await asyncio.gather(*watching, *(fight(log, run_id, dice) for run_id in RUNS))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path, appendfsync="always") as running:
        yield running


class Fighter:
    """A process of this script, killed after so many lines; what it said of each append that it made or read."""

    def __init__(self, url: str, seed: int) -> None:
        command = [sys.executable, "-m", "tests.log.test_redis_race", url, str(seed)]
        self._child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def lines(self, count: int) -> list[str]:
        assert self._child.stdout is not None
        return [self._child.stdout.readline() for _ in range(count)]

    def killed(self) -> list[str]:
        """Its last words; the very last may be cut."""
        self._child.kill()
        return [line for line in self._child.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]


async def check(url: str, said: list[str]) -> None:
    """The log against what was said; and every run can be ended."""
    client = Redis(url)
    log = RedisLog(client)
    held: dict[str, list[str]] = {}
    for run_id in RUNS:
        batches = await read_all(log, run_id)
        held[run_id] = texts(batches)
        assert seqs(batches) == list(range(1, len(held[run_id]) + 1))
        assert len(set(held[run_id])) == len(held[run_id])
        epochs = [int(text.partition("/")[0]) for text in held[run_id]]
        assert epochs == sorted(epochs)
    for line in said:
        run_id, first_seq, *appended = line.split()
        start = int(first_seq) - 1
        assert held[run_id][start : start + len(appended)] == appended
    for run_id in RUNS:
        await log.append(run_id, await log.acquire(run_id), [done(run_id)], TRACE)
        assert seqs(await soon(collect(log, run_id))) == list(range(1, len(held[run_id]) + 2))
    await log.close()
    await client.close()


@pytest.mark.slow
@pytest.mark.parametrize("dies", ["nobody", "connections", "process", "redis"])
def test_racing_processes_never_break_the_sequence(server: RedisServer, dies: str) -> None:
    """Whoever dies meanwhile, and however often."""
    fighters = [Fighter(server.url, seed) for seed in range(PROCESSES)]
    said: list[str] = []
    dice = random.Random(11)
    while len(said) < LINES:
        for number, fighter in enumerate(fighters):
            said += fighter.lines(dice.randint(1, 300))
            if dies == "process" and number == len(said) % PROCESSES:
                said += fighter.killed()
                fighters[number] = Fighter(server.url, len(said))
        if dies == "connections":
            server.ask("CLIENT", "KILL", "TYPE", dice.choice(["normal", "pubsub"]))
        if dies == "redis":
            server.kill()
            server.start()
    for fighter in fighters:
        said += fighter.killed()
    asyncio.run(check(server.url, said))


if __name__ == "__main__":
    asyncio.run(process(sys.argv[1], int(sys.argv[2])))
