"""A server that is a child process: one JSON-RPC message per line, on its standard input and output.

(Specification of 2025-11-25, "Transports", stdio; and "Lifecycle", shutdown.) The SDK's own transport reads lines of
any length; this one ends a server that floods. Like every command here, a server leads a session of its own, and all
that it started ends with it (tools/processes.py); should this process be killed, its input ends, and it goes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from secrets import token_hex

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from tailrace.mcp.link import MOST_BYTES, Streams
from tailrace.tools.processes import MARK, Command, end_all

logger = structlog.get_logger(__name__)

STOP_S = 2.0  # for a server to end by itself when its input has
_TOLD_BYTES = 2000  # of the last that it said on standard error, for the reason why it ended


class Stdio:
    """One life of a server process; `connect` begins it. `reason`: why it ended, where it did so by itself."""

    def __init__(self, name: str, command: Command) -> None:
        self._name = name
        self._command = command
        self.closed = asyncio.Event()
        self.reason: str | None = None
        self.forgotten = False
        self._stopping = False
        self._told: deque[bytes] = deque()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Streams]:
        """The streams of messages from and to it. Raises OSError where it cannot be started. It is ended at the end."""
        mark = token_hex(16)
        process = await asyncio.create_subprocess_exec(
            *self._command.arguments, cwd=self._command.cwd, env={**self._command.environment, MARK: mark},
            start_new_session=True, limit=MOST_BYTES,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        jobs = [
            asyncio.create_task(self._listen(process)),
            asyncio.create_task(self._read(process, incoming)),
            asyncio.create_task(self._write(process, outgoing)),
        ]
        try:
            yield read, write
        finally:
            self._stopping = True
            with anyio.CancelScope(shield=True):
                await _end(process, mark)
                for job in jobs:
                    job.cancel()
                await asyncio.gather(*jobs, return_exceptions=True)
            for stream in (read, write, incoming, outgoing):
                stream.close()

    async def _read(
        self, process: asyncio.subprocess.Process, incoming: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        """Pass messages on to the end of its output, which is the end of the connection."""
        stdout = process.stdout
        strange = 0
        with incoming, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while stdout is not None:
                try:
                    line = await stdout.readuntil(b"\n")
                except asyncio.IncompleteReadError:
                    break
                except asyncio.LimitOverrunError:
                    self.reason = f"it sent a message of more than {MOST_BYTES} bytes"
                    break
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:  # servers print things
                    strange += 1
                    if strange == 1:
                        logger.warning("MCP server says what is no message", server=self._name)
                    continue
                await incoming.send(SessionMessage(message))
            if self.reason is None and not self._stopping:
                self.reason = await self._ended(process)
        self.closed.set()

    async def _write(
        self, process: asyncio.subprocess.Process, outgoing: MemoryObjectReceiveStream[SessionMessage]
    ) -> None:
        stdin = process.stdin
        with outgoing, suppress(OSError):
            async for message in outgoing:
                if stdin is not None:
                    stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                    await stdin.drain()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keep the last of what it says on standard error."""
        while process.stderr is not None and (piece := await process.stderr.read(_TOLD_BYTES)):
            self._told.append(piece)
            while len(self._told) > 1 and sum(map(len, self._told)) - len(self._told[0]) >= _TOLD_BYTES:
                self._told.popleft()

    async def _ended(self, process: asyncio.subprocess.Process) -> str:
        try:
            async with asyncio.timeout(STOP_S):
                code = await process.wait()
        except TimeoutError:
            return "it closed its output"
        said = b"".join(self._told)[-_TOLD_BYTES:].decode(errors="replace").strip()
        how = f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"
        return f"{how}: {said}" if said else how


async def _end(process: asyncio.subprocess.Process, mark: str) -> None:
    """Let it end by itself, then make it and whatever it started."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_S):
            await process.wait()
    await end_all(process.pid, mark)
    await process.wait()
