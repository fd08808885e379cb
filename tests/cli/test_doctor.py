"""`tailrace doctor --ping`: what a provider says to each of its keys, over real sockets."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tailrace.testing.moves import Fail, HttpError, Move, Text
from tailrace.testing.performer import key_digest
from tailrace.testing.upstream import ScriptedUpstream

KEYS = ["sk-good-0123456789", "sk-bad-0123456789"]
WIRES = {"r": "openai-responses", "m": "anthropic-messages", "c": "openai-chat-completions"}


def configure(folder: Path, upstream: ScriptedUpstream, **tables: dict[str, Any]) -> None:
    lines = []
    for name, table in tables.items():
        row = {"wire": "openai-chat-completions", "base_url": upstream.url, "api_key_env": "P_KEY", **table}
        lines += [f"[providers.{name}]", *(f'{key} = "{value}"' for key, value in row.items())]
    (folder / "tailrace.toml").write_text("\n".join(lines))


async def test_each_key_is_tried_once(cli, tmp_path: Path, upstream: ScriptedUpstream):
    """One line each, by position; the exit code says whether all is well, and no key is shown."""
    configure(tmp_path, upstream, p={"default_model": "m"})
    upstream.script = lambda asked: [Text("ok")]
    ended = await cli("doctor", "--ping", "p", P_KEY=KEYS[0])
    assert ended == (0, "p\t1 of 1\tok: m answers\n", "")
    (request,) = upstream.requests
    assert request.key == key_digest(KEYS[0])
    answers: list[list[Move]] = [[Text("ok")], [HttpError(401, body=f"bad key {KEYS[1]} {KEYS[0]}".encode())]]
    upstream.enqueue(*answers)
    ended = await cli("doctor", "--ping", P_KEY=",".join(KEYS))
    assert ended.code == 1
    assert "1 of 2 do not answer" in ended.err
    assert sorted(line.split("\t")[1] for line in ended.out.splitlines()) == ["1 of 2", "2 of 2"]
    assert not any(key in ended.out + ended.err for key in KEYS)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ([HttpError(401)], "wrong key: "),
        ([HttpError(404)], "no such model: "),
        ([HttpError(403)], "the key may not: "),
        ([HttpError(429)], "rate_limited: "),
        ([Fail("server_error")], "server_error: "),
    ],
)
async def test_what_came_back_is_said_in_one_line(
    cli, tmp_path: Path, upstream: ScriptedUpstream, script: list[Move], said: str
):
    """In words that say what to mend."""
    configure(tmp_path, upstream, p={"default_model": "m"})
    upstream.enqueue(script)
    ended = await cli("doctor", "--ping", "p", P_KEY=KEYS[0])
    assert ended.code == 1
    (line,) = ended.out.splitlines()
    assert line.startswith(f"p\t1 of 1\t{said}")


async def test_every_wire_is_pinged(cli, tmp_path: Path, upstream: ScriptedUpstream):
    """A model is asked where one is known, else for the list of models; one that is not there is unreachable."""
    bases = {name: {"base_url": upstream.origin} if name == "m" else {} for name in WIRES}
    asked = {name: {"wire": wire, "default_model": "m", **bases[name]} for name, wire in WIRES.items()}
    lists = {f"{name}l": {"wire": wire, **bases[name]} for name, wire in WIRES.items()}
    nowhere = {"base_url": "http://127.0.0.1:1/v1"}
    configure(tmp_path, upstream, **asked, **lists, gone=nowhere)
    upstream.script = lambda asked: [Text("ok")]
    ended = await cli("doctor", "--ping", P_KEY=KEYS[0])
    said = dict(line.split("\t1 of 1\t") for line in ended.out.splitlines())
    assert {said[name] for name in asked} == {"ok: m answers"}
    assert {said[name] for name in lists} == {"ok: it lists its models"}
    assert said["gone"].startswith("unreachable: ")
    assert len(upstream.requests) == len(asked)


async def test_a_list_of_models_wants_the_key_too(cli, tmp_path: Path):
    """It is sent with the request for them; a host without such a list is told of."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as host:
        url = f"http://127.0.0.1:{host.sockets[0].getsockname()[1]}"
        (tmp_path / "tailrace.toml").write_text(
            f'[providers.p]\nwire = "openai-responses"\nbase_url = "{url}"\napi_key_env = "P_KEY"\n'
        )
        ended = await cli("doctor", "--ping", "p", P_KEY=KEYS[0])
    assert "say its default_model" in ended.out
    (head,) = seen
    assert head.startswith(b"GET /models HTTP/1.1\r\n")
    assert f"Bearer {KEYS[0]}".encode() in head


async def test_a_provider_that_is_not_set_up_says_what_it_needs(cli):
    """And a name that is none is wrong usage; so is naming one without --ping."""
    ended = await cli("doctor", "--ping", "openai")
    assert ended.code == 1
    assert ended.out == "openai\t\tnot set up: set OPENAI_API_KEY\n"
    assert (await cli("doctor", "--ping", "nobody")).code == 2
    assert (await cli("doctor", "openai")).code == 2
    assert "no provider has a key" in (await cli("doctor", "--ping")).err
