"""Keep the currency of each ticker's prices."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "price_currencies",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("known_at", sa.DateTime(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("source_id", "ticker", "known_at", name="pk_price_currencies"),
    )
