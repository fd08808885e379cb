"""`tailrace run --agent` in a terminal: the person is asked there; elsewhere, `tailrace approve` and `deny`."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tailrace.testing.moves import Finish, Text
from tests.agents.conftest import Start
from tests.agents.test_approvals import asked
from tests.agents.test_loop import DONE, call, outputs, read, submit
from tests.support.agent_tools import effects

pytestmark = pytest.mark.slow


async def typed(url: str, *arguments: str, answers: list[str]) -> str:
    """What a command shows in a terminal in which each question is answered."""
    master, slave = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace", *arguments, "--url", url, stdin=slave, stdout=slave, stderr=slave,
        env={"PATH": os.environ["PATH"], "USER": "alice", "TERM": "dumb"},
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += await asyncio.to_thread(os.read, master, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if shown.count(b"[y]es") > 3 - len(answers) and answers:
            os.write(master, answers.pop(0).encode() + b"\n")
    await process.wait()
    os.close(master)
    return shown.decode()


async def test_the_terminal_asks(start: Start, upstream, work: Path):
    """What is no answer is asked again; then one call is approved, one denied with a reason."""
    server = await start(approvals={"note": "always"})
    upstream.enqueue([call("note", "c1", text="one")], [call("note", "c2", text="two")], DONE)
    shown = await typed(server.url, "run", "--agent", "a", "go", answers=["what?", "y", "n too early"])
    assert 'note({"text":"one"})' in shown
    assert "done" in shown
    assert effects(work) == ["one"]
    runs, _ = await server.services.store.list_runs(thread_id=None, status=None, limit=1, cursor=None)
    response = await server.client.run(runs[0].id)
    decided = [each.resolution for each in response.approvals or () if each.resolution]
    assert [(each.decision, each.by, each.reason) for each in decided] == [
        ("approved", "alice", None), ("denied", "alice", "too early")
    ]  # fmt: skip


@pytest.mark.parametrize(("command", "made"), [(["approve"], ["x"]), (["deny", "--reason", "no"], [])])
async def test_decisions_from_elsewhere(start: Start, upstream, work: Path, command, made):
    """Both commands decide about all that a run waits with."""
    server = await start(approvals={"note": "always"})
    upstream.enqueue([call("note", "c1", text="x")], DONE)
    run_id = await submit(server)
    await asked(server, run_id)
    shown = await typed(server.url, command[0], run_id, *command[1:], answers=[])
    assert shown == ""
    _, response = await read(server, run_id)
    assert (effects(work), outputs(response)[0].success) == (made, bool(made))
    assert "waits for no approval" in await typed(server.url, command[0], run_id, answers=[])


@pytest.mark.parametrize(
    ("moves", "code", "told"), [([Text("**done**")], 0, "stop"), ([Text("do"), Finish("length")], 1, "length")]
)
async def test_an_agent_in_a_script_says_how_it_ended(start: Start, upstream, moves, code: int, told: str):
    """Plain text, also on a terminal; anything but a whole answer is a failure."""
    server = await start(interactive=False)
    upstream.enqueue(moves)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace", "run", "--agent", "a", "go", "--url", server.url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    said, notes = await process.communicate()
    assert (process.returncode, said.decode().strip()) == (code, moves[0].text)
    assert told in notes.decode().splitlines()[-1]
    upstream.enqueue(moves)
    assert moves[0].text in await typed(server.url, "run", "--agent", "a", "go", answers=[])
