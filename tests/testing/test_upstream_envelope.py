"""The scripted upstream around its bodies: headers it is told to send, and what it keeps of a request."""

from typing import Any

import aiohttp
import pytest

from tailrace.schema import codec
from tailrace.testing.moves import Headers, HttpError, Spent, Text
from tailrace.testing.performer import key_digest
from tailrace.testing.upstream import ScriptedUpstream

TURNS = [{"role": "user", "content": "x"}]
ASKED: dict[str, dict[str, Any]] = {
    "/responses": {"model": "m", "input": TURNS},
    "/messages": {"model": "m", "max_tokens": 9, "messages": TURNS},
    "/chat/completions": {"model": "m", "messages": TURNS},
}


async def post(
    upstream: ScriptedUpstream, path: str, headers: dict[str, str] | None = None, **more: Any
) -> tuple[aiohttp.ClientResponse, bytes]:
    async with (
        aiohttp.ClientSession() as client,
        client.post(upstream.url + path, json={**ASKED[path.partition("?")[0]], **more}, headers=headers) as reply,
    ):
        return reply, await reply.read()


@pytest.mark.parametrize("path", ASKED)
async def test_an_answer_and_a_refusal_have_the_headers_they_are_given(upstream: ScriptedUpstream, path: str):
    """Beside their own; streamed or whole."""
    upstream.enqueue([Headers({"x-a": "1"}), Text("hi")], [Headers({"x-a": "2"}), Text("hi")])
    upstream.enqueue([HttpError(429, headers={"x-a": "3", "Retry-After": "9"}, retry_after=2)])
    for said, streamed in (("1", True), ("2", False), ("3", True)):
        reply, _ = await post(upstream, path, stream=streamed)
        assert reply.headers["x-a"] == said
    assert reply.headers.getall("retry-after") == ["2"]


async def test_a_request_is_recorded_with_its_query_and_the_digest_of_its_key(upstream: ScriptedUpstream):
    """The key itself is nowhere."""
    for headers in ({"authorization": "Bearer sk-1"}, {"x-api-key": "sk-1"}, {"api-key": "sk-2"}, {}):
        await post(upstream, "/responses?v=1", headers)
    assert [request.query for request in upstream.requests] == [{"v": "1"}] * 4
    one, two = key_digest("sk-1"), key_digest("sk-2")
    assert [request.key for request in upstream.requests] == [one, one, two, ""]
    assert "sk-" not in repr(upstream.requests)


async def test_a_chat_answer_tells_its_cost_and_the_tier_that_was_asked_for(upstream: ScriptedUpstream):
    """As hosts of that wire do."""
    upstream.enqueue([Text("hi"), Spent(1, 1, cost=0.5)])
    _, body = await post(upstream, "/chat/completions", service_tier="flex")
    answer = codec.decode_any(body)
    assert (answer["usage"]["cost"], answer["service_tier"]) == (0.5, "flex")
