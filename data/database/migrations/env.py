"""Runs migrations on the connection that `data.database.engine` hands over, in the caller's transaction."""

from alembic import context

from data.database.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
