"""The one way into a run's log, with logs that take an offer and logs that do not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tailrace.fold.folds import Folds
from tailrace.log.base import Log, pages
from tailrace.log.memory import MemoryLog
from tailrace.log.redis import RedisLog
from tailrace.log.redis_client import Redis
from tailrace.log.sqlite import SqliteLog
from tailrace.runs.writer import MOST_DUE, RunWriter
from tailrace.schema.errors import NotReady, StaleEpoch
from tailrace.schema.events import ItemDelta, ItemStart, Payload, ProviderEvent, ResponseStart, TraceContext
from tests.support.redis import RedisServer, redis_server

FIRST = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
SECOND = TraceContext("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01")
LOGS: dict[str, Callable[[Path], Log]] = {
    "memory": lambda _: MemoryLog(),
    "sqlite": lambda folder: SqliteLog(folder / "log.db"),
    "sqlite, gathering": lambda folder: SqliteLog(folder / "log.db", gather_ms=1),
}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=[*LOGS, "redis"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        server.ask("FLUSHALL")
        client = Redis(server.url)
        in_redis = RedisLog(client)
        yield in_redis
        await in_redis.close()
        await client.close()
        return
    opened = LOGS[request.param](tmp_path)
    yield opened
    await opened.close()


async def begun(log: Log) -> RunWriter:
    """The writer of a run in which an item is open."""
    writer = await RunWriter.open(log, Folds(), "run_1")
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
        for batch in [batch async for page in pages(log, "run_1") for batch in page]
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


async def test_an_offer_is_in_the_log_once_it_is_settled(log):
    """Once, whether the log took it at once, took its time, or left it."""
    writer = await begun(log)
    writer.offer([delta("a")], FIRST)
    await writer.settle()
    await writer.settle()
    assert await told(log) == [("a", FIRST)]


async def test_what_comes_while_an_append_is_under_way_goes_into_the_next(log):
    """In order, each under its own trace, in few batches; and whoever brings too much has to wait."""
    writer = await begun(log)
    goes_on, count = True, 0
    while goes_on and count < 2 * MOST_DUE:
        count += 1
        goes_on = writer.offer([delta(str(count))], FIRST if count <= 10 else SECOND)
    await writer.settle()
    assert await told(log) == [(str(number), FIRST if number <= 10 else SECOND) for number in range(1, count + 1)]
    if isinstance(log, RedisLog):
        assert count == MOST_DUE + 1
        assert len([batch async for page in pages(log, "run_1") for batch in page]) == 4


@pytest.mark.parametrize("log", ["redis"], indirect=True)
async def test_nothing_follows_what_was_refused_on_its_way(log, redis):
    """The log has no gap: what was offered behind it is refused with it, and so is what comes later."""
    writer = await begun(log)
    writer.offer([delta("a")], FIRST)
    await writer.settle()
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    for text in "bcd":
        writer.offer([delta(text)], FIRST)
    with pytest.raises(NotReady):
        await writer.settle()
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    with pytest.raises(NotReady):
        writer.offer([delta("e")], FIRST)
    with pytest.raises(NotReady):
        await writer.append([delta("f")], FIRST)
    assert await told(log) == [("a", FIRST)]


async def test_an_offer_passes_the_grammar(log):
    """What breaks it is kept as a `provider_event`, as by an append."""
    writer = await begun(log)
    writer.offer([ItemDelta(item_id="nobody", delta_content="x")], FIRST)
    await writer.settle()
    kept = [payload async for page in pages(log, "run_1") for batch in page for payload in batch.payloads][-1]
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


async def test_who_stops_waiting_harms_nobody(log):
    """The log tells what became of an append though its writer's task was cancelled: nothing fails in telling it."""
    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    writer = await begun(log)
    writer.offer([delta("a")], FIRST)
    settling = asyncio.ensure_future(writer.settle())
    await asyncio.sleep(0)
    settling.cancel()
    await asyncio.wait({settling})
    await log.append("other", await log.acquire("other"), [delta("x")], FIRST)  # answered behind it
    assert not failures
    await writer.append([delta("b")], FIRST)
    assert await told(log) == [("a", FIRST), ("b", FIRST)]
