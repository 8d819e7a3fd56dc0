"""Minutes, kept sound, what people say of the history, and how channels are doing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "minutes",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("room", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_s", sa.Double(), nullable=False),
        sa.Column("crying_s", sa.Double(), nullable=False),
        sa.Column("level_dbfs", sa.Double(), nullable=False),
        sa.Column("peak_dbfs", sa.Double(), nullable=False),
        sa.Column("best", sa.Double(), nullable=False),
        sa.Column("best_at", sa.DateTime(timezone=True)),
        sa.Column("threshold", sa.Double(), nullable=False),
    )
    op.create_index("minutes_by_time", "minutes", ["room", "started_at"])
    op.create_table(
        "kept_sounds",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("episode_id", sa.String(), sa.ForeignKey("episodes.id")),
        sa.Column("room", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True)),
        sa.Column("gone_why", sa.String()),
    )
    op.create_index("kept_sounds_by_time", "kept_sounds", ["room", "started_at"])
    op.create_table(
        "marks",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("words", sa.String()),
    )
    op.create_index("marks_by_about", "marks", ["about", "at"])
    op.create_table(
        "channels",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True)),
        sa.Column("accepted_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.String()),
        sa.Column("probe_every_s", sa.Double()),
    )


def downgrade() -> None:
    """Remove them, with all that they hold."""
    for table in ("channels", "marks", "kept_sounds", "minutes"):
        op.drop_table(table)
