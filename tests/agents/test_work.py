"""Tools that workers run over HTTP: taken once, answered once, and what becomes of calls whose worker is lost."""

import asyncio
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tailrace.client.client import ClientError
from tailrace.client.worker import Worker
from tailrace.schema.events import ItemDelta
from tailrace.testing.moves import Text
from tests.agents.conftest import REGISTER
from tests.agents.test_loop import DONE, call, outputs, read, seen, submit
from tests.support.server import Served, serving, settings

TEXT = (Path(__file__).parents[2] / "docs" / "work.md").read_text(encoding="utf-8")
SCHEMA = {"type": "object", "properties": {"service": {"type": "string"}}, "required": ["service"]}


@pytest.fixture
async def server(tmp_path: Path, upstream):
    async with with_lease(tmp_path, upstream, 10.0) as served:
        yield served


@asynccontextmanager
async def with_lease(tmp_path: Path, upstream, lease_s: float):
    remote = {
        "deploy": {"description": "Deploy.", "parameters": SCHEMA},
        "look": {"description": "Look.", "idempotent": True},
    }
    made = settings(
        tmp_path / "data", upstream, work={"lease_s": lease_s},
        tools={"register": [REGISTER], "workspace": str(tmp_path), "remote": remote},
        agents={"a": {"tools": ["deploy", "look"]}},
    )  # fmt: skip
    async with serving(made, upstream) as served:
        yield served


async def post(server: Served, what: str, **body: object) -> Any:
    return await server.client.request("POST", f"/api/v2/work/{what}", body)


async def taken(server: Served, *tools: str) -> dict[str, Any]:
    offer: dict[str, Any] = (await post(server, "poll", tools=list(tools), wait_s=10))["call"]
    return offer


async def refused(server: Served, what: str, **body: object) -> int:
    with pytest.raises(ClientError) as error:
        await post(server, what, **body)
    return error.value.status


async def beat(server: Served, lease: dict[str, Any]) -> None:
    while True:
        await post(server, "heartbeat", **lease)


async def test_a_worker_runs_a_call(server: Served):
    """It is offered with its schema, taken by one of two, streamed, and answered once."""
    server.upstream.enqueue([call("deploy", "c1", service="mill")], DONE)
    run_id = await submit(server)
    offer = await taken(server, "deploy")
    assert (await post(server, "poll", tools=["deploy", "look"], wait_s=0))["call"] is None
    assert (offer["run_id"], offer["call_id"], offer["arguments"]) == (run_id, "c1", {"service": "mill"})
    lease = {"lease_id": offer["lease_id"]}
    assert (await post(server, "ack", **lease))["lease_s"] == 10.0
    await post(server, "heartbeat", **lease, output="half way\n")
    await seen(server, run_id, ItemDelta, "half way")
    for _ in range(2):
        await post(server, "result", **lease, output="deployed")
    assert await refused(server, "result", **lease, output="another") == 409
    _, response = await read(server, run_id)
    assert [(output.output, output.success) for output in outputs(response)] == [("deployed", True)]
    assert "deployed" in str(server.upstream.requests[1].body)
    (tool,) = (tool for tool in server.upstream.requests[0].body["tools"] if tool["name"] == "deploy")
    assert tool["parameters"]["required"] == ["service"]


async def test_c14_a_cancelled_call_is_over(server: Served):
    """The worker is told at its next heartbeat, and its result is nobody's."""
    server.upstream.enqueue([call("deploy", "c1", service="mill")])
    run_id = await submit(server)
    lease = {"lease_id": (await taken(server, "deploy"))["lease_id"]}
    await post(server, "ack", **lease)
    await server.client.cancel(run_id)
    await read(server, run_id)
    async with asyncio.timeout(2):
        with pytest.raises(ClientError) as over:
            await beat(server, lease)
    assert over.value.status == 409
    assert await refused(server, "result", **lease, output="late") == 409


@pytest.mark.parametrize(
    ("tool", "begun", "told"),
    [("deploy", False, "done by another"), ("deploy", True, "outcome unknown"), ("look", True, "done by another")],
)
async def test_c2_a_worker_that_is_lost(tmp_path: Path, upstream, tool: str, begun: bool, told: str):
    """Before it began, or where the tool says so, another has the call; else its outcome is unknown."""
    async with with_lease(tmp_path, upstream, 0.2) as server:
        upstream.enqueue([call(tool, "c1", service="mill")], DONE)
        run_id = await submit(server)
        lost = await taken(server, tool)
        if begun:
            await post(server, "ack", lease_id=lost["lease_id"])
        if told != "outcome unknown":
            other = await taken(server, tool)
            assert (other["attempt"], other["lease_id"] != lost["lease_id"]) == (2, True)
            assert await refused(server, "ack", lease_id=lost["lease_id"]) == 409
            await post(server, "result", lease_id=other["lease_id"], output="done by another")
        _, response = await read(server, run_id)
        assert await refused(server, "result", lease_id=lost["lease_id"], output="late") == 409
    assert [output.output.split(":")[0] for output in outputs(response)] == [told]


async def test_the_documents_worker_works(server: Served):
    """docs/work.md, word by word; what a function raises is no success."""
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program.replace("asyncio.run(main())", ""), names)  # our own document

    async def look(arguments: dict[str, Any]) -> str:
        raise ValueError("nothing to see")

    worker = asyncio.create_task(Worker(server.client, {"deploy": names["deploy"], "look": look}).run())
    server.upstream.enqueue([call("deploy", "c1", service="mill"), call("look", "c2")], [Text("so")])
    _, response = await read(server, await submit(server))
    worker.cancel()
    assert {(output.output, output.success) for output in outputs(response)} == {
        ("mill is deployed", True), ("nothing to see", False)
    }  # fmt: skip


async def test_what_is_asked_wrongly_is_named(server: Served):
    """Fields are checked; a lease that never was is a conflict."""
    with pytest.raises(ClientError) as error:
        await post(server, "poll", tools=[])
    assert (error.value.status, error.value.field) == (400, "tools")
    assert await refused(server, "ack", lease_id="none") == 409
