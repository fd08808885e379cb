"""What users do while things break: runs of every kind, and readers that come, go, dawdle and come back elsewhere."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

from tailrace.client.client import Client, ClientError
from tailrace.schema import codec
from tailrace.schema.events import TERMINAL, Event, ItemDone
from tailrace.schema.items import FunctionCallItem
from tailrace.testing.moves import Burst, Call, Cut, Fail, Move, Paced, Reasoning, Text
from tailrace.testing.wires.base import Asked

PATIENCE_S = 90.0  # a run that has not ended after so long has been lost


def script(chance: random.Random) -> Callable[[Asked], Sequence[Move]]:
    """Answers of every kind, at a pace at which things break in the middle of them."""

    def effect(name: str, **arguments: object) -> Move:
        """A call of a tool of the server's, whose effect can be told from all others."""
        return Call(name, codec.encode({"text": str(UUID(int=chance.getrandbits(128))), **arguments}).decode())

    def answer(asked: Asked) -> Sequence[Move]:
        kind = chance.random()
        text = Paced(chance.choice([0.002, 0.01, 0.03]), (Burst(chance.randrange(5, 120)),))
        has_effects = any(tool.name == "note" for tool in asked.tools)
        if has_effects and kind < 0.6:
            naps = [effect("nap", seconds=chance.uniform(0, 0.5)) for _ in range(chance.randrange(1, 4))]
            return [Text("let me see"), effect("note"), *naps]
        if kind < 0.25:
            return [Text("one moment"), Call("now", '{"zone":"utc"}'), Call("now", '{"zone":"cet"}')]
        if kind < 0.3:
            return [Text("oh"), Fail("server_error", "the model broke")]
        if kind < 0.35:
            return [text, Cut()]
        if kind < 0.5:
            return [Paced(0.005, (Reasoning("let me think about this for a while"),)), text]
        return [text]

    return answer


@dataclass
class Reading:
    """One reader's run: every event it was given, over all its connections."""

    run_id: str
    events: list[Event] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    connections: int = 0

    @property
    def last_seq(self) -> int:
        """The cursor it comes back with."""
        return self.events[-1].seq if self.events else 0

    @property
    def ended(self) -> bool:
        """Has it read the end?"""
        return bool(self.events) and isinstance(self.events[-1].payload, TERMINAL)


class User:
    """Submits runs and reads them to their ends, through whichever of the `nodes` answers."""

    def __init__(self, nodes: Callable[[], Sequence[str]], chance: random.Random) -> None:
        self._nodes = nodes
        self._chance = chance

    async def run(self, run_id: str) -> Reading:
        """One run, read to its end. Raises TimeoutError where it has none."""
        reading = Reading(run_id)
        async with asyncio.timeout(PATIENCE_S):
            whose = {"agent_id": "worker"} if self._chance.random() < 0.4 else {"tools": [{"name": "now"}]}
            await self._until(lambda client: client.submit(prompt="go", run_id=run_id, **whose))
            while not reading.ended:
                await self._read_a_while(reading)
        return reading

    async def _until(self, call: Callable[[Client], Awaitable[object]]) -> None:
        """Ask one node after the other until one does it: what a patient client does about 503 and broken lines."""
        while True:
            try:
                async with self._client() as client:
                    await call(client)
                return
            except ClientError as error:
                if 400 <= error.status < 500 and error.status != 429:
                    raise
                await asyncio.sleep(self._chance.uniform(0.05, 0.4))

    def _client(self) -> Client:
        return Client(self._chance.choice(self._nodes()), attempts=1)

    async def _read_a_while(self, reading: Reading) -> None:
        """One connection: read on, perhaps slowly, perhaps only some events; answer calls that wait."""
        leave_after = self._chance.choice([1, 5, 40, 10**6])
        pause = self._chance.choice([0, 0, 0, 0.005])
        reading.connections += 1
        try:
            async with self._client() as client, aclosing(client.events(reading.run_id, reading.last_seq)) as events:
                async for event in events:
                    reading.events.append(event)
                    await self._answer(reading, event)
                    leave_after -= 1
                    if reading.ended or leave_after <= 0:
                        return
                    if pause:
                        await asyncio.sleep(pause)
        except ClientError:
            await asyncio.sleep(self._chance.uniform(0.05, 0.4))

    async def _answer(self, reading: Reading, event: Event) -> None:
        """When a step is done, the outputs of all calls that wait: until they are known to be taken."""
        if event.type != "step_done":
            return
        calls = [seen.payload.final_item for seen in reading.events if isinstance(seen.payload, ItemDone)]
        waiting = [call.call_id for call in calls if isinstance(call, FunctionCallItem) and call.name == "now"]
        waiting = [call_id for call_id in waiting if call_id not in reading.answered]
        if not waiting:
            return
        outputs = [{"call_id": call_id, "output": "12:00"} for call_id in waiting]
        await self._until(lambda client: client.outputs(reading.run_id, outputs))
        reading.answered.update(waiting)
