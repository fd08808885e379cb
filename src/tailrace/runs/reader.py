"""Reading a run, wherever it is: in the log while it lives, in the archive afterwards, under the same `seq`."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from tailrace.fold.reducer import Reducer
from tailrace.log.base import Log, Push, pages
from tailrace.schema.batch import Batch
from tailrace.schema.errors import Expired, NotFound
from tailrace.schema.events import ItemDone
from tailrace.schema.response import ENDED, Response
from tailrace.store.base import Store

PAGE = 256  # events of an archive that are sent together, about


class RunReader:
    """Reads runs for the API. A reader is a cursor: nothing here is kept per reader (design rule 8)."""

    def __init__(self, log: Log, store: Store) -> None:
        self._log = log
        self._store = store

    async def response(self, run_id: str) -> Response:
        """The run as of now: the stored snapshot, folded on with what the log has beyond it. Raises NotFound."""
        return await self.current((await self._store.get_run(run_id)).response)

    async def current(self, snapshot: Response) -> Response:
        """A snapshot, folded on to now."""
        if snapshot.status in ENDED:
            return snapshot
        state = Reducer(snapshot)
        async for page in pages(self._log, snapshot.id, state.last_seq):
            state.fold(page)
        return state.response() if state.start is not None else snapshot

    async def seq_of(self, run_id: str, item_id: str) -> int | None:
        """The seq at which an item was whole; None where it is not, as far as the log goes now."""
        if await self._log.head(run_id) is not None:
            kept = [batch async for page in pages(self._log, run_id) for batch in page]
        else:
            kept = list(await self._store.archived(run_id) or ())
        for batch in kept:
            for offset, payload in enumerate(batch.payloads):
                if isinstance(payload, ItemDone) and payload.item_id == item_id:
                    return batch.first_seq + offset
        return None

    async def exists(self, run_id: str) -> None:
        """Raises NotFound for an unknown run, Expired for one that can no longer be read."""
        if await self._log.head(run_id) is None:
            await self._look_for(run_id)

    async def _look_for(self, run_id: str) -> None:
        if (await self._store.get_run(run_id)).expired:
            raise Expired(
                f"the events of run {run_id} are no longer kept", run_id=run_id, snapshot=f"/api/v2/runs/{run_id}"
            )

    async def pages(self, run_id: str, after: int, push: Push | None = None) -> AsyncIterator[Sequence[Batch]]:
        """All batches behind `after`, as they come, what is there at once together; ends behind the terminal event.

        `push` is offered what comes while the reader waits at the end (see `Log.tail`). Raises NotFound, Expired. A
        cursor past the end of the log ends at once.
        """
        head = await self._log.head(run_id)
        if head is not None:
            if after > head.last_seq:
                return
            try:
                async for batch in self._log.tail(run_id, after, push):
                    yield (batch,)
                    after = batch.last_seq
                return
            except NotFound:
                pass  # archived and let go meanwhile
        archived = await self._store.archived(run_id, after)
        if archived is None:
            await self._look_for(run_id)
            raise NotFound(f"no run {run_id}", run_id=run_id)
        for page in paged(archived):
            yield page
            await asyncio.sleep(0)  # an archive never waits: others, and the socket itself, must have their turn


def paged(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    """The batches in pages of about PAGE events."""
    page: list[Batch] = []
    events = 0
    for batch in batches:
        page.append(batch)
        events += batch.last_seq - batch.first_seq + 1
        if events >= PAGE:
            yield page
            page, events = [], 0
    if page:
        yield page
