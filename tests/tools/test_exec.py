"""Commands: real processes, within their limits, and nothing left of them."""

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import uvloop

from tailrace.tools.builtin.exec import MOST_BYTES, exec_with
from tailrace.tools.policy import SandboxPolicy
from tailrace.tools.sandbox import Sandbox
from tests.support.tools import Bench

BWRAP = shutil.which("bwrap")
IN_SANDBOX = pytest.param(
    "required", id="sandbox", marks=pytest.mark.skipif(BWRAP is None, reason="bubblewrap is not installed")
)
MODES = pytest.mark.parametrize("mode", ["off", IN_SANDBOX])


def bench(root: Path, mode: str = "off", **policy) -> Bench:
    return Bench(root, exec_with(Sandbox(SandboxPolicy(mode=mode, **policy))))


def sh(script: str, **more) -> dict:
    return {"command": ["sh", "-c", script], **more}


def python(code: str, **more) -> dict:
    return {"command": [sys.executable, "-c", code], **more}


def alive(*words: str) -> list[int]:
    """Processes, zombies aside, whose command line has all of these words."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if all(word.encode() in line for word in words) and line:
            found.append(int(entry.name))
    return found


async def said(running: Bench, words: str) -> None:
    """Wait until the command has said something."""
    while words not in "".join(running.streamed):
        await asyncio.sleep(0.005)


@MODES
async def test_a_command_runs_in_the_workspace(tmp_path, mode):
    """Its output and errors in their order, its exit code, in the folder it asks for."""
    (tmp_path / "sub").mkdir()
    answer = await bench(tmp_path, mode).call("exec", sh("pwd; echo wrong >&2; echo $((6*7)) > made", workdir="sub"))
    lines = answer.text.splitlines()
    assert lines[0] == "exit code: 0"
    assert lines[2:] == ["output:", str(tmp_path / "sub"), "wrong"]
    assert (answer.success, answer.error) == (True, None)
    assert (tmp_path / "sub" / "made").read_text() == "42\n"


@MODES
async def test_c23_a_command_that_fails_is_no_success(tmp_path, mode):
    """Its exit code is told; also where a signal ended it, or where there is no such program."""
    running = bench(tmp_path, mode)
    answer = await running.call("exec", sh("echo sorry; exit 3"))
    assert answer.text.startswith("exit code: 3\n")
    assert answer.text.endswith("output:\nsorry\n")
    assert (answer.success, answer.error) == (False, "exit_code")
    killed = await running.call("exec", sh("kill -9 $$"))
    assert killed.text.startswith("exit code: 137\n")
    missing = await running.call("exec", {"command": ["no-such-program-here"]})
    assert not missing.success
    assert "no-such-program-here" in missing.text
    assert "No such file or directory" in missing.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"command": []}, "command: Expected `array` of length >= 1"),
        ({"command": "ls"}, "command: Expected `array`, got `str`"),
        ({"command": ["ls"], "timeout_ms": 0}, "timeout_ms: Expected `int` >= 1"),
        ({"command": ["ls", "a\0b"]}, "embedded null byte"),
        ({"command": ["ls"], "workdir": "nowhere"}, "nowhere: No such file or directory"),
        ({"command": ["ls"], "workdir": ".."}, "..: leads out of the workspace"),
    ],
)
async def test_bad_arguments_are_refused(tmp_path, arguments, said):
    """Nothing is run, and the answer names the argument."""
    answer = await bench(tmp_path).call("exec", arguments)
    assert not answer.success
    assert said in answer.text


@MODES
async def test_c24_a_time_out_ends_the_command_and_keeps_its_output(tmp_path, mode):
    """Also what it has started; the exit code is that of a time-out."""
    word = f"600.{os.getpid()}1"
    running = bench(tmp_path, mode)
    began = time.monotonic()
    answer = await running.call("exec", sh(f"echo before; sleep {word} & sleep {word}; echo after", timeout_ms=300))
    assert time.monotonic() - began < 5.0
    assert answer.text.startswith("exit code: 124 (ended: it took longer than 0.3 s)\n")
    assert answer.text.endswith("output:\nbefore\n")
    assert (answer.success, answer.error) == (False, "timeout")
    assert alive("sleep", word) == []


STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        {leave}
        break
print("ready", os.getpid(), "{word}", flush=True)
while True:
    time.sleep(60)
"""


@pytest.mark.parametrize("leave", ["pass", "os.setpgid(0, 0)", "os.setsid()", "os.setsid(); os.fork() and os._exit(0)"])
async def test_c14_cancelled_within_a_second_with_all_that_it_started(tmp_path, leave):
    """Processes that ignore SIGTERM, have groups, or even sessions, of their own."""
    word = f"stubborn-{os.getpid()}-{abs(hash(leave))}"
    running = bench(tmp_path)
    call = asyncio.ensure_future(running.call("exec", python(STUBBORN.format(leave=leave, word=word))))
    while "".join(running.streamed).count("ready") < 4:
        await asyncio.sleep(0.005)
    assert len(alive(word)) == 4
    began = time.monotonic()
    running.cancel.set()
    answer = await call
    assert time.monotonic() - began < 2.0  # a second, and what a busy machine adds
    assert answer.error == "cancelled"
    assert answer.text.startswith("Cancelled.\n\nIts output until then:\nready ")
    assert alive(word) == []


@pytest.mark.skipif(BWRAP is None, reason="bubblewrap is not installed")
async def test_c14_the_sandbox_ends_with_all_that_is_in_it(tmp_path):
    """Whatever is tried inside: when the sandbox's first process ends, there is nothing left."""
    word = f"inside-{os.getpid()}"
    script = (
        f"trap '' TERM; setsid sh -c \"trap '' TERM; echo {word}; sleep 600.{os.getpid()}\" & sleep 600.{os.getpid()}"
    )
    running = bench(tmp_path, "required")
    call = asyncio.ensure_future(running.call("exec", sh(script)))
    await said(running, word)
    assert alive("sleep", f"600.{os.getpid()}")
    running.cancel.set()
    assert (await call).error == "cancelled"
    assert alive("sleep", f"600.{os.getpid()}") == []


@MODES
async def test_a_command_told_to_end_may_clean_up(tmp_path, mode):
    """SIGTERM comes first, to the command itself, in a sandbox too."""
    script = "trap 'echo cleaned; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    answer = await bench(tmp_path, mode).call("exec", sh(script, timeout_ms=400))
    assert "output:\nready\n" in answer.text
    assert answer.text.endswith("cleaned\n")  # between them the shell may say that its `sleep` was told to end


@MODES
async def test_processes_left_behind_are_ended(tmp_path, mode):
    """The command ends, what it started in the background would go on: it holds the output open, too.

    They are counted, but not in a sandbox: it ends with all that is in it, before or after one looks.
    """
    word = f"600.{os.getpid()}2"
    began = time.monotonic()
    answer = await bench(tmp_path, mode).call("exec", sh(f"sleep {word} & setsid sleep {word} & echo started"))
    assert time.monotonic() - began < 5.0
    assert answer.success
    told = re.findall(r"processes left behind, and ended: (\d+)", answer.text)
    assert told == (["2"] if mode == "off" else [])
    assert answer.text.endswith("output:\nstarted\n")
    assert alive("sleep", word) == []


async def test_the_runners_end_is_the_commands_end(tmp_path):
    """The worker's task is cancelled, twice: nothing is left."""
    word = f"twice-{os.getpid()}"
    running = bench(tmp_path)
    call = asyncio.ensure_future(running.call("exec", python(STUBBORN.format(leave="os.setsid()", word=word))))
    await said(running, "ready")
    call.cancel()
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()
    while alive(word):
        await asyncio.sleep(0.01)


async def test_output_that_is_no_utf_8_is_told_all_the_same(tmp_path):
    """Bytes that are no text stand as such; a character that comes in two pieces is one."""
    script = r"printf '\377\376 a'; printf 'b\303'; sleep 0.1; printf '\244c\n'"
    running = bench(tmp_path)
    answer = await running.call("exec", sh(script))
    assert answer.text.endswith("output:\n�� abäc\n")
    assert "".join(running.streamed) == "�� abäc\n"


@pytest.mark.slow
async def test_c25_a_flood_is_cut_and_told(tmp_path):
    """100 MB: the start and the end are kept, with a notice; little of it is streamed; the loop stays responsive."""
    running = bench(tmp_path)
    turns, done = 0, asyncio.Event()

    async def others() -> None:
        nonlocal turns
        while not done.is_set():
            await asyncio.sleep(0.001)
            turns += 1

    watching = asyncio.ensure_future(others())
    answer = await running.call("exec", sh("echo first; yes 0123456789012345 | head -c 100000000; echo; echo last"))
    done.set()
    await watching
    assert answer.success
    assert len(answer.text) < 40_000
    assert answer.text.splitlines()[3] == "first"
    assert answer.text.endswith("\nlast\n")
    (kept,) = running.shelf.kept.values()
    assert b" bytes were not kept " in kept
    assert MOST_BYTES // 2 < len(kept) < 2 * MOST_BYTES
    assert len("".join(running.streamed)) < 40_000
    assert turns > 100


async def test_an_endless_flood_ends_with_its_time(tmp_path):
    """It does not stop by itself, and nothing of it is left."""
    began = time.monotonic()
    answer = await bench(tmp_path).call("exec", {"command": ["yes", f"flood-{os.getpid()}"], "timeout_ms": 300})
    assert time.monotonic() - began < 5.0
    assert answer.error == "timeout"
    assert alive("yes", f"flood-{os.getpid()}") == []


@MODES
async def test_c25_the_environment_is_what_is_allowed(tmp_path, mode, monkeypatch):
    """PATH is there; the server's keys are not."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nobodys")
    answer = await bench(tmp_path, mode).call("exec", {"command": ["env"]})
    names = {line.partition("=")[0] for line in answer.text.splitlines()}
    assert "PATH" in names
    assert "OPENAI_API_KEY" not in names
    assert "sk-nobodys" not in answer.text


async def test_there_is_no_input(tmp_path):
    """A command that asks is not waited for."""
    answer = await bench(tmp_path).call("exec", sh('cat; read x; echo "got $x"'))
    assert answer.text.endswith("output:\ngot \n")


async def test_output_is_streamed_as_it_comes(tmp_path):
    """Before the command has ended."""
    running = bench(tmp_path)
    call = asyncio.ensure_future(
        running.call("exec", sh("echo early; while [ ! -e go ]; do sleep 0.01; done; echo late"))
    )
    await said(running, "early")
    assert not call.done()
    (tmp_path / "go").touch()
    assert (await call).success
    assert "".join(running.streamed) == "early\nlate\n"


@pytest.mark.skipif(BWRAP is None, reason="bubblewrap is not installed")
async def test_c25_the_sandbox_has_no_network_and_writes_only_in_the_workspace(tmp_path):
    """Nothing else of the system can be changed; homes and other processes are not to be seen."""
    outside = tmp_path / "outside"
    root = tmp_path / "root"
    for folder in (outside, root):
        folder.mkdir()
    (outside / "secret").write_text("the secret")

    async def serve(_, writer):
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code = f"""
import os, pathlib, socket, sys
def attempt(name, work):
    try:
        print(name, work())
    except OSError as error:
        print(name, type(error).__name__)
attempt("write etc", lambda: pathlib.Path("/etc/tailrace-test").write_text("x"))
attempt("write usr", lambda: pathlib.Path("/usr/tailrace-test").write_text("x"))
attempt("read", lambda: pathlib.Path({str(outside / "secret")!r}).read_text())
attempt("connect", lambda: socket.create_connection(("127.0.0.1", {port}), 1))
attempt("homes", lambda: os.listdir("/root") + os.listdir("/home"))
attempt("sockets", lambda: os.listdir("/run"))
attempt("kill", lambda: os.kill({os.getpid()}, 0))
attempt("processes", lambda: len([name for name in os.listdir("/proc") if name.isdigit()]) < 5)
attempt("mount", lambda: os.system("mount -o remount,rw / 2>/dev/null") != 0)
attempt("tmp", lambda: pathlib.Path("/tmp/here").write_text("x"))
attempt("workspace", lambda: pathlib.Path("made").write_text("x"))
"""
    async with server:
        answer = await bench(root, "required").call("exec", {"command": ["/usr/bin/python3", "-c", code]})
    assert answer.text.split("output:\n")[1].splitlines() == [
        "write etc OSError", "write usr OSError", "read FileNotFoundError", "connect ConnectionRefusedError",
        "homes []", "sockets []", "kill ProcessLookupError", "processes True", "mount True", "tmp 1", "workspace 1",
    ]  # fmt: skip
    assert (root / "made").exists()
    assert not os.access("/tmp/here", os.F_OK)


@pytest.mark.skipif(BWRAP is None, reason="bubblewrap is not installed")
async def test_the_policy_says_what_more_and_what_less_can_be_read(tmp_path):
    """`readable` shows a folder that is hidden, read-only; `hidden` hides one that is not."""
    (tmp_path / "root").mkdir()
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "a").touch()
    (tmp_path / "root" / "data").mkdir()
    (tmp_path / "root" / "data" / "keys").touch()
    (tmp_path / "root" / "keys.toml").write_text("the key")
    hidden = ("/usr/share", str(tmp_path / "root" / "data"), str(tmp_path / "root" / "keys.toml"))
    running = bench(tmp_path / "root", "required", readable=(str(tools),), hidden=hidden)
    answer = await running.call("exec", sh(f"ls {tools}; touch {tools}/b; ls /usr/share data; cat keys.toml"))
    assert answer.text.split("output:\n")[1].splitlines() == [
        "a", f"touch: cannot touch '{tools}/b': Read-only file system", "/usr/share:", "", "data:",
        "cat: keys.toml: Permission denied",
    ]  # fmt: skip


@pytest.mark.parametrize("program", ["/nowhere/bwrap", "/bin/false"])
async def test_c25_where_a_sandbox_is_demanded_nothing_runs_without_one(tmp_path, program):
    """It is not there, or it does not work: the command is refused, and says why. `preferred` runs it all the same."""
    refusing = Bench(tmp_path, exec_with(Sandbox(SandboxPolicy(mode="required"), program)))
    answer = await refusing.call("exec", sh("touch ran"))
    assert (answer.success, answer.error) == (False, "sandbox_unavailable")
    assert "bubblewrap" in answer.text
    assert not (tmp_path / "ran").exists()
    preferring = Bench(tmp_path, exec_with(Sandbox(SandboxPolicy(mode="preferred"), program)))
    assert (await preferring.call("exec", sh("touch ran"))).success
    assert (tmp_path / "ran").exists()


@MODES
async def test_c26_a_folder_out_of_the_workspace_is_none_to_run_in(tmp_path, mode):
    """Not by a link either."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    for folder in ("out", "/", "../"):
        answer = await bench(root, mode).call("exec", sh("touch ran", workdir=folder))
        assert answer.error == "outside_workspace"


def test_commands_run_on_the_servers_loop_too(tmp_path):
    """The server runs on uvloop, which starts and awaits processes in its own way."""

    async def main() -> None:
        running = bench(tmp_path)
        assert (await running.call("exec", sh("pwd; echo done"))).text.endswith(f"{tmp_path}\ndone\n")
        answer = await running.call("exec", sh("echo begun; sleep 600 & sleep 600", timeout_ms=200))
        assert (answer.error, answer.text.endswith("output:\nbegun\n")) == ("timeout", True)
        assert (await running.call("exec", {"command": ["no-such-program-here"]})).text.startswith("exit code: 127")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.skipif(BWRAP is None, reason="bubblewrap is not installed")
async def test_the_sandbox_ends_with_the_server(tmp_path):
    """`kill -9` of whoever runs the tools leaves no command behind."""
    word = f"600.{os.getpid()}3"
    code = f"""
import asyncio
from pathlib import Path
from tests.support.tools import Bench
from tailrace.tools.builtin.exec import exec_with
from tailrace.tools.policy import SandboxPolicy
from tailrace.tools.sandbox import Sandbox
async def main():
    bench = Bench(Path({str(tmp_path)!r}), exec_with(Sandbox(SandboxPolicy())))
    await bench.call("exec", {{"command": ["sh", "-c", "echo up > up; sleep {word}"]}})
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env={**os.environ, "PYTHONPATH": "."})
    while not (tmp_path / "up").exists():
        await asyncio.sleep(0.01)
    assert alive("sleep", word)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    while alive("sleep", word):
        await asyncio.sleep(0.01)
