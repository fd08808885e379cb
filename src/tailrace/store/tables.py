"""The store's tables. What leads to them from an earlier version stands in migrations/versions.

JSON is kept as bytes, as `codec` writes it. `runs.ordinal` counts runs in the order they were made. `runs.live` is true
until the run has ended; the partial unique index on it is what keeps a thread to one live run, whoever races.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

REVISION = "0001"  # the newest in migrations/versions: what these tables are

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
    Index("runs_by_thread", "thread_id", "ordinal"),
    Index("runs_by_status", "status", "ordinal"),
    Index("one_live_run", "thread_id", unique=True, sqlite_where=text("live"), postgresql_where=text("live")),
)

archives = Table(
    "archives",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

doomed_logs = Table("doomed_logs", metadata, Column("run_id", Text, primary_key=True))
