"""A tool's output as it comes, on its way to the log: gathered, so that a chatty tool makes few events; bounded."""

import asyncio
import threading
from collections.abc import Callable

GATHER_S = 0.05
_END = "\n[… more output follows, which is not streamed …]\n"


class Deltas:
    """Takes text of any thread, and hands it on (`send`) on the loop, at most `limit` characters in all."""

    def __init__(self, send: Callable[[str], None], limit: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._send = send
        self._left = limit
        self._waiting: list[str] = []
        self._sent: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._open = True

    def emit(self, text: str) -> None:
        """More output."""
        if threading.get_ident() == self._thread:
            self._take(text)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, text)

    def close(self) -> str:
        """Send what is waiting; nothing is taken any more. Returns all that was sent."""
        self._flush()
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        return "".join(self._sent)

    def _take(self, text: str) -> None:
        if not text or not self._open or self._left < 0:
            return
        text = clean(text)
        if len(text) <= self._left:
            self._waiting.append(text)
            self._left -= len(text)
        else:
            self._waiting += [text[: self._left], _END]
            self._left = -1
        if self._timer is None:
            self._tick()

    def _tick(self) -> None:
        """The first piece goes at once; what comes within GATHER_S of one waits for the others."""
        self._timer = self._loop.call_later(GATHER_S, self._tick) if self._waiting else None
        self._flush()

    def _flush(self) -> None:
        if self._waiting and self._open:
            text = "".join(self._waiting)
            self._waiting.clear()
            self._sent.append(text)
            self._send(text)


def clean(text: str) -> str:
    """Text that has a UTF-8 form: bytes of names or output that are none are written as `\\udcff` is."""
    return text.encode("utf-8", "backslashreplace").decode()
