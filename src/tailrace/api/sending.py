"""A stream on its way to one client: what its pump writes, keep-alives in between, and who goes first.

Raw ASGI messages, below the framework's response classes. Where a client reads slowly, only its own task waits (design
rule 8).
"""

import asyncio

from litestar.types import Receive, Scope, Send

from tailrace.api.readers import part
from tailrace.api.transport import writer_of


class Sender:
    """Writes to one client. Knows whether it has been `silent` since that was last set, and if it has `ended`."""

    __slots__ = ("_send", "_write", "ended", "silent")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._write = writer_of(scope)
        self.ended = False
        self.silent = True

    def push(self, data: bytes) -> bool:
        """Send these bytes at once, or not at all: False where the client is not taking any."""
        if not data:
            return True
        self.silent = False
        return self._write(data)

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send these bytes, waiting while the client is not taking any; the `last` ones with the body's end."""
        self.silent, self.ended = False, last
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})


async def serve(
    run_id: str, sender: Sender, pump: asyncio.Task[None], receive: Receive, keep_alive: bytes, keep_alive_s: float
) -> bool:
    """Let the client hear something every `keep_alive_s` at the latest, until `pump` is done (the server's stop cancels
    it), or the client goes away: True where it has gone. Otherwise the body has been ended.

    Raises what nobody foresaw of what the pump did.
    """
    gone = asyncio.create_task(disconnected(receive))
    try:
        while not pump.done() and not gone.done():
            # Looked at twice in the time allowed, with one timer per look instead of one per write.
            await asyncio.wait({pump, gone}, timeout=keep_alive_s / 2, return_when=asyncio.FIRST_COMPLETED)
            if sender.silent and not pump.done() and not gone.done():
                await sender.write(keep_alive)
            sender.silent = True
    finally:
        left = not pump.done() and not sender.ended
        pump.cancel()
        gone.cancel()
        await asyncio.wait({pump, gone})
    if left:
        return True
    part(run_id, pump)
    if not sender.ended:
        await sender.write(b"", last=True)
    return False


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
