"""When a WebSocket to a provider is given up, and what is done then: numbers and one table, pure.

A call that has shown nothing of its answer can be made again, over another socket or over HTTP; one that has shown
anything never is, for its reader may be acting on it already. All the sockets that a call takes share one budget, and
behind it stands HTTP, once: from then on the session stays with HTTP.
"""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from tailrace.schema.errors import ProviderError

Trouble = Literal["connect", "malformed", "timeout", "closed", "send", "pong", "overflow", "disorder", "limit", "stale"]
Move = Literal["reconnect", "resend", "http", "raise"]

# What has gone wrong -> what is done about it while nothing has been shown.
MOVES: dict[Trouble, Move] = {
    "connect": "http",  # no socket to be had: refused, too slow, or an answer other than 101
    "malformed": "http",  # whoever sends this does not speak the protocol
    "timeout": "http",  # silence was waited for long enough: not several times over
    "closed": "reconnect",
    "send": "reconnect",
    "pong": "reconnect",
    "overflow": "reconnect",
    "disorder": "reconnect",
    "limit": "reconnect",
    "stale": "resend",
}


class SocketPolicy(Struct, frozen=True, kw_only=True):
    """Seconds, and counts. What operators need of it stands in the settings' `[upstream.websocket]`.

    `connect_s`: for the handshake; `first_event_s`: from sending to the first event that shows progress; `idle_s`:
    between such events. `reuse_s`: how long an idle socket may still be used (0: for as long as it lives).
    `ping_s`, `pong_s`: how often the provider is pinged while it answers, and how long it may be silent then.
    `queue_frames`: how many frames may wait for whoever reads them. `retries`: how many more sockets a call may take,
    with a wait of up to `retry_wait_s` times their number. `joins`: how often a call waits for another one's
    handshake. `stale_limit`: so many refusals in a row to go on from a response, and a session no longer tries to.
    `sessions`: how many are remembered.
    """

    connect_s: float = 10.0
    first_event_s: float = 60.0
    idle_s: float = 300.0
    reuse_s: float = 30.0
    ping_s: float = 10.0
    pong_s: float = 60.0
    queue_frames: int = 4096
    retries: int = 5
    retry_wait_s: float = 0.5
    joins: int = 3
    stale_limit: int = 3
    sessions: int = 4096

    def move(self, trouble: Trouble, *, shown: bool, tries: int) -> Move:
        """What to do about `trouble`, the `tries`-th of a call (from 1)."""
        if shown:
            return "raise"
        return "http" if tries > self.retries else MOVES[trouble]

    def wait(self, tries: int, random: Callable[[], float]) -> float:
        """Seconds before the next socket, with full jitter (`random` draws from [0, 1))."""
        return self.retry_wait_s * max(tries, 1) * random()


class SocketError(ProviderError):
    """The way broke, not the provider's answer."""

    def __init__(self, trouble: Trouble, code: str, message: str) -> None:
        super().__init__(code, message, details={"transport": "websocket", "trouble": trouble})
        self.trouble = trouble
