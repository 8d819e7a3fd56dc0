"""Steps from one layout of the history to the next (Alembic)."""
