"""Threads over HTTP."""

import asyncio
from typing import Any

import pytest

from tailrace.client.client import ClientError
from tailrace.testing.moves import Gate, Text
from tests.support.server import Served


async def refused(server: Served, method: str, path: str, body: Any = None) -> ClientError:
    with pytest.raises(ClientError) as error:
        await server.client.request(method, path, body)
    return error.value


async def finish(server: Served, **body: Any) -> dict[str, str]:
    submitted = await server.client.submit(**{"prompt": "hello", **body})
    async for _ in server.client.events(submitted["run_id"]):
        pass
    return submitted


async def test_a_thread_is_made_read_changed_and_deleted(server: Served):
    """The life of a thread; what is gone is 404, and so are its runs and their streams."""
    made = await server.client.request(
        "POST", "/api/v2/threads", {"title": "Rivers", "tags": ["water"], "metadata": {"a": 1}}
    )
    path = f"/api/v2/threads/{made['thread_id']}"
    assert made["title"] == "Rivers"
    changed = await server.client.request("PATCH", path, {"title": None, "summary": "short", "tags": ["land"]})
    assert "title" not in changed
    assert (changed["summary"], changed["tags"]) == ("short", ["land"])
    submitted = await finish(server, thread_id=made["thread_id"])
    seen = await server.client.request("GET", path)
    assert [item["origin"] for item in seen["history"]] == ["user", "agent"]
    assert [run["id"] for run in seen["runs"]] == [submitted["run_id"]]
    assert await server.client.request("DELETE", path) is None
    for gone in (path, f"/api/v2/runs/{submitted['run_id']}", f"/api/v2/stream/{submitted['run_id']}"):
        assert (await refused(server, "GET", gone)).status == 404
    assert (await refused(server, "DELETE", path)).status == 404
    assert await server.services.log.head(submitted["run_id"]) is None


async def test_c56_errors_are_uniform(server: Served):
    """A missing thread is 404, bad JSON 400, an unknown or immutable field is named; always the same shape."""
    assert (await refused(server, "PATCH", "/api/v2/threads/nobody", {"title": "x"})).code == "not_found"
    made = await server.client.request("POST", "/api/v2/threads", {})
    path = f"/api/v2/threads/{made['thread_id']}"
    for body, field in (
        ({}, None),
        ({"thread_id": "x"}, "thread_id"),
        ({"created_at": 1}, "created_at"),
        ({"tags": [1]}, "tags[0]"),
    ):
        error = await refused(server, "PATCH", path, body)
        assert (error.status, error.code, error.field) == (400, "invalid_request", field)
    for method, where, status in (
        ("PUT", path, 405),
        ("GET", "/api/v2/nowhere", 404),
        ("GET", "/api/v2/threads?limit=x", 400),
    ):
        assert (await refused(server, method, where)).status == status


async def test_c54_an_invalid_submit_leaves_no_thread(server: Served):
    """Validation comes before any effect."""
    bodies: list[dict[str, Any]] = [
        {}, {"prompt": ""}, {"prompt": "x", "input": [{"content": "x"}]}, {"prompt": "x", "model_id": "nobody/nothing"},
        {"prompt": "x", "agent_id": "nobody"}, {"prompt": "x", "thread_id": "nobody"}, {"prompt": "x", "tool": []},
        {"prompt": "x", "tools": [{"name": "a"}, {"name": "a"}]}, {"prompt": "x", "tool_choice": {"name": "b"}},
        {"prompt": "x", "temperature": 3}, {"prompt": "x", "run_id": "a b"}, {"prompt": "x", "when_busy": "later"},
        {"prompt": "x", "thinking_budget": 0}, {"input": [{"parts": []}]}, {"prompt": 1},
    ]  # fmt: skip
    for body in bodies:
        with pytest.raises(ClientError) as error:
            await server.client.submit(**body)
        assert error.value.status in {400, 404}, body
        assert error.value.field or error.value.status == 404, body
    assert (await server.client.request("GET", "/api/v2/threads"))["threads"] == []
    assert (await server.client.request("GET", "/api/v2/runs"))["runs"] == []
    assert server.upstream.requests == []


async def test_c57_a_run_touches_its_thread(server: Served):
    """A thread with news comes first."""
    first, second = [await server.client.request("POST", "/api/v2/threads", {}) for _ in range(2)]
    await asyncio.sleep(0.01)
    submitted = await finish(server, thread_id=first["thread_id"])
    await server.services.settle(submitted["run_id"])
    listed = await server.client.request("GET", "/api/v2/threads")
    assert [thread["thread_id"] for thread in listed["threads"]] == [first["thread_id"], second["thread_id"]]
    assert listed["threads"][0]["updated_at"] > first["updated_at"]


async def test_lists_go_page_by_page(server: Served):
    """Every thread and run once, newest first, by cursor; tags and status select."""
    runs = [await finish(server) for _ in range(5)]
    await server.client.request("POST", "/api/v2/threads", {"tags": ["one"]})
    for run in runs:
        await server.services.settle(run["run_id"])
    for what, key, count in (("threads", "thread_id", 6), ("runs", "id", 5)):
        seen, cursor = [], None
        while True:
            query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
            page = await server.client.request("GET", f"/api/v2/{what}", query=query)
            seen += [row[key] for row in page[what]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == count
    assert len((await server.client.request("GET", "/api/v2/threads", query={"tag": "one"}))["threads"]) == 1
    of_one = {"thread_id": runs[0]["thread_id"], "status": "complete"}
    assert [r["id"] for r in (await server.client.request("GET", "/api/v2/runs", query=of_one))["runs"]] == [
        runs[0]["run_id"]
    ]
    assert (await refused(server, "GET", "/api/v2/runs?cursor=wrong")).field == "cursor"
    assert (await refused(server, "GET", "/api/v2/runs?status=odd")).field == "status"


async def test_deleting_a_thread_ends_its_live_run(server: Served):
    """The provider's socket is closed, and nothing of the run is left."""
    server.upstream.enqueue([Text("so far"), Gate("never")])
    submitted = await server.client.submit(prompt="x")
    request = await server.upstream.received()
    await server.client.request("DELETE", f"/api/v2/threads/{submitted['thread_id']}")
    async with asyncio.timeout(20):
        await request.disconnected.wait()
    assert (await refused(server, "GET", f"/api/v2/runs/{submitted['run_id']}")).status == 404
