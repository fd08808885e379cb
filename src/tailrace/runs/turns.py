"""Whole turns that wait for their thread (`when_busy: enqueue`): the next one begins when the live run has ended."""

from collections.abc import Collection
from dataclasses import dataclass

from tailrace.runs.control import Control
from tailrace.runs.tracing import Tracing
from tailrace.store.base import Store


@dataclass(frozen=True, slots=True)
class Turns:
    """Begins what waits. Any number of processes may ask at once: the store gives a thread's turn to one run."""

    store: Store
    control: Control
    tracing: Tracing

    async def next(self, thread_id: str) -> None:
        """Begin the next turn of a thread, where it is free. Raises NotReady."""
        run = await self.store.next_run(thread_id)
        if run is not None:
            with self.tracing.span("turn", run_id=run.request.run_id) as span:
                await self.control.begin(run, span)

    async def begin_all(self, among: Collection[str] | None = None) -> None:
        """Begin what can be begun, in these threads or wherever a turn's moment was missed. Raises NotReady."""
        for thread_id in await self.store.waiting_threads(among):
            await self.next(thread_id)
