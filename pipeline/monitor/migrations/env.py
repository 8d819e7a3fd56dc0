"""Run by Alembic: the connection is the store's own, which holds the lock."""

from __future__ import annotations

from alembic import context

from pipeline.monitor.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,  # killed on the way, a migration leaves nothing behind
    render_as_batch=True,  # SQLite cannot change a column in place
)
with context.begin_transaction():
    context.run_migrations()
