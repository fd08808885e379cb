"""What must hold after any fault (design rules 1, 2, 5 and 6), as findings in words."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tailrace.client.client import Client, ClientError
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.schema import codec
from tailrace.schema.events import TERMINAL, Event, ItemDone
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem
from tailrace.schema.response import Response
from tests.chaos.load import Reading

SETTLED_S = 40.0  # a run's end is in the store after so long, whatever was killed


@dataclass
class Findings:
    """What came of it: `violations` must be empty; `lost` counts events that a reader has and the log has not."""

    runs: int = 0
    events: int = 0
    takeovers: int = 0
    connections: int = 0
    lost: int = 0
    effects: set[str] = field(default_factory=set)  # those that calls in the logs stand for
    violations: list[str] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """All of it, for people."""
        endings, faults = (", ".join(f"{name} {count}" for name, count in counted.most_common())
                           for counted in (self.endings, self.faults))  # fmt: skip
        return "\n".join([
            f"{self.runs} runs ended ({endings}), {self.events} events",
            f"{self.connections} connections of readers, {self.takeovers} takeovers, {len(self.effects)} tools called",
            f"faults: {faults}",
            f"{self.lost} events that readers had and Redis lost",
            *self.violations,
            f"{len(self.violations)} violations\n",
        ])  # fmt: skip


def of_log(run_id: str, events: Sequence[Event]) -> list[str]:
    """Is this a legal, gapless log with one end, in which every call was answered at most once?"""
    found: list[str] = []
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        found.append(f"{run_id}: the log has a gap or a double")
    if sum(isinstance(event.payload, TERMINAL) for event in events) != 1:
        found.append(f"{run_id}: not exactly one terminal event")
    grammar = Grammar()
    found += [f"{run_id}: seq {event.seq}: {said}" for event in events if (said := grammar.accept(event.payload))]
    items = [event.payload.final_item for event in events if isinstance(event.payload, ItemDone)]
    outputs = Counter(item.call_id for item in items if isinstance(item, FunctionCallOutputItem))
    found += [f"{run_id}: call {call_id} has {count} outputs" for call_id, count in outputs.items() if count > 1]
    return found


def of_effects(events: Sequence[Event], seen: Counter[str], findings: Findings) -> list[str]:
    """Had every call of a tool of the server's at most one effect, and exactly one where its output tells of it?"""
    found: list[str] = []
    items = [event.payload.final_item for event in events if isinstance(event.payload, ItemDone)]
    outputs = {item.call_id: item for item in items if isinstance(item, FunctionCallOutputItem)}
    for call in items:
        if isinstance(call, FunctionCallItem) and call.name in {"note", "nap"}:
            effect = codec.decode_any(call.arguments.encode())["text"]
            findings.effects.add(effect)
            output = outputs.get(call.call_id)
            if seen[effect] > 1:
                found.append(f"call {call.call_id} of {call.name} had {seen[effect]} effects")
            if output is not None and output.success and not seen[effect]:
                found.append(f"call {call.call_id} of {call.name} had no effect, and an output")
    return found


def fold(events: Sequence[Event]) -> Response:
    """The run that these events make."""
    state = Reducer()
    for event in events:
        state.apply(event.seq, event.timestamp, event.payload)
    return state.response()


async def of_run(client: Client, reading: Reading, log: Sequence[Event], findings: Findings) -> None:
    """Compare what a reader was given, over all its connections, with the log and the store."""
    findings.runs += 1
    findings.events += len(log)
    findings.connections += reading.connections
    findings.takeovers += sum(event.type == "provider_event" and event.payload.name == "takeover" for event in log)
    findings.violations += of_log(reading.run_id, log)
    folded = fold(log)
    findings.endings[folded.error.code if folded.error else folded.status] += 1
    if reading.events != list(log):
        known = {(event.seq, event.event_id, str(event.payload)) for event in log}
        missing = [event for event in reading.events if (event.seq, event.event_id, str(event.payload)) not in known]
        findings.lost += len(missing)
        findings.violations.append(f"{reading.run_id}: a reader was given {len(missing)} events that the log lacks, "
                                   f"{len(reading.events)} in all beside {len(log)}")  # fmt: skip
    stored = await _settled(client, reading.run_id, folded)
    if stored != folded:
        seen = f"{stored.status} at seq {stored.last_seq}" if stored else "nothing"
        findings.violations.append(f"{reading.run_id}: what is stored is not the fold of the log: {seen}, not "
                                   f"{folded.status} at seq {folded.last_seq}")  # fmt: skip


async def _settled(client: Client, run_id: str, wanted: Response) -> Response | None:
    """What is stored, as soon as it is what is wanted."""
    stored = None
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLED_S):
            while stored != wanted:
                with suppress(ClientError):
                    stored = await client.run(run_id)
                await asyncio.sleep(0.05)
    return stored
