"""Runners as workers among others: handing over, being taken for dead, and engines that go away for a while."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from msgspec.structs import replace

from tailrace import app
from tailrace.client.client import Client, ClientError
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.schema.events import Event, ItemDelta, ProviderEvent
from tailrace.schema.items import MessageItem
from tailrace.settings import Settings
from tailrace.store.base import StoredRun
from tailrace.testing.moves import Burst, Gate, Paced, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.postgres import Postgres, shared
from tests.support.proxy import Proxy
from tests.support.redis import redis_server
from tests.support.server import serving, settings
from tests.support.topology import in_role, shared_redis, standing_on

Given = Callable[..., Settings]


@pytest.fixture
def scaled(tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Given]:
    """Makes settings of nodes that share one Redis and one PostgreSQL database."""
    with standing_on("scaled") as topology:
        yield lambda **sections: topology.placed(settings(tmp_path / "data", upstream, **sections))


async def see_text(client: Client, run_id: str) -> None:
    """Returns when a reader of the run has seen some text."""
    async with aclosing(client.events(run_id)) as events:
        async for event in events:
            if isinstance(event.payload, ItemDelta):
                return


async def whole(client: Client, run_id: str) -> tuple[list[Event], Reducer]:
    """All events of the run, which are gapless, legal and ended, and what they add up to: what is stored."""
    events = [event async for event in client.events(run_id)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    grammar, state = Grammar(), Reducer()
    for event in events:
        assert grammar.accept(event.payload) is None
        state.apply(event.seq, event.timestamp, event.payload)
    assert grammar.run == "ended"
    assert await client.run(run_id) == state.response()
    return events, state


def said(state: Reducer) -> list[str]:
    """What the model said, item by item."""
    return [item.content for item in state.items() if isinstance(item, MessageItem) and item.origin == "agent"]


async def test_a_runner_that_stops_hands_over_at_once(scaled: Given, upstream: ScriptedUpstream):
    """Its claims need not lapse (they would after a minute): who is there next goes on with a new step."""
    given = scaled(work={"lease_s": 60}, server={"shutdown_s": 0.1})
    upstream.enqueue([Text("so far"), Gate("never")], [Text("and on")])
    async with serving(in_role(given, "api"), upstream) as server:
        async with app.services(in_role(given, "runner"), {}):
            run_id = (await server.client.submit(prompt="x"))["run_id"]
            await see_text(server.client, run_id)
        async with asyncio.timeout(20), app.services(in_role(given, "runner"), {}):
            events, state = await whole(server.client, run_id)
    assert state.status == "complete"
    assert [step.finish_reason for step in state.steps] == ["cancelled", "stop"]
    assert said(state)[-1] == "and on"
    taken = [event.payload for event in events if isinstance(event.payload, ProviderEvent)]
    assert [event.name for event in taken if event.provider_id == "tailrace"] == ["takeover"]


async def test_what_ends_in_time_is_not_handed_over(scaled: Given, upstream: ScriptedUpstream):
    """A runner that is told to stop lets its runs come to their end first."""
    given = scaled(server={"shutdown_s": 5})
    upstream.enqueue([Text("so far"), Gate("g"), Text(" and on")])
    async with serving(in_role(given, "api"), upstream) as server:
        async with app.services(in_role(given, "runner"), {}):
            run_id = (await server.client.submit(prompt="x"))["run_id"]
            await see_text(server.client, run_id)
            asyncio.get_running_loop().call_later(0.2, upstream.gate("g").open)
        _, state = await whole(server.client, run_id)
    assert (state.status, said(state), len(upstream.requests)) == ("complete", ["so far and on"], 1)


async def test_what_is_taken_while_it_stops_is_handed_over_too(scaled: Given, upstream: ScriptedUpstream):
    """A run that was claimed and not yet begun when the time was up does not keep the runner."""
    given = scaled(work={"lease_s": 60}, server={"shutdown_s": 0.1})
    upstream.script = lambda _: [Gate("g"), Text("done")]
    claimed, looked_up = asyncio.Event(), asyncio.Event()
    async with serving(in_role(given, "api"), upstream) as server:
        async with asyncio.timeout(20), app.services(in_role(given, "runner"), {}) as node:
            get_run = node.store.get_run

            async def slowly(run_id: str) -> StoredRun:
                claimed.set()
                await looked_up.wait()
                return await get_run(run_id)

            node.store.get_run = slowly  # type: ignore[method-assign]  # a store that takes its time
            run_id = (await server.client.submit(prompt="x"))["run_id"]
            await claimed.wait()
            asyncio.get_running_loop().call_later(0.5, looked_up.set)
        upstream.gate("g").open()
        async with asyncio.timeout(20), app.services(in_role(given, "runner"), {}):
            _, state = await whole(server.client, run_id)
    assert (state.status, said(state)) == ("complete", ["done"])


async def test_a_runner_that_returns_from_the_dead_is_refused(scaled: Given, upstream: ScriptedUpstream):
    """Cut off from Redis it loses its claim; what it says afterwards, under its older epoch, is in no log (rule 4)."""
    given = scaled(work={"lease_s": 0.6})
    upstream.enqueue(
        [Text("so far"), Gate("zombie"), Text(" from the grave")], [Text("a life"), Gate("living"), Text(" after")]
    )
    async with Proxy(shared_redis().port) as proxy, serving(in_role(given, "api"), upstream) as server:
        assert given.log.url is not None
        cut_off = replace(given.log, url=given.log.url.replace(str(shared_redis().port), str(proxy.port)))
        async with app.services(in_role(replace(given, log=cut_off), "runner"), {}):
            run_id = (await server.client.submit(prompt="x"))["run_id"]
            await see_text(server.client, run_id)
            cut = asyncio.create_task(proxy.cut(2.5))
            async with app.services(in_role(given, "runner"), {}):
                await upstream.received(2)
                upstream.gate("zombie").open()
                async with asyncio.timeout(20):
                    await upstream.requests[0].answered.wait()
                await cut
                upstream.gate("living").open()
                _, state = await whole(server.client, run_id)
    assert state.status == "complete"
    assert said(state) == ["a life after"]


@pytest.mark.parametrize("lease_s", [15, 0.5])
async def test_live_runs_wait_while_redis_is_away(tmp_path: Path, upstream: ScriptedUpstream, lease_s: float):
    """Killed in mid-stream and back after two seconds: no event is lost or doubled, and the model is asked once.

    Also where claims lapse meanwhile: their runner claims them again itself, and does not stop what it does.
    """
    upstream.enqueue([Paced(0.01, (Burst(300),))])
    with redis_server(tmp_path) as redis:
        engines = {"log": {"url": redis.url}, "store": {"url": shared().new_store()}}
        given = settings(tmp_path / "data", upstream, **engines, work={"lease_s": lease_s})
        async with serving(given, upstream) as server:
            run_id = (await server.client.submit(prompt="x"))["run_id"]
            await see_text(server.client, run_id)
            redis.kill()
            with pytest.raises(ClientError) as refused:
                await server.client.submit(prompt="y")
            assert (refused.value.status, refused.value.code) == (503, "not_ready")
            await asyncio.to_thread(redis.start)
            async with asyncio.timeout(20):
                _, state = await whole(server.client, run_id)
            runs, _ = await server.services.store.list_runs(thread_id=None, status=None, limit=10, cursor=None)
    assert [run.id for run in runs] == [run_id]
    assert said(state)[0].split() == [str(number) for number in range(1, 301)]
    assert len(upstream.requests) == 1


@pytest.mark.slow
async def test_runs_go_on_while_postgresql_is_away(tmp_path: Path, upstream: ScriptedUpstream):
    """Their log is elsewhere; submits are refused meanwhile, and what was missed is stored when it is back."""
    postgres = Postgres()
    postgres.start()
    try:
        with redis_server(tmp_path) as redis:
            given = settings(tmp_path / "data", upstream, log={"url": redis.url}, store={"url": postgres.new_store()})
            upstream.enqueue([Text("so far"), Gate("g"), Text(" and on")])
            async with serving(given, upstream) as server:
                run_id = (await server.client.submit(prompt="x"))["run_id"]
                await see_text(server.client, run_id)
                postgres.stop()
                with pytest.raises(ClientError) as refused:
                    await server.client.submit(prompt="y")
                assert (refused.value.status, refused.value.code) == (503, "not_ready")
                upstream.gate("g").open()
                events = [event async for event in server.client.events(run_id)]
                assert events[-1].type == "response_done"
                await asyncio.to_thread(postgres.start)
                async with asyncio.timeout(20):
                    while (await server.services.store.get_run(run_id)).response.status != "complete":
                        await asyncio.sleep(0.05)
                _, state = await whole(server.client, run_id)
        assert said(state) == ["so far and on"]
    finally:
        postgres.destroy()
