"""Read by Alembic. Runs in the connection that `store.migrate` gives."""

from alembic import context

from incident_manager.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
