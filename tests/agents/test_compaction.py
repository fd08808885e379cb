"""Conversations that fill their model's window: summed up in a step of their own, and gone on with."""

from typing import Any

import aiohttp
import pytest

from tailrace.dialects.table import DIALECTS
from tailrace.fold.compaction import ASK, LEAD, compaction_of
from tailrace.schema import codec
from tailrace.schema.events import Event, ItemDelta, ItemStart, ProviderEvent
from tailrace.schema.items import CancelledItem
from tailrace.schema.response import Response
from tailrace.testing.moves import Fail, Finish, Gate, HttpError, Reasoning, Spent, Text
from tests.agents.conftest import Start
from tests.agents.test_loop import DONE, call, read, run, seen, submit
from tests.agents.test_steering import say
from tests.support.linting import broken
from tests.support.server import WIRES

every_wire = pytest.mark.parametrize("wire", list(WIRES))
LONG = "the sky is blue " * 50
SUMMARY = "Notes were taken of the sky; it is blue."
TOO_LONG = HttpError(400, message="prompt is too long: 1001 tokens > 1000 maximum")
SMALL = {"context_tokens": 1000}


def purposes(response: Response) -> list[str | None]:
    return [step.purpose for step in response.steps]


def told(events: list[Event], name: str) -> list[Any]:
    found = [event.payload for event in events if isinstance(event.payload, ProviderEvent)]
    return [payload.data for payload in found if payload.name == name and payload.provider_id == "tailrace"]


def fills(upstream, *after) -> None:
    """Two calls, of which the second fills the window; what is asked for then is the summary."""
    upstream.enqueue(
        [Reasoning("Hm."), call("note", "c1", text=LONG), Spent(300, 20)],
        [Reasoning("So."), call("note", "c2", text=LONG), Spent(600, 20, cost=0.5)],
        *after,
    )


@every_wire
async def test_a_run_that_fills_its_window_is_summed_up_and_goes_on(start: Start, upstream, wire: str):
    """The provider gets the user's words and the summary: no call, no output, no thought of before; what comes after
    stands behind it, pairs whole; the summary's cost counts."""
    server = await start(compaction=SMALL)
    fills(upstream, [Text(SUMMARY), Spent(900, 30)], [call("note", "c3", text="after"), Spent(100, 5)], DONE)
    events, response = await run(server, prompt="Look at the sky.", model_id=f"{wire}/m")
    assert (response.status, response.finish_reason) == ("complete", "stop")
    assert purposes(response) == [None, None, "compaction", None, None]
    assert told(events, "compaction_failed") == []
    (item,) = filter(compaction_of, response.output_items)
    assert item.text == SUMMARY
    assert "".join(e.payload.delta_content for e in events if isinstance(e.payload, ItemDelta)
                   and e.payload.item_id == item.id) == SUMMARY  # fmt: skip
    assert response.usage.prompt_tokens == sum(step.usage.prompt_tokens for step in response.steps)
    assert response.steps[2].usage.prompt_tokens == 900
    asked, after, last = (codec.encode(request.body).decode() for request in upstream.requests[2:])
    assert ASK[:40] in asked
    assert asked.count("noted: the sky") == 2
    assert len(after) < len(asked) / 2
    for body in (after, last):
        assert "Look at the sky." in body
        assert SUMMARY in body
        assert "noted: the sky" not in body
        assert ASK[:40] not in body
    assert last.index(SUMMARY) < last.index("noted: after")


@every_wire
async def test_later_runs_of_the_thread_begin_with_it(start: Start, upstream, wire: str):
    """And with what came after it, whatever provider they ask; a second summary takes the place of the first."""
    server = await start(compaction=SMALL)
    fills(upstream, [Text(SUMMARY), Spent(900, 30)], [Text("It is blue."), Spent(100, 5)])
    _, first = await run(server, prompt="Look at the sky.", model_id="messages/m")
    await run(server, prompt="Sure?", model_id=f"{wire}/m", thread_id=first.thread_id)
    body = codec.encode(upstream.requests[-1].body).decode()
    assert [part in body for part in ("Look at the sky.", SUMMARY, "It is blue.", "Sure?", "noted: the sky")] == [
        True, True, True, True, False,
    ]  # fmt: skip
    upstream.enqueue([Text(LONG), Spent(990, 10)], [Text("All in all: blue.")], DONE)
    await run(server, prompt="Why?", model_id=f"{wire}/m", thread_id=first.thread_id)
    _, last = await run(server, prompt="And now?", model_id=f"{wire}/m", thread_id=first.thread_id)
    assert purposes(last) == ["compaction", None]
    body = codec.encode(upstream.requests[-1].body).decode()
    assert [part in body for part in ("All in all: blue.", SUMMARY, LONG, "Sure?", "Why?", "And now?")] == [
        True, False, False, True, True, True,
    ]  # fmt: skip
    assert body.index("All in all: blue.") < body.index("And now?")


async def test_a_plain_thread_does_not_die_of_its_length(start: Start, upstream):
    """Without an agent, too, by the settings of all runs, and the window that the provider's table says."""
    upstream_table = {"wire": "openai-responses", "base_url": upstream.url, "context_windows": {"m*": 1000}}
    server = await start({"providers": {"responses": upstream_table}, "compaction": {"threshold": 0.5}})
    upstream.enqueue([Text(LONG), Spent(600, 100)], [Text(SUMMARY)], DONE)
    _, first = await run(server, agent_id=None)
    _, second = await run(server, agent_id=None, thread_id=first.thread_id)
    assert purposes(second) == ["compaction", None]
    assert LONG not in str(upstream.requests[-1].body)


@pytest.mark.parametrize("compaction", [{}, {**SMALL, "threshold": 0.0}])
async def test_a_window_that_is_not_known_is_not_watched(start: Start, upstream, compaction):
    """Nor is one that is not to be."""
    server = await start(compaction=compaction)
    fills(upstream, DONE)
    assert purposes((await run(server))[1]) == [None, None, None]


@every_wire
async def test_c11_a_prompt_that_is_too_long_is_summed_up_once(start: Start, upstream, wire: str):
    """The provider says so before anything is to be seen: the step ends, a summary of what fits is made, and the run
    goes on; nobody has to know the window."""
    server = await start()
    upstream.enqueue([Text(LONG * 3), call("note", "c1", text="x")], [TOO_LONG], [Text(SUMMARY)], DONE)
    events, response = await run(server, model_id=f"{wire}/m")
    assert (response.status, purposes(response)) == ("complete", [None, None, "compaction", None])
    assert [data["error"]["code"] for data in told(events, "overflow")] == ["context_overflow"]
    assert "characters are left out here" in str(upstream.requests[2].body)
    assert SUMMARY in str(upstream.requests[3].body)


async def test_c11_what_is_too_long_all_the_same_fails(start: Start, upstream):
    """After a summary there is nothing more to be done; nor where there is nothing to sum up, nor where that fails."""
    server = await start()
    upstream.enqueue([call("note", "c1", text=LONG)], [TOO_LONG], [Text(SUMMARY)], [TOO_LONG])
    upstream.enqueue([TOO_LONG])
    upstream.enqueue([call("note", "c1", text=LONG)], [TOO_LONG], [TOO_LONG], [TOO_LONG])
    ends = [(await run(server))[1] for _ in range(3)]
    assert [end.error.code for end in ends if end.error] == ["context_overflow"] * 3
    assert [len(end.steps) for end in ends] == [4, 1, 4]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([Text(" ".join(map(str, range(1500))))], "no shorter"),
        ([Reasoning("Hm.")], "empty"),
        ([Text("It is"), Finish("length")], "length"),
        ([HttpError(400, message="no summaries")], "no summaries"),
        ([Text("It is b"), Fail("server_error", "it broke")], "it broke"),
        ([call("note", "c9", text="instead")], "tool_calls"),
    ],
)
async def test_c68_a_summary_that_comes_to_nothing_is_told(start: Start, upstream, answer, why: str):
    """In the log; the run goes on with the whole conversation, and does not try again."""
    server = await start({"upstream": {"attempts": 1}}, compaction=SMALL)
    fills(upstream, answer, [call("note", "c3", text="more"), Spent(999, 1)], DONE)
    events, response = await run(server)
    assert purposes(response) == [None, None, "compaction", None, None]
    assert response.status == "complete"
    (data,) = told(events, "compaction_failed")
    assert why in data["reason"]
    assert not any(map(compaction_of, response.output_items))
    assert str(upstream.requests[-1].body).count("noted: the sky") == 2
    assert "It is b" not in str(upstream.requests[-1].body)


async def test_a_summarys_thoughts_are_no_thoughts_of_the_run(start: Start, upstream):
    """They can be seen in the item's own channel, and no model is given them."""
    server = await start(compaction=SMALL)
    fills(upstream, [Reasoning("What matters?"), Text(SUMMARY)], DONE)
    events, response = await run(server)
    (item,) = filter(compaction_of, response.output_items)
    deltas = [e.payload for e in events if isinstance(e.payload, ItemDelta) and e.payload.item_id == item.id]
    assert "".join(delta.delta_content for delta in deltas if delta.channel == "reasoning") == "What matters?"
    assert "What matters?" not in str(upstream.requests[-1].body)


async def test_a_summary_counts_against_the_runs_limits(start: Start, upstream):
    """It is a model call like any other."""
    server = await start(compaction=SMALL, limits={"cost_usd": 0.6})
    fills(upstream, [Text(SUMMARY), Spent(900, 30, cost=0.2)], DONE)
    events, response = await run(server, model_id="chat/m")
    assert (response.finish_reason, len(response.steps)) == ("limit", 3)
    assert told(events, "limit") == [{"limit": "cost_usd"}]


async def test_a18_a_run_is_called_off_while_it_is_summed_up(start: Start, upstream):
    """At once; what had come of the summary is cancelled where it stands, and binds nobody."""
    server = await start(compaction=SMALL)
    fills(upstream, [Text("In sh"), Gate("never")], DONE)
    run_id = await submit(server)
    await seen(server, run_id, ItemDelta, "cmp_")
    await server.client.cancel(run_id)
    _, response = await read(server, run_id)
    assert response.status == "aborted"
    assert isinstance(response.output_items[-1], CancelledItem)
    await run(server, thread_id=response.thread_id)
    assert LEAD not in str(upstream.requests[-1].body)


async def test_what_is_said_meanwhile_is_heard_after_the_summary(start: Start, upstream):
    """It is no part of it: it stands behind it, and waits for an answer."""
    server = await start(compaction=SMALL)
    fills(upstream, [Text(SUMMARY), Gate("summing")], DONE)
    run_id = await submit(server)
    await seen(server, run_id, ItemStart, "cmp_")
    await say(server, run_id, "Mind the clouds.")
    upstream.gate("summing").open()
    await read(server, run_id)
    body = str(upstream.requests[-1].body)
    assert body.index(SUMMARY) < body.index("Mind the clouds.")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_compacted_run_is_legal_in_every_dialect(start: Start, upstream, dialect: str):
    """Whoever reads it; a summary that is taken, and one that is not."""
    server = await start(compaction=SMALL)
    fills(upstream, [Reasoning("Hm."), Text(SUMMARY)], [call("note", "c3", text=LONG), Spent(990, 9)],
          [Text("In sh"), Finish("length")], DONE)  # fmt: skip
    run_id = await submit(server)
    _, response = await read(server, run_id)
    assert purposes(response) == [None, None, "compaction", None, "compaction", None]
    url = f"{server.url}/api/v2/stream/{run_id}?dialect={dialect}"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        data = await reply.read()
    assert broken(dialect, data) == set()
    assert (SUMMARY.encode() in data) == (dialect in {"native", "upserts", "messages"})
    assert (b'"type":"compaction"' in data) == (dialect in {"responses", "messages"})
