"""Child processes that leave nothing behind.

A command leads a session of its own. When its time is over, or it is not wanted any more, all that it started is told
to end (SIGTERM), and made to (SIGKILL) when it does not; also what left the session, as far as it still has the mark
that each command's environment carries. Output comes through one pipe, in the order in which it was written.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

MARK = "TAILRACE_COMMAND"  # the variable that every process of a command has in its environment
GRACE_S = 0.5  # between SIGTERM and SIGKILL
KILL_S = 5.0  # for SIGKILL to do its work: a process may hang in the kernel, and is given up then
_LOOK_S = 0.02  # how often it is looked whether they have gone
_DRAIN_S = 0.2  # how long output may still come after the command's end, where others hold the pipe
_PIECE = 64 * 1024
_PIPEFUL = 16  # pieces; the most that a pipe may hold unless root says otherwise (pipe(7))
_BURST = 1024 * 1024  # bytes read at a stretch; then others have their turn: a flood must not take the loop
_PAUSE_S = 0.01


class Ended(NamedTuple):
    """How a command ended. `code`: its exit code, as shells say it: 128 + N where signal N ended it.

    `timed_out`: it was made to end. `left`: how many processes it left behind, which were ended too; 0 where it ran
    in a sandbox: what is left there ends with the sandbox, and nobody can count it.
    """

    code: int
    timed_out: bool
    left: int


class Command(NamedTuple):
    """What to run: `arguments` (the program first), the folder, as a path, and the environment.

    `wrapped`: the first process is not the command itself but its sandbox, which ends by itself, after it.
    """

    arguments: Sequence[str]
    cwd: str
    environment: Mapping[str, str]
    wrapped: bool = False


async def run_command(command: Command, take: Callable[[bytes], None], timeout_s: float) -> Ended:
    """Run a command to its end; `take` is called with its output as it comes.

    Raises OSError where it cannot be started. Cancelled, it ends what it started first.
    """
    mark = token_hex(16)
    reading, writing = os.pipe()
    output = _Output(reading, take)
    try:
        process = await asyncio.create_subprocess_exec(
            *command.arguments, cwd=command.cwd, env={**command.environment, MARK: mark}, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=writing, stderr=writing,
        )  # fmt: skip
    except BaseException:
        output.close()
        raise
    finally:
        os.close(writing)
    spare = {process.pid} if command.wrapped else set[int]()
    try:
        timed_out = await _outlasts(process, timeout_s)
        left = await end_all(process.pid, mark, spare)
        code = await process.wait()
        await output.drained()
    except BaseException:
        await _end_now(process, mark, spare)
        raise
    finally:
        output.close()
    return Ended(128 - code if code < 0 else code, timed_out, 0 if timed_out or command.wrapped else left)


async def _outlasts(process: asyncio.subprocess.Process, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        return True
    return False


async def _end_now(process: asyncio.subprocess.Process, mark: str, spare: set[int]) -> None:
    """End everything although we are being cancelled: once more, and it is only done faster."""
    ending = asyncio.ensure_future(end_all(process.pid, mark, spare))
    with suppress(asyncio.CancelledError):
        await asyncio.shield(ending)
    if not ending.done():
        ending.cancel()
        _signal(_members(process.pid, mark), signal.SIGKILL)
    _signal({process.pid} if process.returncode is None else set(), signal.SIGKILL)
    await asyncio.shield(process.wait())


async def end_all(leader: int, mark: str, spare: Set[int] = frozenset()) -> int:
    """SIGTERM to all that is left of a command but what is to be spared, then SIGKILL to all. How many there were."""
    found = await asyncio.to_thread(_members, leader, mark)
    count = len(found - spare)
    _signal(found - spare, signal.SIGTERM)
    end = asyncio.get_running_loop().time() + GRACE_S
    while found and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(_LOOK_S)
        found = await asyncio.to_thread(_members, leader, mark)
    end += KILL_S
    while found and asyncio.get_running_loop().time() < end:  # what is being killed may still be starting others
        _signal(found, signal.SIGKILL)
        await asyncio.sleep(_LOOK_S)
        found = await asyncio.to_thread(_members, leader, mark)
    return count


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in sorted(pids):  # parents first: a shell whose command ends goes on with its next one
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _members(session: int, mark: str) -> set[int]:
    """The live processes of a session, and those elsewhere that bear the mark (proc(5))."""
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for entry in os.listdir("/proc"):  # noqa: PTH208  # names, and thousands of them
        if not entry.isdigit():
            continue
        try:
            fields = Path("/proc", entry, "stat").read_bytes().rpartition(b")")[2].split()
            if fields[0] in {b"Z", b"X"}:
                continue
            if int(fields[3]) == session or wanted in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                found.add(int(entry))
        except OSError:  # it has gone, or it is another user's
            continue
    return found


class _Output:
    """Reads a pipe as it fills, and hands on what comes."""

    def __init__(self, descriptor: int, take: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._take = take
        self._ended = asyncio.Event()
        self._pause: asyncio.TimerHandle | None = None
        self._burst = 0
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    async def drained(self) -> None:
        """Wait for the end of the output; not long, where a process that got away holds the pipe: what is in the pipe
        by then is all that is taken."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._ended.wait()
        except TimeoutError:
            for _ in range(_PIPEFUL):
                self._read()

    def close(self) -> None:
        if self._descriptor < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1

    def _read(self) -> None:
        try:
            piece = os.read(self._descriptor, _PIECE)
        except BlockingIOError:
            return
        if not piece:
            self._loop.remove_reader(self._descriptor)
            self._ended.set()
            return
        self._burst += len(piece)
        if self._burst >= _BURST:
            self._burst = 0
            self._loop.remove_reader(self._descriptor)
            self._pause = self._loop.call_later(_PAUSE_S, self._go_on)
        self._take(piece)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._descriptor, self._read)
