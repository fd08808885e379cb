"""The connection that is kept up: repeated commands, bounded waiting, and what a server may answer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tailrace.log import redis_link
from tailrace.log.redis_client import Redis, Subscriber
from tailrace.schema.errors import NotReady
from tests.support.ports import free_port
from tests.support.redis import RedisServer, redis_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Redis]:
    opened = Redis(server.url, patient_s=5)
    yield opened
    await opened.close()


async def test_answers_come_in_the_order_of_the_commands(client: Redis) -> None:
    """However many are under way."""
    numbers = [str(number) for number in range(1000)]
    assert await asyncio.gather(*(client.call("ECHO", number) for number in numbers)) == [
        number.encode() for number in numbers
    ]


async def test_commands_of_one_turn_share_a_write(client: Redis) -> None:
    """That is what makes many runs cheap: the server reads them at once."""

    async def reads() -> int:
        told = dict(line.split(":", 1) for line in (await client.call("INFO", "stats")).decode().split() if ":" in line)
        return int(told["total_reads_processed"])

    before = await reads()
    await asyncio.gather(*(client.call("PING") for _ in range(50)))
    assert await reads() - before < 10  # one for these, one for the question, and a few of the connections' own


async def test_c48_a_cut_connection_is_opened_again_and_loses_no_command(
    server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut over and over while commands are under way, each has its answer."""
    monkeypatch.setattr(redis_link, "BACKOFF_MAX_S", 0.02)

    async def cut() -> None:
        while True:
            server.ask("CLIENT", "KILL", "TYPE", "normal")
            await asyncio.sleep(0.02)

    cutting = asyncio.ensure_future(cut())
    for number in range(300):
        key = f"k{number}"
        assert await client.call("SET", key, number, wait_s=5) == b"OK"
        assert await client.call("GET", key, wait_s=5) == str(number).encode()
    cutting.cancel()
    assert client.commands.connection(b"")[1] > 1


async def test_a_subscription_holds_over_connections(server: RedisServer, client: Redis) -> None:
    """It begins anew with each, and is told so."""
    begun: asyncio.Queue[None] = asyncio.Queue()
    messages: asyncio.Queue[bytes] = asyncio.Queue()
    client.subscribe(b"news", Subscriber(lambda: begun.put_nowait(None), messages.put_nowait))
    for number in range(3):
        await asyncio.wait_for(begun.get(), 20)
        await client.call("PUBLISH", "news", number)
        assert await asyncio.wait_for(messages.get(), 20) == str(number).encode()
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    client.unsubscribe(b"news")
    await client.call("PUBLISH", "news", "unheard")
    assert messages.empty()


async def test_who_waits_too_long_is_told(server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis hangs; what it answers later is nobody's, and the next answers are the right ones."""
    monkeypatch.setattr(redis_link, "BEAT_S", 0.02)
    assert await client.call("ECHO", "before") == b"before"
    server.freeze()
    outcomes = await asyncio.gather(*(client.call("ECHO", n, wait_s=0.1) for n in range(5)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {NotReady}
    server.thaw()
    assert await client.call("ECHO", "after", wait_s=5) == b"after"


async def test_a_silent_connection_is_given_up(
    server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes, not even a reset: another connection is tried, and the command answered there."""
    monkeypatch.setattr(redis_link, "BEAT_S", 0.02)
    monkeypatch.setattr(redis_link, "SILENCE_S", 0.2)
    await client.call("PING")
    server.freeze()
    calling = asyncio.ensure_future(client.call("ECHO", "x", wait_s=10))
    while client.commands.connection(b"")[0].up:
        await asyncio.sleep(0.01)
    server.thaw()
    assert await calling == b"x"


async def test_nobody_there_is_not_ready() -> None:
    """Within the time that one waits."""
    client = Redis(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(NotReady, match="Redis does not answer"):
        await client.call("PING", wait_s=0.1)
    await client.close()
    with pytest.raises(NotReady, match="is closed"):
        await client.call("PING")


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis is away, no more than so many bytes of commands are kept; the rest is refused at once."""
    monkeypatch.setattr(redis_link, "MAX_PENDING_BYTES", 1000)
    client = Redis(f"redis://127.0.0.1:{free_port()}")
    waiting = [asyncio.ensure_future(client.call("ECHO", "x" * 100)) for _ in range(20)]
    await asyncio.sleep(0)
    refused = [task for task in waiting if task.done()]
    assert 10 < len(refused) < 15
    await client.close()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {NotReady}


async def test_an_error_is_told_and_harms_nobody(client: Redis) -> None:
    """The command's caller hears it; the connection stays."""
    await client.call("SET", "text", "x")
    outcomes = await asyncio.gather(client.call("INCR", "text"), client.call("GET", "text"), return_exceptions=True)
    assert str(outcomes[0]) == "Redis refuses: ERR value is not an integer or out of range"
    assert outcomes[1] == b"x"
    assert client.commands.connection(b"")[1] == 1


async def test_forgotten_scripts_are_loaded_again(server: RedisServer, client: Redis) -> None:
    """SCRIPT FLUSH costs a connection, and no answer."""
    assert await client.script("acquire", ["m"], "node", "r") == [1, 0, 0, 0]
    server.ask("SCRIPT", "FLUSH")
    assert await client.script("acquire", ["m"], "node", "r") == [2, 0, 0, 1]


async def test_a_password_opens_and_a_wrong_one_is_told_without_repeating_it(tmp_path: Path) -> None:
    """Design rule 9: it is in no error."""
    with redis_server(tmp_path, requirepass="s3cret") as server:
        good = Redis(server.url.replace("://", "://:s3cret@"))
        bad = Redis(server.url.replace("://", "://:wr0ng@"))
        assert await good.call("PING") == b"PONG"
        with pytest.raises(NotReady, match="WRONGPASS") as refusal:
            await bad.call("PING", wait_s=0.1)
        assert "wr0ng" not in str(refusal.value)
        await good.close()
        await bad.close()


async def test_a_unix_socket_and_a_database(tmp_path: Path) -> None:
    """Both from the URL."""
    path = tmp_path / "redis.sock"
    with redis_server(tmp_path, unixsocket=str(path)) as server:
        client = Redis(f"unix://{path}?db=5")
        await client.call("SET", "k", "five")
        assert await client.call("GET", "k") == b"five"
        assert server.ask("GET", "k") == b"$-1"
        await client.close()
