"""The loop: a model asks for tools, they run, it hears of what came of them, until it is done or stopped."""

import asyncio
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from tailrace.client.client import ClientError
from tailrace.dialects.table import DIALECTS
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.schema import codec
from tailrace.schema.events import Event, ItemDelta, ItemStart, ProviderEvent, StepStart
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem
from tailrace.schema.response import Response
from tailrace.testing.moves import Call, Finish, Gate, Spent, Text
from tests.agents.conftest import Start
from tests.support.agent_tools import effects
from tests.support.asking import offered
from tests.support.linting import broken
from tests.support.server import WIRES, Served

every_wire = pytest.mark.parametrize("wire", list(WIRES))
DONE = [Text("done")]
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {}}}


def call(name: str, call_id: str, **arguments: object) -> Call:
    return Call(name, codec.encode(arguments).decode(), call_id=call_id)


def outputs(response: Response) -> list[FunctionCallOutputItem]:
    return [item for item in response.output_items if isinstance(item, FunctionCallOutputItem)]


async def submit(server: Served, **body: object) -> str:
    return (await server.client.submit(**{"prompt": "go", "agent_id": "a", **body}))["run_id"]


async def read(server: Served, run_id: str) -> tuple[list[Event], Response]:
    """To the end; the stream is legal, no call dangles, and it folds to what the server says."""
    events = [event async for event in server.client.events(run_id)]
    grammar, state = Grammar(), Reducer()
    for event in events:
        assert grammar.accept(event.payload) is None
        state.apply(event.seq, event.timestamp, event.payload)
    assert grammar.run == "ended"
    response = await server.client.run(run_id)
    assert state.response() == response
    called = [item.call_id for item in response.output_items if isinstance(item, FunctionCallItem)]
    assert sorted(called) == sorted(output.call_id for output in outputs(response))
    return events, response


async def run(server: Served, **body: object) -> tuple[list[Event], Response]:
    return await read(server, await submit(server, **body))


async def seen(server: Served, run_id: str, kind: type, where: str = "") -> None:
    """Wait until the run has had an event of this kind."""
    async with aclosing(server.client.events(run_id)) as events:
        async for event in events:
            if isinstance(event.payload, kind) and where in str(event.payload):
                return
    raise AssertionError("the run ended without it")


@every_wire
async def test_a_model_uses_tools_until_it_is_done(start: Start, upstream, work: Path, wire: str):
    """Calls of one step run side by side; their results are told in call order, however they finished."""
    server = await start()
    upstream.enqueue(
        [call("nap", "c1", seconds=0.1, text="first"), call("note", "c2", text="second")],
        [call("note", "c3", text="third")],
        DONE,
    )
    _, response = await run(server, model_id=f"{wire}/m")
    assert (response.status, response.finish_reason) == ("complete", "stop")
    assert effects(work) == ["first", "second", "third"]
    assert {(output.output, output.success, output.origin) for output in outputs(response)} == {
        (text, True, "tool_harness") for text in ("slept: first", "noted: second", "noted: third")
    }
    said = str(upstream.requests[1].body)
    assert said.index("slept: first") < said.index("noted: second")
    assert [step.client_tools for step in response.steps] == [[], [], []]


@every_wire
async def test_c31_the_agents_tools_are_offered_and_no_others(start: Start, upstream, wire: str):
    """An agent with two tools: the request has exactly these, beside the client's own."""
    server = await start(tools=["note", "fail"])
    await run(server, model_id=f"{wire}/m")
    await run(server, model_id=f"{wire}/m", tools=[WEATHER])
    await run(server, model_id=f"{wire}/m", agent_id=None)
    names = [offered(request.body) for request in upstream.requests]
    assert names == [["note", "fail"], ["note", "fail", "weather"], []]


async def test_two_tools_of_one_name_are_refused(start: Start, upstream):
    """By name, and before anything has happened."""
    server = await start()
    with pytest.raises(ClientError, match="'note'") as refused:
        await submit(server, tools=[WEATHER, {**WEATHER, "name": "note"}])
    assert (refused.value.status, refused.value.field) == (400, "tools[1].name")
    assert not upstream.requests


async def test_the_clients_calls_are_waited_for_first(start: Start, upstream, work: Path):
    """A step may have both: the client is waited for while nothing runs; then the harness's calls are run."""
    server = await start()
    upstream.enqueue([call("note", "c1", text="ours"), call("weather", "c2")], DONE)
    run_id = await submit(server, tools=[WEATHER])
    while (await server.client.run(run_id)).status != "requires_action":
        await asyncio.sleep(0.01)
    assert effects(work) == []
    with pytest.raises(ClientError) as refused:
        await server.client.outputs(run_id, [{"call_id": "c1", "output": "not yours"}])
    assert refused.value.field == "outputs[0].call_id"
    await server.client.outputs(run_id, [{"call_id": "c2", "output": "mild"}])
    _, response = await read(server, run_id)
    assert effects(work) == ["ours"]
    said = str(upstream.requests[1].body)
    assert said.index("noted: ours") < said.index("mild")
    assert response.status == "complete"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [('{"text": "x', "not valid"), ("[]", "not valid"), ('{"txt": "x"}', "txt"), ('{"text": 1}', "text")],
)
async def test_c17_malformed_arguments_are_not_executed(start: Start, upstream, work: Path, arguments, told):
    """The model is told what is wrong with them, and may try again."""
    server = await start()
    upstream.enqueue([Call("note", arguments, call_id="c1")], [call("note", "c2", text="right")], DONE)
    _, response = await run(server)
    first, second = outputs(response)
    assert (first.success, second.success, effects(work)) == (False, True, ["right"])
    assert told in first.output
    assert "Nothing was run" in str(upstream.requests[1].body)


async def test_c23_a_failure_is_no_success_and_the_run_goes_on(start: Start, upstream):
    """What a tool fails with, or a name that is none, is an output with `success` false."""
    server = await start()
    upstream.enqueue([call("fail", "c1"), call("nothing", "c2")], DONE)
    _, response = await run(server)
    assert [(output.success, output.call_id) for output in outputs(response)] == [(False, "c2"), (False, "c1")]
    assert "it cannot be done" in str(upstream.requests[1].body)
    assert "There is no tool 'nothing'" in str(upstream.requests[1].body)
    assert response.status == "complete"


@every_wire
async def test_c19_length_with_open_calls_executes_none(start: Start, upstream, work: Path, wire: str):
    """The answer was cut off: what it asked for may not be what it meant."""
    server = await start()
    upstream.enqueue([call("note", "c1", text="x"), Text("and"), Finish("length")])
    _, response = await run(server, model_id=f"{wire}/m")
    assert response.finish_reason == "length"
    assert [output.success for output in outputs(response)] == [False]
    assert effects(work) == []


@pytest.mark.parametrize(
    ("limits", "which", "requests"),
    [({"steps": 2}, "steps", 2), ({"tokens": 150}, "tokens", 2), ({"cost_usd": 0.5}, "cost_usd", 2)],
)
async def test_c13_each_limit_ends_the_run_and_says_which(start: Start, upstream, work, limits, which, requests):
    """A model that calls on and on: what it asks for last is not run, because nobody would hear of it."""
    server = await start(limits=limits)
    count = iter(range(100))
    upstream.script = lambda _: [
        call("note", f"c{(number := next(count))}", text=str(number)), Spent(50, 30, cost=0.3)
    ]  # fmt: skip
    events, response = await run(server, model_id="chat/m")
    told = [event.payload.data for event in events if isinstance(event.payload, ProviderEvent)]
    assert (response.status, response.finish_reason) == ("complete", "limit")
    assert {"limit": which} in told
    assert len(upstream.requests) == requests
    assert effects(work) == [str(number) for number in range(requests - 1)]


async def test_c13_time_is_a_limit_that_stops_tools(start: Start, upstream, work: Path):
    """What runs is stopped, its output cancelled where it stands, and the call answered."""
    server = await start(limits={"time_s": 0.5})
    upstream.enqueue([call("wait", "c1", text="x")])
    async with asyncio.timeout(5):
        events, response = await run(server)
    assert (response.status, response.finish_reason) == ("complete", "limit")
    assert {"limit": "time_s"} in [e.payload.data for e in events if isinstance(e.payload, ProviderEvent)]
    assert "stopped" in outputs(response)[-1].output


async def test_a_model_that_repeats_itself_is_told_and_then_stopped(start: Start, upstream, work: Path):
    """The same call again and again: at the third it is told, at the fourth the run ends."""
    server = await start(limits={"repeats": 3})
    count = iter(range(100))
    upstream.script = lambda _: [call("note", f"c{next(count)}", text="same")]
    events, response = await run(server)
    assert (response.finish_reason, len(upstream.requests), effects(work)) == ("limit", 4, ["same", "same"])
    assert "3 times in a row" in outputs(response)[2].output
    assert {"limit": "repeats"} in [e.payload.data for e in events if isinstance(e.payload, ProviderEvent)]


@pytest.mark.parametrize(("tool", "arguments"), [("wait", {"text": "x"}), ("stubborn", {"seconds": 3})])
async def test_c14_cancel_reaches_tools_within_a_second(start: Start, upstream, work: Path, tool, arguments):
    """Also one that does not stop: the run has ended all the same."""
    server = await start()
    upstream.enqueue([call(tool, "c1", **arguments)])
    run_id = await submit(server)
    await seen(server, run_id, ItemStart, "tool_harness")
    while not effects(work):
        await asyncio.sleep(0.01)
    async with asyncio.timeout(1):
        await server.client.cancel(run_id)
        _, response = await read(server, run_id)
    assert response.status == "aborted"
    assert "stopped: cancelled by the user" in outputs(response)[0].output
    assert len(upstream.requests) == 1


async def test_c14_cancel_kills_the_processes_of_a_command(start: Start, upstream, work: Path):
    """A command that has forked: no process of it is left a second later."""
    server = await start(tools=["exec"])
    script = "sleep 60 & echo $! > child; sleep 60"
    upstream.enqueue([call("exec", "c1", command=["sh", "-c", script])])
    run_id = await submit(server)
    while not (work / "child").exists() or not (work / "child").read_text().strip():
        await asyncio.sleep(0.01)
    async with asyncio.timeout(1.5):
        await server.client.cancel(run_id)
        while _sleeping(work):
            await asyncio.sleep(0.02)


def _sleeping(work: Path) -> bool:
    """Is a process at work in the folder?"""
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.readlink() == work:
                return True
        except OSError:
            continue
    return False


async def test_output_streams_while_a_tool_runs(start: Start, upstream, work: Path):
    """Deltas are in the log before the tool has ended; the final item is what the model hears."""
    server = await start()
    upstream.enqueue([call("wait", "c1", text="x")], DONE)
    run_id = await submit(server)
    await seen(server, run_id, ItemDelta, "waiting for x.go")
    assert (await server.client.run(run_id)).status == "in_progress"
    (work / "x.go").touch()
    _, response = await read(server, run_id)
    assert [output.output for output in outputs(response)] == ["told: x"]


async def test_calls_of_a_tool_beyond_its_limit_wait_for_their_turn(start: Start, upstream, work: Path):
    """One at a time: nobody begins before another has ended; a call that waits is not claimed yet."""
    server = await start()
    upstream.enqueue([call("alone", f"c{n}", text=str(n)) for n in range(4)], DONE)
    events, _ = await run(server)
    marks = effects(work)
    assert len(marks) == 8
    assert all(a == f"+{b[1:]}" for a, b in zip(marks[::2], marks[1::2], strict=True))
    open_now, most = 0, 0
    for event in events:
        if isinstance(event.payload, ItemStart) and event.payload.item_type == "function_call_output":
            open_now += 1
        elif event.type == "item_done" and isinstance(event.payload.final_item, FunctionCallOutputItem):
            open_now -= 1
        most = max(most, open_now)
    assert most == 1


async def test_a_thread_goes_on_with_what_its_tools_said(start: Start, upstream):
    """The next turn's request has the calls and outputs of the one before."""
    server = await start()
    upstream.enqueue([call("note", "c1", text="xyzzy")], DONE)
    submitted = await server.client.submit(prompt="go", agent_id="a")
    await read(server, submitted["run_id"])
    await run(server, thread_id=submitted["thread_id"])
    assert "noted: xyzzy" in str(upstream.requests[-1].body)


async def test_spans_one_per_tool(start: Start, upstream):
    """The events of a call's output belong to a span of their own, child of nobody else's."""
    server = await start()
    upstream.enqueue([call("note", "c1", text="a"), call("note", "c2", text="b")], DONE)
    events, _ = await run(server)
    spans: dict[str, set[str]] = {}
    for event in events:
        item_id = getattr(event.payload, "item_id", "")
        if item_id.startswith("output_"):
            spans.setdefault(item_id, set()).add(event.trace_context.traceparent)
    steps = {event.trace_context.traceparent for event in events if isinstance(event.payload, StepStart)}
    assert [len(each) for each in spans.values()] == [1, 1]
    assert all(a.isdisjoint(b) for a, b in pairwise([*spans.values(), steps]))


async def test_a_tool_may_be_stopped_at_the_gate(start: Start, upstream):
    """A cancel between the call and the answer that asks for it: nothing of the step is run."""
    server = await start()
    upstream.enqueue([call("note", "c1", text="x"), Gate("g")])
    run_id = await submit(server)
    await seen(server, run_id, ItemStart, "note")
    await server.client.cancel(run_id)
    _, response = await read(server, run_id)
    assert [output.output for output in outputs(response)] in (["not executed: cancelled by the user"], [])


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_agents_run_is_legal_in_every_dialect(start: Start, upstream, work: Path, dialect: str):
    """Whoever reads it: calls side by side, a failed one, one that was stopped."""
    server = await start(limits={"time_s": 1.0})
    upstream.enqueue(
        [Text("I look."), call("note", "c1", text="x"), call("fail", "c2")], [call("wait", "c3", text="never")]
    )
    run_id = await submit(server)
    await read(server, run_id)
    url = f"{server.url}/api/v2/stream/{run_id}?dialect={dialect}"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        data = await reply.read()
    assert data
    assert broken(dialect, data) == set()
