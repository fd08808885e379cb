"""What is said to runs while they work, and what their tools put out, in SQL: each function is the work of one
transaction (`store.database`)."""

import zstandard
from sqlalchemy import Connection, bindparam, insert, select

from tailrace.schema.errors import Conflict, NotFound
from tailrace.store.base import Input
from tailrace.store.tables import inputs, outputs

_ADD = insert(inputs).inline()
_ALL = (
    select(inputs.c.delivery_id, inputs.c.content).where(inputs.c.run_id == bindparam("id")).order_by(inputs.c.ordinal)
)
_SAID = select(inputs.c.content).where(inputs.c.run_id == bindparam("id"), inputs.c.delivery_id == bindparam("name"))
_SPOKEN_TO = select(inputs.c.run_id).distinct()
_KEEP = insert(outputs).inline()
_KEPT = select(outputs.c.data).where(outputs.c.run_id == bindparam("id"), outputs.c.call_id == bindparam("name"))


def add_input(db: Connection, run_id: str, said: Input) -> None:
    """See `Store.add_input`."""
    earlier = db.scalar(_SAID, {"id": run_id, "name": said.delivery_id})
    if earlier is None:
        db.execute(_ADD, {"run_id": run_id, "delivery_id": said.delivery_id, "content": said.text})
    elif earlier != said.text:
        raise Conflict(f"input {said.delivery_id!r} was sent with another text")


def read_spoken_to(db: Connection) -> list[str]:
    """The runs that something was said to."""
    return list(db.scalars(_SPOKEN_TO))


def read_inputs(db: Connection, run_id: str) -> list[Input]:
    """See `Store.inputs`."""
    return [Input(delivery_id=row.delivery_id, text=row.content) for row in db.execute(_ALL, {"id": run_id})]


def keep_output(db: Connection, run_id: str, call_id: str, data: bytes) -> None:
    """See `Store.keep_output`."""
    if db.scalar(_KEPT, {"id": run_id, "name": call_id}) is None:
        db.execute(_KEEP, {"run_id": run_id, "call_id": call_id, "data": zstandard.compress(data)})


def kept_output(db: Connection, run_id: str, call_id: str) -> bytes:
    """See `Store.kept_output`."""
    data: bytes | None = db.scalar(_KEPT, {"id": run_id, "name": call_id})
    if data is None:
        raise NotFound(f"no output of call {call_id!r} is kept beside run {run_id!r}")
    return zstandard.decompress(data)
