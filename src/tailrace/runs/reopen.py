"""The writer of a run that may be over.

A log that was let go (its archive stays) is made anew by whoever opens it: what was over would be begun again, and its
readers would wait for ever.
"""

from tailrace.fold.folds import Folds
from tailrace.log.base import Log
from tailrace.runs.writer import RunWriter
from tailrace.schema.errors import NotFound, Sealed
from tailrace.schema.response import ENDED
from tailrace.store.base import Store


async def reopen(log: Log, store: Store, folds: Folds, run_id: str) -> RunWriter:
    """Take the run (epoch + 1). Raises Sealed where it has ended or was deleted, and NotReady."""
    writer = await RunWriter.open(log, folds, run_id)
    if writer.origin is None and await _is_over(store, run_id):
        await log.delete([run_id])
        raise Sealed(f"run {run_id!r} has ended")
    return writer


async def _is_over(store: Store, run_id: str) -> bool:
    """A log is let go only when the store has all of it."""
    try:
        return (await store.get_run(run_id)).response.status in ENDED
    except NotFound:
        return True
