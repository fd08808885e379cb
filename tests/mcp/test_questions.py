"""What a server asks in mid-call: an approval with a question, answered by a person while the call holds its task."""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tailrace import app
from tailrace.client.client import Client, ClientError
from tailrace.schema import codec
from tailrace.schema.events import ApprovalRequested, ApprovalResolved
from tailrace.schema.response import Approval
from tailrace.testing.moves import Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.agents import test_kill
from tests.agents.test_loop import DONE, call, outputs, read, submit
from tests.mcp.conftest import Start, effects, rough
from tests.support.process import ServerProcess
from tests.support.server import ENVIRON, Served, serving, settings
from tests.support.topology import in_role, standing_on


async def question(server: Served, run_id: str) -> Approval:
    """What is asked, once it is."""
    while not (pending := (await server.client.run(run_id)).pending):
        await asyncio.sleep(0.01)
    return pending[0]


async def answer(server: Served, run_id: str, approval: Approval, decision: str, **more: Any) -> None:
    path = f"/api/v2/runs/{run_id}/approvals/{approval.approval_id}"
    await server.client.request("POST", path, {"decision": decision, **more})


async def ask(server: Served, upstream: ScriptedUpstream, tool: str = "ask") -> tuple[str, Approval]:
    upstream.enqueue([call(f"r__{tool}", "c1")], DONE)
    run_id = await submit(server)
    return run_id, await question(server, run_id)


@pytest.mark.parametrize(
    ("decision", "content", "heard"),
    [
        ("approved", {"name": "Ada", "count": 3, "kind": "a"}, {"action": "accept"}),
        ("denied", None, {"action": "decline"}),
        ("cancelled", None, {"action": "cancel"}),
    ],
)
async def test_a_person_answers(
    start: Start, upstream, folder: Path, decision: str, content: dict[str, Any] | None, heard: dict[str, Any]
):
    """Whatever they say the server hears, once it stands in the log; the run waits meanwhile, and its call runs on."""
    server = await start({"r": rough(folder)})
    run_id, asked = await ask(server, upstream)
    assert (await server.client.run(run_id)).status == "requires_action"
    assert (asked.tool, asked.reason) == ("r__ask", "Who are you?")
    assert asked.question is not None
    assert asked.question.schema is not None
    assert asked.question.schema["properties"]["name"] == {"type": "string", "minLength": 2}  # no pattern of a stranger
    for _ in range(2):  # again changes nothing
        await answer(server, run_id, asked, decision, **({"content": content} if content else {}), by="alice")
    events, response = await read(server, run_id)
    expected = {**heard, "content": content} if content else heard
    assert codec.decode_any(outputs(response)[0].output) == expected
    kinds = [type(event.payload) for event in events]
    assert kinds.index(ApprovalRequested) < kinds.index(ApprovalResolved)
    (decided,) = [event.payload for event in events if isinstance(event.payload, ApprovalResolved)]
    assert (decided.decision, decided.by, decided.content) == (decision, "alice", content)
    assert effects(folder) == ["ask"]
    assert response.status == "complete"
    other = "denied" if decision != "denied" else "cancelled"
    with pytest.raises(ClientError) as refused:
        await answer(server, run_id, asked, other)
    assert refused.value.status == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"decision": "approved"}, "content"),
        ({"decision": "approved", "content": {"name": "A"}}, "content.name"),
        ({"decision": "approved", "content": {"name": "Ada", "count": "3"}}, "content.count"),
        ({"decision": "approved", "content": {"name": "Ada", "count": 10}}, "content.count"),
        ({"decision": "approved", "content": {"name": "Ada", "kind": "z"}}, "content.kind"),
        ({"decision": "approved", "content": {"name": "Ada", "more": 1}}, "content"),
        ({"decision": "denied", "content": {"name": "Ada"}}, "content"),
        ({"decision": "approved_for_run", "content": {"name": "Ada"}}, "decision"),
    ],
)
async def test_an_answer_that_does_not_fit_is_refused(
    start: Start, upstream, folder: Path, body: dict[str, Any], field: str
):
    """With the field at fault; the question stays, and can be answered yet."""
    server = await start({"r": rough(folder)})
    run_id, asked = await ask(server, upstream)
    with pytest.raises(ClientError) as refused:
        await server.client.request("POST", f"/api/v2/runs/{run_id}/approvals/{asked.approval_id}", body)
    assert (refused.value.status, refused.value.field) == (400, field)
    await answer(server, run_id, asked, "denied")
    _, response = await read(server, run_id)
    assert response.status == "complete"


async def test_a_page_to_open(start: Start, upstream, folder: Path):
    """Its address stands in the question; who approves has agreed to open it."""
    server = await start({"r": rough(folder)})
    run_id, asked = await ask(server, upstream, "ask_page")
    assert asked.question is not None
    assert (asked.question.message, asked.question.url) == ("Sign in.", "https://example.com/")
    await answer(server, run_id, asked, "approved")
    _, response = await read(server, run_id)
    assert outputs(response)[0].output == '{"action":"accept"}'


@pytest.mark.parametrize(
    ("tool", "why"),
    [("ask_nested", "the form's a is no plain value"), ("ask_broken", "the form's schema is none: 'many' is not")],
)
async def test_a_form_that_is_none_is_not_shown(start: Start, upstream, folder: Path, tool: str, why: str):
    """The server hears of it as an error; nobody is asked."""
    server = await start({"r": rough(folder)})
    upstream.enqueue([call(f"r__{tool}", "c1")], DONE)
    _, response = await read(server, await submit(server))
    assert why in outputs(response)[0].output
    assert response.approvals is None


async def test_an_agent_that_asks_nobody(start: Start, upstream, folder: Path):
    """The server is told that nobody is there."""
    server = await start({"r": rough(folder)}, interactive=False)
    upstream.enqueue([call("r__ask", "c1")], DONE)
    _, response = await read(server, await submit(server))
    assert "nobody is there to be asked" in outputs(response)[0].output


async def test_an_approval_is_no_question(start: Start, upstream, folder: Path):
    """What goes with a question alone is refused for a call that has not begun."""
    server = await start({"r": rough(folder)}, approvals={"r__say": "always"})
    run_id, asked = await ask(server, upstream, "say")
    for body, field in (({"decision": "cancelled"}, "decision"), ({"decision": "approved", "content": {}}, "content")):
        with pytest.raises(ClientError) as refused:
            await answer(server, run_id, asked, **body)
        assert (refused.value.status, refused.value.field) == (400, field)
    await answer(server, run_id, asked, "approved")
    await read(server, run_id)


async def test_nobody_answers_in_time(start: Start, upstream, folder: Path):
    """The clock decides, and the server hears `cancel`. The time of waiting is not the call's, nor the run's."""
    server = await start({"r": rough(folder, timeout_s=0.3)}, approval_s=0.8, limits={"time_s": 0.5})
    upstream.enqueue([call("r__ask", "c1")], DONE)
    events, response = await read(server, await submit(server))
    assert outputs(response)[0].output == '{"action":"cancel"}'
    (decided,) = [event.payload for event in events if isinstance(event.payload, ApprovalResolved)]
    assert (decided.decision, decided.by) == ("expired", "clock")
    assert response.finish_reason == "stop"


async def test_c14_a_run_that_asks_is_cancelled(start: Start, upstream, folder: Path):
    """Within a second, and the server is told; what it then says is nobody's."""
    server = await start({"r": rough(folder)})
    run_id, asked = await ask(server, upstream)
    async with asyncio.timeout(1.5):
        await server.client.cancel(run_id)
        _, response = await read(server, run_id)
    assert response.status == "aborted"
    with pytest.raises(ClientError) as refused:
        await answer(server, run_id, asked, "denied")
    assert refused.value.status == 409
    while not cancelled(folder):
        await asyncio.sleep(0.02)


def cancelled(folder: Path) -> bool:
    return (folder / "cancelled").exists()


async def test_outputs_do_not_stop_a_call_that_asks(start: Start, upstream, folder: Path):
    """A client that sends outputs nobody waits for is refused, and the call runs on."""
    server = await start({"r": rough(folder)})
    run_id, asked = await ask(server, upstream)
    with pytest.raises(ClientError) as refused:
        await server.client.outputs(run_id, [{"call_id": "c1", "output": "x"}])
    assert refused.value.status == 409
    await answer(server, run_id, asked, "denied")
    _, response = await read(server, run_id)
    assert outputs(response)[0].output == '{"action":"decline"}'


async def test_what_is_asked_for_one_run_is_not_shown_in_another(start: Start, upstream, folder: Path):
    """Over stdio a server does not say for which call it asks: with calls of two runs under way, nobody is asked."""
    server = await start({"r": rough(folder)})
    upstream.enqueue([call("r__hang", "c1")])
    first = await submit(server)
    while effects(folder) != ["hang"]:
        await asyncio.sleep(0.01)
    upstream.enqueue([call("r__ask", "c2")], DONE)
    _, response = await read(server, await submit(server))
    assert "it cannot be told for which call this is asked" in outputs(response)[0].output
    assert response.approvals is None
    await server.client.cancel(first)
    await read(server, first)


async def test_the_answer_reaches_another_node(tmp_path: Path, upstream: ScriptedUpstream, folder: Path):
    """Who answers need not know where the call runs: it is left where that node looks for it."""
    with standing_on("scaled") as topology:
        made = topology.placed(settings(
            tmp_path / "data", upstream, mcp={"servers": {"r": rough(folder)}}, agents={"a": {"tools": ["r__*"]}},
            tools={"workspace": str(tmp_path / "work")},
        ))  # fmt: skip
        async with AsyncExitStack() as stack:
            for role in ("projector", "runner", "tools"):
                await stack.enter_async_context(app.services(in_role(made, role), ENVIRON))
            server = await stack.enter_async_context(serving(in_role(made, "api"), upstream))
            run_id, asked = await ask(server, upstream)
            await answer(server, run_id, asked, "approved", content={"name": "Ada"})
            _, response = await read(server, run_id)
    assert codec.decode_any(outputs(response)[0].output) == {"action": "accept", "content": {"name": "Ada"}}


@pytest.mark.slow
async def test_c2_a_server_killed_in_mid_question(tmp_path: Path, upstream: ScriptedUpstream, folder: Path):
    """kill -9, and start again: the question is over, and its call is answered as any that was lost; nothing hangs."""
    upstream.enqueue([call("r__ask", "c1")], [Text("so be it")])
    given = rough(folder)
    more = (
        f'\n[mcp.servers.r]\ncommand = "{given["command"]}"\nargs = {codec.encode(given["args"]).decode()}\n'
        f'env = {{PYTHONPATH = "{given["env"]["PYTHONPATH"]}"}}\n[agents.a]\ntools = ["r__*"]\n'
        f'[tools]\nworkspace = "{tmp_path / "work"}"\n'
    )
    process = ServerProcess(tmp_path / "data", upstream, more=more)
    await process.start()
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="go", agent_id="a"))["run_id"]
        await test_kill.reach(client, run_id, "approval_requested", "Who are you?")
    await process.kill()
    await process.start()
    async with Client(process.url) as client:
        state = await test_kill.read(client, run_id)
    await process.kill()
    assert [output.output[:15] for output in test_kill.outputs(state)] == ["outcome unknown"]
    (approval,) = state.response().approvals or []
    assert approval.resolution is not None
    assert (approval.resolution.decision, approval.resolution.by) == ("expired", "clock")
    assert effects(folder) == ["ask"]


@pytest.mark.slow
async def test_the_terminal_asks(start: Start, upstream, folder: Path):
    """`tailrace run` shows the question and takes the answer; one that does not fit is told, and asked for again."""
    server = await start({"r": rough(folder)})
    upstream.enqueue([call("r__ask", "c1")], DONE)
    master, slave = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace", "run", "--agent", "a", "go", "--url", server.url, stdin=slave, stdout=slave,
        stderr=slave, env={"PATH": os.environ["PATH"], "USER": "alice", "TERM": "dumb"},
    )  # fmt: skip
    os.close(slave)
    os.write(master, b"y\nAda\nmany\n\ny\nAda\n3\nb\n")
    shown = b""
    while True:
        try:
            shown += await asyncio.to_thread(os.read, master, 65536)
        except OSError:  # the terminal's other end is closed
            break
    await process.wait()
    os.close(master)
    assert b"r__ask asks: Who are you?" in shown
    assert b"kind (one of a, b; optional)" in shown
    assert b"'many' is not of type 'integer'" in shown
    runs, _ = await server.services.store.list_runs(thread_id=None, status=None, limit=1, cursor=None)
    _, response = await read(server, runs[0].id)
    content = {"name": "Ada", "count": 3, "kind": "b"}
    assert codec.decode_any(outputs(response)[0].output) == {"action": "accept", "content": content}
