"""The reaper: runs that nobody drives are begun or ended, logs of deleted threads go."""

import asyncio

from tailrace.runs.drive import opening
from tailrace.runs.writer import RunWriter
from tailrace.schema.events import StepStart, TraceContext
from tailrace.schema.items import MessageItem
from tailrace.schema.request import Generation, RunRequest
from tailrace.schema.response import Response
from tailrace.store.base import StoredRun, Thread
from tailrace.testing.moves import Call, Text
from tailrace.workers.reaper import Reaper
from tests.support.server import Served

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def reaper(server: Served, action_s: float = 3600) -> Reaper:
    services = server.services
    return Reaper(
        services.log, services.store, services.runner, action_s=action_s, now=services.now, settle=services.settle
    )


async def stored(server: Served, run_id: str) -> StoredRun:
    """A run that was stored, and no more: its server died right then."""
    now = server.services.now()
    request = RunRequest(
        run_id=run_id, turn_id="t", thread_id=f"thread_{run_id}", provider_id="responses", model_id="m",
        input=[MessageItem(id="input_1", content="hello", origin="user")], generation=Generation(),
    )  # fmt: skip
    queued = Response(
        id=run_id, turn_id="t", thread_id=request.thread_id, model_id="m", provider_id="responses", created_at=now,
        updated_at=now, status="queued", output_items=[], steps=[], finish_reason=None, last_seq=0,
    )  # fmt: skip
    thread = Thread(thread_id=request.thread_id, created_at=now, updated_at=now)
    return await server.services.store.create_run(StoredRun(request=request, digest="d", response=queued), thread)


async def test_a_run_that_was_stored_but_not_begun_is_begun(server: Served):
    """Nothing was shown and no model was called: it simply starts."""
    server.upstream.enqueue([Text("there")])
    await stored(server, "r")
    await reaper(server).reap()
    events = [event async for event in server.client.events("r")]
    assert (events[0].type, events[-1].type) == ("response_start", "response_done")
    assert len(server.upstream.requests) == 1


async def test_a_run_whose_server_died_in_mid_step_is_ended(server: Served):
    """Its half-made step is closed, the error says that it may be tried again, and no model is called."""
    run = await stored(server, "r")
    writer = await RunWriter.open(server.services.log, "r")
    step = StepStart(step=1, provider_id="responses", model_id="m")
    await writer.append([*opening(run.request, run.response.created_at), step], TRACE)
    await reaper(server).reap()
    response = await server.client.run("r")
    assert response.error is not None
    assert (response.status, response.error.code, response.error.retryable) == ("error", "interrupted", True)
    assert [step.finish_reason for step in response.steps] == ["error"]
    assert server.upstream.requests == []
    assert (await server.services.store.get_run("r")).response.status == "error"


async def test_a_run_that_waits_too_long_is_ended(server: Served):
    """The client never sends its outputs: the run ends with `limit`, and its call is answered."""
    server.upstream.enqueue([Call("now", "{}", call_id="c1")])
    run_id = (await server.client.submit(prompt="x", tools=[{"name": "now"}]))["run_id"]
    while (await server.client.run(run_id)).status != "requires_action":
        await asyncio.sleep(0.01)
    await server.services.settle(run_id)
    await reaper(server).reap()
    assert (await server.client.run(run_id)).status == "requires_action"
    await asyncio.sleep(0.01)
    await reaper(server, action_s=0).reap()
    response = await server.client.run(run_id)
    assert response.error is not None
    assert (response.status, response.error.code) == ("error", "limit")
    assert response.output_items[-1].__struct_config__.tag == "function_call_output"


async def test_c57_logs_of_deleted_threads_go_even_after_a_crash(server: Served):
    """Deleted in the store, and the server died before the logs went: the next round takes them."""
    run_id = (await server.client.submit(prompt="x"))["run_id"]
    async for _ in server.client.events(run_id):
        pass
    await server.services.settle(run_id)
    run = await server.services.store.get_run(run_id)
    await server.services.store.delete_thread(run.request.thread_id)
    assert await server.services.log.head(run_id) is not None
    await reaper(server).reap()
    assert await server.services.log.head(run_id) is None
    assert await server.services.store.doomed_logs() == []
