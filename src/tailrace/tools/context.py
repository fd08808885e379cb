"""What a tool is given beside its arguments."""

import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tailrace.schema.response import Question, Resolution
from tailrace.tools.errors import ToolCancelled, ToolTimedOut
from tailrace.tools.workspace import Workspace

Ask = Callable[[Question], Awaitable[Resolution]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """A parameter of this type, under any name, is filled in by the runner and is no part of the tool's schema.

    `run_id` and `call_id` together are the same at each attempt of a call: a key for idempotency. `environment`: what
    of the server's environment a child process may have. `emit`: output as it comes, for whoever watches; of any
    thread, and it never waits. `deadline`: when the call is given up, by `time.monotonic()`, later where it asks.
    `approved`: a person has allowed this very call. `ask`: put a question to a person and wait for the answer, which
    takes none of the call's time; None where nobody can be asked.
    """

    run_id: str
    call_id: str
    workspace: Workspace
    environment: Mapping[str, str]
    emit: Callable[[str], None]
    deadline: float
    approved: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    ask: Ask | None = None

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def check(self) -> None:
        """Call it now and then in long work of a function without `async`, which nothing else can stop.

        Raises ToolCancelled, ToolTimedOut.
        """
        if self.cancelled.is_set():
            raise ToolCancelled("cancelled")
        if self.remaining_s == 0.0:
            raise ToolTimedOut("the time is over")
