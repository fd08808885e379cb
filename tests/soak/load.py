"""Two hundred users at a time: runs on every wire and way, each with a fault or none, readers that leave, runs called
off."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tailrace.client.client import Client, ClientError
from tailrace.fold.reducer import Reducer
from tailrace.schema.events import TERMINAL, StepDone
from tailrace.testing.moves import Burst, Call, Close, Handshake, Move, Paced, Raw, Reasoning, Text
from tailrace.testing.upstream import WIRES as SCRIPTED
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.testing.websocket import CONNECTION_LIMIT
from tailrace.testing.wires.base import Asked
from tests.faults.catalog import PLACES, TROUBLES, WEATHER, T, body, head, steps_of, table

PATIENCE_S = 300.0  # a run that has not ended after so long, on however busy a machine, never will
_FAULTY = 0.5  # of all runs
_CALLED_OFF = 0.05
_LEAVING = 0.3  # of the readers, once each
_SHAKEN = 0.3  # of the runs over a socket: another one's handshake may be the odd one
SOCKET = "openai-responses over a socket"
_OF_SOCKETS = [
    body("connection limit, told", CONNECTION_LIMIT, T),
    body("malformed frame", [Raw("{", last=True)], T),
    body("going away", [Close(1001)], T),
    head("closed at once", Close(1011), T),
]
_HANDSHAKES = [
    Handshake(),
    Handshake(pongs=False),
    Handshake(status=426),
    Handshake(status=503),
    Handshake(stalls=True),
]
_BY_NAME = {trouble.name: trouble for trouble in [*TROUBLES, *_OF_SOCKETS]}
_WIRE = {wire.name: wire for wire in SCRIPTED}
_FAULT = re.compile(r"fault <(.+)> (.+)")
_PLAIN: list[list[Move]] = [
    [Paced(0.005, (Burst(200),))],
    [Paced(0.01, (Reasoning("Let me think about this for a while."), Text("So it is. " * 20)))],
    [Text("One moment."), Call("weather", '{"city":"Paris"}'), Call("weather", '{"city":"Oslo"}')],
    [Burst(2000)],
]


@dataclass
class Findings:
    """What was done, and what went wrong; `open`: the runs that have begun and not ended."""

    open: int = 0
    runs: int = 0
    events: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def tables(upstream: ScriptedUpstream) -> dict[str, dict[str, Any]]:
    """The upstream as a provider of each wire, and of each way that a wire may take."""
    over_http = {wire.name: table(wire, upstream) for wire in SCRIPTED}
    return {**over_http, SOCKET: {**over_http["openai-responses"], "transport": "websocket"}}


def script(asked: Asked) -> Sequence[Move]:
    """What the prompt names: a fault and where it strikes, or a plain answer."""
    step = 1 if asked.outputs else 0
    named = _FAULT.search(asked.user_texts[0])
    if named:
        steps = steps_of(_BY_NAME[named[1]], named[2], _WIRE[asked.wire])
    else:
        steps = [_PLAIN[int(asked.user_texts[0].removeprefix("plain "))]]
    return steps[step] if step < len(steps) else [Text("Done.")]


def prompt(way: str, chance: random.Random) -> str:
    """For one run."""
    if chance.random() < _FAULTY:
        troubles = [*TROUBLES, *_OF_SOCKETS] if way == SOCKET else TROUBLES
        return f"fault <{chance.choice(troubles).name}> {chance.choice(PLACES)}"
    return f"plain {chance.randrange(len(_PLAIN))}"


class Crowd:
    """The users of the server at `url`, whose providers are `upstream`."""

    def __init__(self, url: str, upstream: ScriptedUpstream, chance: random.Random) -> None:
        self.findings = Findings()
        self._url = url
        self._upstream = upstream
        self._chance = chance
        self._ways = list(tables(upstream))

    async def wave(self, users: int, seconds: float) -> None:
        """So many users, run after run for so long; returns when the last run has ended."""
        until = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(users):
                group.create_task(self._use(until, random.Random(self._chance.random())))

    async def _use(self, until: float, chance: random.Random) -> None:
        """One user, with connections of their own."""
        async with Client(self._url) as client:
            while asyncio.get_running_loop().time() < until:
                way = chance.choice(self._ways)
                await self._work(client, way, prompt(way, chance), chance)

    async def _work(self, client: Client, way: str, said: str, chance: random.Random) -> None:
        """One run, and what came of it."""
        findings, state, run_id = self.findings, Reducer(), f"run_{chance.getrandbits(64):x}"
        if way == SOCKET and chance.random() < _SHAKEN:
            self._upstream.handshakes.append(chance.choice(_HANDSHAKES))
        findings.open += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._run(client, run_id, said, way, state, chance)
            findings.ends[state.error.code if state.error else state.status] += 1
        except (ClientError, TimeoutError) as error:
            why = f"{type(error).__name__} {error}, read to seq {state.last_seq}; {await self._known(run_id)}"
            findings.violations.append(f"{way}, {said}: {why}")
        findings.open -= 1
        findings.runs += 1

    async def _known(self, run_id: str) -> str:
        """What the server has of a run that did not go well, asked over a connection of its own."""
        try:
            async with asyncio.timeout(PATIENCE_S), Client(self._url) as client:
                run = await client.run(run_id)
        except (ClientError, TimeoutError) as error:
            return f"the server: {type(error).__name__} {error}"
        return f"the server: {run.status} at seq {run.last_seq}"

    async def _run(
        self, client: Client, run_id: str, said: str, way: str, state: Reducer, chance: random.Random
    ) -> None:
        """To its end."""
        asked = {"prompt": said, "model_id": "m", "provider_id": way, "tools": [WEATHER], "run_id": run_id}
        await _surely(partial(client.submit, **asked))
        leave_at = chance.randrange(1, 40) if chance.random() < _LEAVING else 0
        if chance.random() < _CALLED_OFF:
            await asyncio.sleep(chance.uniform(0, 0.5))
            await _surely(partial(client.cancel, run_id))
        while not await self._read(client, run_id, state, leave_at):
            leave_at = 0

    async def _read(self, client: Client, run_id: str, state: Reducer, leave_at: int) -> bool:
        """Read on from where `state` is, and answer calls; False where the reader left before the end."""
        async with aclosing(client.events(run_id, state.last_seq)) as events:
            async for event in events:
                if event.seq != state.last_seq + 1:
                    self.findings.violations.append(f"{run_id}: seq {event.seq} after {state.last_seq}")
                state.apply(event.seq, event.timestamp, event.payload)
                self.findings.events += 1
                if isinstance(event.payload, StepDone) and event.payload.finish_reason == "tool_calls":
                    outputs = [{"call_id": call.call_id, "output": "mild"} for call in state.unanswered]
                    await _surely(partial(client.outputs, run_id, outputs))
                if isinstance(event.payload, TERMINAL):
                    return True
                if event.seq == leave_at:
                    return False
        return False


async def _surely(ask: Callable[[], Awaitable[object]]) -> None:
    """Once more where a connection that was kept turns out to be closed; what is done twice is refused (409)."""
    for _ in range(5):
        try:
            await ask()
            return
        except ClientError as error:
            if error.status == 409:  # it was done before, or the run was called off meanwhile
                return
            if error.status:
                raise
    raise ClientError("five connections in a row were closed")
