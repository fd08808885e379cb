"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "threads",
        sa.Column("thread_id", sa.Text, primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("model_id", sa.Text),
        sa.Column("provider_id", sa.Text),
        sa.Column("agent_id", sa.Text),
        sa.Column("title", sa.Text),
        sa.Column("summary", sa.Text),
        sa.Column("tags", sa.LargeBinary),
        sa.Column("metadata", sa.LargeBinary),
    )
    op.create_index("threads_by_update", "threads", ["updated_at", "thread_id"])
    op.create_table(
        "thread_tags",
        sa.Column("tag", sa.Text, primary_key=True),
        sa.Column("thread_id", sa.Text, sa.ForeignKey("threads.thread_id"), primary_key=True),
    )
    op.create_index("thread_tags_by_thread", "thread_tags", ["thread_id"])
    op.create_table(
        "runs",
        sa.Column("ordinal", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.Text, nullable=False, unique=True),
        sa.Column("thread_id", sa.Text, sa.ForeignKey("threads.thread_id"), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("snapshot", sa.LargeBinary, nullable=False),
    )
    op.create_index("runs_by_thread", "runs", ["thread_id", "ordinal"])
    op.create_index("runs_by_status", "runs", ["status", "ordinal"])
    op.create_index(
        "one_live_run",
        "runs",
        ["thread_id"],
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    )
    op.create_table(
        "archives",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table("doomed_logs", sa.Column("run_id", sa.Text, primary_key=True))
