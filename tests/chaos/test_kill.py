"""kill -9: what a reader has seen is there again, and every run ends."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from tailrace.client.client import Client
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.schema.events import Event
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem
from tailrace.testing.moves import Burst, Call, Gate, Paced, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.process import ServerProcess

pytestmark = pytest.mark.slow


@pytest.fixture
async def process(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ServerProcess]:
    server = ServerProcess(tmp_path, upstream)
    await server.start()
    yield server
    await server.kill()


async def read(client: Client, run_id: str, seen: list[Event]) -> None:
    async for event in client.events(run_id):
        seen.append(event)  # noqa: PERF401  # the list is looked at while it grows


def check(seen: list[Event]) -> Reducer:
    """Gapless, in order, legal, ended."""
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    grammar, state = Grammar(), Reducer()
    for event in seen:
        assert grammar.accept(event.payload) is None
        state.apply(event.seq, event.timestamp, event.payload)
    assert grammar.run == "ended"
    return state


@pytest.mark.parametrize("seed", range(4))
async def test_c40_c50_readers_lose_nothing_when_the_server_is_killed(
    process: ServerProcess, upstream: ScriptedUpstream, seed: int
):
    """Several runs, their readers reconnecting by themselves, the server killed at a random moment.

    Each run goes on and completes; each reader reads exactly what the log holds; what is stored is the fold of it.
    """
    chance = random.Random(seed)
    upstream.script = lambda _: [Paced(0.002, (Burst(400),))]
    async with Client(process.url) as client:
        run_ids = [(await client.submit(prompt=str(n)))["run_id"] for n in range(5)]
        seen: dict[str, list[Event]] = {run_id: [] for run_id in run_ids}
        readers = [asyncio.create_task(read(client, run_id, seen[run_id])) for run_id in run_ids]
        target = chance.randrange(5, 380)
        while max(len(events) for events in seen.values()) < target:
            await asyncio.sleep(0.001)
        await process.kill()
        await process.start()
        async with asyncio.timeout(20):
            await asyncio.gather(*readers)
        for run_id in run_ids:
            state = check(seen[run_id])
            again: list[Event] = []
            await read(client, run_id, again)
            assert again == seen[run_id]
            assert await client.run(run_id) == state.response()
            assert state.status == "complete"
            assert [step.finish_reason for step in state.steps][-1] == "stop"


async def test_killed_again_and_again(process: ServerProcess, upstream: ScriptedUpstream):
    """Restarts that are killed themselves change nothing about the one end of the run: too many losses are an error."""
    upstream.script = lambda _: [Text("so far"), Gate("never")]
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="x"))["run_id"]
        for calls in range(1, 5):
            await upstream.received(calls)
            await process.kill()
            await process.start()
        seen: list[Event] = []
        async with asyncio.timeout(20):
            await read(client, run_id, seen)
    error = check(seen).error
    assert error is not None
    assert (error.code, error.retryable) == ("interrupted", True)
    assert len(upstream.requests) == 4


async def test_c2_a_call_of_a_step_that_died_is_still_the_clients(process: ServerProcess, upstream: ScriptedUpstream):
    """A call was whole when the server died: it is not asked for again, and its output takes the run on."""
    upstream.enqueue([Call("now", "{}", call_id="c1"), Text("and"), Gate("never")], [Text("Noon.")])
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="x", tools=[{"name": "now"}]))["run_id"]
        async with aclosing(client.events(run_id)) as events:
            async for event in events:
                if event.type == "item_done" and isinstance(event.payload.final_item, FunctionCallItem):
                    break
        await process.kill()
        await process.start()
        assert (await client.run(run_id)).status == "requires_action"
        await client.outputs(run_id, [{"call_id": "c1", "output": "12:00"}])
        seen: list[Event] = []
        await read(client, run_id, seen)
    state = check(seen)
    outputs = [item for item in state.items() if isinstance(item, FunctionCallOutputItem)]
    assert [(output.call_id, output.success) for output in outputs] == [("c1", True)]
    assert state.status == "complete"
    assert len(upstream.requests) == 2


async def test_a_waiting_run_waits_on_through_a_crash(process: ServerProcess, upstream: ScriptedUpstream):
    """A run in `requires_action` costs no task and survives: its outputs may come to the next server."""
    upstream.enqueue([Call("now", "{}", call_id="c1")], [Text("Noon.")])
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="x", tools=[{"name": "now"}]))["run_id"]
        while (await client.run(run_id)).status != "requires_action":
            await asyncio.sleep(0.01)
        await process.kill()
        await process.start()
        waiting = await client.run(run_id)
        assert waiting.status == "requires_action"
        (call,) = (item for item in waiting.output_items if isinstance(item, FunctionCallItem))
        await client.outputs(run_id, [{"call_id": call.call_id, "output": "12:00"}])
        seen: list[Event] = []
        await read(client, run_id, seen)
    assert check(seen).status == "complete"


async def test_a_stopped_server_hands_over(process: ServerProcess, upstream: ScriptedUpstream):
    """SIGTERM leaves what does not end in time to the next server, which goes on with it; readers follow."""
    upstream.enqueue([Text("so far"), Gate("never")], [Text("and on")])
    async with Client(process.url) as client:
        run_id = (await client.submit(prompt="x"))["run_id"]
        await upstream.received()
        seen: list[Event] = []
        reader = asyncio.create_task(read(client, run_id, seen))
        while len(seen) < 5:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            await process.stop()
        await process.start()
        async with asyncio.timeout(10):
            await reader
    assert check(seen).status == "complete"


async def test_two_servers_cannot_share_a_data_directory(process: ServerProcess, tmp_path: Path):
    """The second says who is there, and starts nothing."""
    config = tmp_path / "tailrace.toml"
    arguments = ["serve", "--config", str(config), "--data", str(tmp_path / "data"), "--port", "0"]
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await second.communicate()
    assert second.returncode == 1
    assert f"pid {process.pid}" in " ".join(errors.decode().split())
