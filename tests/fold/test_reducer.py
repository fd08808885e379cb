"""The reducer: events add up to one Response, whatever order of reading, repetition or interruption."""

import time
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.fold.reducer import Reducer, fold
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import (
    ApprovalRequested,
    ApprovalResolved,
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemError,
    ItemStart,
    Payload,
    ResponseDone,
    ResponseError,
    ResponseStart,
    StepDone,
    StepStart,
    TraceContext,
    TurnAborted,
    UsageUpdate,
)
from tailrace.schema.items import CancelledItem, ErrorItem, FunctionCallItem, FunctionCallOutputItem, MessageItem
from tailrace.schema.response import ErrorInfo, Resolution, Response, Usage
from tests.support.events import runs

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
START = ResponseStart(response_id="r", turn_id="t", thread_id="th", model_id="m", provider_id="p", created_at=1)
STEP = StepStart(step=1, provider_id="p", model_id="m")


def step_done(step: int = 1, reason: str = "stop", usage: Usage | None = None) -> StepDone:
    return StepDone(step=step, provider_id="p", model_id="m", finish_reason=reason, usage=usage)


def reduce(*payloads: Payload) -> Reducer:
    state = Reducer()
    for seq, payload in enumerate(payloads, 1):
        state.apply(seq, 1000 + seq, payload)
    return state


def response(*payloads: Payload) -> Response:
    return reduce(*payloads).response()


def message(item_id: str, *deltas: str) -> list[Payload]:
    start = ItemStart(item_id=item_id, item_type="message")
    return [start, *(ItemDelta(item_id=item_id, delta_content=delta) for delta in deltas)]


def test_c32_the_users_item_is_the_users_from_its_first_event():
    """A user's words are never shown as the agent's, not even for one event."""
    state = reduce(START, ItemStart(item_id="u", item_type="message", origin="user", initial_content="hi"))
    assert state.response().output_items == [MessageItem(id="u", content="hi", origin="user")]


def test_c33_an_item_that_fails_keeps_its_place_and_its_partial_text():
    """The first of three items fails: it stays first, with what came of it."""
    error = ErrorInfo(code="server_error", message="broken", retryable=True)
    done = MessageItem(id="b", content="whole")
    items = response(
        START, STEP, *message("a", "par", "tial"), *message("b"), ItemError(item_id="a", error=error),
        *message("c", "x"), ItemDone(item_id="b", final_item=done), ItemCancelled(item_id="c", reason="enough"),
    ).output_items  # fmt: skip
    assert items == [
        ErrorItem(id="a", code="server_error", message="broken", partial=MessageItem(id="a", content="partial")),
        done,
        CancelledItem(id="c", reason="enough", partial=MessageItem(id="c", content="x")),
    ]


def test_c34_a_function_call_is_visible_while_it_grows():
    """From its first event a call shows its name and its arguments so far."""
    start = ItemStart(item_id="f", item_type="function_call", name="weather", call_id="c1")
    state = reduce(START, STEP, start)
    assert state.item("f") == FunctionCallItem(id="f", name="weather", arguments="", call_id="c1")
    state.apply(4, 0, ItemDelta(item_id="f", delta_content='{"city":'))
    assert state.item("f") == FunctionCallItem(id="f", name="weather", arguments='{"city":', call_id="c1")


def test_c35_duplicates_and_a_second_response_start_change_nothing():
    """Events that were seen, and a repeated start, leave the state as it is."""
    payloads = [START, STEP, *message("a", "x", "y")]
    once = reduce(*payloads)
    before = once.response()
    for seq, payload in enumerate(payloads, 1):
        assert once.apply(seq, 5000, payload) is False
    assert once.response() == before
    assert once.apply(6, 1005, START) is False
    assert once.ignored == 1
    assert once.response().output_items == before.output_items


def test_c36_a_late_delta_is_ignored_and_counted():
    """A delta after its item's end harms neither that item nor the rest of the run."""
    done = ItemDone(item_id="a", final_item=MessageItem(id="a", content="x"))
    state = reduce(
        START, STEP, *message("a", "x"), done, ItemDelta(item_id="a", delta_content="late"), *message("b", "y")
    )
    assert state.ignored == 1
    assert [item.content for item in state.items()] == ["x", "y"]


def test_c37_deltas_reduce_in_linear_time():
    """Twice the deltas take less than three times as long: a ratio within one run, the best of three."""

    def cost(count: int) -> float:
        delta = ItemDelta(item_id="a", delta_content="word ")
        best = float("inf")
        for _ in range(3):
            state = reduce(START, STEP, *message("a"))
            began = time.process_time()
            for seq in range(4, count + 4):
                state.apply(seq, seq, delta)
            assert len(state.response().output_items[0].content) == 5 * count
            best = min(best, time.process_time() - began)
        return best

    assert min(cost(50_000) / cost(25_000) for _ in range(3)) < 3


def test_c42_events_behind_the_terminal_one_are_ignored():
    """After the end nothing changes any more, and nothing raises."""
    done = ResponseDone(response_id="r", status="complete", finish_reason="stop")
    state = reduce(START, STEP, step_done(), done)
    before = state.response()
    assert state.apply(5, 9999, ResponseError(response_id="r", error=ErrorInfo(code="internal", message="?"))) is False
    assert state.response() == Response(**{**{f: getattr(before, f) for f in before.__struct_fields__}, "last_seq": 5})


def test_c5_usage_of_three_steps_is_summed_and_kept_per_step():
    """A run's usage is the sum of its steps', each of which keeps its own."""
    usages = [Usage(prompt_tokens=n, completion_tokens=1, total_tokens=n + 1, cached_tokens=n) for n in (10, 20, 30)]
    payloads: list[Payload] = [START]
    for number, usage in enumerate(usages, 1):
        payloads += [StepStart(step=number, provider_id="p", model_id="m"), step_done(number, usage=usage)]
    run = response(*payloads)
    assert run.usage == Usage(prompt_tokens=60, completion_tokens=3, total_tokens=63, cached_tokens=60)
    assert [step.usage for step in run.steps] == usages


def test_usage_updates_are_provisional_until_the_step_is_done():
    """What a provider counts in mid-step shows at once and is replaced by the step's own count."""
    some = Usage(prompt_tokens=5, completion_tokens=1, total_tokens=6)
    more = Usage(prompt_tokens=5, completion_tokens=9, total_tokens=14)
    state = reduce(START, STEP, UsageUpdate(response_id="r", usage=some))
    assert state.response().usage == some
    state.apply(4, 4, step_done(usage=more))
    assert state.response().usage == more


def test_a_run_goes_through_its_states():
    """queued, in_progress, requires_action while a call has no output, and on."""
    call = FunctionCallItem(id="f", name="n", arguments="{}", call_id="c")
    output = FunctionCallOutputItem(id="o", call_id="c", output="1", success=True)
    state = Reducer()
    seen = []
    for seq, payload in enumerate(
        [
            START, STEP, ItemStart(item_id="f", item_type="function_call", name="n", call_id="c"),
            ItemDone(item_id="f", final_item=call), step_done(reason="tool_calls"),
            ItemStart(item_id="o", item_type="function_call_output", call_id="c"),
            ItemDone(item_id="o", final_item=output), TurnAborted(turn_id="t", reason="enough"),
        ], 1,
    ):  # fmt: skip
        state.apply(seq, seq, payload)
        seen.append(state.status)
    assert [now for before, now in pairwise([None, *seen]) if now != before] == [
        "queued", "in_progress", "requires_action", "in_progress", "aborted",
    ]  # fmt: skip
    assert state.response().finish_reason == "cancelled"
    assert state.response().completed_at == 8


def test_before_the_start_there_is_nothing_to_show():
    """A Response needs its beginning; events before it are counted and left."""
    state = reduce(STEP)
    assert state.ignored == 1
    with pytest.raises(ValueError, match="response_start"):
        state.response()


@given(runs(), st.data())
def test_folding_on_from_any_snapshot_is_folding_anew(payloads: list[Payload], data: st.DataObject):
    """Design rule 6: folding the whole log, or its rest onto a snapshot that went through JSON, gives the same."""
    cut = data.draw(st.integers(1, len(payloads)))
    early = Reducer()
    for seq in range(1, cut + 1):
        early.apply(seq, seq, payloads[seq - 1])
    resumed = Reducer(codec.decode(codec.encode(early.response()), Response))
    for seq, payload in enumerate(payloads, 1):
        resumed.apply(seq, seq, payload)
    whole = Reducer()
    for seq, payload in enumerate(payloads, 1):
        whole.apply(seq, seq, payload)
    assert resumed.response() == whole.response()
    assert whole.ignored == 0


@given(runs(), st.lists(st.integers(0, 200), max_size=20))
def test_replaying_parts_changes_nothing(payloads: list[Payload], again: list[int]):
    """Delivery is at least once: whatever is delivered again, the fold is the same."""
    state, clean = Reducer(), Reducer()
    for seq, payload in enumerate(payloads, 1):
        state.apply(seq, seq, payload)
        clean.apply(seq, seq, payload)
        for back in again:
            if back < seq:
                state.apply(back + 1, back + 1, payloads[back])
    assert state.response() == clean.response()


@given(runs())
def test_batches_fold_like_single_events(payloads: list[Payload]):
    """How a log is cut into batches does not matter to what it adds up to."""
    one = fold([Batch("r", 1, 7, TRACE, payloads=payloads)])
    many = fold([Batch("r", seq, 7, TRACE, payloads=[payload]) for seq, payload in enumerate(payloads, 1)])
    assert one == many


def called(call_id: str, name: str) -> list[Payload]:
    item = FunctionCallItem(id=f"f_{call_id}", name=name, arguments="{}", call_id=call_id)
    return [
        ItemStart(item_id=item.id, item_type="function_call", name=name, call_id=call_id),
        ItemDone(item_id=item.id, final_item=item),
    ]


def answered(call_id: str) -> list[Payload]:
    item = FunctionCallOutputItem(id=f"o_{call_id}", call_id=call_id, output="x", success=True)
    return [
        ItemStart(item_id=item.id, item_type="function_call_output", call_id=call_id, origin="tool_harness"),
        ItemDelta(item_id=item.id, delta_content="y"),
        ItemDone(item_id=item.id, final_item=item),
    ]


def test_an_agents_run_waits_for_people_and_clients_only():
    """Status follows what is waited for, whatever the harness has open; folding on from any snapshot says the same."""
    asked = ApprovalRequested(
        approval_id="a", item_id="f_2", tool="ours", arguments="{}", reason="always", expires_at=9
    )  # fmt: skip
    decided = ApprovalResolved(approval_id="a", decision="denied", by="alice", reason="no")
    step = StepStart(step=1, provider_id="p", model_id="m", client_tools=["theirs"])
    payloads: list[Payload] = [
        START, step, *called("0", "ours"), step_done(1, "tool_calls"), *answered("0"),
        msgspec.structs.replace(step, step=2), *called("1", "theirs"), *called("2", "ours"), *called("3", "ours"),
        step_done(2, "tool_calls"), asked, *answered("1"), decided, *answered("2"), *answered("3"),
        msgspec.structs.replace(step, step=3), step_done(3, "stop"),
        ResponseDone(response_id="r", status="complete", finish_reason="stop"),
    ]  # fmt: skip
    state, statuses, snapshots = Reducer(), [], []
    for seq, payload in enumerate(payloads, 1):
        state.apply(seq, 1000 * seq, payload)
        statuses.append(state.status)
        snapshots.append(state.response())
    first, last = payloads.index(step_done(2, "tool_calls")), payloads.index(decided)
    assert set(statuses[first:last]) == {"requires_action"}
    assert "requires_action" not in {*statuses[:first], *statuses[last:]}
    assert state.waited_ms == 1000 * (last - first)
    for snapshot in snapshots:
        on = Reducer(snapshot)
        for seq, payload in enumerate(payloads, 1):
            on.apply(seq, 1000 * seq, payload)
        assert on.response() == state.response()
    (approval,) = state.response().approvals or ()
    assert approval.resolution == Resolution(decision="denied", by="alice", reason="no")
