"""What goes away, in SQL: each function is the work of one transaction (`store.database`)."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select
from sqlalchemy.sql.dml import UpdateBase

from tailrace.schema.errors import Conflict, NotFound
from tailrace.store.sql_threads import no_such_thread
from tailrace.store.tables import archives, doomed_logs, inputs, large_items, outputs, runs, thread_tags, threads

# A thread that is locked takes on no run: one that is being made refers to it, and waits.
_THREAD = select(threads.c.thread_id).where(threads.c.thread_id == bindparam("id")).with_for_update()
_OF_THREAD = select(runs.c.run_id, runs.c.live).where(runs.c.thread_id == bindparam("id")).order_by(runs.c.ordinal)
_RUN = select(runs.c.live).where(runs.c.run_id == bindparam("id")).with_for_update()


def _deletions(which: ColumnElement[bool]) -> tuple[UpdateBase, ...]:
    """What takes these runs away with all that is theirs, and dooms their logs."""
    ids = select(runs.c.run_id).where(which)
    return (
        insert(doomed_logs)
        .inline()
        .from_select(["run_id"], ids.where(runs.c.run_id.not_in(select(doomed_logs.c.run_id)))),
        delete(archives).where(archives.c.run_id.in_(ids)),
        *(delete(table).where(table.c.run_id.in_(ids)) for table in (large_items, inputs, outputs)),
        delete(runs).where(which),
    )


_DELETE_RUN = _deletions(runs.c.run_id == bindparam("id"))
_DELETE_THREAD = (
    *_deletions(runs.c.thread_id == bindparam("id")),
    delete(thread_tags).where(thread_tags.c.thread_id == bindparam("id")),
    delete(threads).where(threads.c.thread_id == bindparam("id")),
)
_UNKEPT = (
    select(runs.c.run_id)
    .join(archives, archives.c.run_id == runs.c.run_id)
    .where(~runs.c.kept, archives.c.ended_at < bindparam("before"))
    .order_by(archives.c.ended_at)
    .limit(bindparam("limit"))
)
_DOOMED = select(doomed_logs.c.run_id)
_GONE = delete(doomed_logs).where(doomed_logs.c.run_id == bindparam("id"))
_EXPIRE = delete(archives).where(
    archives.c.run_id.in_(
        select(archives.c.run_id)
        .where(archives.c.ended_at < bindparam("before"))
        .order_by(archives.c.ended_at)
        .limit(bindparam("limit"))
    )
)


def delete_thread(db: Connection, thread_id: str) -> list[str]:
    """See `Store.delete_thread`."""
    if db.scalar(_THREAD, {"id": thread_id}) is None:
        raise no_such_thread(thread_id)
    found = db.execute(_OF_THREAD, {"id": thread_id}).all()
    for row in found:
        if row.live:
            raise Conflict(f"thread {thread_id!r} has a live run", run_id=row.run_id)
    for statement in _DELETE_THREAD:
        db.execute(statement, {"id": thread_id})
    return [row.run_id for row in found]


def delete_run(db: Connection, run_id: str) -> None:
    """See `Store.delete_run`."""
    live = db.scalar(_RUN, {"id": run_id})
    if live is None:
        raise NotFound(f"there is no run {run_id!r}")
    if live:
        raise Conflict(f"run {run_id!r} has not ended", run_id=run_id)
    for statement in _DELETE_RUN:
        db.execute(statement, {"id": run_id})


def read_doomed_logs(db: Connection) -> list[str]:
    """See `Store.doomed_logs`."""
    return list(db.scalars(_DOOMED))


def logs_deleted(db: Connection, run_ids: Sequence[str]) -> None:
    """See `Store.logs_deleted`."""
    if run_ids:
        db.execute(_GONE, [{"id": run_id} for run_id in run_ids])


def read_unkept(db: Connection, ended_before_ms: int, limit: int) -> list[str]:
    """See `Store.unkept`."""
    return list(db.scalars(_UNKEPT, {"before": ended_before_ms, "limit": limit}))


def apply_retention(db: Connection, older_than_ms: int, limit: int) -> int:
    """See `Store.apply_retention`."""
    return db.execute(_EXPIRE, {"before": older_than_ms, "limit": limit}).rowcount
