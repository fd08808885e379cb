"""What the projector writes, in SQL: the work of one transaction (`store.database`).

Statements are built once, with names for their values: building one costs more than the database takes to carry it out.
Many runs are written in a handful of statements, however many they are.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.response import ENDED, Response
from tailrace.store import archive, large
from tailrace.store.base import Projection
from tailrace.store.sql_snapshots import write_items
from tailrace.store.tables import archives, runs, threads

LITTLE_BYTES = 32 << 10  # of snapshot and log: packed within a quarter of a millisecond

# The runs that are written to, each locked: of two projectors the second waits, and then sees what the first has done.
# In one order, so that neither waits for a run that the other holds while it holds one that the other waits for.
_LOCK = (
    select(runs.c.run_id, runs.c.last_seq, runs.c.large)
    .where(runs.c.run_id.in_(bindparam("ids", expanding=True)))
    .order_by(runs.c.ordinal)
    .with_for_update()
)
_PROJECT = (
    update(runs)
    .where(runs.c.run_id == bindparam("id"), runs.c.last_seq < bindparam("seq"))
    .values(
        status=bindparam("new_status"),
        live=bindparam("new_live"),
        snapshot=bindparam("new_snapshot"),
        large=bindparam("new_large"),
        last_seq=bindparam("seq"),
    )
)
_ARCHIVE = insert(archives).inline()
_TOUCH = (
    update(threads)
    .where(threads.c.thread_id == bindparam("id"), threads.c.updated_at < bindparam("at"))
    .values(updated_at=bindparam("at"))
)


class Encoded(NamedTuple):
    """A projection whose snapshot is JSON."""

    response: Response
    snapshot: bytes
    archive: Sequence[Batch] | None

    @property
    def is_little(self) -> bool:
        """Is it packed and written in a moment?"""
        size = len(self.snapshot) + sum(batch.size for batch in self.archive or ())
        return size <= LITTLE_BYTES


class _Row(NamedTuple):
    """A projection as it is written."""

    response: Response
    split: large.Split
    archive: bytes | None


def encode(each: Projection) -> Encoded:
    """Where the projection was made: it would hold the interpreter on a thread as well."""
    return Encoded(each.response, codec.encode(each.response), each.archive)


def project(db: Connection, projections: Sequence[Encoded]) -> None:
    """See `Store.project`."""
    rows = [_packed(each) for each in projections]  # before any row is locked: it may take a while
    stored = {row.run_id: row for row in db.execute(_LOCK, {"ids": [row.response.id for row in rows]})}
    newer = _newer(rows, {run_id: row.last_seq for run_id, row in stored.items()})
    if not newer:
        return
    db.execute(_PROJECT, [_to_snapshot(row) for row in newer])
    ended = [row for row in newer if row.response.status in ENDED]
    archived = [_to_archive(row) for row in ended if row.archive]
    if archived:
        db.execute(_ARCHIVE, archived)
    if ended:
        db.execute(_TOUCH, sorted(map(_to_touch, ended), key=lambda touch: str(touch["id"])))
    for row in newer:
        if row.split.places or stored[row.response.id].large:
            write_items(db, row.response.id, row.split)


def _packed(each: Encoded) -> _Row:
    packed = archive.pack(each.archive) if each.archive else None
    return _Row(each.response, large.split(each.response, each.snapshot), packed)


def _newer(rows: Sequence[_Row], seqs: dict[str, int]) -> list[_Row]:
    """Those that are newer than what is stored (its `last_seq` by run), or than another one of them."""
    newer = []
    for row in rows:
        if seqs.get(row.response.id, row.response.last_seq) < row.response.last_seq:
            seqs[row.response.id] = row.response.last_seq
            newer.append(row)
    return newer


def _to_snapshot(row: _Row) -> dict[str, object]:
    return {
        "id": row.response.id,
        "seq": row.response.last_seq,
        "new_status": row.response.status,
        "new_live": row.response.status not in ENDED,
        "new_snapshot": row.split.snapshot,
        "new_large": row.split.places,
    }


def _to_archive(row: _Row) -> dict[str, object]:
    response = row.response
    ended_at = response.completed_at or response.updated_at
    return {"run_id": response.id, "data": row.archive, "ended_at": ended_at}


def _to_touch(row: _Row) -> dict[str, object]:
    return {"id": row.response.thread_id, "at": row.response.updated_at}
