"""How a model call goes out and its answer comes in, whichever way it takes (http.py, websocket.py)."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from tailrace.upstream.http import Call, Headers, Take
from tailrace.upstream.watchdog import Timeouts


class Reply(Protocol):
    """An answer as it comes in."""

    is_complete: bool
    """Set by the caller that has all it needs of the answer, and found it good."""

    headers: Mapping[str, str]

    async def feed(self, take: Take) -> bool:
        """Have `take` called with what comes, as server-sent events, until it says False; at the end of the answer
        with b"". Returns whether there may be more.

        Raises ProviderError, and what `take` raises.
        """

    def progress(self) -> None:
        """What has been taken shows that the answer gets on."""

    def end_within(self, seconds: float) -> None:
        """The answer is whole, but for what may still follow it: that is waited for so long, from the first call of
        this."""


class Transport(Protocol):
    """A way to providers."""

    def open(
        self, call: Call, timeouts: Timeouts, heard: Callable[[Headers], object]
    ) -> AbstractAsyncContextManager[Reply]:
        """Send `call`. Leaving before the answer's end calls it off. Raises ProviderError.

        `heard` is told the headers of answers, a handshake's among them, whatever their status, once each.
        """

    def prewarm(self, call: Call) -> None:
        """A call like this one, but for its body, is about to be made: begin what can be begun."""
