"""Coverage, episodes, health and pulses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "coverage",
        sa.Column("id", sa.String(), primary_key=True),
        *_texts("run", "room", "source"),
        *_times("started_at", "ended_at"),
        *_numbers("heard_s", "lost_s"),
        sa.Column("late", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), nullable=False),
        *_texts("embedder", "models"),
        *_numbers("threshold"),
        *_texts("state"),
        sa.Column("why", sa.String()),
    )
    op.create_index("coverage_by_time", "coverage", ["room", "started_at"])
    op.create_table(
        "episodes",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("coverage_id", sa.String(), sa.ForeignKey("coverage.id"), nullable=False),
        *_texts("room", "source"),
        *_times("started_at", "ended_at"),
        *_numbers("start_s", "end_s", "peak", "mean", "threshold"),
        *_texts("models"),
        sa.Column("reasons", sa.JSON()),
        *_texts("state"),
    )
    op.create_index("episodes_by_time", "episodes", ["room", "started_at"])
    op.create_table(
        "health",
        sa.Column("id", sa.String(), primary_key=True),
        *_texts("run"),
        *_times("at"),
        *_texts("room", "source", "state", "words"),
    )
    op.create_index("health_by_time", "health", ["at"])
    op.create_table(
        "pulses",
        sa.Column("room", sa.String(), primary_key=True),
        *_texts("run", "source"),
        *_times("at"),
        *_texts("state", "words"),
        sa.Column("sound_at", sa.DateTime(timezone=True)),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        *_numbers("level_dbfs", "peak_dbfs"),
        sa.Column("clipped", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), nullable=False),
        *_numbers("silent_s", "stuck_s", "score", "threshold"),
        sa.Column("late", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), nullable=False),
        *_numbers("lost_s"),
    )


def downgrade() -> None:
    """Remove them, with all that they hold."""
    for table in ("pulses", "health", "episodes", "coverage"):
        op.drop_table(table)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double(), nullable=False) for name in names]


def _times(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=False) for name in names]
