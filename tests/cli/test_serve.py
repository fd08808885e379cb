"""serve and migrate: what stops the start, keys, and the end."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tailrace.testing.upstream import ScriptedUpstream
from tests.support.process import ServerProcess, mapped

pytestmark = pytest.mark.slow  # each starts a server in a process of its own


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (["--host", "0.0.0.0"], {}, "server.host: 0.0.0.0 can be reached by others"),
        ([], {"TAILRACE_SERVER__HOST": "::"}, "server.host: :: can be reached by others"),
        (["--host", "0.0.0.0"], {"TAILRACE_SERVER__API_KEYS": '[""]'}, "TAILRACE_SERVER__API_KEYS"),
        ([], {"TAILRACE_SERVER__PRT": "1"}, "environment: TAILRACE_SERVER__PRT: "),
        (["--config", "bad.toml"], {}, "bad.toml: server.port: "),
        (["--config", "wire.toml"], {}, "[providers.local].wire: 'smoke'"),
        (["--data", "/proc/nowhere"], {}, "the data directory /proc/nowhere cannot be used"),
    ],
)  # fmt: skip
async def test_a_wrong_start_is_1_and_says_what_to_mend(cli, tmp_path: Path, arguments, environ, said):
    """One line with the setting's name and its place."""
    (tmp_path / "bad.toml").write_text("[server]\nport = 'x'\n")
    (tmp_path / "wire.toml").write_text("[providers.local]\nwire = 'smoke'\nbase_url = 'http://127.0.0.1:1'\n")
    ended = await cli("serve", "--port", "0", *arguments, **environ)
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert said in line


async def test_a_port_in_use_is_named(cli):
    """One line, from us."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await cli("serve", "--port", port)
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert f"cannot listen on 127.0.0.1:{port}" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_serve_ends_with_0_on_a_signal(tmp_path: Path, number: int):
    """An operator's stop is no failure; with --insecure it listens where others reach it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace", "serve", "--port", "0", "--host", "0.0.0.0", "--insecure", cwd=tmp_path,
        env={"PATH": os.environ["PATH"]}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    line = (await process.stderr.readline()).decode()
    assert line.startswith("tailrace listens on http://0.0.0.0:")
    assert "\x1b" not in line
    process.send_signal(number)
    async with asyncio.timeout(10):
        rest = await process.stderr.read()
        assert (await process.wait(), rest) == (0, b"")


async def test_a_server_with_keys_wants_one(cli, tmp_path: Path, upstream: ScriptedUpstream):
    """TAILRACE_API_KEY opens it; with none, or a wrong one, one line says so; `lint` brings it to its server."""
    server = ServerProcess(tmp_path, upstream, {"TAILRACE_SERVER__API_KEYS": '["k1", "k2"]'})
    await server.start()
    for environ, code in (({}, 1), ({"TAILRACE_API_KEY": "k3"}, 1), ({"TAILRACE_API_KEY": "k2"}, 0)):
        ended = await cli("run", "hello", "--url", server.url, **environ)
        assert ended.code == code
        assert code == 0 or len(ended.err.splitlines()) == 1
        assert "k3" not in ended.err
    run_id = ended.err.split()[4]
    url = f"{server.url}/api/v2/stream/{run_id}"
    assert (await cli("lint", url)).code == 1
    assert (await cli("lint", url, TAILRACE_API_KEY="k1", TAILRACE_URL=server.url)) == (0, "", "")
    assert (await cli("doctor", "--url", server.url)).code == 0
    await server.kill()


async def test_migrate_makes_the_store_and_not_beside_a_server(cli, tmp_path: Path, upstream: ScriptedUpstream):
    """Again and again it changes nothing; where a server is at work it says so."""
    for _ in range(2):
        ended = await cli("migrate", "--data", tmp_path / "data")
        assert (ended.code, ended.out) == (0, "")
        assert "is up to date" in ended.err
    assert (tmp_path / "data" / "store.db").exists()
    server = ServerProcess(tmp_path, upstream)
    await server.start()
    refused = await cli("migrate", "--data", tmp_path / "data")
    assert (refused.code, len(refused.err.splitlines())) == (1, 1)
    assert f"pid {server.pid}" in refused.err
    await server.kill()


async def test_with_no_key_the_demo_answers(cli, tmp_path: Path):
    """`serve` and `run` on a machine with nothing. What the demo stands on is loaded when it is first asked."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace", "serve", "--port", "0", cwd=tmp_path,
        env={"PATH": os.environ["PATH"]}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    url = (await process.stderr.readline()).decode().split("listens on ")[1].split()[0]
    assert "aiohttp" not in mapped(process.pid)
    ended = await cli("run", "hello there", "--url", url)
    assert ended.code == 0
    assert "aiohttp" in mapped(process.pid)
    assert ended.out.startswith("# Hello from the demo provider\n")
    assert "> hello there" in ended.out
    process.terminate()
    await process.wait()
