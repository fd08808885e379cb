"""The event stream: cut at any event, filtered, in any dialect, from the log or from the archive."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import aiohttp
import pytest

from tailrace.client.client import Client, ClientError
from tailrace.schema import codec
from tailrace.testing.moves import Burst, Call, Fail, Gate, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.wire.sse import SseEvent, SseParser
from tests.support.linting import broken
from tests.support.server import Served, serving, settings

TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
SCRIPT = [
    Reasoning("Let me see."),
    Text("Hello **you**, and more of it."),
    Call("weather", '{"city":"Paris"}', call_id="c1"),
]


async def get(server: Served, path: str, **headers: str) -> tuple[int, bytes]:
    """One GET, to the end of the body."""
    async with aiohttp.ClientSession() as session, session.get(server.url + path, headers=headers) as reply:
        return reply.status, await reply.read()


def frames(body: bytes) -> list[SseEvent]:
    parser = SseParser()
    return [*parser.feed(body), *parser.close()]


async def a_run(server: Served) -> str:
    """A run with reasoning, text and a call, ended by being cancelled."""
    server.upstream.enqueue(SCRIPT)
    run_id = (await server.client.submit(prompt="hello", tools=[TOOL]))["run_id"]
    while (await server.client.run(run_id)).status != "requires_action":
        await asyncio.sleep(0.01)
    await server.client.cancel(run_id)
    return run_id


async def test_the_wire_form_of_the_stream(server: Served):
    """Headers and a first comment at once, LF line ends, id and event on each frame, closed at the end."""
    run_id = await a_run(server)
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/api/v2/stream/{run_id}") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert "no-cache" in reply.headers["cache-control"]
        body = await reply.read()
    assert body.startswith(b": tailrace\n")
    assert body.count(b"retry: 1000\n") == 1
    assert b"\r" not in body
    assert broken("native", body) == set()


async def test_a_connection_that_has_gone_silent_is_left_for_another(server: Served):
    """As a firewall leaves it that forgot of it: nobody closes it, and nothing comes."""
    server.upstream.enqueue([Text("all of it")])
    run_id = (await server.client.submit(prompt="hello"))["run_id"]
    kept: list[asyncio.StreamWriter] = []

    async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        kept.append(writer)
        if len(kept) == 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")
            return
        there, back = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        back.write(asked.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        while data := await there.read(4096):
            writer.write(data)
        back.close()
        writer.close()

    async with await asyncio.start_server(front, "127.0.0.1", 0) as listening, asyncio.timeout(20):
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with Client(url, retry_s=0.01, silence_s=1.0) as client:
            events = [event async for event in client.events(run_id)]
        kept[0].close()
    assert [event.seq for event in events] == list(range(1, (await server.client.run(run_id)).last_seq + 1))
    assert len(kept) == 2


async def test_one_client_reads_as_many_streams_as_it_is_asked_for(server: Served):
    """All at once, and it can still ask for something else beside them."""
    server.upstream.enqueue([Text("half"), Gate("middle"), Text(" and half")])
    run_id = (await server.client.submit(prompt="hello"))["run_id"]
    begun = asyncio.Semaphore(0)

    async def read() -> int:
        count = 0
        async with aclosing(server.client.events(run_id)) as events:
            async for event in events:
                count += 1
                if event.seq == 1:
                    begun.release()
        return count

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        readers = [group.create_task(read()) for _ in range(120)]
        for _ in readers:
            await begun.acquire()
        assert (await server.client.run(run_id)).status == "in_progress"
        server.upstream.gate("middle").open()
    assert {reader.result() for reader in readers} == {(await server.client.run(run_id)).last_seq}


@pytest.mark.slow
async def test_c50_a_client_cut_at_every_event_reads_exactly_the_run(server: Served):
    """Cut behind each event and resumed with Last-Event-ID: head and rest are the whole, byte for byte."""
    run_id = await a_run(server)
    path = f"/api/v2/stream/{run_id}"
    whole = frames((await get(server, path))[1])
    assert len(whole) > 20
    for cut in range(len(whole) + 1):
        _, rest = await get(server, path, **{"Last-Event-ID": str(cut)})
        assert whole[:cut] + frames(rest) == whole
        assert frames((await get(server, f"{path}?after={cut}"))[1]) == whole[cut:]


async def test_c50_a_client_that_reads_one_event_per_connection_misses_none(server: Served):
    """While the run lives: connect, read one event, leave, come back; in all, just the run's events."""
    server.upstream.enqueue([Text("first"), Gate("g"), Burst(40)])
    run_id = (await server.client.submit(prompt="x"))["run_id"]
    seen: list[SseEvent] = []
    while not seen or seen[-1].event != "response_done":
        async with aclosing(server.client.frames(run_id, after=len(seen))) as stream:
            seen.append(await anext(stream))
        if len(seen) == 5:
            server.upstream.gate("g").open()
    assert seen == frames((await get(server, f"/api/v2/stream/{run_id}"))[1])


async def test_c49_the_stream_ends_and_an_unknown_run_is_404(server: Served):
    """Behind the end there is an empty stream, closed at once; an unknown run is told before any stream begins."""
    run_id = await a_run(server)
    last = (await server.client.run(run_id)).last_seq
    for after in (last, last + 1, last + 1000):
        status, body = await get(server, f"/api/v2/stream/{run_id}?after={after}")
        assert (status, frames(body)) == (200, [])
    status, body = await get(server, "/api/v2/stream/nobody")
    assert (status, codec.decode_any(body)["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=-1", "after"),
        ("after=x", "after"),
        ("dialect=morse", "dialect"),
        ("reasoning=some", "reasoning"),
        ("afer=1", "afer"),
    ],
)
async def test_wrong_parameters_are_named(server: Served, query: str, field: str):
    """A 400 that names the parameter; a wrong Last-Event-ID too."""
    run_id = await a_run(server)
    status, body = await get(server, f"/api/v2/stream/{run_id}?{query}")
    assert (status, codec.decode_any(body)["error"]["details"]["field"]) == (400, field)
    status, body = await get(server, f"/api/v2/stream/{run_id}", **{"Last-Event-ID": "abc"})
    assert (status, codec.decode_any(body)["error"]["details"]["field"]) == (400, "Last-Event-ID")


async def test_filters_leave_out_and_never_renumber(server: Served):
    """`none` and `summary` drop frames; ids stay the log's, so that a filtered reader may resume, filtered or not."""
    run_id = await a_run(server)
    path = f"/api/v2/stream/{run_id}"
    whole = {frame.id: frame for frame in frames((await get(server, path))[1])}
    for query in ("reasoning=none", "reasoning=summary", "tools=none", "tools=summary&reasoning=none"):
        some = frames((await get(server, f"{path}?{query}"))[1])
        assert 0 < len(some) < len(whole)
        assert all(whole[frame.id] == frame for frame in some)
        middle = some[len(some) // 2].id
        assert frames((await get(server, f"{path}?{query}&after={middle}"))[1]) == some[len(some) // 2 + 1 :]


async def test_upserts_resume_by_their_own_cursor(server: Served):
    """The thin clients' dialect: whole items, and the same rest for whoever comes back."""
    run_id = await a_run(server)
    path = f"/api/v2/stream/{run_id}?dialect=upserts"
    whole = frames((await get(server, path))[1])
    assert {frame.event for frame in whole} == {"turn_started", "item_upsert", "turn_aborted"}
    for cut, frame in enumerate(whole):
        assert frames((await get(server, f"{path}&after={frame.id}"))[1]) == whole[cut + 1 :]


async def test_a_silent_stream_has_comments(tmp_path: Path, upstream: ScriptedUpstream):
    """While nothing happens, a comment comes before the keep-alive time is over."""
    upstream.enqueue([Gate("g"), Text("x")])
    async with serving(settings(tmp_path, upstream, server={"keep_alive_s": 0.2}), upstream) as server:
        run_id = (await server.client.submit(prompt="x"))["run_id"]
        await upstream.received()
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/api/v2/stream/{run_id}") as reply:
            body = b""
            async with asyncio.timeout(20):
                while body.count(b": keep-alive\n") < 3:
                    body += await reply.content.readany()
        upstream.gate("g").open()


@pytest.mark.slow
async def test_c44_a_long_run_is_replayed_live_and_from_the_archive(tmp_path: Path, upstream: ScriptedUpstream):
    """5,000 events: whole while live, whole when the log has let go and only the archive is left, same bytes."""
    upstream.enqueue([Burst(5000), Gate("g")])
    async with serving(settings(tmp_path, upstream, log={"keep_s": 0}), upstream) as server:
        run_id = (await server.client.submit(prompt="x"))["run_id"]
        live = []
        async with aclosing(server.client.frames(run_id)) as stream:
            async for frame in stream:
                live.append(frame)  # it is left before it ends
                if len(live) > 5000:
                    break
        upstream.gate("g").open()
        after = await collect(server.client, run_id)
        assert after[: len(live)] == live
        async with asyncio.timeout(20):
            while await server.services.log.head(run_id) is not None:
                await asyncio.sleep(0.02)
        assert await collect(server.client, run_id) == after
        assert frames((await get(server, f"/api/v2/stream/{run_id}?after=4990"))[1]) == after[4990:]


async def test_a_run_whose_log_was_let_go_is_not_begun_anew(tmp_path: Path, upstream: ScriptedUpstream):
    """Whatever comes late (a cancel, outputs, whoever looks for lost runs): it is over, and is read whole."""
    upstream.enqueue([Call("weather", "{}", call_id="c1")], [Text("mild")])
    async with serving(settings(tmp_path, upstream, log={"keep_s": 0}), upstream) as server:
        client, services = server.client, server.services
        run_id = (await client.submit(prompt="x", tools=[TOOL]))["run_id"]
        while (await client.run(run_id)).status != "requires_action":
            await asyncio.sleep(0.01)
        early = await services.store.get_run(run_id)
        await client.outputs(run_id, [{"call_id": "c1", "output": "mild"}])
        async with asyncio.timeout(20):
            while await services.log.head(run_id) is not None:
                await asyncio.sleep(0.02)
        whole = await collect(client, run_id)
        await client.cancel(run_id)
        with pytest.raises(ClientError, match="does not wait"):
            await client.outputs(run_id, [{"call_id": "c1", "output": "cold"}])
        await services.control.stop(run_id, "late")
        await services.control.revive(early)
        assert await services.log.head(run_id) is None
        async with asyncio.timeout(20):
            assert await collect(client, run_id) == whole
        assert len(upstream.requests) == 2


async def collect(client: Client, run_id: str) -> list[SseEvent]:
    return [frame async for frame in client.frames(run_id)]


@pytest.mark.parametrize("ending", ["complete", "error", "aborted"])
async def test_c51_the_client_library_sees_every_kind_of_end(server: Served, ending: str):
    """It reads to the terminal event, whichever it is, and stops there."""
    scripts = {"complete": [Text("x")], "error": [Text("x"), Fail()], "aborted": [Text("x"), Gate("g")]}
    server.upstream.enqueue(scripts[ending])
    run_id = (await server.client.submit(prompt="x"))["run_id"]
    if ending == "aborted":
        await server.upstream.received()
        await server.client.cancel(run_id)
    async with asyncio.timeout(20):
        events = [event async for event in server.client.events(run_id)]
    assert (await server.client.run(run_id)).status == ending
    assert events[-1].seq == (await server.client.run(run_id)).last_seq


async def test_c52_the_client_gives_up_after_its_attempts():
    """A server that accepts and closes is not tried for ever."""
    accepted = 0

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        writer.close()

    broken = await asyncio.start_server(close, "127.0.0.1", 0)
    port = broken.sockets[0].getsockname()[1]
    async with broken, Client(f"http://127.0.0.1:{port}", attempts=4, retry_s=0.01) as client:
        with pytest.raises(ClientError):
            await collect(client, "r")
    assert 4 <= accepted <= 8  # the HTTP client itself may try a fresh connection once


async def test_the_client_knows_when_there_is_nothing_more(server: Served):
    """Asked for what is behind the end of a run, it ends at once instead of trying again."""
    run_id = await a_run(server)
    last = (await server.client.run(run_id)).last_seq
    async with asyncio.timeout(20):
        for after in (last, last + 10):
            assert [frame async for frame in server.client.frames(run_id, after=after)] == []


async def test_readers_who_leave_cost_nothing_and_harm_nobody(server: Served):
    """A hundred readers, half of them gone in the middle: the others read all of it."""
    server.upstream.enqueue([Burst(50), Gate("g"), Burst(50)])
    run_id = (await server.client.submit(prompt="x"))["run_id"]

    async def some(count: int) -> None:
        async with aclosing(server.client.frames(run_id)) as stream:
            for _ in range(count):
                await anext(stream)

    readers = [asyncio.create_task(collect(server.client, run_id)) for _ in range(50)]
    await asyncio.gather(*(some(number) for number in range(50)))
    server.upstream.gate("g").open()
    whole = await collect(server.client, run_id)
    assert all(read == whole for read in await asyncio.gather(*readers))


async def test_a_slow_reader_stalls_nobody(server: Served):
    """One who does not read at all while the run goes on: the run ends, and the slow one finds everything later."""
    server.upstream.enqueue([Burst(5000)])
    run_id = (await server.client.submit(prompt="x"))["run_id"]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1]), limit=1024)
    writer.write(f"GET /api/v2/stream/{run_id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    whole = await collect(server.client, run_id)
    assert (await server.client.run(run_id)).status == "complete"
    body = await reader.read(-1)
    assert body.count(b"\nevent: ") == len(whole)
    writer.close()
