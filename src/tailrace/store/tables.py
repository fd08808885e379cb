"""The store's tables. What leads to them from an earlier version stands in migrations/versions.

JSON is kept as bytes, as `codec` writes it. `runs.ordinal` counts runs in the order they were made. `runs.live` is true
until the run has ended; the partial unique index on it is what keeps a thread to one live run (those aside that go on
from a run they name), whoever races. `runs.large` says which of the snapshot's items stand in `large_items`
(`store.large`). `runs.kept` is false for runs that are forgotten when they have ended. A run that is queued and not
live waits for its turn behind the one that holds its thread.
"""

import re
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy import Text as AnyText
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.compiler import DDLCompiler

REVISION = "0003"  # the newest in migrations/versions: what these tables are


class _WithNul(TypeDecorator[str]):
    r"""Text for PostgreSQL, whose text takes any character but U+0000: that one is written `\0`, and `\` as `\\`."""

    impl = AnyText
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """As it is written."""
        return None if value is None else value.replace("\\", "\\\\").replace("\0", "\\0")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """As it was."""
        if value is None or "\\" not in value:
            return value
        return re.sub(r"\\(.)", lambda escaped: "\0" if escaped[1] == "0" else "\\", value)


Text = AnyText().with_variant(_WithNul(), "postgresql")


@compiles(CreateIndex)
def _create_index(create: CreateIndex, compiler: DDLCompiler, **options: Any) -> str:
    """With the condition in the index's `info`. (SQLAlchemy's own `postgresql_where` loads what PostgreSQL needs, 3 MB,
    into servers that have none.)"""
    made: str = compiler.visit_create_index(create, **options)  # type: ignore[no-untyped-call]  # SQLAlchemy has none
    where = create.element.info.get("where")
    return f"{made} WHERE {where}" if where else made


metadata = MetaData()

threads = Table(
    "threads",
    metadata,
    Column("thread_id", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("model_id", Text),
    Column("provider_id", Text),
    Column("agent_id", Text),
    Column("title", Text),
    Column("summary", Text),
    Column("tags", LargeBinary),
    Column("metadata", LargeBinary),
    Index("threads_by_update", "updated_at", "thread_id"),
)

thread_tags = Table(
    "thread_tags",
    metadata,
    Column("tag", Text, primary_key=True),
    Column("thread_id", Text, ForeignKey("threads.thread_id"), primary_key=True),
    Index("thread_tags_by_thread", "thread_id"),
)

UNKEPT = "NOT kept"
EXCLUSIVE = "live AND previous_run_id IS NULL"

runs = Table(
    "runs",
    metadata,
    Column("ordinal", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run_id", Text, nullable=False, unique=True),
    Column("thread_id", Text, ForeignKey("threads.thread_id"), nullable=False),
    Column("status", Text, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("digest", Text, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("snapshot", LargeBinary, nullable=False),
    Column("previous_run_id", Text),
    Column("kept", Boolean, nullable=False, server_default=text("true")),
    Column("large", LargeBinary),
    Index("runs_by_thread", "thread_id", "ordinal"),
    Index("runs_by_status", "status", "ordinal"),
    Index("runs_not_kept", "run_id", info={"where": UNKEPT}),
    Index("one_live_run", "thread_id", unique=True, info={"where": EXCLUSIVE}),
)

large_items = Table(
    "large_items",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

inputs = Table(
    "inputs",
    metadata,
    Column("ordinal", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
    Column("delivery_id", Text, nullable=False),
    Column("content", Text, nullable=False),
    UniqueConstraint("run_id", "delivery_id"),
)

outputs = Table(
    "outputs",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("call_id", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

archives = Table(
    "archives",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("ended_at", BigInteger),
    Index("archives_by_end", "ended_at"),
)

doomed_logs = Table("doomed_logs", metadata, Column("run_id", Text, primary_key=True))
