"""Alembic's entry: runs migrations on the connection that `apply.migrate` was given."""

from alembic import context

from tokenroll.store import schema

context.configure(
    connection=context.config.attributes["connection"], target_metadata=schema.metadata, render_as_batch=True
)
context.run_migrations()
