"""An answer over a WebSocket, which may take several sockets, or HTTP in the end, before any of it is shown.

What a frame says to a reader is handed over as the server-sent event that it would have been. Until the first such
frame, whatever goes wrong with the way is mended here, by the table of socket_policy.py; from then on it is raised, and
never made good behind the reader's back.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from tailrace.adapters.openai_responses.chain import Output, Request, baseline_of, create, delta
from tailrace.adapters.openai_responses.frames import DONE, Frame, as_sse, read_frame
from tailrace.schema.errors import ProviderError
from tailrace.upstream.http import Call, Headers, Take, Timeouts, Upstream, redact
from tailrace.upstream.lane import Lane
from tailrace.upstream.socket_policy import SocketError, SocketPolicy
from tailrace.upstream.transport import Reply
from tailrace.upstream.watchdog import Watchdog, timed_out

if TYPE_CHECKING:  # it brings aiohttp with it, for which a server without sockets has no use
    from tailrace.upstream.link import Link


class SocketReply:
    """See `transport.Reply`. `async with` sends the request, and gives the socket back or closes it."""

    def __init__(
        self,
        call: Call,
        request: Request,
        lane: Lane,
        http: Upstream,
        timeouts: Timeouts,
        policy: SocketPolicy,
        heard: Callable[[Headers], object],
    ) -> None:
        self.is_complete = False
        self.headers: Mapping[str, str] = {}
        self._call = call
        self._request = request
        self._lane = lane
        self._http = http
        self._timeouts = timeouts
        self._policy = policy
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + timeouts.total_s
        self._stack = AsyncExitStack()
        self._over_http: Reply | None = None
        self._take: Take = bool
        self._turn: asyncio.Future[bool] | None = None
        self._tries = 0
        self._shown = False
        """Has anything of the answer been handed over?"""
        self._reset()

    def _reset(self) -> None:
        """Nothing has come of the answer yet, and no socket is held."""
        self._link: Link | None = None
        self._watchdog: Watchdog | None = None
        self._goes_on = False  # from the response before: only what is new was sent
        self._held: list[bytes] = []
        self._output = Output()
        self._last: Frame | None = None  # the frame that ended the answer
        self._trouble: ProviderError | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._go(None)
        except BaseException:
            await self.__aexit__(BaseException, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or not self.is_complete:
            self._lane.said.clear()
        if self._over_http is not None:
            self._over_http.is_complete = self.is_complete
        if self._link is not None:
            if kind is None and self._last is not None and self._last.problem != "limit":
                self._finish(self._link, self._last)
            else:
                self._leave(self._link)
        await self._stack.__aexit__(kind, error, trace)

    async def feed(self, take: Take) -> bool:
        """See `transport.Reply`."""
        while self._over_http is None:
            try:
                return await self._listen(take)
            except SocketError as error:
                await self._go(error)
        return await self._over_http.feed(take)

    def progress(self) -> None:
        """See `transport.Reply`."""
        if self._over_http is not None:
            self._over_http.progress()
        elif self._watchdog is not None:
            self._watchdog.progress()

    def end_within(self, seconds: float) -> None:
        """See `transport.Reply`. Over a socket nothing follows the frame that makes the answer whole."""
        if self._over_http is not None:
            self._over_http.end_within(seconds)

    # --- asking --------------------------------------------------------------------------------------------------

    async def _go(self, error: SocketError | None) -> None:
        """Send the request by the first way that takes it, after `error` where one has just failed."""
        try:
            async with asyncio.timeout_at(self._end):
                while True:
                    if error is not None:
                        await self._mend(error)
                    if self._lane.is_off:
                        await self._send_over_http()
                        return
                    try:
                        await self._send()
                        return
                    except SocketError as broken:
                        error = broken
        except TimeoutError:
            raise timed_out("total", self._timeouts.total_s) from None

    async def _mend(self, error: SocketError) -> None:
        """Make way for another try. Raises `error` where there must be none."""
        self._tries += 1
        move = self._policy.move(error.trouble, shown=self._shown, tries=self._tries)
        if self._link is not None:
            if move == "resend":
                self._lane.stale += 1
                self._let_go(self._link)
            else:
                self._leave(self._link)
        self._reset()
        if move in {"http", "raise"}:
            self._lane.turn_off(error)
        if move == "raise":
            raise error
        if move == "reconnect":
            await asyncio.sleep(self._policy.wait(self._tries, random.random))

    async def _send(self) -> None:
        """Raises SocketError."""
        link = await self._lane.claim(self._arrived)
        self._link = link
        self.headers = link.headers
        if link.is_news:
            link.is_news = False
            self._heard(link.headers)
        frame = self._frame(link)
        link.baseline = None  # until this answer is whole
        now, limits = self._loop.time(), self._policy
        timeouts = Timeouts(first_event_s=limits.first_event_s, idle_s=limits.idle_s, total_s=self._end - now)
        self._watchdog = Watchdog(self._loop, timeouts, sent=now, bark=self._give_up)
        try:
            async with asyncio.timeout(limits.first_event_s):
                await link.send(frame)
        except TimeoutError:
            raise _silence(timed_out("first_event", limits.first_event_s)) from None

    def _frame(self, link: "Link") -> bytes:
        """The request: with what is new since this socket's last response alone, where that is safe. A conversation
        that has gone another way is served anew: what was said of its turn is forgotten."""
        before = link.baseline
        if before is None:
            return create(self._request)
        new = delta(before, self._request)
        if new is None:
            self._lane.said.clear()
        self._goes_on = new is not None and self._lane.stale < self._policy.stale_limit
        return create(self._request, before.response_id, new) if self._goes_on else create(self._request)

    async def _send_over_http(self) -> None:
        headers = {**self._call.headers, **self._lane.said}
        left = replace(self._timeouts, total_s=self._end - self._loop.time())
        over_http = self._http.open(replace(self._call, headers=headers, session=None), left, self._heard)
        self._over_http = await self._stack.enter_async_context(over_http)
        self.headers = self._over_http.headers
        self._lane.hear(self.headers)

    # --- listening -----------------------------------------------------------------------------------------------

    async def _listen(self, take: Take) -> bool:
        if self._watchdog is None:
            raise RuntimeError("nothing has been sent")
        self._take = take
        turn: asyncio.Future[bool] = self._loop.create_future()
        self._turn = turn
        watchdog = self._watchdog
        watchdog.waiting = True
        try:
            self._arrived()  # what came while nobody waited for it
            return await turn
        finally:
            watchdog.waiting = False
            self._turn = None

    def _give_up(self, error: ProviderError) -> None:
        """A limit has passed. Only the last one ends the call, whichever way it takes."""
        is_last = error.details == {"watchdog": "total"}
        self._trouble = error if is_last else _silence(error)
        self._arrived()

    def _arrived(self) -> None:
        """Hand over what is there. Nobody above a callback hears its exceptions: they go to whoever called `feed`."""
        turn, link = self._turn, self._link
        if turn is None or turn.done() or link is None:
            return
        try:
            said: list[bytes] = []
            while link.frames and self._last is None and self._trouble is None:
                said += self._read(link, link.frames.popleft())
            if said and not self._take(b"".join(said)):
                turn.set_result(True)
            elif self._last is not None:
                self._take(b"")
                turn.set_result(False)
            elif (trouble := self._trouble or link.failure) is not None:
                turn.set_exception(trouble)
        except Exception as error:  # noqa: BLE001  # raised again, where `feed` was called
            turn.set_exception(error)

    def _read(self, link: "Link", data: bytes) -> list[bytes]:
        """What a frame says to a reader, behind what was held back; nothing where it says nothing, or is trouble."""
        frame = read_frame(data)
        if frame is None:
            self._trouble = SocketError("malformed", "stream_interrupted", "a frame that is no JSON object")
            return []
        verdict = link.guard.judge(frame)
        if verdict == "refuse":
            self._trouble = SocketError("disorder", "stream_interrupted", "a frame of another answer, or out of order")
        if verdict != "take" or self._is_ours_to_mend(frame):
            return []
        self._note(frame)
        if not self._shown and not frame.is_telling:
            self._hold(data)
            return []
        self._shown = True
        said = [*self._held, as_sse(redact(data, self._call.headers) if frame.is_failure else data)]
        self._held.clear()
        return said

    def _hold(self, data: bytes) -> None:
        """Keep what says nothing of the answer for the first frame that does."""
        if len(self._held) >= self._policy.queue_frames:
            self._trouble = SocketError("overflow", "stream_interrupted", "nothing but asides, and no end of them")
        else:
            self._held.append(as_sse(data))

    def _is_ours_to_mend(self, frame: Frame) -> bool:
        """Is it an error of the way, not of the answer, and can still be mended?"""
        problem = frame.problem
        if self._shown or problem is None or (problem == "stale" and not self._goes_on):
            return False
        code = "rate_limited" if problem == "limit" else "not_found"
        self._trouble = SocketError(problem, code, "the provider wants a new socket, or all of the conversation")
        return True

    def _note(self, frame: Frame) -> None:
        if frame.kind == "response.output_item.done" and isinstance(frame.item, dict):
            self._output.add(frame.place, frame.item)
        if frame.is_terminal:
            self._last = frame

    # --- the end -------------------------------------------------------------------------------------------------

    def _finish(self, link: "Link", last: Frame) -> None:
        """Keep the socket, with what can be gone on from if the answer is whole and good."""
        response = last.response if isinstance(last.response, dict) else {}
        if self.is_complete and last.kind in DONE and response.get("status") in (None, "completed"):
            if self._goes_on:
                self._lane.stale = 0
            output = self._output.digests(response)
            if last.answer_id is not None and output is not None and not self._request.names_previous:
                link.baseline = baseline_of(self._request, last.answer_id, output)
        self._let_go(link)

    def _let_go(self, link: "Link") -> None:
        self._stop_watching()
        self._lane.give_back(link)

    def _leave(self, link: "Link") -> None:
        self._stop_watching()
        self._lane.drop(link)

    def _stop_watching(self) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()


def _silence(error: ProviderError) -> SocketError:
    silence = SocketError("timeout", "timeout", error.message)
    silence.details = {**(silence.details or {}), **(error.details or {})}
    return silence
