"""Servers on the network, of the Python SDK: today's protocol, its questions, and what happens when one goes away."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.agents.test_loop import DONE, call, outputs, read, run, submit
from tests.mcp.conftest import Start, standing
from tests.mcp.test_questions import answer, question
from tests.support.mcp_server import Kind, listen, made


@pytest.fixture
async def kind() -> AsyncIterator[Kind]:
    server = await listen(made().streamable_http_app())
    yield server
    await server.stop()


async def test_tools_and_resources(start: Start, upstream, kind: Kind):
    """Results by the tool's own schema; resources and their templates are listed and read by tools."""
    server = await start({"k": {"url": kind.url}})
    upstream.enqueue(
        [
            call("k__add", "c1", a=1, b=2),
            call("k__list_resources", "c2"),
            call("k__list_resource_templates", "c3"),
            call("k__read_resource", "c4", uri="notes://monday"),
            call("k__add", "c5", a="x", b=2),
        ],
        DONE,
    )  # fmt: skip
    _, response = await run(server)
    texts = {output.call_id: output.output for output in outputs(response)}
    assert texts["c1"] == "3"
    assert texts["c2"] == "notes://today (today, text/plain): What is on today."
    assert texts["c3"] == "notes://{day} (day, text/plain): What is on some day."
    assert texts["c4"] == "nothing on monday"
    assert "validation error" in texts["c5"]
    assert (await standing(server, "k", "connected"))["transport"] == "http"


async def test_a_question_over_http_is_its_calls(start: Start, upstream, kind: Kind):
    """Two runs at a time: each is asked for its own call."""
    server = await start({"k": {"url": kind.url}})
    upstream.enqueue([call("k__who", "c1")], [call("k__who", "c1")], DONE, DONE)
    runs = {name: await submit(server) for name in ("Ada", "Bob")}
    for name, run_id in runs.items():
        asked = await question(server, run_id)
        assert asked.reason == "What is your name?"
        await answer(server, run_id, asked, "approved", content={"name": name})
    for name, run_id in runs.items():
        _, response = await read(server, run_id)
        assert outputs(response)[0].output == f"hello {name}"


async def test_headers_come_from_the_environment(start: Start, upstream, kind: Kind):
    """Each request has them, and nobody sees them."""
    server = await start({"k": {"url": kind.url, "headers": {"x-team": "{MY_TEAM}"}}}, {"MY_TEAM": "a-secret-team"})
    upstream.enqueue([call("k__peek", "c1")], DONE)
    _, response = await run(server)
    assert outputs(response)[0].output == "[hidden]"


async def test_a_server_that_goes_and_comes_again(start: Start, upstream, kind: Kind):
    """While it is away its calls are answered with that; once it is back, the next one is run."""
    server = await start({"k": {"url": kind.url}})
    await standing(server, "k", "connected")
    port = int(kind.url.rpartition(":")[2].partition("/")[0])
    await kind.stop()
    upstream.enqueue([call("k__add", "c1", a=1, b=2)], DONE)
    _, response = await run(server)
    assert outputs(response)[0].output.startswith("Nothing was run: the MCP server k is not there:")
    await standing(server, "k", "lost")
    again = await listen(made().streamable_http_app(), port)
    upstream.enqueue([call("k__add", "c1", a=1, b=2)], DONE)
    _, response = await run(server)
    assert outputs(response)[0].output == "3"
    await again.stop()


async def test_new_tools_are_heard_of(start: Start, upstream, kind: Kind):
    """The protocol of 2026 tells only who listens."""
    server = await start({"k": {"url": kind.url}})
    await standing(server, "k", "connected")
    upstream.enqueue([call("k__grow", "c1")], DONE)
    await run(server)
    while "k__grown" not in (await standing(server, "k", "connected"))["tools"]:
        await asyncio.sleep(0.02)


async def test_an_answer_without_end_is_cut_off(start: Start, upstream):
    """One text of JSON, or one event, is at most 16 MiB; nothing of it is kept."""

    async def endless(scope, receive, send):
        if scope["type"] != "http":
            return
        kind = b"application/json"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        for _ in range(40):
            await send({"type": "http.response.body", "body": b" " * (1 << 20), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    flood = await listen(endless)
    server = await start({"k": {"url": flood.url}})
    found = await standing(server, "k", "lost")
    assert "more than 16777216 bytes" in found["error"]
    await flood.stop()


async def test_a_server_that_refuses_us_says_how(start: Start):
    """The status is the reason."""

    async def closed(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    refusing = await listen(closed)
    server = await start({"k": {"url": refusing.url}})
    assert (await standing(server, "k", "lost"))["error"] == "it answered HTTP 403"
    await refusing.stop()
