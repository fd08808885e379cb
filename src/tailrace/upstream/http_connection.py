"""One connection to a provider: a request goes out, and each network read is handed on in the very callback that brings
it, without a task to be woken for it.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from tailrace.upstream.http_answer import Answer
from tailrace.upstream.http_errors import ServerDisconnected
from tailrace.upstream.http_request import Request

_PIECE_BYTES = 64 * 1024  # a body that is longer goes out piece by piece, as fast as it is taken
_MOST_UNREAD = 64 * 1024

Heard = Callable[[], object]


def _nobody() -> None:
    """Hears nothing."""


class Connection(asyncio.Protocol):
    """Carries one call at a time. `freed` is told when the call is over, well or not; `lost`, when the connection is.

    Whoever holds an answer says which it is: by then the connection may carry another's.
    """

    def __init__(self, freed: "Callable[[Connection], None]", lost: "Callable[[Connection], None]") -> None:
        self.idle_since = 0.0
        self._freed = freed
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._heard: Heard = _nobody
        self._unsent = memoryview(b"")
        self._takes_more = True
        self._is_paused = False

    @property
    def is_open(self) -> bool:
        """Can it carry a call?"""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: Request) -> Answer:
        """Send it; the answer as soon as its headers are there. Raises HttpError, OSError; then, and where it is
        cancelled, the connection is closed."""
        answer = self._answer = Answer()
        begun: asyncio.Future[None] = self._loop.create_future()

        def heard() -> None:
            if (answer.status or answer.error is not None) and not begun.done():
                begun.set_result(None)

        self._heard = heard
        try:
            self._send(request)
            await begun
        except BaseException:
            self.call_off(answer)
            raise
        if answer.error is not None and not answer.status:
            raise answer.error
        self.listen(answer, _nobody)
        return answer

    def listen(self, answer: Answer, heard: Heard) -> None:
        """Have `heard` called after whatever happens to `answer`."""
        if self._answer is answer:
            self._heard = heard

    def resume(self, answer: Answer) -> None:
        """What has come of `answer` has been read."""
        if self._answer is answer and self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def linger(self, answer: Answer, within_s: float) -> None:
        """Let what is left of `answer` come, and drop it: then the connection is free. It is closed where that takes
        too long."""
        timer = self._loop.call_later(within_s, self.call_off, answer)

        def heard() -> None:
            answer.drop()
            if self._answer is not answer:
                timer.cancel()

        self._heard = heard
        self.resume(answer)

    def call_off(self, answer: Answer) -> None:
        """No more is wanted of `answer`: closes the connection, unless it is free of it already."""
        if self._answer is answer:
            answer.stop()
            self.close()
            self._leave(answer)

    def close(self) -> None:
        """At once; idempotent."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self, request: Request) -> None:
        """With its head in one write, where it is short."""
        if self._transport is None:
            raise ServerDisconnected
        if len(request.body) <= _PIECE_BYTES:
            self._transport.write(request.head + request.body)
        else:
            self._transport.write(request.head)
            self._unsent = memoryview(request.body)
            self._send_on()

    def _send_on(self) -> None:
        while self._unsent and self._takes_more and self._transport is not None:
            piece, self._unsent = self._unsent[:_PIECE_BYTES], self._unsent[_PIECE_BYTES:]
            self._transport.write(piece)

    def _leave(self, answer: Answer) -> None:
        """The call is over: from now on the connection is another's, or closed."""
        heard = self._heard
        self._answer, self._heard = None, _nobody
        if not answer.can_reuse or self._unsent:
            self._unsent = memoryview(b"")
            self.close()
        elif self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        self._freed(self)
        heard()

    # --- what the loop calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. What comes unasked spoils the connection."""
        answer = self._answer
        if answer is None:
            self.close()
            return
        answer.feed(data)
        if answer.is_over or answer.error is not None:
            self._leave(answer)
            return
        self._heard()
        if answer.unread > _MOST_UNREAD and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """See `asyncio.Protocol`. Nothing of a request that is still going out is worth waiting for."""
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        answer = self._answer
        if answer is not None:
            answer.end(exc)
            self._leave(answer)
        self._lost(self)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._takes_more = False

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._takes_more = True
        self._send_on()
