"""`exec`: a command in the workspace."""

import codecs
import os
import time
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from tailrace.tools.context import ToolContext
from tailrace.tools.definition import Limits, ToolDefinition, tool
from tailrace.tools.errors import ToolFailed
from tailrace.tools.processes import Command, Ended, run_command
from tailrace.tools.result import ToolResult
from tailrace.tools.sandbox import Sandbox

MOST_BYTES = 4 * 1024 * 1024  # of its output that are kept: half of them of its start, half of its end
LONGEST_MS = 600_000
_TIMED_OUT = 124  # as timeout(1) has it
_NOT_FOUND = 127  # as shells have it


def exec_with(sandbox: Sandbox) -> ToolDefinition:
    """The tool `exec`, with commands in `sandbox`."""

    @tool(
        name="exec",
        aliases=("shell", "local_shell"),
        limits=Limits(timeout_s=LONGEST_MS / 1000 + 10, output_bytes=32 * 1024),
    )
    async def run(
        context: ToolContext,
        command: Annotated[list[str], Meta(min_length=1)],
        workdir: str = ".",
        timeout_ms: Annotated[int, Meta(ge=1, le=LONGEST_MS)] = 120_000,
        with_escalated_permissions: bool = False,
        justification: str = "",
    ) -> ToolResult:
        """Run a command in the workspace. Its output and errors are given as they came, its exit code first.

        There is no terminal and no input; processes that it leaves behind are ended. For what a shell does (pipes,
        variables, several commands), run one.

        Args:
            command: The program and its arguments.
            workdir: The folder to run it in, relative to the workspace.
            timeout_ms: After how many milliseconds it is ended, with all that it started.
            with_escalated_permissions: Ask for leave to run it outside the sandbox, where it cannot do its work inside.
            justification: Why, in a sentence, for the person who is asked.

        Examples:
            {"command": ["git", "status", "--short"]}
            {"command": ["bash", "-lc", "make test 2>&1 | tail -50"], "workdir": "service", "timeout_ms": 300000}
        """
        if with_escalated_permissions and not context.approved:
            raise ToolFailed(f"Nothing was run: nobody has allowed it to leave the sandbox ({justification}).")
        output = _Output(context)
        began = time.monotonic()
        timeout_s = min(timeout_ms / 1000, context.remaining_s)
        folder = context.workspace.open_folder(workdir)
        try:
            inside = None if with_escalated_permissions else sandbox
            ended = await run_command(await _command(inside, context, command, workdir, folder), output.take, timeout_s)
        except OSError as error:
            missing = Ended(_NOT_FOUND, timed_out=False, left=0)
            return _result(missing, f"{command[0]}: {error.strerror}", 0.0, timeout_s)
        except ValueError as error:  # a zero byte
            raise ToolFailed(f"command: {error}") from error
        finally:
            os.close(folder)
        return _result(ended, output.text(), time.monotonic() - began, timeout_s)

    return run


async def _command(
    sandbox: Sandbox | None, context: ToolContext, command: list[str], workdir: str, folder: int
) -> Command:
    with context.workspace.place(workdir) as place:
        inside = str(Path(context.workspace.root, place.path))
    wrapped = await sandbox.wrap(command, context.workspace.root, inside) if sandbox is not None else None
    if wrapped is not None:
        return Command(wrapped, "/", context.environment, wrapped=True)
    # The open folder itself: its name may lead elsewhere by now.
    return Command(command, f"/proc/self/fd/{folder}", {**context.environment, "PWD": inside})


def _result(ended: Ended, output: str, seconds: float, timeout_s: float) -> ToolResult:
    how = f"exit code: {_TIMED_OUT if ended.timed_out else ended.code}"
    if ended.timed_out:
        how += f" (ended: it took longer than {timeout_s:g} s)"
    lines = [how, f"time: {seconds:.1f} s"]
    if ended.left:
        lines.append(f"processes left behind, and ended: {ended.left}")
    success = ended.code == 0 and not ended.timed_out
    error = None if success else "timeout" if ended.timed_out else "exit_code"
    return ToolResult(text="\n".join([*lines, "output:", output]), success=success, error=error)


class _Output:
    """Output as it comes: streamed as text, and kept, its start and its end."""

    def __init__(self, context: ToolContext) -> None:
        self._emit = context.emit
        self._streamed = codecs.getincrementaldecoder("utf-8")("replace")
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def take(self, piece: bytes) -> None:
        self._emit(self._streamed.decode(piece))
        room = MOST_BYTES // 2 - len(self._head)
        self._head += piece[:room]
        self._tail += piece[room:]
        if len(self._tail) > MOST_BYTES:
            surplus = len(self._tail) - MOST_BYTES // 2
            del self._tail[:surplus]
            self._dropped += surplus

    def text(self) -> str:
        if not self._dropped:
            return (self._head + self._tail).decode(errors="replace")
        notice = f"\n[… {self._dropped} bytes were not kept …]\n"
        return self._head.decode(errors="replace") + notice + self._tail.decode(errors="replace")
