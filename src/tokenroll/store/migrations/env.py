"""Alembic's entry: runs migrations on the connection that `apply.migrate` was given. Importing it does nothing."""

from alembic import context

from tokenroll.store import schema

# Alembic sets `config` while it runs this file, and only then.
if (config := getattr(context, "config", None)) is not None:
    context.configure(connection=config.attributes["connection"], target_metadata=schema.metadata, render_as_batch=True)
    context.run_migrations()
