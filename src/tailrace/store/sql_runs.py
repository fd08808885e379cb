"""Runs in SQL, with their snapshots and archives: each function is the work of one transaction (`store.database`).

Statements are built once, with names for their values: building one costs more than the database takes to carry it out.
"""

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from sqlalchemy import Connection, LargeBinary, and_, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import Conflict, NotFound
from tailrace.schema.request import RunRequest
from tailrace.schema.response import ENDED, Response, Status
from tailrace.store import archive
from tailrace.store.base import Projection, StoredRun, Thread
from tailrace.store.cursors import read_cursor, write_cursor
from tailrace.store.sql_threads import LIVE_RUN, find_thread, insert_thread, no_such_thread
from tailrace.store.tables import archives, runs, threads

_GOING = sorted(set(get_args(Status)) - ENDED)
_RUN = select(runs.c.request, runs.c.digest, runs.c.snapshot)

_INSERT = insert(runs).inline()
_GET = _RUN.where(runs.c.run_id == bindparam("id"))
_ALL_LIVE = _RUN.where(runs.c.status.in_(_GOING)).order_by(runs.c.ordinal)
_LIST = select(runs.c.ordinal, runs.c.snapshot).order_by(runs.c.ordinal.desc())
_OF_THREAD = (  # a thread without runs is one row without a snapshot, no thread is no row
    select(runs.c.snapshot)
    .select_from(threads.outerjoin(runs))
    .where(threads.c.thread_id == bindparam("id"))
    .order_by(runs.c.ordinal)
)
_ARCHIVED = select(archives.c.data).where(archives.c.run_id == bindparam("id"))
_ANY = select(runs.c.ordinal).limit(1)

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


class Taken(Exception):
    """Something stands in the way of a new run: its id, its thread's, the lack of one, or a live run."""


def insert_run(db: Connection, run: StoredRun, new_thread: Thread | None) -> StoredRun:
    """`Store.create_run` where nothing stands in its way, which the database's constraints tell. Raises Taken."""
    try:
        _insert(db, run, new_thread)
    except IntegrityError:
        raise Taken from None
    return run


def look_and_insert_run(db: Connection, run: StoredRun, new_thread: Thread | None) -> StoredRun:
    """`Store.create_run` that first looks what stands in its way, and tells."""
    request = run.request
    earlier = _find_run(db, request.run_id)
    if earlier is not None:
        if earlier.digest != run.digest:
            raise Conflict(f"run {request.run_id!r} was asked for with another body")
        return earlier
    thread = find_thread(db, request.thread_id)
    if thread is None and new_thread is None:
        raise no_such_thread(request.thread_id)
    if thread is not None and new_thread is not None:
        raise Conflict(f"thread {request.thread_id!r} exists already")
    live = live_run(db, request.thread_id)
    if live is not None:
        raise Conflict(f"thread {request.thread_id!r} has a live run", run_id=live)
    _insert(db, run, new_thread)
    return run


def get_run(db: Connection, run_id: str) -> StoredRun:
    """See `Store.get_run`."""
    run = _find_run(db, run_id)
    if run is None:
        raise NotFound(f"there is no run {run_id!r}")
    return run


def list_runs(
    db: Connection, thread_id: str | None, status: Status | None, limit: int, cursor: str | None
) -> tuple[list[Response], str | None]:
    """See `Store.list_runs`."""
    query = _LIST.limit(limit + 1)
    if thread_id is not None:
        query = query.where(runs.c.thread_id == thread_id)
    if status is not None:
        query = query.where(runs.c.status == status)
    if cursor is not None:
        query = query.where(runs.c.ordinal < read_cursor(cursor, int))
    rows = db.execute(query).all()
    found = [codec.decode(row.snapshot, Response) for row in rows[:limit]]
    return found, write_cursor(rows[limit - 1].ordinal) if len(rows) > limit else None


def thread_runs(db: Connection, thread_id: str) -> list[Response]:
    """See `Store.thread_runs`."""
    snapshots = db.scalars(_OF_THREAD, {"id": thread_id}).all()
    if not snapshots:
        raise no_such_thread(thread_id)
    return [codec.decode(snapshot, Response) for snapshot in snapshots if snapshot is not None]


def live_run(db: Connection, thread_id: str) -> str | None:
    """See `Store.live_run`."""
    run_id: str | None = db.scalar(LIVE_RUN, {"id": thread_id})
    return run_id


def live_runs(db: Connection) -> list[StoredRun]:
    """See `Store.live_runs`."""
    return [_to_run(row) for row in db.execute(_ALL_LIVE)]


def project(db: Connection, projections: Sequence[Projection]) -> None:
    """See `Store.project`."""
    changes = (
        (_ARCHIVE, [_to_archive(each) for each in projections if each.archive]),
        (_TOUCH, [_to_touch(each.response) for each in projections if each.response.status in ENDED]),
        (_PROJECT, [_to_snapshot(each.response) for each in projections]),
    )
    for statement, values in changes:
        if values:
            db.execute(statement, values)


def archived(db: Connection, run_id: str, after: int) -> Iterator[Batch] | None:
    """See `Store.archived`."""
    data = db.scalar(_ARCHIVED, {"id": run_id})
    return archive.unpack(run_id, data, after) if data is not None else None


def ping(db: Connection) -> None:
    """See `Store.ping`."""
    db.scalar(_ANY)


def _insert(db: Connection, run: StoredRun, new_thread: Thread | None) -> None:
    if new_thread is not None:
        insert_thread(db, new_thread)
    db.execute(_INSERT, _to_row(run))


def _find_run(db: Connection, run_id: str) -> StoredRun | None:
    row = db.execute(_GET, {"id": run_id}).one_or_none()
    return _to_run(row) if row is not None else None


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


def _to_snapshot(response: Response) -> dict[str, Any]:
    return {
        "id": response.id,
        "seq": response.last_seq,
        "new_status": response.status,
        "new_live": response.status not in ENDED,
        "new_snapshot": codec.encode(response),
    }


def _to_touch(response: Response) -> dict[str, Any]:
    return {"id": response.id, "seq": response.last_seq, "at": response.updated_at}


def _to_archive(projection: Projection) -> dict[str, Any]:
    response = projection.response
    return {"id": response.id, "seq": response.last_seq, "archive": archive.pack(projection.archive or ())}
