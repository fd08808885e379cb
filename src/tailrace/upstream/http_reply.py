"""A provider's answer as its caller reads it: what comes is handed over in the callback that brings it."""

import asyncio
from collections.abc import Callable, Mapping

from tailrace.schema.errors import ProviderError
from tailrace.upstream.http_answer import Answer
from tailrace.upstream.http_connection import Connection
from tailrace.upstream.http_errors import HttpError, failure
from tailrace.upstream.watchdog import Timeouts, Watchdog

# Takes bytes (b"" at the end of the body) at once; False: no more for now. It must not wait.
Take = Callable[[bytes], bool]


class Reply:
    """A provider's answer. When all of it has come, its connection is another call's."""

    __slots__ = (
        "_answer",
        "_connection",
        "_grace",
        "_host",
        "_is_over",
        "_loop",
        "_take",
        "_turn",
        "_watchdog",
        "headers",
        "is_complete",
        "progress",
        "status",
    )

    def __init__(self, connection: Connection, answer: Answer, host: str, timeouts: Timeouts, *, sent: float) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.is_complete = False
        """Set by the caller that needs no more of the body: its end is then awaited aside, to keep the connection."""
        self._host = host
        self._connection = connection
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._take: Take = bool
        self._turn: asyncio.Future[bool] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._is_over = False
        self._watchdog = Watchdog(self._loop, timeouts, sent=sent, bark=self._give_up)
        self.progress = self._watchdog.progress
        """Resets the idle timer. What counts as progress (keep-alives do not) is the caller's to say."""
        connection.listen(answer, self._arrived)

    async def feed(self, take: Take) -> bool:
        """Have `take` called with what each network read brings, in the callback in which it arrives, until it says
        False; at the end of the body with b"". Returns whether there may be more.

        Raises ProviderError: `timeout` (details: watchdog), `stream_interrupted`, `protocol_error`; and what `take`
        raises.
        """
        self._take = take
        turn: asyncio.Future[bool] = self._loop.create_future()
        self._turn = turn
        self._watchdog.waiting = True
        try:
            self._arrived()  # what came while nobody waited for it
            self._connection.resume(self._answer)
            return await turn
        finally:
            self._watchdog.waiting = False
            self._turn = None
            self._take = bool  # what takes may hold this reply

    def end_within(self, seconds: float) -> None:
        """The answer is whole, but for what may still follow it: after so long, counted from the first call of this,
        the body is taken to have ended."""
        if self._grace is None:
            self._grace = self._loop.call_later(seconds, self._end)

    def close(self) -> None:
        """No more is wanted of it; idempotent."""
        self._watchdog.stop()
        if self._grace is not None:
            self._grace.cancel()

    def _end(self) -> None:
        self._is_over = True
        self._arrived()

    def _give_up(self, error: ProviderError) -> None:
        self._answer.drop()
        self._answer.fail(error)
        self._arrived()

    def _arrived(self) -> None:
        """Hand over what is there. Nobody above a callback hears its exceptions: they go to whoever called `feed`."""
        turn = self._turn
        if turn is None or turn.done():  # nobody waits, or who does has been woken or cancelled and will go on itself
            return
        answer = self._answer
        try:
            while answer.pieces:
                data = answer.read()
                if data and not self._take(data):
                    turn.set_result(True)
                    return
            if answer.error is not None:
                turn.set_exception(self._failure(answer.error))
            elif answer.is_over or self._is_over:
                if answer.is_over:
                    answer.check_end()
                self._take(b"")
                turn.set_result(False)
        except HttpError as error:
            turn.set_exception(self._failure(error))
        except Exception as error:  # noqa: BLE001  # raised again, where `feed` was called
            turn.set_exception(error)

    def _failure(self, error: Exception) -> ProviderError:
        return error if isinstance(error, ProviderError) else failure(error, self._host, in_body=True)
