"""Runs in SQL, with their snapshots and archives: each function is the work of one transaction (`store.database`).

Statements are built once, with names for their values: building one costs more than the database takes to carry it out.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, get_args

from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, insert, literal, select, text, update
from sqlalchemy.exc import IntegrityError

from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import Conflict, NotFound, TooLarge
from tailrace.schema.response import ENDED, Response, Status
from tailrace.store import archive
from tailrace.store.base import CHAIN_LIMIT, StoredRun, Thread
from tailrace.store.cursors import read_cursor, write_cursor
from tailrace.store.sql_snapshots import RESPONSE, RUN, read_responses, read_runs
from tailrace.store.sql_threads import find_thread, insert_threads, no_such_thread
from tailrace.store.tables import archives, runs, threads

_GOING = sorted(set(get_args(Status)) - ENDED)
_ID = runs.c.run_id == bindparam("id")
_KEPT: ColumnElement[bool] = runs.c.kept  # in a column of its own: no request is read to know

_INSERT = insert(runs).inline()
_GET = select(*RUN, exists().where(archives.c.run_id == runs.c.run_id).label("archived")).where(_ID)
_ALL_LIVE = select(*RUN).where(runs.c.status.in_(_GOING), runs.c.live).order_by(runs.c.ordinal)
_WAITS = (runs.c.status == "queued", ~runs.c.live)
_NEXT = select(runs.c.run_id).where(runs.c.thread_id == bindparam("id"), *_WAITS).order_by(runs.c.ordinal).limit(1)
_MAKE_LIVE = update(runs).where(runs.c.run_id == bindparam("id"), *_WAITS).values(live=True)
_WAITING = select(runs.c.thread_id).where(*_WAITS).distinct()
_WAITING_AMONG = _WAITING.where(runs.c.thread_id.in_(bindparam("ids", expanding=True)))
_LIVE_RUN = select(runs.c.run_id).where(
    runs.c.thread_id == bindparam("id"),
    text("runs.live AND runs.previous_run_id IS NULL"),  # as the index says it, so that SQLite finds that index
)
_LIST = select(runs.c.ordinal, *RESPONSE).where(_KEPT).order_by(runs.c.ordinal.desc())
_OF_THREAD = (  # a thread without runs is one row without a snapshot, no thread is no row
    select(*RESPONSE)
    .select_from(threads.outerjoin(runs, and_(runs.c.thread_id == threads.c.thread_id, _KEPT)))
    .where(threads.c.thread_id == bindparam("id"))
    .order_by(runs.c.ordinal)
)
_ARCHIVED = select(archives.c.data).where(archives.c.run_id == bindparam("id"))
_ANY = select(runs.c.ordinal).limit(1)

_LINK = (runs.c.run_id, runs.c.previous_run_id)
_last = select(*_LINK, literal(1).label("place")).where(_ID).cte("links", recursive=True)
_links = _last.union_all(
    select(*_LINK, _last.c.place + 1)
    .join(_last, runs.c.run_id == _last.c.previous_run_id)
    .where(_last.c.place <= CHAIN_LIMIT)
)
_CHAIN = select(_links.c.run_id, _links.c.previous_run_id).order_by(_links.c.place)
_SOME = select(*RESPONSE).where(runs.c.run_id.in_(bindparam("ids", expanding=True)))


class Taken(Exception):
    """Something stands in the way of a new run: its id, its thread's, the lack of one, or a live run."""


def insert_runs(db: Connection, new: Sequence[tuple[StoredRun, Thread | None]]) -> None:
    """`Store.create_run` of each run, with its thread where that is new, if nothing stands in the way of any: the
    database's constraints tell. Raises Taken."""
    try:
        insert_threads(db, [thread for _, thread in new if thread is not None])
        db.execute(_INSERT, [_to_row(run) for run, _ in new])
    except IntegrityError as error:
        raise Taken from error


def enqueue_run(db: Connection, run: StoredRun) -> StoredRun:
    """See `Store.enqueue_run`."""
    earlier = _find_run(db, run.request.run_id)
    if earlier is None:
        if find_thread(db, run.request.thread_id) is None:
            raise no_such_thread(run.request.thread_id)
        db.execute(_INSERT, {**_to_row(run), "live": False})
        return run
    if earlier.digest != run.digest:
        raise Conflict(f"run {run.request.run_id!r} was asked for with another body")
    return earlier


def next_run(db: Connection, thread_id: str) -> StoredRun | None:
    """See `Store.next_run`: the constraint on live runs decides between those who ask at once. Raises Taken."""
    run_id = db.scalar(_NEXT, {"id": thread_id}) if live_run(db, thread_id) is None else None
    if run_id is None:
        return None
    try:
        made = db.execute(_MAKE_LIVE, {"id": run_id}).rowcount
    except IntegrityError as error:
        raise Taken from error
    return _find_run(db, run_id) if made else None


def waiting_threads(db: Connection, among: Collection[str] | None = None) -> list[str]:
    """See `Store.waiting_threads`."""
    return list(db.scalars(_WAITING) if among is None else db.scalars(_WAITING_AMONG, {"ids": list(among)}))


def look_what_is_taken(db: Connection, run: StoredRun, new_thread: Thread | None) -> StoredRun | None:
    """What stands in the way of `Store.create_run`: the earlier run, or an error; None where nothing does any more."""
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
    live = live_run(db, request.thread_id) if request.previous_run_id is None else None
    if live is not None:
        raise Conflict(f"thread {request.thread_id!r} has a live run", run_id=live)
    return None


def get_run(db: Connection, run_id: str) -> StoredRun:
    """See `Store.get_run`."""
    run = _find_run(db, run_id)
    if run is None:
        raise _no_such_run(run_id)
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
    found = read_responses(db, rows[:limit])
    return found, write_cursor(rows[limit - 1].ordinal) if len(rows) > limit else None


def thread_runs(db: Connection, thread_id: str) -> list[Response]:
    """See `Store.thread_runs`."""
    rows = db.execute(_OF_THREAD, {"id": thread_id}).all()
    if not rows:
        raise no_such_thread(thread_id)
    return read_responses(db, [row for row in rows if row.snapshot is not None])


def chain(db: Connection, run_id: str) -> list[Response]:
    """See `Store.chain`. Snapshots are read only where all of them are there."""
    links = db.execute(_CHAIN, {"id": run_id}).all()
    if len(links) > CHAIN_LIMIT:
        raise TooLarge(f"more than {CHAIN_LIMIT} runs led to run {run_id!r}")
    missing = links[-1].previous_run_id if links else run_id
    if missing is not None:
        raise _no_such_run(missing)
    ids = [link.run_id for link in reversed(links)]
    found = {response.id: response for response in read_responses(db, db.execute(_SOME, {"ids": ids}).all())}
    return [found[run_id] for run_id in ids]


def live_run(db: Connection, thread_id: str) -> str | None:
    """See `Store.live_run`."""
    run_id: str | None = db.scalar(_LIVE_RUN, {"id": thread_id})
    return run_id


def live_runs(db: Connection) -> list[StoredRun]:
    """See `Store.live_runs`."""
    return read_runs(db, db.execute(_ALL_LIVE).all())


def archived(db: Connection, run_id: str, after: int) -> Iterator[Batch] | None:
    """See `Store.archived`."""
    data = db.scalar(_ARCHIVED, {"id": run_id})
    return archive.unpack(run_id, data, after) if data is not None else None


def ping(db: Connection) -> None:
    """See `Store.ping`."""
    db.scalar(_ANY)


def _find_run(db: Connection, run_id: str) -> StoredRun | None:
    row = db.execute(_GET, {"id": run_id}).one_or_none()
    if row is None:
        return None
    (run,) = read_runs(db, [row])
    return replace(run, expired=run.response.status in ENDED and not row.archived)


def _no_such_run(run_id: str) -> NotFound:
    return NotFound(f"there is no run {run_id!r}")


def _to_row(run: StoredRun) -> dict[str, Any]:
    return {
        "run_id": run.request.run_id,
        "thread_id": run.request.thread_id,
        "previous_run_id": run.request.previous_run_id,
        "kept": run.request.store,
        "status": run.response.status,
        "live": run.response.status not in ENDED,
        "digest": run.digest,
        "last_seq": run.response.last_seq,
        "request": codec.encode(run.request),
        "snapshot": codec.encode(run.response),
    }
