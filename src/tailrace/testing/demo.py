"""The demo provider's server, begun when it is first called: who has it and never asks it does without its memory."""

import asyncio
import socket
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self


class Demo:
    """Listens on a free port of the loopback, and answers as a ScriptedUpstream without faults does; ids follow from
    `seed`. To be used inside its `async with`. Raises OSError where there is no port to be had."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """The base URL with `/v1`, as OpenAI's wires take it."""
        if self._socket is None:
            raise RuntimeError("Demo is used inside its `async with`")
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._begin, self._socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._serving is not None:
            await self._serving
        elif self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        await self._stack.aclose()

    def _begin(self, listening: socket.socket) -> None:
        """Somebody connects: what has come waits in the socket's own queue until it is answered."""
        asyncio.get_running_loop().remove_reader(listening)
        self._serving = asyncio.create_task(self._serve(listening))

    async def _serve(self, listening: socket.socket) -> None:
        from tailrace.testing.upstream import ScriptedUpstream  # it brings an HTTP server of its own

        await self._stack.enter_async_context(ScriptedUpstream(faults=False, seed=self._seed, listening=listening))
