"""The upserts dialect: whole items, rate-limited by growth and by the log's own time."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tailrace.dialects.base import Frame, View, sse
from tailrace.dialects.upserts.encode import UpsertEncoder
from tailrace.fold.reducer import Reducer
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import (
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemStart,
    Payload,
    ResponseDone,
    TraceContext,
)
from tailrace.schema.items import FunctionCallOutputItem, MessageItem
from tests.support.events import START, runs

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def encode(payloads: list[Payload], times: list[int] | None = None, view: View = View()) -> list[dict[str, Any]]:  # noqa: B008  # a View is frozen
    return [codec.decode_any(frame.data) for frame in frames(payloads, times, view)]


def frames(payloads: list[Payload], times: list[int] | None, view: View) -> list[Frame]:
    encoder = UpsertEncoder(view)
    stamps = times or [0] * len(payloads)
    batches = [Batch("r", s, t, TRACE, payloads=[p]) for s, (p, t) in enumerate(zip(payloads, stamps, strict=True), 1)]
    return [frame for batch in batches for frame in encoder.encode(batch)]


def message(*deltas: str, origin: str | None = None) -> list[Payload]:
    start = ItemStart(item_id="a", item_type="message", origin=origin)
    done = ItemDone(item_id="a", final_item=MessageItem(id="a", content="".join(deltas)))
    return [START, start, *(ItemDelta(item_id="a", delta_content=delta) for delta in deltas), done]


def test_a_short_text_is_one_frame():
    """What stays under the first threshold is shown when it is whole."""
    turn, *items = encode(message("Hello"))
    assert turn["type"] == "turn_started"
    assert [(item["change"], item["content"], item["version"]) for item in items] == [("completed", "Hello", 1)]


def test_a_frame_is_due_past_the_threshold_and_not_at_it():
    """Ten estimated tokens are forty characters; the frame comes with the forty-first."""
    assert [item["change"] for item in encode(message("x" * 40))[1:]] == ["completed"]
    assert [item["change"] for item in encode(message("x" * 40, "y"))[1:]] == ["created", "completed"]


def test_one_delta_over_many_thresholds_is_one_frame():
    """However far a delta leaps, it makes one frame."""
    assert [len(item["content"]) for item in encode(message("x" * 4000))[1:]] == [4000, 4000]


def test_growth_follows_the_gradient():
    """The further an item has come, the rarer its frames: one character at a time, each threshold gives one."""
    sizes = [len(item["content"]) for item in encode(message(*"x" * 801))[1:-1]]
    assert sizes == [41, 81, 161, 241, 441, 641]


def test_c65_versions_of_an_item_strictly_increase():
    """A thin client can tell an older state from a newer one."""
    versions = [item["version"] for item in encode(message(*["word "] * 500))[1:]]
    assert len(versions) > 5
    assert all(later == earlier + 1 for earlier, later in pairwise(versions))


def test_a_second_of_the_logs_time_makes_a_frame_due():
    """Slow text is shown once a second, by the log's timestamps and no clock."""
    times = [0, 0, 400, 900, 1000, 1100, 2000, 2100]
    payloads = message("a", "b", "c", "d", "e")
    assert [item["content"] for item in encode(payloads, times)[1:]] == ["abc", "abcde", "abcde"]


def test_a_users_message_is_held_until_whole():
    """What a user said comes once, and is the user's."""
    items = encode(message("x" * 500, "y" * 500, origin="user"))[1:]
    assert [item["change"] for item in items] == ["completed"]


def test_c66_an_output_without_its_call_is_an_item():
    """Nothing is dropped because its counterpart is missing."""
    output = FunctionCallOutputItem(id="o", call_id="nobody", output="42", success=True)
    payloads = [START, ItemStart(item_id="o", item_type="function_call_output", call_id="nobody"),
                ItemDone(item_id="o", final_item=output)]  # fmt: skip
    (item,) = encode(payloads)[1:]
    assert (item["item_type"], item["content"], item["call_id"], item["success"]) == (
        "function_call_output", "42", "nobody", True,
    )  # fmt: skip


def test_a_cancelled_item_says_so_with_what_came_of_it():
    """Its frame carries the partial item."""
    payloads = [START, ItemStart(item_id="a", item_type="message"), ItemDelta(item_id="a", delta_content="par"),
                ItemCancelled(item_id="a", reason="enough")]  # fmt: skip
    item = encode(payloads)[-1]
    assert (item["item_type"], item["content"], item["partial"]["content"]) == ("cancelled", "enough", "par")


def test_a_turn_ends_with_its_status():
    """The last frame says how it went."""
    done = ResponseDone(response_id="r", status="complete", finish_reason="stop")
    assert encode([START, done])[-1] == {"type": "turn_complete", "status": "complete", "finish_reason": "stop"}


@given(runs())
def test_the_last_frame_of_each_item_is_the_item(payloads: list[Payload]):
    """Applying the frames by item id gives the items that ended, as the fold has them."""
    state = Reducer()
    for seq, payload in enumerate(payloads, 1):
        state.apply(seq, 0, payload)
    shown = {frame["item_id"]: frame for frame in encode(payloads) if frame["type"] == "item_upsert"}
    for item in state.items():
        frame = shown.get(item.id)
        if frame is None or frame["change"] != "completed":
            continue
        fields = codec.to_builtins(item)
        assert frame["item_type"] == fields.pop("type")
        assert {name: frame[name] for name in fields if name != "id"} == {k: v for k, v in fields.items() if k != "id"}


@given(runs(), st.data())
def test_resuming_at_any_cursor_gives_the_rest(payloads: list[Payload], data: st.DataObject):
    """Who comes back reads just the frames not read yet: frames are a function of the log."""
    made = frames(payloads, None, View())
    after = data.draw(st.integers(0, len(payloads)))
    first = [frame for frame in made if frame.seq <= after]
    assert sse(first) + sse(made, after) == sse(made)


@given(runs())
def test_hidden_items_make_no_frame(payloads: list[Payload]):
    """`none` leaves reasoning and tools out, however they end."""
    hidden = {p.item_id for p in payloads if isinstance(p, ItemStart) and p.item_type != "message"}
    shown = encode(payloads, view=View(reasoning="none", tools="none"))
    assert not hidden & {frame.get("item_id") for frame in shown}
