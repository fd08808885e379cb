"""`make soak`: wave after wave of mixed streams with faults against one server, and a rest after each.

The server's memory, tasks and sockets, in work and at rest, as they go; exit 1 where one grew or a promise was broken.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from contextlib import AsyncExitStack
from pathlib import Path

from tailrace.schema import codec
from tailrace.testing.upstream import ScriptedUpstream
from tests.soak.judge import SLACK, Sample, leaks, slope
from tests.soak.load import Crowd, script, tables
from tests.support.server import settings

WAVE_S = 45.0
REST_S = 60.0  # at most: idle connections are kept for half a minute
LOOK_S = 2.0
SOCKETS = {"connect_s": 2.0, "first_event_s": 5.0, "idle_s": 5.0}
LIMITS = {
    "response_s": 5.0, "first_event_s": 5.01, "idle_s": 5.0, "attempts": 2, "retry_total_s": 6.0, "websocket": SOCKETS,
}  # fmt: skip


def main() -> int:
    """Run it; a line per wave and the summary on stdout."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--streams", type=int, default=200, help="at a time")
    asked = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # that clients leave is what this is about
    say(f"seed {asked.seed}, {asked.minutes:g} minutes, {asked.streams} streams at a time")
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(soak(Path(folder), asked.minutes * 60, asked.seed, asked.streams))


async def soak(folder: Path, seconds: float, seed: int, streams: int) -> int:
    """The exit code."""
    clock = asyncio.get_running_loop().time
    began, rests = clock(), list[Sample]()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(ScriptedUpstream())
        upstream.script = script
        given = settings(
            folder / "data", upstream, upstream=LIMITS, providers=tables(upstream), defaults={"model": "m"},
            log={"keep_s": 1},
        )  # fmt: skip
        node, url = await start(codec.encode(given).decode())
        stack.push_async_callback(stop, node)
        crowd = Crowd(url, upstream, random.Random(seed))
        findings, idle = crowd.findings, await sample(node)
        say(f"{'':5}   before anything: {told(idle)}")
        while clock() - began < seconds or len(rests) < 2:
            known = len(findings.violations)
            task = asyncio.create_task(crowd.wave(streams, WAVE_S))
            await asyncio.sleep(WAVE_S / 2)
            open_runs, busy = findings.open, await sample(node)
            await task
            rests.append(await rest(node, idle))
            say(
                f"{clock() - began:5.0f} s  {findings.runs:7} runs {findings.events:9} events"
                f"  {open_runs} at once: {told(busy)}  at rest: {told(rests[-1])}"
            )
            for broken_promise in findings.violations[known:]:
                say(f"{'':7}{broken_promise}")
    broken = [*leaks(rests), *findings.violations[:20]]
    say("ends: " + ", ".join(f"{end} {count}" for end, count in findings.ends.most_common()))
    say(f"memory, once warm: {slope(rests):+.1f} MB an hour; seed {seed}")
    say("\n".join(broken) or "no leak, and no promise broken")
    return 1 if broken else 0


async def start(given: str) -> tuple[Process, str]:
    """The server in a process of its own, and its URL."""
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.soak.node", given, stdin=PIPE, stdout=PIPE, limit=2**20
    )
    assert node.stdout is not None
    return node, (await node.stdout.readline()).decode().strip()


async def sample(node: Process) -> Sample:
    """What the server has of each now."""
    assert node.stdin is not None
    assert node.stdout is not None
    node.stdin.write(b"\n")
    return codec.decode(await node.stdout.readline(), Sample)


async def rest(node: Process, idle: Sample) -> Sample:
    """What the server has once it is as quiet as it was at first, or has had time enough for that."""
    now = await sample(node)
    for _ in range(int(REST_S / LOOK_S)):
        if now.tasks <= idle.tasks + SLACK and now.sockets <= idle.sockets + SLACK:
            break
        await asyncio.sleep(LOOK_S)
        now = await sample(node)
    return now


async def stop(node: Process) -> None:
    """And wait for its end."""
    assert node.stdin is not None
    node.stdin.close()
    await node.wait()


def told(sample: Sample) -> str:
    """In a few words."""
    return f"{sample.megabytes:5.1f} MB {sample.tasks:4} tasks {sample.sockets:4} sockets {sample.files:4} files"


def say(text: str) -> None:
    """A line of progress, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
