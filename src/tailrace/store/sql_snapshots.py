"""Snapshots in SQL: rows that hold a run, read whole, with the large items that are kept beside them."""

from collections.abc import Iterable, Sequence
from typing import Any

import zstandard
from sqlalchemy import Connection, bindparam, delete, insert, select

from tailrace.schema import codec
from tailrace.schema.request import RunRequest
from tailrace.schema.response import Response
from tailrace.store import large
from tailrace.store.base import StoredRun
from tailrace.store.tables import large_items, runs

# What a query asks of `runs`, for `read_responses` and for `read_runs`.
RESPONSE = (runs.c.run_id, runs.c.snapshot, runs.c.large)
RUN = (*RESPONSE, runs.c.request, runs.c.digest)

_ITEMS = select(large_items.c.run_id, large_items.c.digest, large_items.c.data).where(
    large_items.c.run_id.in_(bindparam("ids", expanding=True))
)
_DIGESTS = select(large_items.c.digest).where(large_items.c.run_id == bindparam("id"))
_INSERT = insert(large_items)
_DELETE = delete(large_items).where(
    large_items.c.run_id == bindparam("id"), large_items.c.digest == bindparam("unused")
)


def read_responses(db: Connection, rows: Sequence[Any]) -> list[Response]:
    """The Responses in these rows. One more query where an item of any of them is large."""
    ids = [row.run_id for row in rows if row.large]
    items: dict[str, dict[str, bytes]] = {run_id: {} for run_id in ids}
    if ids:
        for run_id, digest, data in db.execute(_ITEMS, {"ids": ids}):
            items[run_id][digest] = zstandard.ZstdDecompressor().decompress(data)
    return [large.join(row.snapshot, row.large, items.get(row.run_id, {})) for row in rows]


def read_runs(db: Connection, rows: Sequence[Any]) -> list[StoredRun]:
    """The runs in these rows."""
    responses = read_responses(db, rows)
    return [
        StoredRun(request=codec.decode(row.request, RunRequest), digest=row.digest, response=response)
        for row, response in zip(rows, responses, strict=True)
    ]


def write_items(db: Connection, run_id: str, split: large.Split) -> None:
    """Have the large items of this snapshot kept and no others. What is there already is not written again."""
    stored, needed = set(db.scalars(_DIGESTS, {"id": run_id})), large.digests(split.places)
    added = [(digest, split.items[digest]) for digest in sorted(needed - stored)]
    _each(db, _INSERT, [{"run_id": run_id, "digest": digest, "data": _compressed(data)} for digest, data in added])
    _each(db, _DELETE, [{"id": run_id, "unused": digest} for digest in stored - needed])


def _compressed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def _each(db: Connection, statement: Any, values: Iterable[dict[str, Any]]) -> None:
    values = list(values)
    if values:
        db.execute(statement, values)
