"""Alerts, and their way to each channel."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("room", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("held", sa.String()),
    )
    op.create_index("alerts_by_time", "alerts", ["room", "at"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("alert_id", sa.String(), sa.ForeignKey("alerts.id"), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), nullable=False),
        sa.Column("error", sa.String()),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("delay_s", sa.Double()),
    )
    op.create_index("deliveries_waiting", "deliveries", ["state"])


def downgrade() -> None:
    """Remove them, with all that they hold."""
    op.drop_table("deliveries")
    op.drop_table("alerts")
