"""`tailrace lint`: files, pipes, and servers as black boxes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp.web
import pytest

from tailrace.dialects.linters import RULESETS
from tailrace.schema import codec
from tailrace.testing.moves import Call, Reasoning, Text
from tests.support.server import PROVIDERS, Served

pytestmark = pytest.mark.slow  # each starts the command in a process of its own

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHUNK = {**HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
CHAT = b"data: %b\n\ndata: [DONE]\n\n" % codec.encode(CHUNK)
PATHS = {"responses": "/v1/responses", "chat": "/v1/chat/completions", "messages": "/v1/messages"}


class Asked(list[aiohttp.web.Request]):
    """The requests that came, each with its body read."""

    async def body(self, number: int = -1) -> dict:
        return codec.decode_any(await self[number].read())


@asynccontextmanager
async def serving(handle: Callable[..., Awaitable[aiohttp.web.StreamResponse]]) -> AsyncIterator[str]:
    """A server on a free port: its address."""
    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(handle))
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def answering(answer: Callable[[], aiohttp.web.Response]) -> AsyncIterator[tuple[str, Asked]]:
    """One that gives every request this answer: its address, and what it was asked."""
    asked = Asked()

    async def handle(request: aiohttp.web.Request) -> aiohttp.web.Response:
        await request.read()
        asked.append(request)
        return answer()

    async with serving(handle) as url:
        yield url, asked


def sent(body: bytes) -> Callable[[], aiohttp.web.Response]:
    return lambda: aiohttp.web.Response(body=body, headers={"content-type": "text/event-stream"})


async def test_a_file_and_standard_input(cli, tmp_path):
    """Nothing said and 0 where all is well; otherwise a line each, 1, and the count on stderr."""
    (tmp_path / "good.sse").write_bytes(CHAT)
    assert await cli("lint", "--dialect", "chat", "good.sse") == (0, "", "")
    assert await cli("lint", "--dialect", "chat", stdin=CHAT) == (0, "", "")
    spoilt = await cli("lint", "--dialect", "chat", "-", stdin=CHAT.replace(b"\n", b"\r\n"))
    assert spoilt.code == 1
    assert spoilt.out.splitlines()[0] == "lf: frame 1, line 1: a line ends in CRLF"
    assert spoilt.err == "tailrace: the stream breaks the rules in 2 places\n"


async def test_colours_are_for_terminals(terminal, tmp_path):
    """The rule's name in red where a person is looking, and not with NO_COLOR."""
    (tmp_path / "cut.sse").write_bytes(CHAT[:-1])
    assert "\x1b[31m\x1b[1mblank-line\x1b[0m" in (await terminal("lint", "--dialect", "chat", "cut.sse")).out
    assert "\x1b" not in (await terminal("lint", "--dialect", "chat", "cut.sse", NO_COLOR="1")).out


@pytest.mark.parametrize("dialect", RULESETS)
async def test_rules_lists_the_table(cli, dialect):
    """One line per rule: name, demand, clause."""
    ended = await cli("lint", "--dialect", dialect, "--rules")
    rows = [tuple(line.split("\t")) for line in ended.out.splitlines()]
    assert (ended.code, rows) == (0, RULESETS[dialect].table())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dialect", "latin"], "latin"),
        (["--dialect", "chat", "x.sse", "--model", "m"], "for a URL"),
        (["--dialect", "chat", "http://127.0.0.1:1", "--tools"], "--model"),
        (["--dialect", "native", "http://127.0.0.1:1", "--model", "m"], "responses, chat, messages"),
        (["--dialect", "chat", "http://127.0.0.1:1", "--model", "m", "--api-key-env", "NO_KEY"], "NO_KEY"),
    ],
    ids=" ".join,
)
async def test_wrong_usage_is_2(cli, arguments, said):
    """Nothing is read or asked."""
    ended = await cli("lint", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in " ".join(ended.err.split())


@pytest.mark.parametrize(
    ("base", "path"), [("", "/v1{0}"), ("/v1", "/v1{0}"), ("/api/v4/", "/api/v4{0}"), ("/own{0}", "/own{0}")]
)
async def test_a_server_is_asked_in_its_protocol(cli, base, path):
    """At a base address with or without a version, or at the endpoint itself; streaming, with the prompt and key."""
    endpoint = "/chat/completions"
    async with answering(sent(CHAT)) as (url, asked):
        ended = await cli(
            "lint", "--dialect", "chat", url + base.format(endpoint), "--model", "m", "--prompt", "Say hi",
            "--api-key-env", "MY_KEY", MY_KEY="secret", TAILRACE_API_KEY="ours",
        )  # fmt: skip
        assert ended == (0, "", "")
        (request,) = asked
        assert (request.method, request.path) == ("POST", path.format(endpoint))
        assert request.headers["authorization"] == "Bearer secret"
        body = await asked.body()
        assert (body["model"], body["stream"]) == ("m", True)
        assert body["messages"] == [{"role": "user", "content": "Say hi"}]
        assert "tools" not in body


@pytest.mark.parametrize("dialect", PATHS)
async def test_a_tool_is_offered_in_each_protocol(cli, dialect):
    """In the protocol's own form; the key, too."""
    async with answering(sent(b"")) as (url, asked):
        ended = await cli(
            "lint", "--dialect", dialect, url, "--model", "m", "--tools", "--api-key-env", "K", K="secret"
        )
        assert (ended.code, ended.out) == (1, "empty: no event at all\n")
        (tool,) = (await asked.body())["tools"]
        assert asked[0].path == PATHS[dialect]
        assert tool.get("function", tool)["name"] == "get_weather"
        key = asked[0].headers.get("x-api-key" if dialect == "messages" else "authorization")
        assert key == ("secret" if dialect == "messages" else "Bearer secret")


async def test_what_only_a_connection_shows_is_judged(cli):
    """A wrong content type, an `id` that the vendor has not, a body that goes on behind the end."""
    over = asyncio.Event()

    async def handle(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        reply = aiohttp.web.StreamResponse(headers={"content-type": "text/plain"})
        await reply.prepare(request)
        await reply.write(b"id: 1\n" + CHAT)
        await over.wait()
        return reply

    async with serving(handle) as url:
        ended = await cli("lint", "--dialect", "chat", url, "--model", "m")
        over.set()
    assert ended.code == 1
    assert [line.partition(":")[0] for line in ended.out.splitlines()] == ["content-type", "no-id", "body-ends"]


async def test_a_refusal_is_said_in_one_line_and_the_key_is_not(cli):
    """In whichever envelope; a redirection is not followed, because the key is for this address."""
    refused = codec.encode({"error": {"message": "No such model: m", "type": "x"}})
    answers = [
        (lambda: aiohttp.web.Response(status=404, body=refused), "answered 404: No such model: m"),
        (lambda: aiohttp.web.Response(status=502, body=b"<html>"), "answered 502: <html>"),
        (lambda: aiohttp.web.Response(status=302, headers={"location": "http://127.0.0.1:1/"}), "answered 302"),
    ]
    for answer, said in answers:
        async with answering(answer) as (url, asked):
            ended = await cli("lint", "--dialect", "chat", url, "--model", "m", "--api-key-env", "K", K="secret")
        assert (ended.code, ended.out, len(asked)) == (1, "", 1)
        (line,) = ended.err.splitlines()
        assert said in line
        assert "secret" not in line


@pytest.mark.parametrize("dialect", PATHS)
async def test_our_own_server_is_legal(cli, server: Served, dialect):
    """Asked as a black box with each wire behind it, with a tool and without; and its log in the same dialect."""
    for wire in PROVIDERS:
        server.upstream.enqueue([Reasoning("Well then."), Text("Grüße — 世界")])
        assert await cli("lint", "--dialect", dialect, server.url, "--model", f"{wire}/m") == (0, "", "")
        server.upstream.enqueue([Text("Let me see."), Call("get_weather", '{"city":"Paris"}', call_id="c1")])
        asked = await cli("lint", "--dialect", dialect, f"{server.url}/v1", "--model", f"{wire}/m", "--tools")
        assert asked == (0, "", "")
    server.upstream.enqueue([Reasoning("Well then."), Text("Hello.")])
    run = await server.client.submit(prompt="hello")
    assert await cli("lint", "--dialect", dialect, f"{server.url}{run['stream_url']}?dialect={dialect}") == (0, "", "")
    tailed = await cli("tail", run["run_id"], "--dialect", dialect, "--url", server.url)
    assert await cli("lint", "--dialect", dialect, stdin=tailed.out.encode()) == (0, "", "")
    native = await cli("tail", run["run_id"], "--url", server.url)
    encoded = await cli("encode", "--dialect", dialect, stdin=native.out.encode())
    assert await cli("lint", "--dialect", dialect, stdin=encoded.out.encode()) == (0, "", "")
