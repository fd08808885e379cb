"""The one way into a run's log, with logs that take an offer and logs that do not."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tailrace.log.base import Log, batches
from tailrace.log.memory import MemoryLog
from tailrace.log.sqlite import SqliteLog
from tailrace.runs.writer import RunWriter
from tailrace.schema.errors import StaleEpoch
from tailrace.schema.events import ItemDelta, ItemStart, Payload, ProviderEvent, ResponseStart, TraceContext

FIRST = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
SECOND = TraceContext("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01")
LOGS: dict[str, Callable[[Path], Log]] = {
    "memory": lambda _: MemoryLog(),
    "sqlite": lambda folder: SqliteLog(folder / "log.db"),
    "sqlite, gathering": lambda folder: SqliteLog(folder / "log.db", gather_ms=1),
}


@pytest.fixture(params=LOGS)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    opened = LOGS[request.param](tmp_path)
    yield opened
    await opened.close()


async def begun(log: Log) -> RunWriter:
    """The writer of a run in which an item is open."""
    writer = await RunWriter.open(log, "run_1")
    start = ResponseStart(
        response_id="run_1", turn_id="t", thread_id="t", agent_id="a", model_id="m", provider_id="p", created_at=1
    )
    await writer.append([start, ItemStart(item_id="item_1", item_type="message")], FIRST)
    return writer


def delta(text: str) -> Payload:
    return ItemDelta(item_id="item_1", delta_content=text)


async def told(log: Log) -> list[tuple[str, TraceContext]]:
    """The texts in the log, each with its trace."""
    return [
        (payload.delta_content, batch.trace)
        for batch in [batch async for batch in batches(log, "run_1")]
        for payload in batch.payloads
        if isinstance(payload, ItemDelta)
    ]


async def test_what_an_offer_leaves_goes_in_front_of_the_next_append(log):
    """In the order in which it was given, each under its own trace, whatever the log took at once."""
    writer = await begun(log)
    for text in "abc":
        writer.offer([delta(text)], FIRST)
    await writer.append([delta("d")], SECOND)
    assert await told(log) == [("a", FIRST), ("b", FIRST), ("c", FIRST), ("d", SECOND)]
    assert writer.state.response().output_items[0].content == "abcd"


async def test_an_offer_that_was_taken_leaves_nothing(log):
    """True says that it is in the log, False that `settle` has to put it there."""
    writer = await begun(log)
    taken = writer.offer([delta("a")], FIRST)
    assert bool(await told(log)) == taken
    await writer.settle()
    await writer.settle()
    assert await told(log) == [("a", FIRST)]


async def test_an_offer_passes_the_grammar(log):
    """What breaks it is kept as a `provider_event`, as by an append."""
    writer = await begun(log)
    writer.offer([ItemDelta(item_id="nobody", delta_content="x")], FIRST)
    await writer.settle()
    kept = [payload async for batch in batches(log, "run_1") for payload in batch.payloads][-1]
    assert isinstance(kept, ProviderEvent)
    assert kept.name == "STREAM_SEQUENCE_ERROR:item_delta"


async def test_an_offer_of_a_stale_writer_is_refused(log):
    """At once, or when it is settled."""
    writer = await begun(log)
    await log.acquire("run_1")

    async def offered() -> None:
        writer.offer([delta("a")], FIRST)
        await writer.settle()

    with pytest.raises(StaleEpoch):
        await offered()
    assert await told(log) == []
