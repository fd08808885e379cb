"""kill -9 between a call, its claim, its effect and its output: effects happen once, outputs exactly once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from tailrace.client.client import Client
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.schema.events import Event
from tailrace.schema.items import CancelledItem, FunctionCallOutputItem, MessageItem
from tailrace.testing.moves import Gate, Spent, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.agents.conftest import REGISTER
from tests.agents.test_loop import DONE, call
from tests.support.agent_tools import effects
from tests.support.process import ServerProcess

pytestmark = pytest.mark.slow

SETTINGS = """
[tools]
register = ["{register}"]
workspace = "{work}"
sandbox = "preferred"

[agents.a]
tools = ["note", "wait*"]

[agents.brief]
tools = ["note"]
compaction = {{context_tokens = 1000}}

[agents.careful]
tools = ["note"]
approvals = {{note = "always"}}

[agents.coder]
tools = ["@coding"]
instructions = "You write code."
approvals = {{apply_patch = "always", exec = {{never = [{{command = ["cat"]}}]}}}}
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
async def process(tmp_path: Path, work: Path, upstream: ScriptedUpstream) -> AsyncIterator[ServerProcess]:
    server = ServerProcess(tmp_path, upstream, more=SETTINGS.format(register=REGISTER, work=work))
    await server.start()
    yield server
    await server.kill()


async def read(client: Client, run_id: str) -> Reducer:
    """To the end, gapless and legal."""
    seen: list[Event] = []
    async with asyncio.timeout(30):
        async for event in client.events(run_id):
            seen.append(event)  # noqa: PERF401  # the list is looked at while it grows
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    grammar, state = Grammar(), Reducer()
    for event in seen:
        assert grammar.accept(event.payload) is None
        state.apply(event.seq, event.timestamp, event.payload)
    assert grammar.run == "ended"
    assert await client.run(run_id) == state.response()
    return state


async def reach(client: Client, run_id: str, kind: str, where: str) -> None:
    async with aclosing(client.events(run_id)) as events:
        async for event in events:
            if event.type == kind and where in str(event.payload):
                return


def outputs(state: Reducer) -> list[FunctionCallOutputItem]:
    return [item for item in state.items() if isinstance(item, FunctionCallOutputItem)]


async def again(process: ServerProcess) -> None:
    await process.kill()
    await process.start()


async def test_c2_before_the_call_is_claimed_it_is_simply_run(process, upstream, work: Path):
    """Killed when the call was whole, and its step was not: it had not begun, so it is run, once."""
    upstream.enqueue([call("note", "c1", text="x"), Text("and"), Gate("never")], DONE)
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="go", agent_id="a"))["run_id"]
        await reach(client, run_id, "item_done", "name='note'")
        await again(process)
        state = await read(client, run_id)
    assert effects(work) == ["x"]
    assert [(output.call_id, output.success) for output in outputs(state)] == [("c1", True)]


async def test_c2_a_call_whose_worker_died_is_unknown(process, upstream, work: Path):
    """Killed while the tool ran: it is not run again, and its model is told; the output that grew is cancelled."""
    upstream.enqueue([call("wait", "c1", text="x"), call("note", "c2", text="y")], DONE)
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="go", agent_id="a"))["run_id"]
        await reach(client, run_id, "item_delta", "waiting for x.go")
        await reach(client, run_id, "item_done", "noted: y")
        await again(process)
        state = await read(client, run_id)
    assert sorted(effects(work)) == ["x", "y"]
    assert [(output.call_id, output.success) for output in outputs(state)] == [("c2", True), ("c1", False)]
    assert outputs(state)[-1].output.startswith("outcome unknown")
    assert any(isinstance(item, CancelledItem) for item in state.items())
    said = str(upstream.requests[1].body)
    assert said.index("outcome unknown") < said.index("noted: y")


async def test_c2_an_idempotent_call_is_run_again(process, upstream, work: Path):
    """Its tool says that it may be: twice the effect, one output."""
    upstream.enqueue([call("wait_again", "c1", text="x")], DONE)
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="go", agent_id="a"))["run_id"]
        await reach(client, run_id, "item_delta", "waiting for x.go")
        await process.kill()
        (work / "x.go").touch()
        await process.start()
        state = await read(client, run_id)
    assert effects(work) == ["x", "x"]
    assert [(output.call_id, output.output) for output in outputs(state)] == [("c1", "told: x")]


async def test_c2_after_the_output_nothing_is_run_again(process, upstream, work: Path):
    """Killed while the model was told: the next step goes on from what is there."""
    upstream.enqueue([call("note", "c1", text="x")], [Text("so"), Gate("never")], DONE)
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="go", agent_id="a"))["run_id"]
        await upstream.received(2)
        await again(process)
        state = await read(client, run_id)
    assert effects(work) == ["x"]
    assert len(outputs(state)) == 1
    assert state.status == "complete"


async def test_c29_a_run_that_waits_for_its_approval_survives(process, upstream, work: Path):
    """Killed before and after the decision: it waits on, is run once, and completes."""
    upstream.enqueue([call("note", "c1", text="x")], [Text("so"), Gate("never")], DONE)
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="go", agent_id="careful"))["run_id"]
        await reach(client, run_id, "approval_requested", "note")
        await again(process)
        run = await client.run(run_id)
        assert (run.status, effects(work)) == ("requires_action", [])
        (approval,) = run.pending
        await client.approve(run_id, approval.approval_id, "approved", by="alice")
        await upstream.received(2)
        await again(process)
        state = await read(client, run_id)
    assert effects(work) == ["x"]
    assert state.status == "complete"


@pytest.mark.parametrize("model", ["responses/m", "messages/m"])
async def test_c40_killed_while_it_is_summed_up(process, upstream: ScriptedUpstream, model: str):
    """What had come of the summary is cancelled where it stands, and it is made anew; the call is not run again."""
    filling = [call("note", "c1", text="blue " * 100), Spent(850, 5)]
    upstream.enqueue(filling, [Text("It is b"), Gate("never")], [Text("It is blue.")], DONE)
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="go", agent_id="brief", model_id=model))["run_id"]
        await reach(client, run_id, "item_delta", "cmp_")
        await again(process)
        state = await read(client, run_id)
    assert state.status == "complete"
    assert [(step.purpose, step.finish_reason) for step in state.steps] == [
        (None, "tool_calls"), ("compaction", "cancelled"), ("compaction", "stop"), (None, "stop"),
    ]  # fmt: skip
    assert len(outputs(state)) == 1
    asked, told = (str(request.body) for request in upstream.requests[-2:])
    assert ("noted: blue" in asked, "noted: blue" in told) == (True, False)
    assert ("It is b" in asked, "It is blue." in told) == (False, True)


PATCH = """*** Begin Patch
*** Update File: add.py
@@
 def add(a, b):
-    return a - b
+    return a + b
*** End Patch
"""


async def test_a_coding_task_end_to_end(process, upstream: ScriptedUpstream, work: Path):
    """Read, patch with leave, run with leave, answer; the server is killed and started again at each wait."""
    (work / "add.py").write_text("def add(a, b):\n    return a - b\n")
    check = "import sys; sys.path.insert(0, '.'); import add; assert add.add(1, 2) == 3; print('all is well')"
    upstream.enqueue(
        [call("read_file", "c1", path="add.py"), call("exec", "c2", command=["cat", "add.py"])],
        [call("apply_patch", "c3", input=PATCH)],
        [call("exec", "c4", command=["python3", "-c", check])],
        [Text("Mended: it added by subtracting.")],
    )
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="Mend add.py", agent_id="coder", model_id="messages/m"))["run_id"]
        for tool in ("apply_patch", "exec"):
            while not (waiting := (await client.run(run_id)).pending):
                await asyncio.sleep(0.02)
            await again(process)
            (approval,) = (await client.run(run_id)).pending
            assert approval == waiting[0]
            assert approval.tool == tool
            await client.approve(run_id, approval.approval_id, "approved", by="alice")
        state = await read(client, run_id)
    assert (work / "add.py").read_text() == "def add(a, b):\n    return a + b\n"
    last = {output.call_id: output for output in outputs(state)}
    assert list(last) in (["c1", "c2", "c3", "c4"], ["c2", "c1", "c3", "c4"])
    assert all(output.success for output in last.values()), [output.output for output in last.values()]
    assert "all is well" in last["c4"].output
    (answer,) = (item for item in state.items() if isinstance(item, MessageItem) and item.origin == "agent")
    assert answer.content == "Mended: it added by subtracting."
    assert {each.resolution.by for each in state.response().approvals or () if each.resolution} == {"alice"}
