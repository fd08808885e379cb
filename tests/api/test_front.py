"""The way below the framework: what a plain submit and a plain stream get is what the framework's routes give."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tailrace.schema import codec
from tailrace.testing.moves import Text
from tests.support.server import Served

SUBMIT = "/api/v2/submit"


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """A body without a length, which the framework is left to read."""
    yield body


async def post(server: Served, data: Any, path: str = SUBMIT) -> tuple[int, str, Any]:
    """A submit, or a vendor's request: status, content type, JSON."""
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url + path, data=data, headers=headers) as reply,
    ):
        return reply.status, reply.content_type, codec.decode_any(await reply.read())


async def get(server: Served, path: str, **headers: str) -> tuple[int, str, bytes]:
    """A stream: status, content type, body."""
    async with aiohttp.ClientSession() as session, session.get(server.url + path, headers=headers) as reply:
        return reply.status, reply.content_type, await reply.read()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"prompt":"x","promt":"x"}',
        b'{"prompt":"x","run_id":"no/such"}',
        b'{"prompt":"x","input":[{"content":"x"}]}',
        b'{"prompt":"x","thread_id":"thread_nope"}',
        b'{"prompt":"x","model_id":"nobody/nothing"}',
        b'{"prompt":"\xff"}',
    ],
)
async def test_a_submit_that_is_refused_is_refused_alike(server: Served, body: bytes):
    """Status, code, message and field do not depend on who has read the body."""
    assert await post(server, body) == await post(server, pieces(body))


async def test_a_submit_is_accepted_either_way(server: Served):
    """By the front, or with a body of no told length by the framework: the same answer."""
    for number, data in enumerate((b'{"prompt":"x","run_id":"run_0"}', pieces(b'{"prompt":"x","run_id":"run_1"}'))):
        server.upstream.enqueue([Text("hello")])
        status, content_type, told = await post(server, data)
        assert (status, content_type, told["run_id"]) == (202, "application/json", f"run_{number}")
        assert told["stream_url"] == f"/api/v2/stream/run_{number}"
        _, _, body = await get(server, told["stream_url"])
        assert b"event: response_done" in body


ASKED = {
    "/v1/responses": b'{"model":"%s","input":"x"%s}',
    "/v1/chat/completions": b'{"model":"%s","messages":[{"role":"user","content":"x"}]%s}',
    "/v1/messages": b'{"model":"%s","max_tokens":9,"messages":[{"role":"user","content":"x"}]%s}',
}


@pytest.mark.parametrize("path", ASKED)
async def test_a_vendors_request_is_refused_alike(server: Served, path: str):
    """In the vendor's own envelope, whoever has read the body."""
    for body in (b"", b"{", b"[]", b"{}", ASKED[path] % (b"nobody/nothing", b""), ASKED[path] % (b"m", b',"stream":7')):
        told = await post(server, body, path)
        assert told[0] >= 400
        assert told == await post(server, pieces(body), path)


@pytest.mark.parametrize("path", ASKED)
async def test_a_vendors_request_is_answered_either_way(server: Served, path: str):
    """As a whole and streamed: of one shape, with what was said in it."""
    for stream in (b"", b',"stream":true'):
        body, shapes = ASKED[path] % (b"responses/m", stream), []
        for data in (body, pieces(body)):
            server.upstream.enqueue([Text("hello")])
            async with (
                aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session,
                session.post(server.url + path, data=data) as reply,
            ):
                said = await reply.read()
                assert reply.status == 200
                assert b"hello" in said
                shapes.append((reply.content_type, sorted(set(reply.headers) - {"Date"}), said.count(b"\n")))
        assert shapes[0] == shapes[1]


async def test_a_stream_is_the_same_either_way(server: Served):
    """With a cursor alone, or nothing, it is the front's, with a parameter that says the same the framework's; errors
    too."""
    server.upstream.enqueue([Text("hello")])
    path = (await server.client.submit(prompt="x"))["stream_url"]
    whole = await get(server, path)
    assert whole == await get(server, f"{path}?dialect=native")
    for cursor in ("0", "3", "999", "9" * 15):
        told = await get(server, f"{path}?after={cursor}", **{"Last-Event-ID": "1"})
        assert told == await get(server, path, **{"Last-Event-ID": cursor})
        assert told == await get(server, f"{path}?after={cursor}&dialect=native")
    for wrong in ("-1", "x", "004", "9" * 16, "9" * 17):
        assert (await get(server, f"{path}?after={wrong}"))[0] == 400
    for wrong in ("-1", "x", "1" * 17):
        told = await get(server, path, **{"Last-Event-ID": wrong})
        assert told[0] == 400
        assert told == await get(server, f"{path}?dialect=native", **{"Last-Event-ID": wrong})
    unknown = await get(server, "/api/v2/stream/run_nope")
    assert unknown[0] == 404
    assert unknown == await get(server, "/api/v2/stream/run_nope?dialect=native")


async def talk(server: Served, *said: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which this was said, piece by piece."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in said:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)  # so that the pieces come one by one
    return reader, writer


async def test_a_body_may_come_in_pieces_and_on_demand(server: Served):
    """A client that waits for `100 Continue` gets it, and one whose body is slow is waited for."""
    head = b"POST /api/v2/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 14\r\n"
    reader, writer = await talk(server, head + b"Expect: 100-continue\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(b'{"prom')
    await asyncio.sleep(0.02)
    writer.write(b'pt":"x"}')
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
    writer.close()
    await writer.wait_closed()


async def test_a_streams_head_comes_with_its_first_comment(server: Served):
    """One packet, one wake-up: a response's head is not sent alone where something follows at once."""
    server.upstream.enqueue([Text("hello")])
    path = (await server.client.submit(prompt="x"))["stream_url"]
    reader, writer = await talk(server, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    first = await reader.read(65536)
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b": tailrace\n" in first
    writer.close()
    await writer.wait_closed()
