"""The scripted upstream's faults, byte by byte: what a script asks for is what goes over the wire."""

from collections.abc import Sequence

import pytest

from tailrace.adapters.replay import decode_events
from tailrace.adapters.wires import WIRES
from tailrace.schema.errors import ProviderError
from tailrace.schema.events import ItemDelta, ItemDone, ItemStart, Payload, ResponseDone
from tailrace.schema.items import FunctionCallItem
from tailrace.testing.moves import (
    Begin,
    Bytes,
    Call,
    Cut,
    CutAt,
    Drip,
    Flood,
    Interleaved,
    Move,
    Pause,
    Reasoning,
    Text,
)
from tailrace.testing.upstream import WIRES as SCRIPTED
from tailrace.testing.wires.base import Memory, Step, Ticket, steps
from tailrace.testing.wires.plan import make_plan
from tests.support.decoding import checked

BODY = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
ANSWER: list[Move] = [Reasoning("Let me see."), Text("It is fine."), Call("weather", '{"city":"Paris"}', call_id="c1")]
BOTH = (Call("now", '{"zone":"Paris"}', call_id="a"), Call("then", '{"zone":"Oslo"}', call_id="b"))
every_wire = pytest.mark.parametrize("wire", SCRIPTED, ids=lambda wire: wire.name)


def sent(wire, moves: Sequence[Move]) -> list[Step]:
    plan = make_plan(moves, 10)
    return list(steps(plan, wire.renderer(plan, Ticket("s", 1), BODY, Memory())))


def bytes_of(wire, moves: Sequence[Move]) -> bytes:
    return b"".join(step for step in sent(wire, moves) if isinstance(step, bytes))


def heard(wire, data: bytes) -> list[Payload]:
    try:
        return decode_events(WIRES[wire.name].decoder, data)
    except ProviderError:  # an HTTP error's body
        return []


def calls(payloads: list[Payload]) -> list[tuple[str, str]]:
    finals = [p.final_item for p in payloads if isinstance(p, ItemDone)]
    return [(item.name, item.arguments) for item in finals if isinstance(item, FunctionCallItem)]


@every_wire
def test_an_answer_that_is_cut_at_any_byte_is_never_taken_for_another(wire):
    """The law of every decoder: it has the whole answer, or says that it has not; and no call that is half of one."""
    data = bytes_of(wire, ANSWER)
    whole = checked(heard(wire, data))
    for at in range(1, len(data)):
        part = heard(wire, data[:at])
        checked(part)
        if isinstance(part[-1], ResponseDone):
            assert [p for p in part if isinstance(p, ItemDone)] == [
                p for p in whole.payloads if isinstance(p, ItemDone)
            ]
        assert calls(part) in ([], calls(whole.payloads))


@every_wire
@pytest.mark.parametrize("after", [1, 100, 333])
def test_cut_at_sends_so_many_bytes_and_then_resets(wire, after: int):
    """Whatever they say."""
    said = sent(wire, [*ANSWER, CutAt(after)])
    assert said[-1] == Cut()
    assert b"".join(step for step in said if isinstance(step, bytes)) == bytes_of(wire, ANSWER)[:after]


@every_wire
def test_a_drip_sends_the_same_bytes_slowly(wire):
    """A pause before each piece."""
    said = sent(wire, [Drip(50, 0.01), *ANSWER])
    pieces = [step for step in said if isinstance(step, bytes)]
    assert max(map(len, pieces)) <= 50
    assert b"".join(pieces) == bytes_of(wire, ANSWER)
    assert said.count(Pause(0.01)) == len(pieces)


@every_wire
def test_bytes_stand_between_the_frames_as_they_are(wire):
    """Before anything is said, and in the middle; `Begin` adds nothing."""
    said = bytes_of(wire, [Begin(), Bytes(b"\n"), Text("a"), Bytes(b"%%%"), Text("b")])
    assert said.startswith(b"\n")
    assert said.count(b"%%%") == 1
    assert len(said) == len(bytes_of(wire, [Text("a"), Text("b")])) + 4


@every_wire
@pytest.mark.parametrize("backwards", [False, True])
def test_interleaved_items_are_the_same_items(wire, backwards: bool):
    """Two calls that grow in turns, in either order: as if one had come after the other."""
    payloads = heard(wire, bytes_of(wire, [Text("Both."), Interleaved(BOTH, backwards=backwards)]))
    response = checked(payloads).response
    assert response.finish_reason == "tool_calls"
    assert sorted(calls(payloads)) == sorted((call.name, call.arguments) for call in BOTH)
    begun = [p.item_id for p in payloads if isinstance(p, ItemStart) and p.item_type == "function_call"]
    grown = [p.item_id for p in payloads if isinstance(p, ItemDelta) and p.item_id in begun]
    assert len(set(grown)) == 2


@every_wire
def test_a_flood_is_made_while_it_is_sent(wire):
    """A hundred megabytes of blanks take no memory: the first of them come before the last are made."""
    plan = make_plan([Flood(name="weather")], 10)
    said = steps(plan, wire.renderer(plan, Ticket("s", 1), BODY, Memory()))
    first = [next(said) for _ in range(300)]
    assert all(isinstance(step, bytes) for step in first)
    assert plan.blocks[0].text == ""
