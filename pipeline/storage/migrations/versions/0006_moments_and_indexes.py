"""Keep the newest moment of each source and what was judged as of when; index whole series."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

BY_CUTOFF = (
    *("findings", "checks", "datasets", "promotions", "forecasts", "scores", "calibrations"),
    *("drift", "runs", "lineups", "publications"),
)
BY_SESSION = ("forecasts", "scores", "publications")


def upgrade() -> None:
    op.create_table(
        "price_sources",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("known_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("source_id", name="pk_price_sources"),
    )
    op.add_column("checks", sa.Column("known_at", sa.DateTime(), nullable=True))
    connection = op.get_bind()
    metadata = sa.MetaData()
    revisions = [
        sa.Table(name, metadata, autoload_with=connection)
        for name in ("price_revisions", "action_revisions")
    ]
    sources = sa.Table("price_sources", metadata, autoload_with=connection)
    moments = sa.union_all(*(sa.select(t.c.source_id, t.c.known_at) for t in revisions)).subquery()
    newest = sa.select(moments.c.source_id, sa.func.max(moments.c.known_at))
    rows = newest.group_by(moments.c.source_id)
    connection.execute(sa.insert(sources).from_select(["source_id", "known_at"], rows))
    for column, tables in (("cutoff", BY_CUTOFF), ("session", BY_SESSION)):
        for table in tables:
            names = ["universe", "recipe", "target", column]
            op.drop_index(f"ix_{table}_universe_{column}", table)
            op.create_index(f"ix_{table}_{'_'.join(names)}", table, names)
