"""`/v1/conversations`: a conversation is a thread, and responses belong to it in order."""

from typing import Any

import aiohttp
import pytest

from tailrace.schema import codec
from tests.support.server import Served

Json = dict[str, Any]


async def call(server: Served, method: str, path: str, body: Any = None) -> tuple[int, Json]:
    data = codec.encode(body) if body is not None else None
    async with aiohttp.ClientSession() as session, session.request(method, server.url + path, data=data) as reply:
        return reply.status, codec.decode_any(await reply.read())


async def made(server: Served, **body: Any) -> str:
    status, said = await call(server, "POST", "/v1/conversations", body)
    assert (status, said["object"]) == (200, "conversation")
    return said["id"]


async def ask(server: Served, conversation: str, text: str, **body: Any) -> str:
    asked = {"model": "responses/m", "input": text, "conversation": conversation, **body}
    status, said = await call(server, "POST", "/v1/responses", asked)
    assert status == 200, said
    assert said["conversation"] == {"id": conversation}
    return "".join(part["text"] for item in said["output"] for part in item["content"])


async def texts(server: Served, conversation: str) -> list[str]:
    _, said = await call(server, "GET", f"/v1/conversations/{conversation}/items?order=asc&limit=100")
    return ["".join(part["text"] for part in item["content"]) for item in said["data"]]


async def test_a_conversation_from_its_making_to_its_end(server: Served):
    """Made, read, changed, deleted; then there is none, and its responses are gone with it."""
    conversation = await made(server, metadata={"a": "b"})
    path = f"/v1/conversations/{conversation}"
    assert (await call(server, "GET", path))[1]["metadata"] == {"a": "b"}
    assert (await call(server, "POST", path, {"metadata": {"c": "d"}}))[1]["metadata"] == {"c": "d"}
    await ask(server, conversation, "hi")
    assert (await call(server, "DELETE", path))[1] == {
        "id": conversation, "object": "conversation.deleted", "deleted": True,
    }  # fmt: skip
    assert (await call(server, "GET", path))[0] == 404
    assert (await call(server, "GET", "/api/v2/runs"))[1]["runs"] == []


async def test_items_come_first_and_responses_go_on_from_all_of_it(server: Served):
    """The order: the items it began with, those that were added, each response's input and output."""
    conversation = await made(server, items=[{"role": "user", "content": "remember cobalt"}])
    path = f"/v1/conversations/{conversation}/items"
    _, added = await call(server, "POST", path, {"items": [{"role": "assistant", "content": "I do."}]})
    assert added["data"][0]["role"] == "assistant"
    first = await ask(server, conversation, "what did i say")
    assert "remember cobalt" in first
    again = await ask(server, conversation, "what did i say")
    assert "what did i say" in again
    assert await texts(server, conversation) == [
        "remember cobalt", "I do.", "what did i say", first, "what did i say", again,
    ]  # fmt: skip
    assert server.upstream.requests[0].wire == "openai-responses"
    assert len(server.upstream.requests) == 2  # adding items asks no model


async def test_an_item_can_be_looked_at(server: Served):
    """By its id; one that is not there is a 404."""
    conversation = await made(server, items=[{"role": "user", "content": "hi"}])
    path = f"/v1/conversations/{conversation}/items"
    (item,) = (await call(server, "GET", path))[1]["data"]
    assert (await call(server, "GET", f"{path}/{item['id']}"))[1] == item
    assert (await call(server, "GET", f"{path}/nobody"))[0] == 404


async def test_a_thread_is_a_conversation(server: Served):
    """What the threads API made can be gone on from here, and is seen there."""
    submitted = await server.client.submit(prompt="remember tin")
    async for _ in server.client.frames(submitted["run_id"]):
        pass
    assert "remember tin" in await ask(server, submitted["thread_id"], "what did i say")
    _, thread = await call(server, "GET", f"/api/v2/threads/{submitted['thread_id']}")
    assert len(thread["runs"]) == 2


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/conversations", {"items": [{"role": "king", "content": "x"}]}, "input[0].role"),
        ("/v1/conversations", {"metadata": {"a": 1}}, "metadata[...]"),
        ("/v1/conversations", {"foo": 1}, "foo"),
        ("/v1/conversations/nobody/items", {"items": [{"role": "user", "content": "x"}]}, None),
        ("/v1/conversations/nobody", {"metadata": {}}, None),
    ],
)
async def test_wrong_requests_change_nothing(server: Served, path: str, body: Json, param: str | None):
    """An error in the vendor's envelope; no thread is made."""
    status, error = await call(server, "POST", path, body)
    assert status in {400, 404}
    assert error["error"]["param"] == param
    assert (await call(server, "GET", "/api/v2/threads"))[1]["threads"] == []
