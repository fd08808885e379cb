"""Threads in SQL: each function is the work of one transaction (`store.database`).

Statements are built once, with names for their values: building one costs more than the database takes to carry it out.
"""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, literal, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from tailrace.schema import codec
from tailrace.schema.errors import Conflict, NotFound
from tailrace.store.base import Thread
from tailrace.store.cursors import read_cursor, write_cursor
from tailrace.store.tables import thread_tags, threads

_BLOBS = ("tags", "metadata")
_INSERT = insert(threads).inline()
_INSERT_TAGS = insert(thread_tags).inline()
_GET = select(threads).where(threads.c.thread_id == bindparam("id"))
_LIST = select(threads).order_by(threads.c.updated_at.desc(), threads.c.thread_id.desc())
_UPDATE = update(threads).where(threads.c.thread_id == bindparam("id"))
_DELETE_TAGS = delete(thread_tags).where(thread_tags.c.thread_id == bindparam("id"))


def create_thread(db: Connection, thread: Thread) -> None:
    """See `Store.create_thread`."""
    try:
        insert_threads(db, [thread])
    except IntegrityError:
        raise Conflict(f"there is a thread {thread.thread_id!r} already") from None


def insert_threads(db: Connection, new: Sequence[Thread]) -> None:
    """With their tags. Raises IntegrityError where an id is taken."""
    if new:
        db.execute(_INSERT, [_to_columns(asdict(thread)) for thread in new])
    for thread in new:
        _insert_tags(db, thread)


def get_thread(db: Connection, thread_id: str) -> Thread:
    """See `Store.get_thread`."""
    thread = find_thread(db, thread_id)
    if thread is None:
        raise no_such_thread(thread_id)
    return thread


def find_thread(db: Connection, thread_id: str) -> Thread | None:
    """The thread, where there is one."""
    row = db.execute(_GET, {"id": thread_id}).one_or_none()
    return _to_thread(row) if row is not None else None


def no_such_thread(thread_id: str) -> NotFound:
    """The error that says so."""
    return NotFound(f"there is no thread {thread_id!r}")


def list_threads(db: Connection, tag: str | None, limit: int, cursor: str | None) -> tuple[list[Thread], str | None]:
    """See `Store.list_threads`."""
    query = _LIST.limit(limit + 1)
    if tag is not None:
        query = query.where(threads.c.thread_id.in_(select(thread_tags.c.thread_id).where(thread_tags.c.tag == tag)))
    if cursor is not None:
        at, thread_id = read_cursor(cursor, tuple[int, str])
        place = tuple_(literal(at, BigInteger), literal(thread_id, threads.c.thread_id.type))
        query = query.where(tuple_(threads.c.updated_at, threads.c.thread_id) < place)
    rows = db.execute(query).all()
    found = [_to_thread(row) for row in rows[:limit]]
    return found, write_cursor((found[-1].updated_at, found[-1].thread_id)) if len(rows) > limit else None


def update_thread(db: Connection, thread_id: str, changes: dict[str, Any], updated_at: int) -> Thread:
    """See `Store.update_thread`."""
    db.execute(_UPDATE, {"id": thread_id, **_to_columns(changes), "updated_at": updated_at})
    thread = get_thread(db, thread_id)
    if "tags" in changes:
        db.execute(_DELETE_TAGS, {"id": thread_id})
        _insert_tags(db, thread)
    return thread


def _insert_tags(db: Connection, thread: Thread) -> None:
    if thread.tags:
        rows = [{"tag": tag, "thread_id": thread.thread_id} for tag in dict.fromkeys(thread.tags)]
        db.execute(_INSERT_TAGS, rows)


def _to_thread(row: Any) -> Thread:
    fields = row._asdict()
    for name in _BLOBS:
        if fields[name] is not None:
            fields[name] = codec.decode_any(fields[name])
    return Thread(**fields)


def _to_columns(fields: dict[str, Any]) -> dict[str, Any]:
    encoded = {name: codec.encode(fields[name]) for name in _BLOBS if fields.get(name) is not None}
    return {**fields, **encoded}
