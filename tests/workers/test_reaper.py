"""The reaper: runs that nobody drives are begun, gone on with or ended; logs of deleted threads go."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from tailrace.client.client import ClientError
from tailrace.fold.folds import Folds
from tailrace.runs.agents import Agents
from tailrace.runs.drive import Driver, opening, takeover
from tailrace.runs.model_call import ModelCaller
from tailrace.runs.runner import Runner
from tailrace.runs.step import Policy
from tailrace.runs.writer import RunWriter
from tailrace.schema.events import ItemDelta, ItemStart, Payload, ProviderEvent, StepStart, TraceContext
from tailrace.schema.items import CancelledItem, MessageItem
from tailrace.schema.request import Generation, RunRequest
from tailrace.schema.response import Response
from tailrace.store.base import StoredRun, Thread
from tailrace.testing.moves import Call, Text
from tailrace.upstream.http import Timeouts, Upstream
from tailrace.upstream.retry import RetryPolicy
from tailrace.upstream.traffic import Traffic
from tailrace.workers.reaper import Reaper
from tests.support.server import Served

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


@pytest.fixture
async def runner(server: Served) -> AsyncIterator[Runner]:
    """Another runner on the server's log and store, which talks to the same provider."""
    services, timeouts = server.services, Timeouts(connect_s=2, first_event_s=5, idle_s=5, total_s=60)
    policy = Policy(max_steps=9, max_takeovers=1)
    async with Upstream() as upstream:
        caller = ModelCaller(upstream, timeouts, RetryPolicy(attempts=1, total_s=1), {}, Traffic({}, lambda: 0))
        driver = Driver(caller, services.registry, services.store, services.tracing, Agents({}, policy), services.now)
        yield Runner(services.log, Folds(), driver, services.tracing, run_s=3600, now=services.now)


def reaper(server: Served, runner: Runner, action_s: float = 3600) -> Reaper:
    services = server.services

    async def project(run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            await services.settle(run_id)

    control, turns = services.control, services.submitter.turns
    return Reaper(
        services.log, services.store, runner.take, control.give_up, control.expire, turns.begin_all, project,
        action_s=action_s, keep_s=0, grace_s=0, now=services.now, clock=time.monotonic,
    )  # fmt: skip


async def stored(server: Served, run_id: str, created_at: int | None = None) -> StoredRun:
    """A run that was stored, and no more: its server died right then."""
    now = created_at or server.services.now()
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


async def died_in_mid_step(server: Served, run_id: str, *, created_at: int | None = None) -> None:
    """A run whose server died in the middle of its first answer."""
    run = await stored(server, run_id, created_at)
    writer = await RunWriter.open(server.services.log, Folds(), run_id)
    step = StepStart(step=1, provider_id="responses", model_id="m")
    half: list[Payload] = [ItemStart(item_id="a", item_type="message"), ItemDelta(item_id="a", delta_content="half")]
    await writer.append([*opening(run.request, run.response.created_at), step, *half], TRACE)


async def test_a_run_that_was_stored_but_not_begun_is_begun(server: Served, runner: Runner):
    """Nothing was shown and no model was called: it simply starts."""
    server.upstream.enqueue([Text("there")])
    await stored(server, "r")
    await reaper(server, runner).reap()
    events = [event async for event in server.client.events("r")]
    assert (events[0].type, events[-1].type) == ("response_start", "response_done")
    assert len(server.upstream.requests) == 1


async def test_a_run_whose_server_died_in_mid_step_goes_on(server: Served, runner: Runner):
    """What was half-made is cancelled where it stands, the log says who went on, and a new step answers."""
    server.upstream.enqueue([Text("whole")])
    await died_in_mid_step(server, "r")
    await reaper(server, runner).reap()
    events = [event async for event in server.client.events("r")]
    (taken,) = (event.payload for event in events if isinstance(event.payload, ProviderEvent))
    assert (taken.name, taken.data) == ("takeover", {"epoch": 2})
    response = await server.client.run("r")
    assert (response.status, [step.finish_reason for step in response.steps]) == ("complete", ["cancelled", "stop"])
    _, half, whole = response.output_items
    assert isinstance(half, CancelledItem)
    assert isinstance(half.partial, MessageItem)
    assert isinstance(whole, MessageItem)
    assert (half.partial.content, whole.content) == ("half", "whole")


async def test_a_run_that_was_lost_too_often_is_ended(server: Served, runner: Runner):
    """One more worker lost than the server allows: the error says so, and no model is called any more."""
    await died_in_mid_step(server, "r")
    for step in (2, 3):
        writer = await RunWriter.open(server.services.log, Folds(), "r")
        await writer.append(takeover(writer), TRACE)
        if step == 2:
            await writer.append([StepStart(step=step, provider_id="responses", model_id="m")], TRACE)
    await reaper(server, runner).reap()
    async for _ in server.client.events("r"):
        pass
    response = await server.client.run("r")
    assert response.error is not None
    assert (response.error.code, response.error.retryable) == ("interrupted", True)
    assert response.error.message.startswith("2 workers were lost")
    assert server.upstream.requests == []


async def test_a_run_that_was_lost_for_too_long_is_ended(server: Served, runner: Runner):
    """Nobody waits for it any more: to call the model now would cost money for nothing."""
    await died_in_mid_step(server, "r", created_at=server.services.now() - 3_600_001)
    await reaper(server, runner).reap()
    response = await server.client.run("r")
    assert response.error is not None
    assert (response.error.code, response.error.retryable) == ("interrupted", True)
    assert server.upstream.requests == []


async def test_a_run_that_waits_too_long_is_ended(server: Served, runner: Runner):
    """The client never sends its outputs: the run ends with `limit`, and its call is answered."""
    server.upstream.enqueue([Call("now", "{}", call_id="c1")])
    run_id = (await server.client.submit(prompt="x", tools=[{"name": "now"}]))["run_id"]
    while (await server.client.run(run_id)).status != "requires_action":
        await asyncio.sleep(0.01)
    await server.services.settle(run_id)
    await reaper(server, runner).reap()
    assert (await server.client.run(run_id)).status == "requires_action"
    await asyncio.sleep(0.01)
    await reaper(server, runner, action_s=0).reap()
    response = await server.client.run(run_id)
    assert response.error is not None
    assert (response.status, response.error.code) == ("error", "limit")
    assert response.output_items[-1].__struct_config__.tag == "function_call_output"


async def test_c57_logs_of_deleted_threads_go_even_after_a_crash(server: Served, runner: Runner):
    """Deleted in the store, and the server died before the logs went: the next round takes them."""
    run_id = (await server.client.submit(prompt="x"))["run_id"]
    async for _ in server.client.events(run_id):
        pass
    await server.services.settle(run_id)
    run = await server.services.store.get_run(run_id)
    await server.services.store.delete_thread(run.request.thread_id)
    assert await server.services.log.head(run_id) is not None
    await reaper(server, runner).reap()
    assert await server.services.log.head(run_id) is None
    assert await server.services.store.doomed_logs() == []


async def test_a_run_that_is_not_kept_is_forgotten(server: Served, runner: Runner):
    """`store: false`: a while after its end there is nothing to come back to."""
    body = {"model": "responses/m", "messages": [{"role": "user", "content": "x"}], "store": False}
    run_id = (await server.client.request("POST", "/v1/chat/completions", body))["id"]
    await server.services.settle(run_id)
    await reaper(server, runner).reap()
    with pytest.raises(ClientError) as unknown:
        await server.client.run(run_id)
    assert unknown.value.status == 404
    assert await server.services.log.head(run_id) is None
