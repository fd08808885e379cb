"""What only the store on PostgreSQL does: its URL, many processes at once, a server that is not well."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from threading import Event

import psycopg
import pytest
from sqlalchemy import Connection, text

from tailrace.schema.errors import Conflict, NotFound, NotReady, SettingsError
from tailrace.store.base import Projection, StoredRun
from tailrace.store.engine import is_postgres, make_engine, shown
from tailrace.store.migrations import migrate
from tailrace.store.postgres import PostgresDatabase
from tailrace.store.sql import SqlStore, open_store
from tailrace.testing.stored import a_log, a_response, a_run, a_thread, archive, end, fill, refused
from tests.support.postgres import Postgres, shared


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    """A server that the test may kill."""
    server = Postgres()
    server.start()
    yield server
    server.destroy()


@asynccontextmanager
async def opened(url: str, count: int) -> AsyncIterator[list[SqlStore]]:
    """The store, as so many processes have it open."""
    stores = [await open_store(url) for _ in range(count)]
    yield stores
    for store in stores:
        await store.close()


# --- the way to it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
async def test_any_url_that_means_postgresql_opens_it(scheme: str) -> None:
    """As hosts and other libraries write it."""
    url = shared().new_store().replace("postgresql", scheme, 1)
    assert is_postgres(url)
    store = await open_store(f"{url}?application_name=mine&connect_timeout=3")
    await fill(store, "r")
    names = shared().execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mine'")
    assert names[0][0]
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@127.0.0.1:1/d",
        "postgres://u@127.0.0.1:1/d?password=secret",
        "postgresql://u:secret@127.0.0.1:port/d",
        "postgresql://u:secret@127.0.0.1:1/d?nonsense=secret",
        "mysql://u:secret@h/d",
    ],
)
async def test_no_error_tells_the_password(url: str) -> None:
    """Wherever it stands in the URL, and whatever is wrong with that."""
    for call in (open_store(url), migrate(url)):
        with pytest.raises(SettingsError) as caught:
            await call
        assert "secret" not in caught.value.message
        assert "\n" not in caught.value.message
    if is_postgres("postgres://x/y"):
        assert shown("postgres://u:secret@h:1/d?password=secret&host=x") == "postgresql://u:***@h:1/d"


async def test_a_database_that_is_not_there_is_a_setting_to_mend() -> None:
    """In the server's words."""
    with pytest.raises(SettingsError, match='database "nowhere" does not exist'):
        await open_store(shared().url("nowhere"))


async def test_another_version_or_a_strangers_database_is_refused() -> None:
    """With the command that mends it; nothing is changed."""
    url = shared().new_store()
    database = url.rpartition("/")[2]
    shared().execute("UPDATE alembic_version SET version_num = '9999'", database)
    with pytest.raises(SettingsError, match=r"version 9999, .*run `tailrace migrate`"):
        await open_store(url)
    with pytest.raises(SettingsError, match="cannot be brought up to date"):
        await migrate(url)
    other = shared().new_database()
    shared().execute("CREATE TABLE something (word text)", other)
    with pytest.raises(SettingsError, match="version unknown"):
        await open_store(shared().url(other))
    assert len(shared().execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", other)) == 1


@pytest.mark.slow
async def test_servers_that_start_together_on_an_empty_database_all_start() -> None:
    """One makes the tables, and the others wait for it."""
    url = shared().url(shared().new_database())
    stores = await asyncio.gather(*(open_store(url) for _ in range(3)))
    await fill(stores[0], "r")
    for store in stores:
        assert (await store.get_run("r")).response.status == "complete"
        await store.close()


# --- many processes -------------------------------------------------------------------------------------------------


async def test_of_processes_that_race_for_a_thread_one_wins() -> None:
    """Each has the store to itself, for all it knows; the others are told by whom."""
    async with opened(shared().new_store(), 3) as stores:
        await stores[0].create_thread(a_thread("t"))
        for turn in range(5):
            calls = [
                store.create_run(a_run(f"{turn}/{place}/{number}"), None)
                for place, store in enumerate(stores)
                for number in range(4)
            ]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            (winner,) = [outcome for outcome in outcomes if isinstance(outcome, StoredRun)]
            run_id = winner.request.run_id
            refusals = [outcome.details["run_id"] for outcome in outcomes if isinstance(outcome, Conflict)]
            assert refusals == [run_id] * 11
            await end(stores[1], run_id)


async def test_the_same_run_asked_of_several_processes_is_made_once() -> None:
    """An idempotent submit is one wherever it arrives."""
    async with opened(shared().new_store(), 3) as stores:
        made = await asyncio.gather(*(store.create_run(a_run("r"), a_thread("t")) for store in stores * 4))
        assert made == [a_run("r")] * 12
        assert len(await stores[0].thread_runs("t")) == 1


async def test_c40_projectors_of_several_processes_do_not_go_backwards() -> None:
    """Whatever they bring, in whatever order: never an older state after a newer one, one archive, no deadlock."""
    run_ids = [f"r{number}" for number in range(10)]
    async with opened(shared().new_store(), 3) as stores:
        for run_id in run_ids:
            await stores[0].create_run(a_run(run_id, run_id), a_thread(run_id))
        seen: list[int] = []

        async def watch() -> None:
            while not seen or seen[-1] < 20:
                seen.append((await stores[0].get_run("r5")).response.last_seq)

        async def write(store: SqlStore, order: list[str]) -> None:
            for seq in range(1, 20):
                await store.project([Projection(response=a_response(each, each, "in_progress", seq)) for each in order])
            ended = [a_response(each, each, "complete", 20) for each in order]
            await store.project([Projection(response=each, archive=a_log(each.id)) for each in ended])

        orders = [run_ids, run_ids[::-1], run_ids[5:] + run_ids[:5]]
        await asyncio.gather(watch(), *map(write, stores, orders))
        assert seen == sorted(seen)
        assert await stores[0].live_runs() == []


async def test_a_thread_deleted_under_a_new_run_of_another_process() -> None:
    """Either comes first; never a run without a thread."""
    async with opened(shared().new_store(), 2) as (one, other):
        for turn in range(10):
            thread_id = f"t{turn}"
            await one.create_thread(a_thread(thread_id, tags=["x"]))
            made, deleted = await asyncio.gather(
                one.create_run(a_run(f"r{turn}", thread_id), None),
                other.delete_thread(thread_id),
                return_exceptions=True,
            )
            if isinstance(made, StoredRun):
                assert isinstance(deleted, Conflict)
                assert len(await other.thread_runs(thread_id)) == 1
            else:
                assert isinstance(made, NotFound)
                assert deleted == []


async def test_of_transactions_that_wait_for_each_other_one_is_tried_again() -> None:
    """A deadlock is the database's to see and ours to bear."""
    server = shared()
    database = PostgresDatabase(PostgresDatabase.engine(server.url(server.new_database())))
    await database.write(run, "CREATE TABLE counts (id int PRIMARY KEY, count int)")
    await database.write(run, "INSERT INTO counts VALUES (1, 0), (2, 0)")
    holds = {1: Event(), 2: Event()}

    def add(db: Connection, first: int, second: int) -> None:
        run(db, f"UPDATE counts SET count = count + 1 WHERE id = {first}")
        holds[first].set()
        assert holds[second].wait(30)
        run(db, f"UPDATE counts SET count = count + 1 WHERE id = {second}")

    await asyncio.gather(database.write(add, 1, 2), database.write(add, 2, 1))
    assert await database.read(lambda db: list(db.scalars(text("SELECT count FROM counts")))) == [2, 2]
    await database.close()


def run(db: Connection, statement: str) -> None:
    """Work of one statement."""
    db.execute(text(statement))


# --- a server that is not well --------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_c47_the_store_comes_back_with_its_server(mortal: Postgres) -> None:
    """While it is away everything is soon NotReady; when it is back nobody notices, and nothing is missing."""
    store = await open_store(mortal.new_store())
    await fill(store, "r0", "r1")
    await asyncio.gather(*(store.get_run("r0") for _ in range(8)))  # with connections that will be dead
    for end_it in (mortal.stop, mortal.kill):
        end_it()
        for call in (store.ping(), store.get_run("r0"), store.create_run(a_run("r2"), None)):
            async with asyncio.timeout(5):
                await refused(call, NotReady)
        mortal.start()
        assert [each.id for each in await store.thread_runs("t")] == ["r0", "r1"]
        await asyncio.gather(*(store.get_run("r0") for _ in range(8)))
    end_and_start(mortal)  # with connections that nobody has found dead
    await store.create_run(a_run("r2"), None)
    await archive(store, "r2")
    assert len(await store.thread_runs("t")) == 3
    await store.close()


def end_and_start(server: Postgres) -> None:
    """A restart."""
    server.stop()
    server.start()


@pytest.mark.slow
async def test_what_was_acknowledged_is_there_after_a_kill(mortal: Postgres) -> None:
    """kill -9 in the midst of many writers: runs are there whole, with their threads, or not at all."""
    store = await open_store(mortal.new_store())
    made: list[str] = []
    enough = asyncio.Event()

    async def make(place: int) -> None:
        for number in range(1000):
            run_id = f"{place}/{number}"
            try:
                await store.create_run(a_run(run_id, run_id), a_thread(run_id))
                await archive(store, run_id, run_id)
            except NotReady:
                return
            made.append(run_id)
            if len(made) == 40:
                enough.set()

    makers = [asyncio.create_task(make(place)) for place in range(4)]
    await enough.wait()
    await asyncio.to_thread(mortal.kill)
    await asyncio.gather(*makers)
    await asyncio.to_thread(mortal.start)
    for run_id in made:
        stored = await store.get_run(run_id)
        assert (stored.response.status, stored.expired) == ("complete", False)
    for thread in (await store.list_threads(tag=None, limit=10_000, cursor=None))[0]:
        assert [each.id for each in await store.thread_runs(thread.thread_id)] == [thread.thread_id]
    await store.close()


@pytest.mark.slow
async def test_a_writer_that_waits_for_a_lock_gives_up_and_holds_up_no_reader() -> None:
    """Somebody has the run locked and does not let go; as many wait for it as can."""
    url = shared().new_store()
    store = await open_store(url)
    await store.create_run(a_run("r"), a_thread("t"))
    with psycopg.connect(url) as other:
        other.execute("SELECT * FROM runs FOR UPDATE")
        projections = [Projection(response=a_response("r", "t", "in_progress", seq)) for seq in range(1, 5)]
        waiting = [asyncio.create_task(store.project([each])) for each in projections]
        await asyncio.to_thread(until_waiting, 4)
        async with asyncio.timeout(2):
            assert (await store.get_run("r")).response.last_seq == 0
        for each in waiting:
            assert "lock timeout" in (await refused(each, NotReady)).message
    await store.project(projections)
    assert (await store.get_run("r")).response.last_seq == 4
    await store.close()


def until_waiting(count: int) -> None:
    """Until so many of the server's connections wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'tailrace'"
    while shared().execute(query) < [(count,)]:
        pass


@pytest.mark.slow
async def test_a_server_that_says_nothing_is_not_ready() -> None:
    """It takes the connection and then is silent; callers are told in good time, and it can be closed."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout=2&sslmode=disable"
        database = PostgresDatabase(make_engine(url, 8), patience_s=0.2)
        calls = [database.read(run, "SELECT 1") for _ in range(12)]
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, NotReady)
            assert error.message == "the store does not answer"
        async with asyncio.timeout(10):
            await database.close()


async def test_an_error_tells_no_values() -> None:
    """PostgreSQL repeats a row's values in what it says about a conflict; ours does not (rule 9)."""
    server = shared()
    database = PostgresDatabase(PostgresDatabase.engine(server.url(server.new_database())))
    await database.write(run, "CREATE TABLE words (word text PRIMARY KEY)")
    with pytest.raises(NotReady) as caught:
        await database.write(run, "INSERT INTO words VALUES ('private words'), ('private words')")
    assert "unique constraint" in caught.value.message
    assert "private" not in caught.value.message
    await database.close()
