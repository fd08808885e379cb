"""Tools on nodes of their own: the run is passed on and back, one executor at a time, and a lost one harms nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tailrace import app
from tailrace.client.client import Client
from tailrace.schema.events import ItemDelta, ProviderEvent
from tailrace.schema.items import FunctionCallItem
from tailrace.settings import Role, Settings
from tailrace.testing.moves import Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.agents import test_kill
from tests.agents.conftest import REGISTER
from tests.agents.test_approvals import asked
from tests.agents.test_loop import DONE, call, outputs, read, seen, submit
from tests.support.agent_tools import effects
from tests.support.postgres import shared
from tests.support.process import ServerProcess
from tests.support.redis import redis_server
from tests.support.server import Served, serving, settings
from tests.support.topology import in_role, standing_on

Given = Callable[..., Settings]


@pytest.fixture
def scaled(tmp_path: Path, work: Path, upstream: ScriptedUpstream) -> Iterator[Given]:
    """Makes settings of nodes that share one Redis and one PostgreSQL database, with an agent `a`."""
    with standing_on("scaled") as topology:

        def given(agent: dict[str, Any] | None = None, **sections: Any) -> Settings:
            tools = {"register": [REGISTER], "workspace": str(work), "sandbox": "preferred"}
            a = {"tools": ["note", "nap", "wait*", "stubborn"], **(agent or {})}
            return topology.placed(settings(tmp_path / "data", upstream, tools=tools, agents={"a": a}, **sections))

        yield given


@asynccontextmanager
async def nodes(given: Settings, upstream: ScriptedUpstream, *roles: Role) -> AsyncIterator[Served]:
    """A node for each role, that with the API in front."""
    async with AsyncExitStack() as stack:
        for role in roles:
            await stack.enter_async_context(app.services(in_role(given, role), {}))
        yield await stack.enter_async_context(serving(in_role(given, "api"), upstream))


async def test_tools_run_on_their_own_nodes(scaled: Given, upstream: ScriptedUpstream, work: Path):
    """A run goes from the runner to the tools and back, through an approval, to its end."""
    upstream.enqueue([call("note", "c1", text="x")], [call("nap", "c2", seconds=0.0, text="y")], DONE)
    given = scaled({"approvals": {"nap": "always"}})
    async with nodes(given, upstream, "projector", "runner", "tools") as server:
        run_id = await submit(server)
        (approval,) = (await asked(server, run_id)).pending
        await server.client.approve(run_id, approval.approval_id, "approved")
        events, response = await read(server, run_id)
    assert (response.status, effects(work)) == ("complete", ["x", "y"])
    passed = [event.payload.data["to"] for event in events if isinstance(event.payload, ProviderEvent)]
    assert passed == ["tool", "run", "tool", "run"]


async def test_c1_two_executors_make_one_effect_and_one_output(scaled: Given, upstream: ScriptedUpstream, work: Path):
    """Two nodes with tools, and the run put to them again and again while it is worked on."""
    calls = [call("nap", f"c{n}", seconds=0.05, text=str(n)) for n in range(5)]
    upstream.enqueue(calls, DONE)
    async with nodes(scaled(), upstream, "projector", "runner", "tools", "tools") as server:
        run_id = await submit(server)
        await seen(server, run_id, ProviderEvent, "passed_on")
        run = await server.services.store.get_run(run_id)
        for _ in range(20):
            await server.services.control.revive(run)
        _, response = await read(server, run_id)
    assert sorted(effects(work)) == sorted(str(n) for n in range(5))
    assert sorted(output.output for output in outputs(response)) == [f"slept: {n}" for n in range(5)]


async def test_a_run_whose_tools_work_is_not_taken_from_them(scaled: Given, upstream: ScriptedUpstream, work: Path):
    """Who looks for lost runs puts it where it is worked on already, and not to a runner."""
    upstream.enqueue([call("wait", "c1", text="x")], DONE)
    async with nodes(scaled(), upstream, "projector", "runner", "tools") as server:
        run_id = await submit(server)
        await seen(server, run_id, ItemDelta, "waiting")
        await server.services.control.revive(await server.services.store.get_run(run_id))
        (work / "x.go").touch()
        _, response = await read(server, run_id)
    assert [output.output for output in outputs(response)] == ["told: x"]
    assert effects(work) == ["x"]


async def test_c14_cancel_reaches_another_node(scaled: Given, upstream: ScriptedUpstream, work: Path):
    """Who cancels need not know where the tool runs."""
    upstream.enqueue([call("exec", "c1", command=["sh", "-c", "echo > began; sleep 60"])])
    async with nodes(scaled({"tools": ["exec"]}), upstream, "projector", "runner", "tools") as server:
        run_id = await submit(server)
        while not (work / "began").exists():
            await asyncio.sleep(0.01)
        async with asyncio.timeout(1.5):
            await server.client.cancel(run_id)
            _, response = await read(server, run_id)
            while any(place.samefile(work) for place in _folders()):
                await asyncio.sleep(0.02)
    assert response.status == "aborted"


def _folders() -> list[Path]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            found.append(place.readlink())
        except OSError:
            continue
    return [place for place in found if place.exists()]


@pytest.mark.slow
async def test_c2_a_killed_tool_worker_leaves_an_unknown_outcome(
    tmp_path: Path, work: Path, upstream: ScriptedUpstream
):
    """kill -9 of the process that runs the tool: its lease lapses, and the other one answers and repeats nothing."""
    upstream.enqueue([call("wait", "c1", text="x")], [Text("so be it")])
    more = test_kill.SETTINGS.format(register=REGISTER, work=work) + "\n[work]\nlease_s = 1.0\n"
    with redis_server(tmp_path) as redis:
        environ = {"REDIS_URL": redis.url, "DATABASE_URL": shared().new_store()}
        front = ServerProcess(tmp_path / "front", upstream, environ, ["api", "runner", "projector"], more)
        tools = [ServerProcess(tmp_path / name, upstream, environ, ["tools"], more) for name in ("one", "two")]
        await front.start()
        await tools[0].start()
        async with Client(front.url) as client:
            run_id = (await client.submit(prompt="go", agent_id="a"))["run_id"]
            await test_kill.reach(client, run_id, "item_delta", "waiting for x.go")
            await tools[1].start()
            await tools[0].kill()
            state = await test_kill.read(client, run_id)
        for process in (*tools, front):
            await process.kill()
    assert effects(work) == ["x"]
    assert [output.output[:15] for output in test_kill.outputs(state)] == ["outcome unknown"]
    assert [item.name for item in state.items() if isinstance(item, FunctionCallItem)] == ["wait"]
