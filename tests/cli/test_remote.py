"""run, tail, cancel, threads, runs, doctor: against a server in this process, and against one that is killed."""

import asyncio
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tailrace.schema import codec
from tailrace.testing.moves import Burst, Fail, Finish, Gate, Paced, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.process import ServerProcess
from tests.support.server import ENVIRON, Served, serving, settings

MARKDOWN = "# Rivers\n\nThe *Rhine* is\t1,233 km :smile: long.\n\n```python\nprint(1)\n```\n\n- one\n- two\n"
NUMBERS = [str(number) for number in range(1, 401)]

pytestmark = pytest.mark.slow  # each starts the command in a process of its own


async def test_run_into_a_pipe_is_the_text_to_the_byte(cli, server: Served):
    """Plain text on stdout with one line feed at its end; thread, run and the end on stderr."""
    server.upstream.enqueue(
        [Reasoning("Well."), Text(MARKDOWN)], [Text("no line feed")], [Text("No."), Finish("refusal")]
    )
    ended = await cli("run", "hello", "--url", server.url)
    assert (ended.code, ended.out) == (0, MARKDOWN)
    first, last = ended.err.splitlines()
    assert re.fullmatch(r"thread thread_\w+ · run run_\w+", first)
    assert last.startswith("stop · ")
    assert (await cli("run", "hello", TAILRACE_URL=server.url)).out == "no line feed\n"
    assert (await cli("run", "hello", TAILRACE_URL=server.url)).out == "No.\n"


async def test_run_reads_its_prompt_from_standard_input_and_goes_on_in_a_thread(cli, server: Served):
    """`-`, --thread and --model reach the provider."""
    first = await cli("run", "-", "--url", server.url, stdin="remember Grüße".encode())
    thread = first.err.split()[1]
    second = await cli("run", "what did I say", "--thread", thread, "--model", "messages/m", "--url", server.url)
    assert "remember Grüße" in second.out
    assert server.upstream.requests[-1].wire == "anthropic-messages"
    for arguments in (["--thread", "nobody"], ["--model", "nobody/m"]):
        refused = await cli("run", "x", *arguments, "--url", server.url)
        assert refused.code == 1
        assert len(refused.err.splitlines()) == 1
        assert "nobody" in refused.err


RING = {
    "gemini": "google-gemini", "bedrock": "bedrock-converse", "ollama": "ollama",
    "openrouter": "openai-chat-completions",
}  # fmt: skip


@pytest.mark.parametrize("provider", RING)
async def test_run_on_built_in_providers(cli, tmp_path: Path, upstream: ScriptedUpstream, provider: str):
    """Reasoning and text, then a turn of the thread that is told the first, and one with the next of them, that is told
    both: each in the words of its wire, whose scripted side is strict."""
    places = {"gemini": f"{upstream.origin}/v1beta", "openrouter": upstream.url}
    tables = {name: {"base_url": places.get(name, upstream.origin), "wire": wire} for name, wire in RING.items()}
    environ = {**ENVIRON, "GEMINI_API_KEY": "g", "OPENROUTER_API_KEY": "o"}
    after = [*RING, *RING][list(RING).index(provider) + 1]
    async with serving(settings(tmp_path / "data", upstream, providers=tables), upstream, environ) as server:
        first = await cli("run", "think, and remember Grüße", "--model", f"{provider}/m", "--url", server.url)
        assert (first.code, "remember: Grüße" in first.out) == (0, True), first.err
        thread = first.err.split()[1]
        for name in (provider, after):
            then = await cli(
                "run", f"what did I say, {name}?", "--thread", thread, "--model", f"{name}/m", "--url", server.url
            )
            assert "remember Grüße" in then.out, then.err
    assert f"what did I say, {provider}?" in then.out
    assert [request.wire for request in upstream.requests] == [RING[provider], RING[provider], RING[after]]


async def test_a_run_that_fails_is_1_with_its_reason(cli, server: Served):
    """What came is printed; the reason is one line, however long and however many lines the provider made of it."""
    server.upstream.enqueue([Text("So far"), Fail("server_error", "It broke.\n" + "[red]why[/red] " * 40)])
    ended = await cli("run", "x", "--url", server.url)
    assert (ended.code, ended.out) == (1, "So far\n")
    _, line = ended.err.splitlines()
    assert line.startswith("tailrace: server_error: It broke. [red]why[/red] [red]why")


async def test_a_terminal_gets_markdown_as_it_streams(terminal, server: Served):
    """Blocks are laid out, nothing of the markup stays; reasoning and the end have lines of their own."""
    server.upstream.enqueue([Reasoning("Let me think."), Text(MARKDOWN)])
    ended = await terminal("run", "x", "--url", server.url)
    assert ended.code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", ended.out)
    lines = [line.strip() for line in plain.replace("\r", "\n").splitlines()]
    assert "Let me think." in lines
    assert any("Rivers" in line and "#" not in line for line in lines)
    assert "• two" in lines
    assert any(line.startswith("stop · ") for line in lines)
    assert "```" not in plain
    assert "\x1b[?25h" in ended.out.rsplit("\x1b[?25l", 1)[1]  # the cursor is back


async def test_a_model_cannot_steer_the_terminal(terminal, server: Served):
    """Control characters are left out."""
    server.upstream.enqueue([Reasoning("a\x1b]0;title\x07b"), Text("c\x1b[2Jd\x9b5me")])
    out = (await terminal("run", "x", "--url", server.url)).out
    assert "\x1b]0" not in out
    assert "\x1b[2J" not in out
    assert "\x9b" not in out


async def test_a_connection_that_breaks_is_resumed(cli, tmp_path: Path, upstream: ScriptedUpstream):
    """A server that drops the connection in the middle costs nothing: everything is printed once."""
    upstream.enqueue([Burst(100), Gate("middle"), Burst(100)])
    async with serving(settings(tmp_path / "data", upstream), upstream) as server:
        drops, open_ends = 0, list[asyncio.StreamWriter]()

        async def up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(4096):
                writer.write(data)

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal drops
            back, forth = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
            open_ends.extend((forth, writer))
            sending = asyncio.create_task(up(reader, forth))
            while data := await back.read(4096):
                writer.write(data)
                if b"text/event-stream" in data:
                    drops += 1
                    if drops > 3:
                        upstream.gate("middle").open()
                    else:
                        break
            sending.cancel()
            forth.close()
            writer.close()

        front = await asyncio.start_server(proxy, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{front.sockets[0].getsockname()[1]}"
        ended = await cli("run", "x", "--url", url)
        front.close()
        for end in open_ends:  # that of a connection which the command kept to its end is open still
            end.close()
            with suppress(OSError):
                await end.wait_closed()
    assert drops > 3
    assert ended.code == 0
    assert ended.out.split() == [*NUMBERS[:100], *NUMBERS[:100]]


async def test_run_survives_a_server_that_is_killed(tmp_path: Path, upstream: ScriptedUpstream):
    """kill -9 and restart in mid-answer: what was said stands, and the answer that the run went on with is whole."""
    upstream.script = lambda _: [Paced(0.002, (Burst(400),))]
    server = ServerProcess(tmp_path, upstream)
    await server.start()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace", "run", "long", "--url", server.url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    begun = await process.stdout.readuntil(b" 50 ")
    await server.kill()
    await server.start()
    async with asyncio.timeout(30):
        rest, _ = await process.communicate()
    half, whole = (begun + rest).decode().splitlines()
    assert 50 <= len(half.split()) < 400
    assert half.split() == NUMBERS[: len(half.split())]
    assert whole.split() == NUMBERS
    assert process.returncode == 0
    await server.kill()


async def test_ctrl_c_stops_the_reading_and_not_the_run(server: Served):
    """The line says how to read on and how to end it."""
    server.upstream.enqueue([Text("so far "), Gate("end"), Text("done")])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace", "run", "x", "--url", server.url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readuntil(b"far")
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 1
    line = err.decode().splitlines()[-1]
    (run_id,) = set(re.findall(r"run_\w+", line))
    assert f"tailrace tail {run_id}" in line
    server.upstream.gate("end").open()
    async for event in server.client.events(run_id):
        last = event
    assert last.type == "response_done"


async def test_tail_gives_json_lines_from_any_point_in_a_dialect(cli, server: Served):
    """The run's events, those behind a cursor, and whole items; `| head` ends it quietly."""
    run_id = (await server.client.submit(prompt="hello"))["run_id"]
    environ = {"TAILRACE_URL": server.url}
    whole = (await cli("tail", run_id, **environ)).out.splitlines()
    assert [codec.decode_event(line).seq for line in whole] == list(range(1, len(whole) + 1))
    assert (await cli("tail", run_id, "--after", len(whole) - 2, **environ)).out.splitlines() == whole[-2:]
    upserts = [
        codec.decode_any(line)
        for line in (await cli("tail", run_id, "--dialect", "upserts", **environ)).out.splitlines()
    ]
    assert {"item_upsert", "turn_complete"} <= {frame["type"] for frame in upserts}
    unknown = await cli("tail", "nobody", **environ)
    assert (unknown.code, unknown.out, len(unknown.err.splitlines())) == (1, "", 1)
    shell = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m tailrace tail {run_id} | head -1", env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await shell.communicate()
    assert (out.decode().splitlines(), err) == (whole[:1], b"")


async def test_cancel_ends_a_run_again_and_again(cli, server: Served):
    """The run is aborted; once more changes nothing; one that is not there is 1."""
    server.upstream.enqueue([Text("so far"), Gate("never")])
    run_id = (await server.client.submit(prompt="x"))["run_id"]
    await server.upstream.gate("never").reached.wait()
    for _ in range(2):
        assert await cli("cancel", run_id, "--url", server.url) == (0, "", "")
        assert (await cli("tail", run_id, "--url", server.url)).code == 0
        assert (await server.client.run(run_id)).status == "aborted"
    assert (await cli("cancel", "nobody", "--url", server.url)).code == 1


async def test_threads_are_listed_shown_and_deleted(cli, server: Served):
    """Behind a pipe tab-separated with whole ids and readable times; raw in JSON."""
    environ = {"TAILRACE_URL": server.url}
    title = "A long title " * 12
    body = {"title": title, "tags": ["water"]}
    made = await server.client.request("POST", "/api/v2/threads", body)
    other = await server.client.request("POST", "/api/v2/threads", {})
    thread_id = made["thread_id"]
    (line,) = (await cli("threads", "list", "--tag", "water", **environ)).out.splitlines()
    first, second, third = line.split("\t")
    assert (first, second) == (thread_id, title.strip())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", third)
    listed = codec.decode_any((await cli("threads", "list", "--json", **environ)).out)
    assert {thread["thread_id"]: thread["updated_at"] for thread in listed["threads"]} == {
        thread["thread_id"]: thread["updated_at"] for thread in (made, other)
    }
    one = codec.decode_any((await cli("threads", "list", "--json", "--limit", "1", **environ)).out)
    assert len(one["threads"]) == 1
    assert one["next_cursor"]
    assert codec.decode_any((await cli("threads", "show", thread_id, **environ)).out)["history"] == []
    assert await cli("threads", "delete", thread_id, **environ) == (0, "", "")
    for command in ("show", "delete"):
        gone = await cli("threads", command, thread_id, **environ)
        assert (gone.code, gone.out, len(gone.err.splitlines())) == (1, "", 1)
    assert (await cli("threads", "show", "../runs", **environ)).code == 1


async def test_runs_are_listed_and_shown(cli, terminal, server: Served):
    """Filters by thread and status; the id stays whole in a terminal, too."""
    environ = {"TAILRACE_URL": server.url}
    submitted = await server.client.submit(prompt="hello")
    run_id = submitted["run_id"]
    async for _ in server.client.events(run_id):
        pass
    while (await server.services.store.get_run(run_id)).response.status != "complete":  # a list is of what is at rest
        await asyncio.sleep(0.01)
    (line,) = (await cli("runs", "list", "--thread", submitted["thread_id"], **environ)).out.splitlines()
    assert line.split("\t")[:4] == [run_id, "complete", "m", "stop"]
    assert (await cli("runs", "list", "--status", "aborted", **environ)) == (0, "", "")
    assert (await cli("runs", "list", "--status", "dancing", **environ)).code == 1
    assert run_id in (await terminal("runs", "list", **environ)).out
    shown = codec.decode_any((await cli("runs", "show", run_id, **environ)).out)
    assert shown == codec.to_builtins(await server.client.run(run_id))


async def test_doctor_says_what_is_configured_and_what_answers(cli, tmp_path: Path, server: Served):
    """Providers with their state, models that mean nothing by name, and whether the server is ready."""
    (tmp_path / "tailrace.toml").write_text(
        f'[providers.mine]\nwire = "openai-responses"\nbase_url = "{server.upstream.url}"\n'
        '[providers.gone]\nwire = "openai-responses"\nbase_url = "http://127.0.0.1:1"\n'
        '[aliases]\nfast = "openai/gpt-5"\n'
    )
    ended = await cli("doctor", "--all", "--url", server.url, ANTHROPIC_API_KEY="")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert "mine\topenai-responses\tanswers" in lines
    assert "gone\topenai-responses\tdoes not answer" in lines
    assert "anthropic\tanthropic-messages\tneeds ANTHROPIC_API_KEY" in lines
    assert "aliases.fast: provider 'openai' is not set up: set OPENAI_API_KEY" in lines
    azure = next(line for line in lines if line.startswith("azure\t"))
    assert azure.endswith("needs AZURE_OPENAI_API_KEY, and AZURE_OPENAI_BASE_URL or AZURE_OPENAI_RESOURCE_NAME")
    assert lines[-1] == f"{server.url} is ready"
    assert server.upstream.requests == []
    short = (await cli("doctor", "--url", server.url)).out.splitlines()
    assert "mine\topenai-responses\tanswers" in short
    assert not any("needs OPENAI_API_KEY" in line for line in short)
    assert any(line.endswith("more are not set up: `tailrace doctor --all` says what each needs") for line in short)


async def test_run_with_a_model_of_gemini_s(cli, tmp_path: Path, upstream: ScriptedUpstream):
    """The built-in provider, by its name alone; the thread goes on. Its key goes to it and is not shown."""
    environ = {"GEMINI_API_KEY": "k-not-to-be-seen", "GOOGLE_GEMINI_BASE_URL": upstream.origin}
    async with serving(settings(tmp_path / "data", upstream), upstream, environ) as server:
        upstream.enqueue([Reasoning("Well."), Text("Hello.")])
        first = await cli("run", "remember Grüße", "--model", "gemini/gemini-3-flash-preview", "--url", server.url)
        assert (first.code, first.out) == (0, "Hello.\n")
        thread = first.err.split()[1]
        second = await cli(
            "run", "what did I say", "--thread", thread, "--model", "gemini/gemini-2.5-pro", "--url", server.url
        )
        assert "remember Grüße" in second.out
    assert [request.path.rpartition("/")[2] for request in upstream.requests] == [
        "gemini-3-flash-preview:streamGenerateContent",
        "gemini-2.5-pro:streamGenerateContent",
    ]
    assert upstream.requests[0].headers["x-goog-api-key"] == "***"
    assert "k-not-to-be-seen" not in f"{first} {second}"
