"""The protocol's reference servers, from npm, and one of the Python SDK as a program: what strangers' servers do."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.agents.test_loop import DONE, call, outputs, read, run, submit
from tests.mcp.conftest import ROOT, Start, standing
from tests.mcp.test_questions import answer, question
from tests.support.ports import free_port

BIN = ROOT / ".venv" / "node" / "node_modules" / ".bin"
needs_npm = pytest.mark.skipif(
    shutil.which("npm") is None, reason="npm is missing: MCP's reference servers cannot be had (`make install`)"
)
pytestmark = pytest.mark.slow


def program(name: str, *args: str) -> dict[str, Any]:
    return {"command": str(BIN / f"mcp-server-{name}"), "args": list(args)}


@needs_npm
async def test_the_filesystem_server(start: Start, upstream, tmp_path: Path):
    """Its files are read and written, and only they; who may not write is asked about it."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("what is in a")
    server = await start(
        {"files": program("filesystem", str(tmp_path / "files"))}, approvals={"files__write_file": "always"}
    )
    place = str(tmp_path / "files")
    upstream.enqueue(
        [
            call("files__read_text_file", "c1", path=f"{place}/a.txt"),
            call("files__list_directory", "c2", path=place),
            call("files__read_text_file", "c3", path="/etc/passwd"),
            call("files__write_file", "c4", path=f"{place}/b.txt", content="b"),
        ],
        DONE,
    )
    run_id = await submit(server)
    asked = await question(server, run_id)
    assert (asked.tool, asked.question) == ("files__write_file", None)
    await server.client.approve(run_id, asked.approval_id, "approved")
    _, response = await read(server, run_id)
    found = {output.call_id: output for output in outputs(response)}
    assert found["c1"].output == "what is in a"
    assert found["c2"].output == "[FILE] a.txt"
    assert (found["c3"].success, "Access denied" in found["c3"].output) == (False, True)
    assert (tmp_path / "files" / "b.txt").read_text() == "b"


EVERYTHING = {
    "c1": call("e__echo", "c1", message="hi"),
    "c2": call("e__get-sum", "c2", a=1, b=2),
    "c3": call("e__get-tiny-image", "c3"),
    "c4": call("e__get-structured-content", "c4", location="Chicago"),
    "c5": call("e__read_resource", "c5", uri="demo://resource/dynamic/text/7"),
    "c6": call("e__get-resource-reference", "c6", resourceType="Blob", resourceId=1),
    "c7": call("e__trigger-long-running-operation", "c7", duration=0.2, steps=2),
}


async def check_everything(server, upstream) -> None:
    upstream.enqueue(list(EVERYTHING.values()), DONE)
    _, response = await run(server)
    found = {output.call_id: output for output in outputs(response)}
    assert found["c1"].output == "Echo: hi"
    assert "3" in found["c2"].output
    assert len(found["c3"].parts or []) == 1
    assert "temperature" in found["c4"].output
    assert found["c5"].output.startswith("Resource 7:")
    assert "is left out: it cannot be shown here" in found["c6"].output
    assert "completed" in found["c7"].output
    assert all(output.success for output in found.values())
    upstream.enqueue([call("e__trigger-elicitation-request", "c1")], DONE)
    run_id = await submit(server)
    asked = await question(server, run_id)
    assert asked.question is not None
    assert asked.question.schema is not None
    content = {"name": "Ada", "check": True, "integer": 7, "untitledMultipleSelectEnum": ["Piano"]}
    await answer(server, run_id, asked, "approved", content=content)
    _, response = await read(server, run_id)
    assert "Name: Ada" in outputs(response)[0].output


@needs_npm
async def test_the_everything_server_over_stdio(start: Start, upstream):
    """Text, sums, images, structure, resources, progress, and a form with every kind of field."""
    server = await start({"e": program("everything")})
    await check_everything(server, upstream)


@asynccontextmanager
async def everything_over_http(port: int) -> AsyncIterator[str]:
    environ = {**os.environ, "PORT": str(port)}
    command = program("everything", "streamableHttp")
    process = await asyncio.create_subprocess_exec(
        command["command"], *command["args"], env=environ, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/mcp"):
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        await process.wait()


@needs_npm
async def test_the_everything_server_over_http(start: Start, upstream):
    """The same, with a session of its own, whose questions come on the stream of their call; a server that was started
    anew knows the session no more, and is called all the same."""
    port = free_port()
    async with everything_over_http(port) as url:
        server = await start({"e": {"url": url}})
        await check_everything(server, upstream)
    async with everything_over_http(port):
        upstream.enqueue([call("e__echo", "c1", message="again")], DONE)
        _, response = await run(server)
    assert outputs(response)[0].output == "Echo: again"


async def test_the_python_sdks_server_over_stdio(start: Start, upstream):
    """Of today's protocol: a question is part of the answer to its call."""
    env = {"PYTHONPATH": str(ROOT)}
    server = await start({"k": {"command": sys.executable, "args": ["-m", "tests.support.mcp_server"], "env": env}})
    assert "k__add" in (await standing(server, "k", "connected"))["tools"]
    upstream.enqueue([call("k__who", "c1"), call("k__add", "c2", a=1, b=2)], DONE)
    run_id = await submit(server)
    await answer(server, run_id, await question(server, run_id), "approved", content={"name": "Ada"})
    _, response = await read(server, run_id)
    assert {output.call_id: output.output for output in outputs(response)} == {"c1": "hello Ada", "c2": "3"}
