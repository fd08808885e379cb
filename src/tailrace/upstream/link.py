"""One WebSocket to a provider: what arrives is queued in one task of its own, and told in one callback per read.

The task is the socket's life: whatever ends it closes the socket. It reads while nobody asks for anything, too, so that
a peer's pings are answered and its going is noticed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import WSMsgType

from tailrace.adapters.openai_responses.chain import Baseline
from tailrace.adapters.openai_responses.frames import Guard, read_frame
from tailrace.upstream.socket_policy import SocketError, SocketPolicy

CLOSE_S = 1.0  # how long saying goodbye may take
_GRACE_S = 0.05  # what came while the loop was held up is read within this time
_BROKEN = (aiohttp.ClientError, OSError, RuntimeError)  # aiohttp has RuntimeErrors for a socket that is closed


class Opened(aiohttp.ClientWebSocketResponse[bool]):
    """aiohttp's socket, with the headers of the answer to its handshake: it hands that answer to subclasses only."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers."""
        return self._response.headers


class Link:
    """An open socket. One request at a time: `claim` it, `send`, read `frames`; then `release` it or `close` it."""

    def __init__(self, socket: Opened, policy: SocketPolicy) -> None:
        self.headers = socket.headers
        self.is_news = True
        """Has nobody been told of the headers yet?"""
        self.guard = Guard()
        self.baseline: Baseline | None = None
        """What the next request on this very socket can go on from."""
        self.frames: deque[bytes] = deque()
        self.failure: SocketError | None = None
        """Why nothing more will come: to be looked at when `frames` has been read."""
        self._socket = socket
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._arrived: Callable[[], object] | None = None
        self._due: asyncio.Handle | None = None
        self._heard = self._loop.time()
        self._parting: tuple[int, bytes] = (1000, b"")
        self._beat: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.task = self._loop.create_task(self._live())

    @property
    def is_busy(self) -> bool:
        """Is a request under way?"""
        return self._arrived is not None

    @property
    def is_open(self) -> bool:
        """Can something be sent?"""
        return self.failure is None

    @property
    def is_fresh(self) -> bool:
        """Open, idle, and heard of lately enough to be trusted with a request."""
        age = self._loop.time() - self._heard
        return self.is_open and not self.is_busy and (not self._policy.reuse_s or age <= self._policy.reuse_s)

    def claim(self, arrived: Callable[[], object]) -> None:
        """Take it for a request; `arrived` is called when there are frames, or a failure. At once, so that there is
        no moment at which two may have it. What an earlier answer left is forgotten."""
        if self.is_busy:
            raise RuntimeError("one request at a time")
        self._arrived = arrived
        self._cancel_expiry()
        self.frames.clear()
        self.guard.begin()
        self._beat = self._loop.create_task(self._ping())

    async def send(self, frame: bytes) -> None:
        """Raises SocketError."""
        try:
            await self._socket.send_frame(frame, WSMsgType.TEXT)
        except _BROKEN as error:
            raise SocketError("send", "connection", f"the socket took no more: {type(error).__name__}") from None

    def release(self) -> None:
        """The answer is whole: keep the socket for another, for a while."""
        self._stop_beating()
        self._arrived = None
        self.rest()

    def rest(self) -> None:
        """Close it when it has been idle for too long to be used again."""
        self._cancel_expiry()
        if self._policy.reuse_s:
            self._expiry = self._loop.call_later(self._policy.reuse_s, self.close)

    def close(self, code: int = 1000, reason: bytes = b"") -> None:
        """Say goodbye and close; idempotent. `task` ends when it is done."""
        self._arrived = None
        self._stop_beating()
        self._cancel_expiry()
        self._parting = (code, reason)
        self._fail(SocketError("closed", "connection", "the socket was closed here"))
        self.task.cancel()

    # --- its life ------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            while self.is_open:
                message = await self._socket.receive()
                await self._hear(message.type, message.data)
        except _BROKEN as error:
            self._fail(_broken(error))
        finally:
            code, reason = self._parting
            with suppress(*_BROKEN, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._socket.close(code=code, message=reason)

    async def _hear(self, kind: WSMsgType, data: Any) -> None:
        self._heard = self._loop.time()
        match kind:
            case WSMsgType.TEXT | WSMsgType.BINARY:
                self._queue(data)
            case WSMsgType.PING:
                await self._socket.pong(data)
            case WSMsgType.PONG:
                pass
            case WSMsgType.ERROR:
                self._fail(_broken(data))
            case _:
                said = self._socket.close_code or 1006  # RFC 6455 §7.1.5: nothing was said
                self._fail(SocketError("closed", "stream_interrupted", f"the provider closed the socket ({said})"))

    def _queue(self, data: bytes) -> None:
        """Nobody asked for what comes while the socket is idle. An error then says that it is of no more use."""
        if not self.is_busy:
            frame = read_frame(data)
            if frame is None or frame.kind == "error":
                self._fail(SocketError("closed", "connection", "the provider is done with the socket"))
        elif len(self.frames) >= self._policy.queue_frames:
            said = f"more than {self._policy.queue_frames} frames wait to be read"
            self._fail(SocketError("overflow", "stream_interrupted", said))
        else:
            self.frames.append(data)
            self._tell()

    def _fail(self, error: SocketError) -> None:
        """The first failure stands; it comes behind the frames that are there already."""
        if self.failure is None:
            self.failure = error
            self._cancel_expiry()
            self._tell()

    def _tell(self) -> None:
        """Once for all that one network read brings: it is gone through without a pause."""
        if self._due is None and self._arrived is not None:
            self._due = self._loop.call_soon(self._call)

    def _call(self) -> None:
        self._due = None
        if self._arrived is not None:
            self._arrived()

    # --- is anybody there? ---------------------------------------------------------------------------------------

    async def _ping(self) -> None:
        """Ping while an answer is waited for; silence after a ping, not a missing pong, is what counts."""
        asked: float | None = None
        while True:
            await asyncio.sleep(self._policy.ping_s)
            asked = self._unanswered(asked)
            if asked is not None and self._loop.time() - asked >= self._policy.pong_s:
                await asyncio.sleep(_GRACE_S)
                if self._unanswered(asked) is not None:
                    break
            try:
                await self._socket.ping()
            except _BROKEN:
                break
            asked = self._loop.time() if asked is None else asked
        self._fail(SocketError("pong", "connection", f"no sign of life for {self._policy.pong_s:g} s"))

    def _unanswered(self, asked: float | None) -> float | None:
        return asked if asked is not None and self._heard < asked else None

    def _stop_beating(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def _cancel_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None


def _broken(error: object) -> SocketError:
    return SocketError("closed", "stream_interrupted", f"the socket broke: {type(error).__name__}")
