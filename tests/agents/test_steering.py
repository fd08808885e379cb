"""What is said to a run while it works is heard after the step at hand; whole turns wait for theirs."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tailrace.client.client import ClientError
from tailrace.schema.items import MessageItem
from tailrace.testing.moves import Fail, Gate, Text
from tests.agents.conftest import Start
from tests.agents.test_loop import DONE, call, outputs, read, submit
from tests.support.agent_tools import effects
from tests.support.server import Served


async def say(server: Served, run_id: str, text: str, **more: str) -> str:
    answer = await server.client.request("POST", f"/api/v2/runs/{run_id}/input", {"text": text, **more})
    assert answer["status"] == "waiting"
    return str(answer["delivery_id"])


async def receipt(server: Served, run_id: str, delivery_id: str) -> dict[str, object]:
    found: dict[str, object] = await server.client.request("GET", f"/api/v2/runs/{run_id}/input/{delivery_id}")
    return found


def user_said(server: Served) -> list[str]:
    """What the last request to the provider says in the user's name."""
    return [text for text in ("go", "left", "right", "more") if f"'{text}'" in str(server.upstream.requests[-1].body)]


async def test_input_is_heard_after_the_steps_tools(start: Start, upstream, work: Path):
    """Between the outputs of a step and the next request, once, however often it is sent; the receipt says where."""
    server = await start()
    upstream.enqueue([call("wait", "c1", text="x")], DONE)
    run_id = await submit(server)
    while not effects(work):
        await asyncio.sleep(0.01)
    for _ in range(2):
        delivery = await say(server, run_id, "left", delivery_id="d1")
    assert (await receipt(server, run_id, delivery))["status"] == "waiting"
    (work / "x.go").touch()
    events, response = await read(server, run_id)
    assert user_said(server) == ["go", "left"]
    place = [item.id for item in response.output_items].index("said_d1")
    assert place > response.output_items.index(outputs(response)[0])
    told = await receipt(server, run_id, delivery)
    assert told["status"] == "delivered"
    assert events[int(str(told["seq"])) - 1].payload.final_item == MessageItem(
        id="said_d1", content="left", origin="user"
    )
    with pytest.raises(ClientError) as refused:
        await say(server, run_id, "too late")
    assert refused.value.status == 409


async def test_input_during_the_last_step_makes_another(start: Start, upstream):
    """The model would have ended; it is told first, in order."""
    server = await start()
    upstream.enqueue([Text("so"), Gate("g")], [Text("on")])
    run_id = await submit(server)
    await upstream.received()
    await say(server, run_id, "left")
    await say(server, run_id, "right")
    upstream.gate("g").open()
    _, response = await read(server, run_id)
    assert (response.status, len(response.steps)) == ("complete", 2)
    assert user_said(server) == ["go", "left", "right"]


async def test_input_to_a_run_that_fails_is_returned_undelivered(start: Start, upstream):
    """The receipt says so; another text under the same id is refused, and an unknown id is not found."""
    server = await start()
    upstream.enqueue([Text("so"), Gate("g"), Fail("invalid_request")])
    run_id = await submit(server)
    await upstream.received()
    delivery = await say(server, run_id, "left")
    with pytest.raises(ClientError) as refused:
        await say(server, run_id, "right", delivery_id=delivery)
    assert refused.value.status == 409
    upstream.gate("g").open()
    await read(server, run_id)
    assert await receipt(server, run_id, delivery) == {
        "run_id": run_id, "delivery_id": delivery, "status": "undelivered"
    }  # fmt: skip
    with pytest.raises(ClientError) as unknown:
        await receipt(server, run_id, "nothing")
    assert unknown.value.status == 404


async def test_turns_wait_for_their_thread(start: Start, upstream):
    """Three turns sent at once run one after another, in order; readers of those that wait, wait with them."""
    server = await start()
    upstream.enqueue([Text("one"), Gate("g")], [Text("two")], [Text("three")])
    first = await server.client.submit(prompt="go")
    thread_id = first["thread_id"]
    await upstream.received()
    later = [
        await server.client.submit(prompt=text, thread_id=thread_id, when_busy="enqueue", run_id=f"run_{text}")
        for text in ("left", "right")
    ]
    again = await server.client.submit(prompt="left", thread_id=thread_id, when_busy="enqueue", run_id="run_left")
    assert again["run_id"] == later[0]["run_id"]
    assert (await server.client.run("run_right")).status == "queued"
    readers = [asyncio.create_task(read(server, each["run_id"])) for each in later]
    upstream.gate("g").open()
    async with asyncio.timeout(20):
        for reader in readers:
            _, response = await reader
            assert response.status == "complete"
    assert len(upstream.requests) == 3
    assert user_said(server) == ["go", "left", "right"]


async def test_a_turn_that_waits_can_be_called_off(start: Start, upstream):
    """It ends aborted without a model call; the next one has its turn."""
    server = await start()
    upstream.enqueue([Text("one"), Gate("g")], [Text("two")])
    thread_id = (await server.client.submit(prompt="go"))["thread_id"]
    await upstream.received()
    for text in ("left", "right"):
        await server.client.submit(prompt=text, thread_id=thread_id, when_busy="enqueue", run_id=f"run_{text}")
    await server.client.cancel("run_left")
    _, cancelled = await read(server, "run_left")
    assert cancelled.status == "aborted"
    upstream.gate("g").open()
    async with asyncio.timeout(20):
        _, response = await read(server, "run_right")
    assert (response.status, len(upstream.requests)) == ("complete", 2)


async def test_a_turn_that_waits_survives_a_restart(start: Start, upstream):
    """Its moment was missed: who looks for lost runs begins it."""
    server = await start()
    upstream.enqueue([Text("one"), Gate("g")], [Text("two")])
    first = await server.client.submit(prompt="go")
    await upstream.received()
    await server.client.submit(
        prompt="left", thread_id=first["thread_id"], when_busy="enqueue", run_id="run_left"
    )  # fmt: skip
    await server.services.submitter.turns.begin_all()
    assert (await server.client.run("run_left")).status == "queued"
    upstream.gate("g").open()
    await read(server, first["run_id"])
    await server.services.settle(first["run_id"])
    await server.services.submitter.turns.begin_all()
    async with asyncio.timeout(20):
        _, response = await read(server, "run_left")
    assert response.status == "complete"


async def test_a_long_output_is_kept_whole(start: Start, upstream, work: Path):
    """The model sees its beginning and end, and where all of it is; there it is, to the byte."""
    text = "".join(f"line {number}\n" for number in range(20_000))
    (work / "long.txt").write_text(text)
    server = await start(tools=["exec"])
    upstream.enqueue([call("exec", "c1", command=["cat", "long.txt"])], DONE)
    _, response = await read(server, await submit(server))
    (output,) = outputs(response)
    assert len(output.output) < 40_000
    path = output.output.split("all of it is kept as ")[1].split(" ")[0]
    async with aiohttp.ClientSession() as session, session.get(server.url + path) as reply:
        assert (reply.status, (await reply.text()).endswith(text)) == (200, True)
    async with aiohttp.ClientSession() as session, session.get(server.url + path + "x") as reply:
        assert reply.status == 404
