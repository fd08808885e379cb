"""A stream on its way to one client: what is written to it, keep-alives in between, and who goes first.

Raw ASGI messages, below the framework's response classes. Where a client reads slowly, only its own task waits (design
rule 8).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from litestar.types import Scope, Send

from tailrace.api.readers import Readers
from tailrace.api.transport import Client, client_of
from tailrace.schema.errors import RequestError

logger = structlog.get_logger()


class Sender:
    """Writes to one client. `ended`: the body has been."""

    __slots__ = ("_keep_alive", "_keep_alive_s", "_send", "_timer", "client", "ended", "push")

    def __init__(self, scope: Scope, send: Send, keep_alive: bytes, keep_alive_s: float) -> None:
        self.client = client_of(scope)
        self.push = self.client.write
        """Sends bytes at once, or not at all."""
        self.ended = False
        self._send = send
        self._keep_alive = keep_alive
        self._keep_alive_s = keep_alive_s
        self._timer: asyncio.TimerHandle | None = None

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send these bytes: at once, or as soon as the client takes any; the `last` ones with the body's end."""
        if not last and self.push(data):
            return
        self.client.is_silent, self.ended = False, last
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    def beat(self) -> None:
        """Let the client hear something every `keep_alive_s` at the latest, until `rest`. One that takes nothing has
        enough to hear.

        Looked at twice in the time allowed, with one timer per look instead of one per write.
        """
        self._timer = asyncio.get_running_loop().call_later(self._keep_alive_s / 2, self._look)

    def _look(self) -> None:
        if self.client.is_silent:
            self.push(self._keep_alive)
        self.client.is_silent = True
        self.beat()

    def rest(self) -> None:
        """No more keep-alives."""
        if self._timer is not None:
            self._timer.cancel()


async def serve(run_id: str, sender: Sender, work: Coroutine[Any, Any, None], readers: Readers) -> bool:
    """Carry out `work`, which sends the run, to its end, or until the client goes away: True where it has gone.
    Otherwise the body has been ended.

    An outage ends the body in the middle, as the server's stop does, and the client comes back with its cursor: that is
    no failure of ours to be traced. Raises what nobody foresaw of what `work` did.
    """
    sender.beat()
    try:
        is_done = await while_there(run_id, work, sender.client, readers)
    except RequestError as error:
        is_done = True
        logger.warning("stream broken off", run_id=run_id, error=error.message)
    finally:
        sender.rest()
    if not is_done and sender.client.is_gone:
        return True
    if not sender.ended:
        await sender.write(b"", last=True)
    return False


async def while_there(run_id: str, work: Coroutine[Any, Any, None], client: Client, readers: Readers) -> bool:
    """Carry out `work`, which reads the run for the client, in this task; False where it was cancelled, because the
    client went away or the server stops."""
    task = asyncio.current_task()
    if task is None or client.is_gone:
        work.close()
        return False
    with readers.reading(run_id, task):
        client.watch(task.cancel)
        try:
            await work
        except asyncio.CancelledError:
            if not (client.is_gone or readers.is_stopping):
                raise
            task.uncancel()
            return False
        finally:
            client.watch(None)
    return True
