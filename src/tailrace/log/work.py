"""What is to be done with which run, by whoever is free: a queue of runs, each in it once.

Promises: a run that was `put` is claimed by one worker at a time, until `done`; who does not `renew` a claim within
`lease_s` loses it to another (`deliveries` counts how often it was handed out). A run that is put again while somebody
works on it is handed out again afterwards, so that no change is missed and none is worked on twice at once. One handed
out more than MAX_DELIVERIES times is dead: shown, and not handed out until it is put again.

Every implementation passes `tailrace.testing.work_conformance`.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

Kind = Literal["run", "project", "tool"]  # runs to drive, to project, with tool calls to execute

MAX_DELIVERIES = 5


class Job(Struct, frozen=True):
    """A claimed run. `deliveries`: 1 for the first time it is handed out. `token` is the queue's own."""

    run_id: str
    deliveries: int
    token: str


class Work(Protocol):
    """The queue of one kind of work."""

    async def put(self, run_ids: Sequence[str]) -> None:
        """There is something to do with these. Durable on return. Raises NotReady."""

    async def claim(self, limit: int) -> list[Job]:
        """Up to `limit` runs to work on; waits until there is one. Raises NotReady."""

    async def renew(self, jobs: Sequence[Job]) -> list[Job]:
        """Keep these claims for another `lease_s`; those that are lost. Raises NotReady."""

    async def done(self, jobs: Sequence[Job]) -> None:
        """These are worked off. Nothing happens for a claim that was lost. Raises NotReady."""

    async def failed(self, jobs: Sequence[Job]) -> None:
        """These could not be worked off: they are handed out again when their claims lapse, as one more delivery."""

    async def release(self, jobs: Sequence[Job]) -> None:
        """Hand these over: another may claim them at once. It does not count as a delivery. Raises NotReady."""

    async def waiting(self) -> int:
        """How many are put and not claimed."""

    async def dead(self) -> list[str]:
        """The runs that were handed out too often."""

    async def close(self) -> None:
        """Let go; claims that are held lapse."""
