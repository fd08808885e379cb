"""Approvals: a person is asked first, the run waits without a task, and each way to decide is heard by the model."""

import asyncio
from pathlib import Path

import pytest

from tailrace.client.client import ClientError
from tailrace.runs.approvals import ApprovalPolicy, ToolApproval
from tailrace.schema.errors import SettingsError
from tailrace.schema.events import ApprovalResolved
from tailrace.schema.response import Response
from tailrace.testing.moves import Text
from tests.agents.conftest import Start
from tests.agents.test_loop import DONE, call, outputs, read, submit
from tests.support.agent_tools import effects
from tests.support.server import Served

ASKED = {"note": "always"}


async def asked(server: Served, run_id: str) -> Response:
    """The run, once it waits."""
    while (run := await server.client.run(run_id)).status != "requires_action":
        await asyncio.sleep(0.01)
    return run


async def test_c29_a_call_waits_for_its_approval(start: Start, upstream, work: Path):
    """Nothing is run, no task is held; who decides stands in the log; then all of the step is run."""
    server = await start(approvals=ASKED)
    upstream.enqueue([call("note", "c1", text="asked"), call("nap", "c2", seconds=0.0, text="free")], DONE)
    run_id = await submit(server)
    (approval,) = (await asked(server, run_id)).pending
    assert (approval.tool, approval.arguments) == ("note", '{"text":"asked"}')
    assert approval.reason == "note is always asked about"
    assert effects(work) == []
    while (await server.services.gauges())["runs_live"]:
        await asyncio.sleep(0.01)
    for _ in range(2):  # again changes nothing
        await server.client.approve(run_id, approval.approval_id, "approved", by="alice")
    events, response = await read(server, run_id)
    assert sorted(effects(work)) == ["asked", "free"]
    assert response.status == "complete"
    decided = [event.payload for event in events if isinstance(event.payload, ApprovalResolved)]
    assert [(each.decision, each.by) for each in decided] == [("approved", "alice")]
    with pytest.raises(ClientError) as refused:
        await server.client.approve(run_id, approval.approval_id, "denied")
    assert refused.value.status == 409


async def test_c29_denial_is_told_with_its_reason(start: Start, upstream, work: Path):
    """The model hears who said no and why, and goes on."""
    server = await start(approvals=ASKED)
    upstream.enqueue([call("note", "c1", text="x")], DONE)
    run_id = await submit(server)
    (approval,) = (await asked(server, run_id)).pending
    await server.client.approve(run_id, approval.approval_id, "denied", reason="too early", by="bob")
    _, response = await read(server, run_id)
    assert (effects(work), response.status) == ([], "complete")
    assert outputs(response)[0].output == "not executed: denied by bob: too early"
    assert "denied by bob" in str(upstream.requests[1].body)


async def test_c29_time_out_is_told_too(start: Start, upstream, work: Path):
    """Nobody decided: the clock does, and the run goes on without the call."""
    server = await start(approvals=ASKED, approval_s=0.05)
    upstream.enqueue([call("note", "c1", text="x")], DONE)
    run_id = await submit(server)
    (approval,) = (await asked(server, run_id)).pending
    run = await server.services.store.get_run(run_id)
    await server.services.control.expire(run, approval.expires_at - 1)
    assert (await server.client.run(run_id)).pending
    await server.services.control.expire(run, approval.expires_at)
    events, response = await read(server, run_id)
    assert outputs(response)[0].output == "not executed: nobody approved it in time"
    assert [e.payload.by for e in events if isinstance(e.payload, ApprovalResolved)] == ["clock"]
    assert (effects(work), response.status) == ([], "complete")


async def test_c29_cancel_while_it_waits(start: Start, upstream, work: Path):
    """The run ends aborted, its call is answered; an approval that comes afterwards is refused."""
    server = await start(approvals=ASKED)
    upstream.enqueue([call("note", "c1", text="x")])
    run_id = await submit(server)
    (approval,) = (await asked(server, run_id)).pending
    await server.client.cancel(run_id)
    _, response = await read(server, run_id)
    assert (response.status, effects(work)) == ("aborted", [])
    assert outputs(response)[0].output == "not executed: cancelled by the user"
    with pytest.raises(ClientError) as refused:
        await server.client.approve(run_id, approval.approval_id, "approved")
    assert refused.value.status == 409
    with pytest.raises(ClientError) as unknown:
        await server.client.approve(run_id, "approval_none", "approved")
    assert unknown.value.status == 404


async def test_approved_for_the_run_covers_what_is_like_it(start: Start, upstream, work: Path):
    """The same tool for the same reason is not asked about again, in this run; another reason is."""
    rules = {"note": {"ask": "always", "always": [{"text": "danger*"}]}}
    server = await start(approvals=rules)
    upstream.enqueue(
        [call("note", "c1", text="one")], [call("note", "c2", text="two")], [call("note", "c3", text="danger")], DONE
    )
    run_id = await submit(server)
    (approval,) = (await asked(server, run_id)).pending
    await server.client.approve(run_id, approval.approval_id, "approved_for_run")
    while len(upstream.requests) < 3:
        await asyncio.sleep(0.01)
    (other,) = (await asked(server, run_id)).pending
    assert (effects(work), other.reason) == (["one", "two"], "note is asked about where text is `danger*`")
    await server.client.approve(run_id, other.approval_id, "denied")
    await read(server, run_id)
    assert effects(work) == ["one", "two"]


async def test_two_calls_wait_until_both_are_decided(start: Start, upstream, work: Path):
    """One decision alone begins nothing."""
    server = await start(approvals=ASKED)
    upstream.enqueue([call("note", "c1", text="one"), call("note", "c2", text="two")], DONE)
    run_id = await submit(server)
    first, second = (await asked(server, run_id)).pending
    await server.client.approve(run_id, second.approval_id, "approved")
    assert [each.approval_id for each in (await asked(server, run_id)).pending] == [first.approval_id]
    assert effects(work) == []
    await server.client.approve(run_id, first.approval_id, "denied")
    _, response = await read(server, run_id)
    assert (effects(work), response.status) == (["two"], "complete")


async def test_who_decides_at_once_makes_one_decision(start: Start, upstream, work: Path):
    """Ten approve, one effect; whoever denies instead is told, or all others are."""
    server = await start(approvals=ASKED)
    upstream.enqueue([call("note", "c1", text="x")], DONE)
    run_id = await submit(server)
    (approval,) = (await asked(server, run_id)).pending
    await asyncio.gather(
        *(server.client.approve(run_id, approval.approval_id, "approved") for _ in range(10))
    )  # fmt: skip
    events, _ = await read(server, run_id)
    assert effects(work) == ["x"]
    assert sum(isinstance(event.payload, ApprovalResolved) for event in events) == 1


async def test_malformed_arguments_are_nobodys_question(start: Start, upstream, work: Path):
    """What cannot be run is answered, not asked about."""
    server = await start(approvals=ASKED)
    upstream.enqueue([call("note", "c1", txt="x")], DONE)
    _, response = await read(server, await submit(server))
    assert response.approvals is None


@pytest.mark.parametrize(
    ("tool", "arguments", "is_asked"),
    [
        ("exec", {"command": ["git", "status", "-s"]}, False),
        ("exec", {"command": ["git", "push"]}, True),
        ("exec", {"command": ["git"]}, True),
        ("exec", {"command": "git status"}, True),
        ("write_file", {"path": "docs/a.md"}, False),
        ("write_file", {"path": "docs/../src/a.py"}, True),
        ("write_file", {"path": "src/a.py"}, True),
        ("github__close", {"number": 1}, True),
        ("fetch_url", {"url": "https://x.example/secret"}, True),
        ("fetch_url", {"url": "https://x.example/"}, False),
        ("read_file", {"path": "a"}, False),
    ],
)
def test_rules_look_at_arguments(tool, arguments, is_asked):
    """Lists by their beginning, text by pattern; a path that climbs is never what a rule allows."""
    policy = ApprovalPolicy(
        tools={
            "exec": ToolApproval(never=[{"command": ["git", "status"]}]),
            "write_file": ToolApproval(never=[{"path": "docs/*"}]),
            "fetch_url": ToolApproval(ask="never", always=[{"url": "*secret*"}]),
            "github__*": "always",
        }
    )
    assert (policy.reason(tool, arguments) is not None) == is_asked


async def test_a_policy_for_a_tool_that_is_not_there_stops_the_start(start: Start):
    """A slip of the pen must not let calls pass unasked."""
    with pytest.raises(SettingsError, match=r"agents\.a\.approvals: the agent has no tool 'nte'"):
        await start(approvals={"nte": "always"})


async def test_a_denied_patch_leaves_the_tree_as_it_was(start: Start, upstream, work: Path):
    """With a built-in tool, by its alias."""
    (work / "a.txt").write_text("one\n")
    server = await start(tools=["apply_patch"], approvals={"applyPatch": "always"})
    patch = "*** Begin Patch\n*** Update File: a.txt\n@@\n-one\n+two\n*** End Patch\n"
    upstream.enqueue([call("apply_patch", "c1", input=patch)], [Text("all right")])
    run_id = await submit(server, model_id="messages/m")
    (approval,) = (await asked(server, run_id)).pending
    await server.client.approve(run_id, approval.approval_id, "denied")
    await read(server, run_id)
    assert (work / "a.txt").read_text() == "one\n"


def leave(work: Path, name: str, why: str = "It is not in the workspace."):
    """A call that writes beside the workspace, with leave."""
    command = ["touch", str(work.parent / name)]
    return call("exec", name, command=command, with_escalated_permissions=True, justification=why)


@pytest.mark.parametrize("ask", ["on_request", "always"])
async def test_the_model_asks_for_leave_to_run_outside_the_sandbox(start: Start, upstream, work: Path, ask: str):
    """Only then is a person asked; where it is given, and not else, the command runs outside; inside, it does not."""
    server = await start(tools=["exec"], approvals={"exec": {"ask": ask, "never": [{"command": ["touch"]}]}})
    inside = call("exec", "c0", command=["touch", str(work.parent / "inside")])
    upstream.enqueue([inside, leave(work, "one"), leave(work, "two", "x" * 300)], DONE)
    run_id = await submit(server)
    first, second = (await asked(server, run_id)).pending
    assert first.reason == "exec asks to run outside the sandbox: It is not in the workspace."
    assert second.reason == f"exec asks to run outside the sandbox: {'x' * 200}"
    await server.client.approve(run_id, first.approval_id, "approved")
    await server.client.approve(run_id, second.approval_id, "denied")
    _, response = await read(server, run_id)
    assert {each.call_id: each.success for each in outputs(response)}["two"] is False
    assert sorted(place.name for place in work.parent.iterdir() if place.is_file()) == ["one"]


@pytest.mark.parametrize(
    "agent", [{"approvals": {}}, {"approvals": {"exec": "on_request"}, "interactive": False}], ids=["never", "script"]
)
async def test_where_nobody_is_asked_nobody_gives_leave(start: Start, upstream, work: Path, agent):
    """The model is not told of it, and what it asks for nevertheless is not run."""
    server = await start(tools=["exec"], **agent)
    upstream.enqueue([leave(work, "one")], DONE)
    _, response = await read(server, await submit(server))
    assert outputs(response)[0].output == "not executed: exec cannot leave the sandbox here; do without"
    assert "with_escalated_permissions" not in str(upstream.requests[0].body["tools"])
    assert not (work.parent / "one").exists()


async def test_leave_that_nothing_can_ask_for_stops_the_start(start: Start):
    """`on_request` of a tool whose calls cannot ask would let all of them pass."""
    with pytest.raises(SettingsError, match=r"agents\.a\.approvals: calls of 'note' cannot ask"):
        await start(approvals={"note": "on_request"})


async def test_the_argument_is_offered_where_it_is_heard(start: Start, upstream):
    """As a default it holds for those tools that can ask."""
    server = await start(tools=["exec", "note"], approvals={"default": "on_request"})
    await read(server, await submit(server))
    assert "with_escalated_permissions" in str(upstream.requests[0].body["tools"])


async def test_an_agent_that_nobody_watches_is_not_kept_waiting(start: Start, upstream, work: Path):
    """What would be asked about is answered at once, with the reason; the run goes on to its end."""
    server = await start(approvals=ASKED, interactive=False)
    upstream.enqueue([call("note", "c1", text="x"), call("nap", "c2", seconds=0.0, text="free")], DONE)
    _, response = await read(server, await submit(server))
    assert (response.status, response.approvals, effects(work)) == ("complete", None, ["free"])
    assert outputs(response)[0].output == (
        "not executed: nobody is there to be asked (note is always asked about); do without"
    )
    agents = await server.client.request("GET", "/api/v2/agents")
    assert agents == {"agents": [{"agent_id": "a", "interactive": False}]}
