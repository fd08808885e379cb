"""A random schedule of faults over a busy world; afterwards every promise is checked, run by run."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from tailrace.client.client import Client, ClientError
from tailrace.schema.errors import NotReady
from tests.chaos.load import PATIENCE_S, Reading, User, script
from tests.chaos.verify import Findings, of_effects, of_run
from tests.chaos.world import NothingUp, World, world
from tests.support.agent_tools import effects

USERS = 12
QUIET_S = (0.3, 2.5)  # between two faults


async def run(
    folder: Path, *, seconds: float, seed: int, appendfsync: str = "always", say: Callable[[str], None]
) -> Findings:
    """Break things for so long, then check. The same `seed` gives the same schedule, though not the same timing."""
    chance = random.Random(seed)
    findings = Findings()
    async with world(folder, chance, appendfsync) as made:
        made.upstream.script = script(chance)
        until = time.monotonic() + seconds
        users = [asyncio.create_task(_use(made, until, findings)) for _ in range(USERS)]
        faults: set[asyncio.Task[None]] = set()
        try:
            while time.monotonic() < until:
                await asyncio.sleep(chance.uniform(*QUIET_S))
                weights, choices = zip(*made.faults(), strict=True)
                (fault,) = chance.choices(choices, weights)
                faults.add(asyncio.create_task(_break(fault, findings)))
                say(f"{findings.runs} runs, {findings.events} events, {findings.faults.total()} faults, "
                    f"{findings.takeovers} takeovers, {len(findings.violations)} violations")  # fmt: skip
            await asyncio.gather(*faults, *users)
            strays = set(effects(made.work)) - findings.effects
            findings.violations += [f"effect {each} belongs to no call" for each in sorted(strays)]
        finally:
            for task in (*users, *faults):
                task.cancel()
            await asyncio.wait((*users, *faults))
    return findings


async def _break(fault: Callable[[], Awaitable[None]], findings: Findings) -> None:
    with suppress(NothingUp, NotReady):  # all such things are broken already
        await fault()
        findings.faults[fault.__name__] += 1


async def _use(made: World, until: float, findings: Findings) -> None:
    """One user: run after run; each is checked when it has ended, in the middle of it all."""
    user = User(made.api_urls, random.Random(made.chance.random()))
    while time.monotonic() < until:
        run_id = f"run_{uuid4().hex[:12]}"
        made.live.add(run_id)
        try:
            reading = await user.run(run_id)
            await _check(made, reading, findings)
        except (TimeoutError, ClientError) as error:
            findings.violations.append(f"{run_id}: {type(error).__name__} {error}: {await _state(made, run_id)}")
        finally:
            made.live.discard(run_id)


async def _state(made: World, run_id: str) -> str:
    """Where a run is that has not come to its end, for whoever has to find out why."""
    with suppress(ClientError):
        async with Client(made.chance.choice(made.api_urls()), attempts=1) as client:
            run = await client.run(run_id)
            steps = [step.finish_reason for step in run.steps]
            return f"{run.status}, seq {run.last_seq}, steps {steps}, changed at {run.updated_at}"
    return "not to be had"


async def _check(made: World, reading: Reading, findings: Findings) -> None:
    """Through whichever node answers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with Client(made.chance.choice(made.api_urls()), attempts=3) as client:
                    log = [event async for event in client.events(reading.run_id)]
                    await of_run(client, reading, log, findings)
                told = of_effects(log, Counter(effects(made.work)), findings)
                findings.violations += [f"{reading.run_id}: {each}" for each in told]
                return
            except ClientError as error:
                if 400 <= error.status < 500:
                    raise
                await asyncio.sleep(0.2)
