"""Servers that are child processes, and what they do wrong: the model hears of it, and the next call is a good one."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.client.client import ClientError
from tailrace.schema import codec
from tailrace.schema.items import ImagePart
from tailrace.testing.moves import Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.agents.test_loop import DONE, call, every_wire, outputs, read, run, submit
from tests.mcp.conftest import Start, effects, rough, standing
from tests.support.asking import offered
from tests.support.server import ENVIRON, Served, serving, settings

UNKNOWN = "outcome unknown: the MCP server r was lost in the midst of this call"


def lives(pid: str) -> bool:
    """Is the process there, and no zombie (proc(5))?"""
    stat = Path("/proc", pid, "stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def after(server: Served, upstream: ScriptedUpstream, tool: str, **arguments: object) -> list[str]:
    """What a model hears of a call, and of another one in the next step."""
    upstream.enqueue([call(f"r__{tool}", "c1", **arguments)], [call("r__say", "c2", text="still here")], DONE)
    _, response = await run(server)
    assert response.status == "complete"
    return [output.output for output in outputs(response)]


@every_wire
async def test_every_provider_takes_a_servers_tools(start: Start, upstream, folder: Path, wire: str):
    """Their names and schemas, as strangers write them, and the results: the upstream refuses what a vendor would."""
    server = await start({"r": rough(folder, allow=["say", "pictures", "dotted.name"])})
    upstream.enqueue([call("r__say", "c1", text="x"), call("r__pictures", "c2")], DONE)
    _, response = await run(server, model_id=f"{wire}/m")
    assert response.status == "complete"
    assert offered(upstream.requests[0].body) == ["r__say", "r__dotted_name", "r__pictures"]


async def test_a_servers_tools_are_the_agents(start: Start, upstream, folder: Path):
    """Namespaced, with the server's own schemas, run, and answered; names that providers refuse are made others."""
    server = await start({"r": rough(folder)})
    assert await after(server, upstream, "say", text="hello") == ["hello", "still here"]
    schemas = {tool["name"]: tool["parameters"] for tool in upstream.requests[0].body["tools"]}
    assert schemas["r__say"]["properties"]["text"]["type"] == "string"
    assert "r__dotted_name" in schemas
    assert await after(server, upstream, "dotted_name") == ["done", "still here"]
    assert effects(folder) == ["say", "say", "dotted.name", "say"]


@pytest.mark.parametrize(
    ("tool", "heard"),
    [
        ("die", f"{UNKNOWN} (it ended with code 3: my last words)"),
        ("flood", f"{UNKNOWN} (it sent a message of more than"),
        ("hang", "Given up after 0.5 s."),
        ("fail", "it cannot be done"),
        ("junk", "done"),
        ("chatter", "done"),
    ],
)  # fmt: skip
async def test_c3_a_call_that_goes_wrong_is_told_and_the_next_one_is_not(
    start: Start, upstream, folder: Path, tool: str, heard: str
):
    """A server that dies, floods, hangs, fails or chatters: once called, never silently called again, and usable."""
    timeout_s = 0.5 if tool == "hang" else 10.0
    server = await start({"r": rough(folder, timeout_s=timeout_s)})
    first, second = await after(server, upstream, tool)
    assert first.startswith(heard)
    assert second == "still here"
    assert effects(folder) == [tool, "say"]


async def test_what_may_be_run_again_is_run_again(start: Start, upstream, folder: Path):
    """Only the settings can say so: what the server says of itself is not believed."""
    server = await start({"r": rough(folder, idempotent=["die_*"])})
    assert await after(server, upstream, "die_once", text="twice") == ["twice", "still here"]
    assert effects(folder) == ["die_once", "die_once", "say"]


async def test_a_long_output_is_kept_beside_the_log(start: Start, upstream, folder: Path):
    """The model sees its beginning and its end, as of any tool."""
    server = await start({"r": rough(folder, output_bytes=2000)})
    upstream.enqueue([call("r__big", "c1")], DONE)
    _, response = await run(server)
    (output,) = outputs(response)
    assert len(output.output) < 3000
    assert "/outputs/c1" in output.output


async def test_images_are_shown_and_the_rest_has_a_line(start: Start, upstream, folder: Path):
    """What an image is its bytes say; audio, broken images and files become text that says what is missing."""
    server = await start({"r": rough(folder)})
    upstream.enqueue([call("r__pictures", "c1")], DONE)
    _, response = await run(server)
    (output,) = outputs(response)
    assert output.parts is not None
    (image,) = output.parts
    assert isinstance(image, ImagePart)
    assert (image.url or "").startswith("data:image/png;base64,")
    assert output.output.splitlines() == [
        "[an image (image/png, 2 bytes) is left out: it cannot be shown here]",
        "[audio (audio/wav, 3 bytes) is left out: it cannot be shown here]",
        "[resource file:///c (c): a file]",
        "[resource file:///a.txt]",
        "the text of a",
        "[resource file:///b.bin]",
        "[the content of file:///b.bin (application/x-b, 3 bytes) is left out: it cannot be shown here]",
        "[1 image]",
    ]


async def test_a_server_that_is_not_there_stops_nobody(start: Start, upstream, folder: Path, tmp_path: Path):
    """Its calls are answered with the reason; when it comes, the very next call is run."""
    program = tmp_path / "later"
    server = await start({"r": rough(folder, command=str(program)), "s": rough(folder)})
    upstream.enqueue([call("r__say", "c1", text="x"), call("s__say", "c2", text="here")], DONE)
    _, response = await run(server)
    texts = {output.call_id: output.output for output in outputs(response)}
    told = "Nothing was run: the MCP server r is not there: it cannot be started: No such file or directory"
    assert texts == {"c1": told, "c2": "here"}
    assert (await standing(server, "r", "lost"))["error"] == "it cannot be started: No such file or directory"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    upstream.enqueue([call("r__say", "c3", text="at last")], DONE)
    _, response = await run(server)
    assert outputs(response)[0].output == "at last"
    assert "r__say" in (await standing(server, "r", "connected"))["tools"]


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("quit", "it ended with code 1: no such option: --please"),
        ("mute", "it did not answer in time"),
        ("broken", "what the protocol does not allow: tools.0.inputSchema: Input should be"),
    ],
)
async def test_a_server_that_does_not_start_says_why(start: Start, upstream, folder: Path, mode: str, why: str):
    """The run goes on without it; how it stands with it can be asked."""
    server = await start({"r": rough(folder, mode, start_s=0.7 if mode == "mute" else 20.0)})
    upstream.enqueue([Text("without it")])
    _, response = await run(server)
    assert response.status == "complete"
    assert upstream.requests[0].body.get("tools", []) == []
    assert (await standing(server, "r", "lost"))["error"].startswith(why)


async def test_a_schema_that_is_none_leaves_its_tool_out(start: Start, upstream, folder: Path):
    """And not the others."""
    server = await start({"r": rough(folder, "malformed")})
    found = await standing(server, "r", "connected")
    assert found["tools"] == ["r__say"]
    assert found["left_out"]["die"].startswith("its schema is none: 'strange' is not valid")


async def test_new_tools_are_offered_when_the_server_says_so(start: Start, upstream, folder: Path):
    """In the next step already, as soon as they are known."""
    server = await start({"r": rough(folder)})
    upstream.enqueue([call("r__grow", "c1")], [call("r__grown", "c2", text="new")], DONE)
    run_id = await submit(server)
    while "r__grown" not in (await standing(server, "r", "connected"))["tools"]:
        await asyncio.sleep(0.02)
    _, response = await read(server, run_id)
    assert outputs(response)[0].output == "done"
    upstream.enqueue([call("r__grown", "c3", text="new")], DONE)
    _, response = await run(server)
    assert outputs(response)[0].output == "new"


async def test_allowed_and_denied_tools(start: Start, upstream, folder: Path):
    """Patterns of the server's own names; what is denied is not there, whoever asks for it."""
    server = await start({"r": rough(folder, allow=["say", "d*"], deny=["die*"])})
    assert (await standing(server, "r", "connected"))["tools"] == ["r__dotted_name", "r__say"]
    first, second = await after(server, upstream, "die")
    assert first == "There is no tool 'r__die'. There are: r__say, r__dotted_name."
    assert second == "still here"


async def test_c33_no_value_of_the_environment_gets_out(start: Start, upstream, folder: Path):
    """The server has it; no event, answer or request to the model does, though the server says it aloud."""
    secret = "a-very-secret-value"
    server = await start({"r": rough(folder, env={"TOKEN": "{MY_TOKEN}"})}, {"MY_TOKEN": secret, "OTHER": "x"})
    first, _ = await after(server, upstream, "env", text="TOKEN")
    assert first == "[hidden]"
    assert (await after(server, upstream, "env", text="OTHER"))[0] == "none"
    listed = await server.client.request("GET", "/api/v2/runs")
    events = [[event async for event in server.client.events(run["id"])] for run in listed["runs"]]
    told = codec.encode([events, [request.body for request in upstream.requests]]).decode()
    assert secret not in told


async def test_a_server_that_lacks_a_variable_says_which(start: Start, upstream, folder: Path):
    """It is not started, as a provider is not that lacks its key."""
    server = await start({"r": rough(folder, env={"TOKEN": "{MY_TOKEN}", "PATH": "{MY_PATH:/bin}"})})
    assert (await standing(server, "r", "not_set_up"))["error"] == "set MY_TOKEN"


async def test_nothing_is_left_of_a_server(tmp_path: Path, upstream, folder: Path):
    """With ours it ends, and what it started, though that has a session of its own."""
    made = settings(
        tmp_path / "other", upstream, mcp={"servers": {"r": rough(folder)}}, tools={"workspace": str(tmp_path / "w")},
        agents={"a": {"tools": ["r__*"]}},
    )  # fmt: skip
    async with serving(made, upstream, ENVIRON) as server:
        upstream.enqueue([call("r__child", "c1")], DONE)
        _, response = await run(server)
    assert not lives(outputs(response)[0].output)


async def test_a_clients_tool_cannot_take_a_servers_name(start: Start, folder: Path):
    """Whether or not the server is there."""
    server = await start({"r": rough(folder, "quit")})
    tool = {"name": "r__mine", "parameters": {"type": "object", "properties": {}}}
    with pytest.raises(ClientError) as refused:
        await submit(server, tools=[tool])
    assert (refused.value.status, refused.value.field) == (400, "tools[0].name")


async def test_calls_of_a_server_at_a_time(start: Start, upstream, folder: Path):
    """`parallel` is the server's, not each tool's: the rough server does one thing after the other, and loses none."""
    server = await start({"r": rough(folder, parallel=1)})
    calls = [call("r__slow" if n % 2 else "r__say", f"c{n}", text=str(n)) for n in range(4)]
    upstream.enqueue(calls, DONE)
    _, response = await run(server)
    assert sorted(output.output for output in outputs(response)) == ["0", "1", "2", "3"]


async def test_an_approval_is_asked_for_as_for_any_tool(start: Start, upstream, folder: Path):
    """By name or pattern, though nobody knows yet which tools there will be."""
    server = await start({"r": rough(folder)}, approvals={"r__s*": "always"})
    upstream.enqueue([call("r__say", "c1", text="x")], DONE)
    run_id = await submit(server)
    while not (pending := (await server.client.run(run_id)).pending):
        await asyncio.sleep(0.01)
    assert effects(folder) == []
    await server.client.approve(run_id, pending[0].approval_id, "approved")
    _, response = await read(server, run_id)
    assert outputs(response)[0].output == "x"


def test_who_has_no_server_pays_nothing():
    """Neither the SDK nor what it stands on is imported."""
    code = (
        "import sys, tailrace.app, tailrace.cli.main\n"
        "assert not {'mcp', 'mcp_types', 'pydantic', 'httpx2', 'cryptography', 'jsonschema'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
