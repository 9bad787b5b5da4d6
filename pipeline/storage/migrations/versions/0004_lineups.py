"""Store the lineup of a run; let a dataset name its training part.

Datasets stored before name none, so their windows are built again when their session is repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = ("universe", "recipe", "target", "ticker", "cutoff")


def upgrade() -> None:
    op.add_column("datasets", sa.Column("learnt", sa.Text(), nullable=True))
    columns = [sa.Column(name, sa.Text(), nullable=False) for name in KEY[:-1]]
    op.create_table(
        "lineups",
        *columns,
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=True),
        sa.Column("lineup", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(*KEY, name="pk_lineups"),
    )
    op.create_index("ix_lineups_universe_cutoff", "lineups", ["universe", "cutoff"])
