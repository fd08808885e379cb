"""Shared encodings: however many read a run in a dialect, each batch is encoded once, and all read the same."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest

from tailrace.api.shared_encoding import KEPT, Encodings
from tailrace.dialects.base import FULL, Dialect, Frame, View
from tailrace.log.base import Push
from tailrace.schema.batch import Batch
from tailrace.schema.events import ProviderEvent, TraceContext

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Pages:
    """A run that grows while it is read."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self._grown = asyncio.Event()
        self._ended = False

    def grow(self, batches: int, events: int = 2) -> None:
        for _ in range(batches):
            seq = self._batches[-1].last_seq + 1 if self._batches else 1
            payloads = [ProviderEvent(provider_id="p", name=str(seq + place), data=None) for place in range(events)]
            self._batches.append(Batch("r", seq, 1, TRACE, payloads=payloads))
        self._grown.set()
        self._grown = asyncio.Event()

    def end(self) -> None:
        self._ended = True
        self._grown.set()

    async def pages(self, run_id: str, after: int, _push: Push | None = None) -> AsyncIterator[Sequence[Batch]]:
        while True:
            page = [batch.after(after) for batch in self._batches if batch.last_seq > after]
            if page:
                yield page
                after = page[-1].last_seq
            elif self._ended:
                return
            else:
                await self._grown.wait()


class Counting:
    """An encoder whose frames depend on all that came before, and that counts what it is given."""

    def __init__(self, given: Counter[int]) -> None:
        self._given = given
        self._seen = 0

    def encode(self, batch: Batch) -> list[Frame]:
        self._given[batch.first_seq] += 1
        made = []
        for seq, _ in enumerate(batch.payloads, batch.first_seq):
            self._seen += seq
            made.append(Frame(seq, "e", str(self._seen).encode()))
        return made


@pytest.fixture
def given() -> Counter[int]:
    return Counter()


@pytest.fixture
def dialect(given: Counter[int]) -> Dialect:
    return Dialect("counting", lambda _view: Counting(given))


async def read(encodings: Encodings, dialect: Dialect, after: int = 0) -> list[Frame]:
    return [frame async for made in encodings.read("r", dialect, FULL, after) for each in made for frame in each.frames]


async def test_a_hundred_readers_cost_one_encoding(dialect: Dialect, given: Counter[int]):
    """Each batch is encoded once, and everybody reads the same."""
    pages = Pages()
    encodings = Encodings(pages)  # type: ignore[arg-type]  # a reader of runs, as far as it is used
    readers = [asyncio.create_task(read(encodings, dialect)) for _ in range(100)]
    for _ in range(10):
        await asyncio.sleep(0)
        pages.grow(3)
    pages.end()
    read_ = [await reader for reader in readers]
    assert len(read_[0]) == 60
    assert all(one == read_[0] for one in read_)
    assert set(given.values()) == {1}


@pytest.mark.parametrize("after", [0, 1, 7, 40, KEPT * 2 - 1])
async def test_late_readers_read_the_same_from_their_cursor_on(dialect: Dialect, after: int):
    """Whether what they need is still kept or not; in the middle of a batch, too; and then share what is new."""
    pages = Pages()
    encodings = Encodings(pages)  # type: ignore[arg-type]  # as above
    first = asyncio.create_task(read(encodings, dialect))
    await asyncio.sleep(0)
    pages.grow(KEPT * 2)
    for _ in range(5):
        await asyncio.sleep(0)
    late = asyncio.create_task(read(encodings, dialect, after))
    for _ in range(5):
        await asyncio.sleep(0)
    pages.grow(5)
    pages.end()
    assert await late == [frame for frame in await first if frame.seq > after]


async def test_nothing_is_kept_when_nobody_reads(dialect: Dialect, given: Counter[int]):
    """The next reader begins anew."""
    pages = Pages()
    pages.grow(3)
    pages.end()
    encodings = Encodings(pages)  # type: ignore[arg-type]  # as above
    assert await read(encodings, dialect) == await read(encodings, dialect)
    assert set(given.values()) == {2}
    assert not encodings._shared


async def test_views_do_not_share(given: Counter[int]):
    """Who hides reasoning reads other frames."""
    views: list[View] = []

    def make(view: View) -> Counting:
        views.append(view)
        return Counting(given)

    pages = Pages()
    encodings = Encodings(pages)  # type: ignore[arg-type]  # as above
    dialect = Dialect("counting", make)
    tasks = [asyncio.create_task(anext(encodings.read("r", dialect, view))) for view in (FULL, View(reasoning="none"))]
    await asyncio.sleep(0)
    pages.grow(1)
    await asyncio.gather(*tasks)
    assert views == [FULL, View(reasoning="none")]
