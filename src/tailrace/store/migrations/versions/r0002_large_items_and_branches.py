"""Large items beside the snapshots, runs that go on from a run they name, the end of archives."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

UNKEPT = sa.text("NOT kept")
EXCLUSIVE = sa.text("live AND previous_run_id IS NULL")


def upgrade() -> None:
    """Add what is new; nothing is copied."""
    op.add_column("runs", sa.Column("previous_run_id", sa.Text))
    op.add_column("runs", sa.Column("kept", sa.Boolean, nullable=False, server_default=sa.text("true")))
    op.add_column("runs", sa.Column("large", sa.LargeBinary))
    op.drop_index("one_live_run", "runs")
    op.create_index(
        "one_live_run", "runs", ["thread_id"], unique=True, sqlite_where=EXCLUSIVE, postgresql_where=EXCLUSIVE
    )
    op.create_index("runs_not_kept", "runs", ["run_id"], sqlite_where=UNKEPT, postgresql_where=UNKEPT)
    op.create_table(
        "large_items",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.add_column("archives", sa.Column("ended_at", sa.BigInteger))
    # A run's end has touched its thread: what is already there is kept a little longer than it need be, never shorter.
    op.execute(
        "UPDATE archives SET ended_at = (SELECT threads.updated_at FROM runs"
        " JOIN threads ON threads.thread_id = runs.thread_id WHERE runs.run_id = archives.run_id)"
    )
    op.create_index("archives_by_end", "archives", ["ended_at"])
    if op.get_bind().dialect.name == "postgresql":
        for table in ("large_items", "archives"):  # compressed already: PostgreSQL need not try
            op.execute(f"ALTER TABLE {table} ALTER COLUMN data SET STORAGE EXTERNAL")
