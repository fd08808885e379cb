"""A worker for tools that a server has declared (`[tools.remote.NAME]`): the protocol of docs/work.md, in Python."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from tailrace.client.client import Client, ClientError

Handler = Callable[[dict[str, Any]], Awaitable[str]]


class Worker:
    """Runs calls one after another, with the function that each tool has; any number of workers may work side by side.

    A function gets the call's arguments and returns the output; what it raises is an output without success.
    """

    def __init__(self, client: Client, tools: Mapping[str, Handler], *, wait_s: float = 20.0) -> None:
        self._client = client
        self._tools = tools
        self._wait_s = wait_s

    async def run(self) -> None:
        """Work until cancelled. Raises ClientError: the server refuses, or cannot be reached."""
        while True:
            call = (await self._post("poll", tools=list(self._tools), wait_s=self._wait_s))["call"]
            if call is not None:
                with suppress(_Over):
                    await self._work(call)

    async def _work(self, call: dict[str, Any]) -> None:
        lease_id = call["lease_id"]
        lease_s = (await self._post("ack", lease_id=lease_id))["lease_s"]
        task = asyncio.ensure_future(self._tools[call["tool"]](call["arguments"]))
        try:
            while not (await asyncio.wait({task}, timeout=lease_s / 3))[0]:
                await self._post("heartbeat", lease_id=lease_id)
            error = task.exception()
            output = str(error) if error is not None else task.result()
            await self._post("result", lease_id=lease_id, output=output, success=error is None)
        finally:
            task.cancel()

    async def _post(self, what: str, **body: Any) -> Any:
        try:
            return await self._client.request("POST", f"/api/v2/work/{what}", body)
        except ClientError as error:
            if error.status == 409:
                raise _Over from error
            raise


class _Over(Exception):
    """The server no longer waits for this call."""
