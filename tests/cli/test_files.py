"""decode, encode, lint: on files, on standard input, on addresses."""

from pathlib import Path

import aiohttp
import aiohttp.web
import pytest

from tailrace.schema import codec
from tailrace.testing.moves import Call, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import Served

REQUESTS = {
    "openai-responses": ("/responses", {"model": "m", "input": "x"}),
    "anthropic-messages": (
        "/messages",
        {"model": "m", "max_tokens": 900, "messages": [{"role": "user", "content": "x"}]},
    ),
    "openai-chat-completions": ("/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "x"}]}),
    "google-gemini": ("beta/models/m:", {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}),
}
WIRES = list(REQUESTS)

pytestmark = pytest.mark.slow  # each starts the command in a process of its own


async def record(upstream: ScriptedUpstream, wire: str, folder: Path, *, whole: bool = False) -> Path:
    """A provider's answer with text and a call, as a file."""
    upstream.enqueue([Reasoning("Well."), Text("Grüße — 世界"), Call("now", '{"zone": "UTC"}', call_id="c1")])
    path, body = REQUESTS[wire]
    if wire == "google-gemini":  # there the address says whether to stream
        path += "generateContent" if whole else "streamGenerateContent?alt=sse"
    else:
        body = {**body, "stream": not whole}
    data = codec.encode(body)
    async with aiohttp.ClientSession() as session, session.post(upstream.url + path, data=data) as reply:
        answer = await reply.read()
    assert reply.status == 200
    file = folder / ("answer.response.json" if whole else "answer.sse")
    file.write_bytes(answer)
    return file


def said(response: dict) -> list[str]:
    return [item["content"] for item in response["output_items"] if item["type"] == "message"]


@pytest.mark.parametrize("wire", WIRES)
async def test_decode_gives_one_line_per_file_always_the_same(cli, upstream, tmp_path, wire):
    """A stream, the same in chunks, and twice over: the same lines to the byte; a `.response.json` is read as one."""
    stream = await record(upstream, wire, tmp_path)
    whole = await record(upstream, wire, tmp_path, whole=True)
    ended = await cli("decode", "--wire", wire, stream, whole, stream)
    assert (ended.code, ended.err) == (0, "")
    first, second, third = ended.out.splitlines()
    assert first == third
    for line in (first, second):
        response = codec.decode_any(line)
        assert (response["status"], response["finish_reason"], response["id"]) == ("complete", "tool_calls", "run")
        assert said(response) == ["Grüße — 世界"]
    for chunk in (1, 7):
        assert (await cli("decode", "--wire", wire, "--chunk", chunk, stream)).out == first + "\n"


@pytest.mark.parametrize("wire", WIRES)
async def test_decoded_events_are_legal_and_survive_encode(cli, upstream, tmp_path, wire):
    """`decode --events | lint` finds nothing, and `| encode --dialect native` frames the same events."""
    stream = await record(upstream, wire, tmp_path)
    events = await cli("decode", "--wire", wire, "--events", stream)
    assert (await cli("lint", stdin=events.out.encode())).code == 0
    encoded = await cli("encode", "--dialect", "native", stdin=events.out.encode())
    assert [line[6:] for line in encoded.out.splitlines() if line.startswith("data: ")] == events.out.splitlines()
    (tmp_path / "frames.sse").write_text(encoded.out)
    assert (await cli("lint", tmp_path / "frames.sse")) == (0, "", "")
    (tmp_path / "events.jsonl").write_text(events.out)
    assert (await cli("encode", "--dialect", "native", tmp_path / "events.jsonl")).out == encoded.out
    upserts = await cli("encode", "--dialect", "upserts", tmp_path / "events.jsonl")
    assert "event: item_upsert\n" in upserts.out
    assert upserts.out.rstrip().rsplit("event: ", 1)[1].startswith("turn_")


async def test_an_http_error_body_becomes_an_error_object(cli, tmp_path):
    """Not a run at all: one line with code and message, also with --events, and the other files are decoded."""
    (tmp_path / "refused").write_text('{"error": {"message": "Slow down", "type": "rate_limit_error", "code": null}}')
    for more in ([], ["--events"]):
        ended = await cli("decode", "--wire", "openai-responses", *more, "refused")
        assert ended.code == 0
        error = codec.decode_any(ended.out)["error"]
        assert error.keys() == {"code", "message"}
        assert error["message"] == "Slow down"


async def test_progress_is_for_terminals(terminal, upstream, tmp_path):
    """A bar while many files are decoded; one file needs none."""
    stream = await record(upstream, "openai-responses", tmp_path)
    assert "decoding" in (await terminal("decode", "--wire", "openai-responses", *[stream] * 20)).out
    assert "decoding" not in (await terminal("decode", "--wire", "openai-responses", stream)).out


async def test_lint_names_each_broken_rule_in_a_line(cli, upstream, tmp_path):
    """A lost event, a renamed frame, an open end: exit code 1, a line each, and the reason on stderr."""
    stream = await record(upstream, "openai-responses", tmp_path)
    lines = (await cli("decode", "--wire", "openai-responses", "--events", stream)).out.splitlines()
    lost = await cli("lint", "-", stdin="\n".join(lines[:3] + lines[4:]).encode())
    assert lost.code == 1
    assert "seq: frame 4, line 4: seq 5 follows 3" in lost.out.splitlines()
    assert len(lost.err.splitlines()) == 1
    cut = await cli("lint", stdin="\n".join(lines[:-1]).encode())
    assert cut.out.startswith("terminal: ")
    assert len(cut.out.splitlines()) == 1
    renamed = await cli("lint", stdin=f"id: 1\nevent: item_done\ndata: {lines[0]}\n\n".encode())
    assert "event-name: frame 1, line 1: " in renamed.out
    assert (await cli("lint", stdin=b"")).out == "empty: no event at all\n"


async def test_lint_reads_an_address_with_the_key_of_its_own_server_only(cli, server: Served):
    """A run's stream by its URL; what the server refuses is said as it says it."""
    run = await server.client.submit(prompt="hello")
    url = f"{server.url}/api/v2/stream/{run['run_id']}"
    assert (await cli("lint", url)) == (0, "", "")
    refused = await cli("lint", f"{server.url}/api/v2/stream/nobody")
    assert refused.code == 1
    assert "nobody" in refused.err


async def test_the_key_goes_to_no_other_server(cli, upstream):
    """Design rule 9: an address that is not our server's gets no key."""
    seen: list[str | None] = []

    async def handle(request: aiohttp.web.Request) -> aiohttp.web.Response:
        seen.append(request.headers.get("authorization"))
        return aiohttp.web.Response()

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(handle))
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    await cli("lint", f"{url}/x", TAILRACE_API_KEY="secret")
    await cli("lint", f"{url}/x", TAILRACE_API_KEY="secret", TAILRACE_URL=url)
    await runner.cleanup()
    assert seen == [None, "Bearer secret"]
