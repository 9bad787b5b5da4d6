"""Keep events that are known beforehand: dates of reports and declared dividends."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "event_revisions",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("announced_at", sa.DateTime(), nullable=True),
        sa.Column("known_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint(
            "source_id", "ticker", "session", "kind", "known_at", name="pk_event_revisions"
        ),
    )
    op.create_table(
        "event_readings",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("session", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("source_id", "ticker", name="pk_event_readings"),
    )
