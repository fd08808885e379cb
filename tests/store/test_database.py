"""Transactions run beside the event loop, whole or not at all, whoever waits for them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Connection, create_engine, text

from tailrace.schema.errors import Conflict, NotReady
from tailrace.store.database import Database, SqliteDatabase
from tailrace.store.engine import make_engine
from tailrace.store.postgres import PostgresDatabase
from tests.support.postgres import shared


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database with a table of words, of which each may stand in it once, and of what they refer to."""
    database: Database
    if request.param == "sqlite":
        database = SqliteDatabase(make_engine(f"sqlite:///{tmp_path / 'some.db'}"))
    else:
        server = shared()
        database = PostgresDatabase(PostgresDatabase.engine(server.url(server.new_database())))
    reference = "TEXT REFERENCES words (word) DEFERRABLE INITIALLY DEFERRED"
    await database.write(execute, f"CREATE TABLE words (word TEXT PRIMARY KEY, alike {reference})")
    yield database
    await database.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    """One whose writers come one after the other."""
    database = SqliteDatabase(make_engine(f"sqlite:///{tmp_path / 'some.db'}"))
    await database.write(execute, "CREATE TABLE words (word TEXT PRIMARY KEY)")
    yield database
    await database.close()


def execute(db: Connection, statement: str) -> None:
    """Work of one statement."""
    db.execute(text(statement))


def add(db: Connection, *words: str) -> None:
    """Work of several."""
    for word in words:
        db.execute(text("INSERT INTO words (word) VALUES (:word)"), {"word": word})


def words(db: Connection) -> list[str]:
    """What is there."""
    return list(db.scalars(text("SELECT word FROM words ORDER BY word")))


class Held:
    """Work that says when it is in the midst of it, and waits to be let on."""

    def __init__(self) -> None:
        self.begun = Event()
        self.go_on = Event()

    def __call__(self, db: Connection) -> None:
        add(db, "first")
        self.begun.set()
        assert self.go_on.wait(30)
        add(db, "second")


async def test_work_is_all_or_nothing(database: Database) -> None:
    """An error in the midst of it takes back what was done, whether it is the database's or the work's own."""
    with pytest.raises(NotReady, match=r"(?i)unique"):
        await database.write(add, "a", "b", "a")

    def refuse(db: Connection) -> None:
        add(db, "c")
        raise Conflict("no")

    with pytest.raises(Conflict):
        await database.write(refuse)
    await database.write(add, "d")
    assert await database.read(words) == ["d"]


async def test_an_end_that_fails_leaves_nothing_behind(database: Database) -> None:
    """Where only the commit is refused, the next transaction begins as any other."""

    def refer_to_nothing(db: Connection) -> None:
        db.execute(text("INSERT INTO words VALUES ('a', 'missing')"))

    with pytest.raises(NotReady, match=r"(?i)foreign key"):
        await database.write(refer_to_nothing)
    await database.write(add, "b")
    assert await database.read(words) == ["b"]


async def test_a_caller_that_leaves_takes_back_what_is_not_begun_and_nothing_else(sqlite: Database) -> None:
    """The rest is carried out whole, and what comes after it is not held up."""
    held = Held()
    begun = asyncio.create_task(sqlite.write(held))
    await asyncio.to_thread(held.begun.wait, 30)
    waiting = asyncio.create_task(sqlite.write(add, "never"))
    await asyncio.sleep(0)
    for task in (begun, waiting):
        task.cancel()
    await asyncio.wait([begun, waiting])
    assert begun.cancelled()
    assert waiting.cancelled()
    assert await sqlite.read(words) == []
    after = asyncio.create_task(sqlite.write(add, "third"))
    held.go_on.set()
    await after
    assert await sqlite.read(words) == ["first", "second", "third"]


async def test_closing_waits_for_what_was_asked_for(sqlite: Database, tmp_path: Path) -> None:
    """Also for what is not begun; nothing more is taken on meanwhile."""
    held = Held()
    begun = asyncio.create_task(sqlite.write(held))
    await asyncio.to_thread(held.begun.wait, 30)
    waiting = asyncio.create_task(sqlite.write(add, "third"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(sqlite.close())
    await asyncio.sleep(0)
    with pytest.raises(NotReady, match="closed"):
        await sqlite.read(words)
    assert not closing.done()
    held.go_on.set()
    await asyncio.gather(begun, waiting, closing)
    again = SqliteDatabase(make_engine(f"sqlite:///{tmp_path / 'some.db'}"))
    assert await again.read(words) == ["first", "second", "third"]
    await again.close()


async def test_readers_see_what_was_there_while_a_writer_writes(database: Database) -> None:
    """They do not wait for it, nor see half of it."""
    await database.write(add, "a")
    held = Held()
    begun = asyncio.create_task(database.write(held))
    await asyncio.to_thread(held.begun.wait, 30)
    assert await asyncio.gather(*(database.read(words) for _ in range(20))) == [["a"]] * 20
    held.go_on.set()
    await begun
    assert await database.read(words) == ["a", "first", "second"]


async def test_all_of_a_read_sees_the_database_at_one_moment(database: Database) -> None:
    """What is committed between its queries is not in it."""
    first, second = Event(), Event()

    def read_twice(db: Connection) -> list[list[str]]:
        before = words(db)
        first.set()
        assert second.wait(30)
        return [before, words(db)]

    reading = asyncio.create_task(database.read(read_twice))
    await asyncio.to_thread(first.wait, 30)
    await database.write(add, "a")
    second.set()
    assert await reading == [[], []]
    assert await database.read(words) == ["a"]


async def test_a_little_is_written_like_more(database: Database) -> None:
    """All or nothing, raised as `write` raises, and there for the next who reads."""
    with pytest.raises(NotReady, match=r"(?i)unique"):
        await database.write_little(add, "a", "b", "a")

    def refuse(db: Connection) -> None:
        add(db, "c")
        raise Conflict("no")

    with pytest.raises(Conflict):
        await database.write_little(refuse)
    await database.write_little(add, "d")
    assert await database.read(words) == ["d"]
    await database.close()
    with pytest.raises(NotReady, match="closed"):
        await database.write_little(add, "e")


async def test_a_little_is_not_waited_for_on_the_loop(sqlite: Database, tmp_path: Path) -> None:
    """While another writes, in this process or elsewhere, the loop goes on; then it is done."""
    held = Held()
    begun = asyncio.create_task(sqlite.write(held))
    await asyncio.to_thread(held.begun.wait, 30)
    little = asyncio.create_task(sqlite.write_little(add, "third"))
    await asyncio.sleep(0)
    held.go_on.set()
    await asyncio.gather(begun, little)
    other = create_engine(f"sqlite:///{tmp_path / 'some.db'}")
    with other.connect() as elsewhere:
        elsewhere.exec_driver_sql("BEGIN IMMEDIATE")
        little = asyncio.create_task(sqlite.write_little(add, "fourth"))
        await asyncio.sleep(0)
        assert not little.done()
        elsewhere.rollback()
        await little
    other.dispose()
    assert await sqlite.read(words) == ["first", "fourth", "second", "third"]


async def test_many_parts_are_each_written_whole(database: Database) -> None:
    """Also where another writes at the same time, and where one of them is refused: that one is not there."""

    def add_all(db: Connection, parts: Sequence[Sequence[str]]) -> None:
        for part in parts:
            add(db, *part)

    await database.write_each(add_all, [])
    parts = [(f"{number:02}a", f"{number:02}b") for number in range(30)]
    await asyncio.gather(database.write_each(add_all, parts), database.write(add, "other"))
    assert await database.read(words) == sorted(["other", *(word for part in parts for word in part)])
    with pytest.raises(NotReady, match=r"(?i)unique"):
        await database.write_each(add_all, [("c", "other")])
    assert "c" not in await database.read(words)


async def test_the_write_ahead_log_begins_anew_while_it_is_written_to(tmp_path: Path) -> None:
    """However steadily: it does not grow for ever."""
    path = tmp_path / "some.db"
    database = SqliteDatabase(make_engine(f"sqlite:///{path}"), checkpoint_s=0.01)
    await database.write(execute, "CREATE TABLE words (word TEXT PRIMARY KEY)")
    wal, sizes, number = path.with_name("some.db-wal"), {0}, 0
    async with asyncio.timeout(20):
        while wal.stat().st_size not in sizes:  # what is written at its beginning makes it no longer
            sizes.add(wal.stat().st_size)
            await database.write_little(add, f"{number}")
            await asyncio.sleep(0)
            number += 1
    await database.write_little(add, "last")
    assert len(await database.read(words)) == number + 1
    await database.close()
    assert not wal.exists()
