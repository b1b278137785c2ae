"""Alembic's entry point: `antiphon.records.upgrade` hands over a connection in a transaction."""

from alembic import context

from antiphon.records.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
