"""What a reader has seen survives `kill -9` (design rules 1 and 2), tried on a process: this file, run as a script."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.log.sqlite import SqliteLog
from tailrace.testing.log_conformance import TRACE, collect, deltas, done, read_all, seqs, texts

RUNS = 8
KILLS = 6


def say(kind: str, run_id: str, seq: int) -> None:
    """One line, out of the process before anything else happens."""
    sys.stdout.write(f"{kind} {run_id} {seq}\n")
    sys.stdout.flush()


async def write(log: SqliteLog, run_id: str) -> None:
    epoch = await log.acquire(run_id)
    head = await log.head(run_id)
    assert head is not None
    last_seq = head.last_seq
    while True:
        size = random.randint(1, 5)
        last_seq = (await log.append(run_id, epoch, deltas(size, last_seq + 1), TRACE)).last_seq
        say("appended", run_id, last_seq)


async def watch(log: SqliteLog, run_id: str) -> None:
    async for batch in log.tail(run_id):
        say("seen", run_id, batch.last_seq)


async def live(folder: Path) -> None:
    """Write and watch until killed."""
    log = SqliteLog(folder / "log.db")
    run_ids = [f"run_{number}" for number in range(RUNS)]
    for run_id in run_ids:
        await log.acquire(run_id)
    await asyncio.gather(*(part(log, run_id) for run_id in run_ids for part in (write, watch)))


def killed_at(folder: Path, lines: int) -> dict[str, int]:
    """What a process said of each run, the highest seq, by the time it was killed `lines` lines on."""
    child = subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(lines)]
    child.kill()
    said += child.communicate()[0].splitlines(keepends=True)
    highest: dict[str, int] = {}
    for line in said:
        if line.endswith("\n"):  # the last one may be cut
            _, run_id, seq = line.split()
            highest[run_id] = max(highest.get(run_id, 0), int(seq))
    return highest


async def check(folder: Path, highest: dict[str, int]) -> None:
    """The log holds all that was said, and each run's events count up from 1 and say so."""
    log = SqliteLog(folder / "log.db")
    for head in await log.heads():
        batches = await read_all(log, head.run_id)
        assert seqs(batches) == list(range(1, head.last_seq + 1))
        assert texts(batches) == [str(seq) for seq in seqs(batches)]
        assert head.last_seq >= highest.get(head.run_id, 0)
    await log.close()


async def end_all(folder: Path) -> None:
    """Every run can still be acquired, ended, and read to its end."""
    log = SqliteLog(folder / "log.db")
    heads = await log.heads()
    assert len(heads) == RUNS
    for head in heads:
        await log.append(head.run_id, await log.acquire(head.run_id), [done(head.run_id)], TRACE)
        assert seqs(await collect(log, head.run_id)) == list(range(1, head.last_seq + 2))
    await log.close()


@pytest.mark.slow
def test_c40_what_was_seen_survives_kill_9(tmp_path: Path) -> None:
    """Killed at random moments and opened again, the log holds all that was printed, without a gap."""
    moments = random.Random(7)
    for _ in range(KILLS):
        asyncio.run(check(tmp_path, killed_at(tmp_path, moments.randint(1, 3000))))
    asyncio.run(end_all(tmp_path))


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1])))
