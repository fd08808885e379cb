"""Run by Alembic: carries the migrations out on the connection that `migrate` gives, in its transaction."""

from alembic import context

from tailrace.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
