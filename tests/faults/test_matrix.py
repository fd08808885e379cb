"""The fault matrix: {each wire} x {each fault} x {before output, after text, after a tool call}, over real sockets.

Whatever a provider does: the run ends, once, with the right kind of error; nothing is asked for again after a call was
delivered or a word was seen; and no socket and no task is left behind. A wire joins by standing in the two tables.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tailrace.adapters.wires import WIRES
from tailrace.client.client import Client
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.schema.errors import FAULTS, Fault
from tailrace.schema.events import (
    TERMINAL,
    Event,
    ItemDone,
    ItemStart,
    ProviderEvent,
    StepDone,
)
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.response import Response
from tailrace.testing.moves import Move, Text
from tailrace.testing.upstream import WIRES as SCRIPTED
from tailrace.testing.upstream import RecordedRequest, ScriptedUpstream
from tailrace.testing.wires.base import Asked, ScriptedWire
from tests.faults.catalog import PLACES, TROUBLES, WEATHER, Trouble, steps_of, table
from tests.support.server import serving, settings
from tests.support.sockets import sockets_to
from tests.support.topology import standing_on

pytestmark = pytest.mark.slow

ATTEMPTS = 2


@dataclass
class Case:
    """What the upstream is to say, step by step, and what it was asked: the requests of each step."""

    steps: list[Sequence[Move]]
    asked: Counter[int] = field(default_factory=Counter)


@dataclass
class Field:
    """One server in front of one scripted upstream, for all cases: each is known by its prompt."""

    upstream: ScriptedUpstream
    client: Client
    cases: dict[str, Case] = field(default_factory=dict)

    def script(self, asked: Asked) -> Sequence[Move]:
        case = self.cases[asked.user_texts[0]]
        step = 1 if asked.outputs else 0
        case.asked[step] += 1
        return case.steps[step] if step < len(case.steps) else [Text("Done.")]

    def requests(self, prompt: str) -> list[RecordedRequest]:
        return [request for request in self.upstream.requests if prompt in str(request.body)]


@asynccontextmanager
async def field_of(folder: Path, limit_s: float) -> AsyncIterator[Field]:
    """With so much patience; at the end no connection to the upstream is left."""
    limits = {
        **dict.fromkeys(("response_s", "idle_s"), limit_s),
        "first_event_s": limit_s + 0.01,
        "attempts": ATTEMPTS,
        "retry_total_s": limit_s + 0.1,
    }
    async with ScriptedUpstream() as upstream:
        with standing_on("embedded"):
            tables = {wire.name: table(wire, upstream) for wire in SCRIPTED}
            given = settings(folder, upstream, upstream=limits, providers=tables, defaults={"model": "m"})
            async with serving(given, upstream) as server:
                field = Field(upstream, server.client)
                upstream.script = field.script
                yield field
        assert sockets_to(int(upstream.origin.rpartition(":")[2])) == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fields(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[bool, Field]]:
    """One without patience, for silence, where a busy machine may be taken for a silent provider; one with much."""
    folder: Path = tmp_path_factory.mktemp("faults")
    async with field_of(folder / "hasty", 0.3) as hasty, field_of(folder / "patient", 10.0) as patient:
        yield {True: hasty, False: patient}


def others() -> set[asyncio.Task[Any]]:
    """The tasks there are, but for those of the servers' own connections."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in task.get_coro().__qualname__}  # type: ignore[union-attr]  # a task of a coroutine


async def left_behind(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Tasks that there were not before, and that do not end by themselves."""
    left = others() - before - {asyncio.current_task()}
    if left:
        await asyncio.wait(left, timeout=3)
    return {task for task in left if not task.done()}


async def is_over(request: RecordedRequest) -> None:
    """Returns when the upstream has sent its whole answer, or seen its socket closed."""
    ends = [asyncio.ensure_future(end.wait()) for end in (request.answered, request.disconnected)]
    done, waiting = await asyncio.wait(ends, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    for end in waiting:
        end.cancel()
    assert done, f"{request.path} is neither answered nor closed"


async def ran(ground: Field, prompt: str, wire: str) -> tuple[list[Event], Response]:
    """Submit, give each call its output, and read to the end."""
    client, state, events = ground.client, Reducer(), []
    run_id = (await client.submit(prompt=prompt, model_id="m", provider_id=wire, tools=[WEATHER]))["run_id"]
    async for event in client.events(run_id):
        events.append(event)
        state.apply(event.seq, event.timestamp, event.payload)
        if isinstance(event.payload, StepDone) and event.payload.finish_reason == "tool_calls":
            await client.outputs(run_id, [{"call_id": call.call_id, "output": "mild"} for call in state.unanswered])
    return events, await client.run(run_id)


def check_log(events: list[Event], response: Response) -> None:
    """Legal, gapless, one terminal event, and the fold of it is what is stored."""
    grammar, state = Grammar(), Reducer()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for event in events:
        assert grammar.accept(event.payload) is None
        assert not (isinstance(event.payload, ProviderEvent) and "STREAM_SEQUENCE" in event.payload.name)
        state.apply(event.seq, event.timestamp, event.payload)
    assert [isinstance(event.payload, TERMINAL) for event in events].count(True) == 1
    assert isinstance(events[-1].payload, TERMINAL)
    assert state.response() == response
    assert state.unanswered == []


def check_end(trouble: Trouble, response: Response) -> None:
    """The right kind of error, and in it what fired."""
    error = response.error
    if error is None:
        assert None in trouble.ends, response
        assert (response.status, response.finish_reason) == ("complete", "stop")
        return
    faults, details = FAULTS[error.code], error.details or {}
    assert faults in trouble.ends, error
    assert error.retryable == (Fault.TRANSIENT in faults)
    if Fault.TIMEOUT in faults:
        # On a busy machine the first words may be late, too.
        said = any(item.origin != "user" for item in response.output_items)
        assert details["watchdog"] in {trouble.watchdog, *(set() if said else {"response", "first_event"})}
    if trouble.breaker and faults & (Fault.MALFORMED_CALL | Fault.REPETITION):
        assert details["breaker"] == trouble.breaker
    assert ("retry_after" in details) == trouble.hint


def check_requests(trouble: Trouble, case: Case, events: list[Event], response: Response) -> None:
    """No replay behind anybody's back: a step that showed anything was asked for once, unless it says otherwise."""
    assert case.asked or trouble.is_silent  # a busy machine may be late even to hear of it
    assert all(count <= ATTEMPTS for count in case.asked.values())
    last = max(case.asked, default=0)
    assert trouble.is_silent or all(case.asked[step] == 1 for step in case.asked if step != last)
    since = next((at for at, event in enumerate(events) if is_output(event)), 0) if last else 0
    shown = [event.payload for event in events[since:] if not is_output(event)]
    begun = [p.item_type for p in shown if isinstance(p, ItemStart) and p.origin != "user"]
    whole = any(isinstance(p, ItemDone) and isinstance(p.final_item, FunctionCallItem) for p in shown)
    if whole or "message" in begun or trouble.is_hopeless:
        assert case.asked[last] == 1
    elif not begun and response.error is not None and response.error.retryable and not trouble.is_silent:
        assert case.asked[last] == ATTEMPTS


def is_output(event: Event) -> bool:
    """Does a call's output begin here?"""
    return isinstance(event.payload, ItemStart) and event.payload.item_type == "function_call_output"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("trouble", TROUBLES, ids=[trouble.name for trouble in TROUBLES])
@pytest.mark.parametrize("wire", SCRIPTED, ids=lambda wire: wire.name)
async def test_every_fault_on_every_wire_wherever_it_strikes(
    fields: dict[bool, Field], wire: ScriptedWire, trouble: Trouble, place: str
):
    """One terminal event, the right error, no replay of what was seen, no socket or task left."""
    ground = fields[trouble.is_silent]
    prompt = f"<{wire.name}, {trouble.name}, {place}>"
    case = ground.cases[prompt] = Case(steps_of(trouble, place, wire))
    before = others()
    async with asyncio.timeout(20):
        events, response = await ran(ground, prompt, wire.name)
    check_log(events, response)
    check_end(trouble, response)
    check_requests(trouble, case, events, response)
    requests = ground.requests(prompt)
    assert len(requests) == sum(case.asked.values())
    for request in requests if not trouble.is_cut else ():
        await is_over(request)
    assert await left_behind(before) == set()


def test_every_wire_that_is_spoken_has_its_scripted_twin():
    """So that none is left out of the matrix."""
    assert {wire.name for wire in SCRIPTED} == set(WIRES)
