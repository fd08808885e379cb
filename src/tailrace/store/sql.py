"""The store in SQLite or PostgreSQL, through SQLAlchemy Core. What is committed survives the death of the process.

The database's errors become NotReady in one place, `_transaction`.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, get_args

from sqlalchemy import (
    BigInteger,
    LargeBinary,
    and_,
    bindparam,
    delete,
    insert,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import Conflict, InvalidJson, InvalidRequest, NotFound, NotReady, SettingsError
from tailrace.schema.request import RunRequest
from tailrace.schema.response import ENDED, Response, Status
from tailrace.store import archive
from tailrace.store.base import Projection, StoredRun, Thread
from tailrace.store.engine import make_engine, make_ready, shown
from tailrace.store.migrations import migrate
from tailrace.store.tables import archives, doomed_logs, runs, thread_tags, threads

__all__ = ["SqlStore", "migrate", "open_store"]

T = TypeVar("T")

_BLOBS = ("tags", "metadata")
_GOING = sorted(set(get_args(Status)) - ENDED)
_LIVE = text("runs.live")  # as the index says it, so that SQLite finds that index
_RUN = (runs.c.request, runs.c.digest, runs.c.snapshot)

# What a projection changes; each part looks for itself whether the run is older than what is brought.
_OLDER = and_(runs.c.run_id == bindparam("id"), runs.c.last_seq < bindparam("seq"))
_ARCHIVE = insert(archives).from_select(
    ["run_id", "data"], select(runs.c.run_id, bindparam("archive", type_=LargeBinary)).where(_OLDER)
)
_TOUCH = (
    update(threads)
    .where(threads.c.thread_id == select(runs.c.thread_id).where(_OLDER).scalar_subquery())
    .where(threads.c.updated_at < bindparam("at"))
    .values(updated_at=bindparam("at"))
)
_PROJECT = (
    update(runs)
    .where(_OLDER)
    .values(
        status=bindparam("new_status"),
        live=bindparam("new_live"),
        snapshot=bindparam("new_snapshot"),
        last_seq=bindparam("seq"),
    )
)


class _Raced(Exception):
    """Another transaction came first, between the look and the write."""


async def open_store(url: str) -> "SqlStore":
    """The store at `sqlite:///path` or `postgresql://…`; an empty database gets its tables.

    Raises SettingsError where it cannot be reached, or is of another version: then `tailrace migrate` is to be run.
    """
    engine = make_engine(url)
    try:
        await make_ready(engine, url)
    except (DBAPIError, OSError) as error:
        await engine.dispose()
        raise SettingsError(f"the store {shown(url)} cannot be opened: {_reason(error)}") from error
    except SettingsError:
        await engine.dispose()
        raise
    return SqlStore(engine)


class SqlStore:
    """`store.base.Store`; see `open_store`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(write=True)
        self._closed = False

    # --- threads ----------------------------------------------------------------------------------------------------

    async def create_thread(self, thread: Thread) -> None:
        """See `Store.create_thread`."""
        async with self._transaction(write=True) as db:
            try:
                await _insert_thread(db, thread)
            except _Raced:
                raise Conflict(f"there is a thread {thread.thread_id!r} already") from None

    async def get_thread(self, thread_id: str) -> Thread:
        """See `Store.get_thread`."""
        async with self._transaction() as db:
            return await _thread(db, thread_id)

    async def list_threads(self, *, tag: str | None, limit: int, cursor: str | None) -> tuple[list[Thread], str | None]:
        """See `Store.list_threads`."""
        query = select(threads).order_by(threads.c.updated_at.desc(), threads.c.thread_id.desc())
        if tag is not None:
            query = query.where(
                threads.c.thread_id.in_(select(thread_tags.c.thread_id).where(thread_tags.c.tag == tag))
            )
        if cursor is not None:
            at, thread_id = _read_cursor(cursor, tuple[int, str])
            query = query.where(
                tuple_(threads.c.updated_at, threads.c.thread_id) < tuple_(literal(at, BigInteger), thread_id)
            )
        rows, more = await self._page(query, limit)
        found = [_to_thread(row) for row in rows]
        return found, _write_cursor((found[-1].updated_at, found[-1].thread_id)) if more else None

    async def update_thread(self, thread_id: str, changes: dict[str, Any], updated_at: int) -> Thread:
        """See `Store.update_thread`."""
        async with self._transaction(write=True) as db:
            values = {**_to_columns(changes), "updated_at": updated_at}
            await db.execute(update(threads).where(threads.c.thread_id == thread_id).values(**values))
            thread = await _thread(db, thread_id)
            if "tags" in changes:
                await db.execute(delete(thread_tags).where(thread_tags.c.thread_id == thread_id))
                await _insert_tags(db, thread)
            return thread

    async def delete_thread(self, thread_id: str) -> list[str]:
        """See `Store.delete_thread`."""
        async with self._transaction(write=True) as db:
            await _thread(db, thread_id)
            live = await _live_run(db, thread_id)
            if live is not None:
                raise Conflict(f"thread {thread_id!r} has a live run", run_id=live)
            of_thread = select(runs.c.run_id).where(runs.c.thread_id == thread_id)
            run_ids = list(await db.scalars(of_thread.order_by(runs.c.ordinal)))
            await db.execute(insert(doomed_logs).from_select(["run_id"], of_thread))
            await db.execute(delete(archives).where(archives.c.run_id.in_(of_thread)))
            for table in (runs, thread_tags, threads):
                await db.execute(delete(table).where(table.c.thread_id == thread_id))
            return run_ids

    async def doomed_logs(self) -> list[str]:
        """See `Store.doomed_logs`."""
        async with self._transaction() as db:
            return list(await db.scalars(select(doomed_logs.c.run_id)))

    async def logs_deleted(self, run_ids: Sequence[str]) -> None:
        """See `Store.logs_deleted`."""
        if run_ids:
            async with self._transaction(write=True) as db:
                gone = [{"id": run_id} for run_id in run_ids]
                await db.execute(delete(doomed_logs).where(doomed_logs.c.run_id == bindparam("id")), gone)

    # --- runs -------------------------------------------------------------------------------------------------------

    async def create_run(self, run: StoredRun, new_thread: Thread | None) -> StoredRun:
        """See `Store.create_run`."""
        try:
            return await self._create_run(run, new_thread)
        except _Raced:
            pass  # who came first is to be seen now
        try:
            return await self._create_run(run, new_thread)
        except _Raced:
            raise Conflict(f"thread {run.request.thread_id!r} exists already") from None

    async def _create_run(self, run: StoredRun, new_thread: Thread | None) -> StoredRun:
        thread_id = run.request.thread_id
        async with self._transaction(write=True) as db:
            earlier = await _run(db, run.request.run_id)
            if earlier is not None:
                if earlier.digest != run.digest:
                    raise Conflict(f"run {run.request.run_id!r} was asked for with another body")
                return earlier
            if new_thread is not None:
                await _insert_thread(db, new_thread)
            else:
                await _thread(db, thread_id)
            live = await _live_run(db, thread_id)
            if live is not None:
                raise Conflict(f"thread {thread_id!r} has a live run", run_id=live)
            await _insert(db, runs, **_to_row(run))
        return run

    async def get_run(self, run_id: str) -> StoredRun:
        """See `Store.get_run`."""
        async with self._transaction() as db:
            run = await _run(db, run_id)
        if run is None:
            raise NotFound(f"there is no run {run_id!r}")
        return run

    async def list_runs(
        self, *, thread_id: str | None, status: Status | None, limit: int, cursor: str | None
    ) -> tuple[list[Response], str | None]:
        """See `Store.list_runs`."""
        query = select(runs.c.ordinal, runs.c.snapshot).order_by(runs.c.ordinal.desc())
        if thread_id is not None:
            query = query.where(runs.c.thread_id == thread_id)
        if status is not None:
            query = query.where(runs.c.status == status)
        if cursor is not None:
            query = query.where(runs.c.ordinal < _read_cursor(cursor, int))
        rows, more = await self._page(query, limit)
        found = [codec.decode(row.snapshot, Response) for row in rows]
        return found, _write_cursor(rows[-1].ordinal) if more else None

    async def thread_runs(self, thread_id: str) -> list[Response]:
        """See `Store.thread_runs`."""
        async with self._transaction() as db:
            await _thread(db, thread_id)
            query = select(runs.c.snapshot).where(runs.c.thread_id == thread_id).order_by(runs.c.ordinal)
            return [codec.decode(snapshot, Response) for snapshot in await db.scalars(query)]

    async def live_run(self, thread_id: str) -> str | None:
        """See `Store.live_run`."""
        async with self._transaction() as db:
            return await _live_run(db, thread_id)

    async def live_runs(self) -> list[StoredRun]:
        """See `Store.live_runs`."""
        async with self._transaction() as db:
            rows = await db.execute(select(*_RUN).where(runs.c.status.in_(_GOING)).order_by(runs.c.ordinal))
            return [_to_run(row) for row in rows]

    async def project(self, projections: Sequence[Projection]) -> None:
        """See `Store.project`."""
        packed = await asyncio.to_thread(_pack, projections) if any(each.archive for each in projections) else []
        ended = [
            {"id": each.response.id, "seq": each.response.last_seq, "at": each.response.updated_at}
            for each in projections
            if each.response.status in ENDED
        ]
        async with self._transaction(write=True) as db:
            for statement, values in ((_ARCHIVE, packed), (_TOUCH, ended), (_PROJECT, _projected(projections))):
                if values:
                    await db.execute(statement, values)

    async def archived(self, run_id: str) -> list[Batch] | None:
        """See `Store.archived`."""
        async with self._transaction() as db:
            data = await db.scalar(select(archives.c.data).where(archives.c.run_id == run_id))
        return await asyncio.to_thread(archive.unpack, run_id, data) if data is not None else None

    # --- the whole --------------------------------------------------------------------------------------------------

    async def ping(self) -> None:
        """See `Store.ping`."""
        async with self._transaction() as db:
            await db.scalar(select(runs.c.ordinal).limit(1))

    async def close(self) -> None:
        """See `Store.close`."""
        self._closed = True
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self, *, write: bool = False) -> AsyncIterator[AsyncConnection]:
        """All or nothing. Raises NotReady where the database cannot do it."""
        if self._closed:
            raise NotReady("the store is closed")
        try:
            async with (self._writing if write else self._engine).begin() as db:
                yield db
        except (DBAPIError, PoolTimeout, OSError) as error:
            raise NotReady(f"the store cannot be used: {_reason(error)}") from error

    async def _page(self, query: Any, limit: int) -> tuple[Sequence[Any], bool]:
        """The first `limit` rows; are there more?"""
        async with self._transaction() as db:
            rows = (await db.execute(query.limit(limit + 1))).all()
        return rows[:limit], len(rows) > limit


# --- statements -----------------------------------------------------------------------------------------------------


async def _insert(db: AsyncConnection, table: Any, **values: Any) -> None:
    """Raises _Raced where one of its unique columns is taken."""
    try:
        await db.execute(insert(table).values(**values))
    except IntegrityError:
        raise _Raced from None


async def _insert_thread(db: AsyncConnection, thread: Thread) -> None:
    await _insert(db, threads, **_to_columns(codec.to_builtins(thread)))
    await _insert_tags(db, thread)


async def _insert_tags(db: AsyncConnection, thread: Thread) -> None:
    rows = [{"tag": tag, "thread_id": thread.thread_id} for tag in dict.fromkeys(thread.tags or ())]
    if rows:
        await db.execute(insert(thread_tags), rows)


async def _thread(db: AsyncConnection, thread_id: str) -> Thread:
    row = (await db.execute(select(threads).where(threads.c.thread_id == thread_id))).one_or_none()
    if row is None:
        raise NotFound(f"there is no thread {thread_id!r}")
    return _to_thread(row)


async def _run(db: AsyncConnection, run_id: str) -> StoredRun | None:
    row = (await db.execute(select(*_RUN).where(runs.c.run_id == run_id))).one_or_none()
    return _to_run(row) if row is not None else None


async def _live_run(db: AsyncConnection, thread_id: str) -> str | None:
    run_id: str | None = await db.scalar(select(runs.c.run_id).where(runs.c.thread_id == thread_id, _LIVE))
    return run_id


# --- rows -----------------------------------------------------------------------------------------------------------


def _to_thread(row: Any) -> Thread:
    fields = {name: value for name, value in row._mapping.items() if value is not None}
    for name in _BLOBS:
        if name in fields:
            fields[name] = codec.decode_any(fields[name])
    return Thread(**fields)


def _to_columns(fields: dict[str, Any]) -> dict[str, Any]:
    encoded = {name: codec.encode(fields[name]) for name in _BLOBS if fields.get(name) is not None}
    return {**fields, **encoded}


def _to_run(row: Any) -> StoredRun:
    return StoredRun(
        request=codec.decode(row.request, RunRequest),
        digest=row.digest,
        response=codec.decode(row.snapshot, Response),
    )


def _to_row(run: StoredRun) -> dict[str, Any]:
    return {
        "run_id": run.request.run_id,
        "thread_id": run.request.thread_id,
        "status": run.response.status,
        "live": run.response.status not in ENDED,
        "digest": run.digest,
        "last_seq": run.response.last_seq,
        "request": codec.encode(run.request),
        "snapshot": codec.encode(run.response),
    }


def _projected(projections: Sequence[Projection]) -> list[dict[str, Any]]:
    return [
        {
            "id": each.response.id,
            "seq": each.response.last_seq,
            "new_status": each.response.status,
            "new_live": each.response.status not in ENDED,
            "new_snapshot": codec.encode(each.response),
        }
        for each in projections
    ]


def _pack(projections: Sequence[Projection]) -> list[dict[str, Any]]:
    return [
        {"id": each.response.id, "seq": each.response.last_seq, "archive": archive.pack(each.archive)}
        for each in projections
        if each.archive
    ]


def _write_cursor(position: object) -> str:
    return urlsafe_b64encode(codec.encode(position)).decode().rstrip("=")


def _read_cursor(cursor: str, kind: type[T]) -> T:
    try:
        return codec.decode(urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)), kind)
    except (InvalidJson, ValueError) as error:
        raise InvalidRequest("this is no cursor of this list", field="cursor") from error


def _reason(error: Exception) -> str:
    """What the driver said, without the statement and its values: these are the user's own (rule 9)."""
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)
