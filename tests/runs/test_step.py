"""What a run does next, as a table of states."""

from functools import partial

import pytest
from msgspec.structs import replace

from tailrace.fold.reducer import Reducer
from tailrace.runs.step import (
    FAILED,
    LOST,
    UNKNOWN,
    Abandon,
    CallModel,
    Command,
    Decline,
    Finish,
    Policy,
    Ruling,
    RunTools,
    Told,
    Wait,
    decide,
)
from tailrace.schema.events import ItemCancelled, ItemDone, ItemStart, Payload, StepDone, StepStart
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem
from tailrace.schema.response import Purpose
from tests.support.events import START

POLICY = Policy(max_steps=2, max_takeovers=1)
CALL = FunctionCallItem(id="f", name="n", arguments="{}", call_id="c")
OUTPUT = FunctionCallOutputItem(id="o", call_id="c", output="1", success=True)
CALLED: list[Payload] = [
    ItemStart(item_id="f", item_type="function_call", name="n", call_id="c"),
    ItemDone(item_id="f", final_item=CALL),
]
ANSWERED: list[Payload] = [
    ItemStart(item_id="o", item_type="function_call_output", call_id="c"),
    ItemDone(item_id="o", final_item=OUTPUT),
]


def step(number: int, reason: str, *between: Payload, purpose: Purpose | None = None) -> list[Payload]:
    start = StepStart(step=number, provider_id="p", model_id="m", purpose=purpose)
    return [start, *between, StepDone(step=number, provider_id="p", model_id="m", finish_reason=reason)]


@pytest.mark.parametrize(
    ("payloads", "command"),
    [
        ([], CallModel(1)),
        (step(1, "stop"), Finish("stop")),
        (step(1, "refusal"), Finish("refusal")),
        (step(1, "content_filter"), Finish("content_filter")),
        (step(1, "pause"), CallModel(2)),
        (step(1, "tool_calls", *CALLED), Wait()),
        ([*step(1, "tool_calls", *CALLED), *ANSWERED], CallModel(2)),
        ([*step(1, "tool_calls", *CALLED), *ANSWERED, *step(2, "pause")], Finish("limit", "steps")),
        ([*step(1, "length", *CALLED), *ANSWERED], Finish("length")),
        (step(1, LOST), CallModel(2)),
        (step(1, FAILED), CallModel(2)),
        ([*step(1, FAILED), *step(2, FAILED)], Finish("limit", "steps")),
        (step(1, LOST, *CALLED), Wait()),
        ([*step(1, LOST), *step(2, LOST)], Abandon(2)),
        (step(1, "stop", purpose="compaction"), CallModel(2)),
        (step(1, "length", purpose="compaction"), CallModel(2)),
        ([*step(1, "pause"), *step(2, "stop", purpose="compaction")], Finish("limit", "steps")),
        ([*step(1, LOST, purpose="compaction"), *step(2, LOST, purpose="compaction")], Abandon(2)),
    ],
)
def test_what_comes_next(payloads: list[Payload], command: Command):
    """Each state has its one command; at most two model calls are allowed here."""
    state = Reducer()
    for seq, payload in enumerate([START, *payloads], 1):
        state.apply(seq, seq, payload)
    assert decide(state, POLICY) == command


def test_a_summary_between_hides_no_repetition():
    """Steps that make the very same calls are counted on behind it."""
    state = Reducer()
    called = [*step(1, "tool_calls", *CALLED), *ANSWERED]
    again = [replace(each, item_id=f"{each.item_id}2", **_final(each)) for each in CALLED]
    events = [START, *called, *step(2, "stop", purpose="compaction"), *step(3, "tool_calls", *again)]
    for seq, payload in enumerate(events, 1):
        state.apply(seq, seq, payload)
    assert state.repeats == 2


def _final(payload: Payload) -> dict[str, object]:
    return {"final_item": replace(CALL, id="f2")} if isinstance(payload, ItemDone) else {}


def test_c19_a_call_cut_off_by_length_is_answered_before_the_end():
    """No call dangles: one that will not run is declined."""
    state = Reducer()
    for seq, payload in enumerate([START, *step(1, "length", *CALLED)], 1):
        state.apply(seq, seq, payload)
    command = decide(state, POLICY)
    assert isinstance(command, Decline)
    assert [told.call for told in command.calls] == [CALL]


def test_a_run_may_end_with_its_clients_calls():
    """Where the client's next request brings the outputs (contract §5), the run ends instead of waiting."""
    state = Reducer()
    for seq, payload in enumerate([START, *step(1, "tool_calls", *CALLED)], 1):
        state.apply(seq, seq, payload)
    assert decide(state, POLICY, "end") == Finish("tool_calls")


def test_c2_what_was_begun_and_broken_off_is_unknown_unless_it_may_be_run_again():
    """Pure: the log says how often an output began; the tool says whether it may again; so often, and no more."""
    begun: list[Payload] = [
        ItemStart(item_id="o", item_type="function_call_output", call_id="c"), ItemCancelled(item_id="o")
    ]  # fmt: skip
    again = [replace(begun[0], item_id="o2"), replace(begun[1], item_id="o2")]
    called = [replace(step(1, "tool_calls")[0], client_tools=[]), *CALLED, step(1, "tool_calls")[1]]
    for payloads, idempotent, command in (
        (called, False, RunTools((CALL,))),
        ([*called, *begun], False, Decline((Told(CALL, UNKNOWN),))),
        ([*called, *begun], True, RunTools((CALL,))),
        ([*called, *begun, *again], True, Decline((Told(CALL, UNKNOWN),))),
    ):
        state = Reducer()
        for seq, payload in enumerate([START, *payloads], 1):
            state.apply(seq, seq, payload)
        rules = partial(lambda idempotent, _call: Ruling(idempotent=idempotent), idempotent)
        assert decide(state, POLICY, rules=rules) == command
