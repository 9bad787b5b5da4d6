"""Keep every publication of a forecast, say which scores are of backfilled ones, keep decisions.

When a forecast stored before was published is not known. Its publication gets the earliest moment
that can be right, when the newest price behind it became known; one without a request, the end of
its last session. A score counts as in time where that moment is before the day that it is of.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KEY = ("universe", "recipe", "target", "ticker", "cutoff")
NUMBERS = ("last_value", "y_hat", *(f"{s}_{n}" for n in (50, 80, 95) for s in ("lower", "upper")))


def upgrade() -> None:
    op.create_table(
        "publications",
        *(sa.Column(name, sa.Text(), nullable=False) for name in KEY[:-1]),
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.Date(), nullable=True),
        *(sa.Column(name, sa.Double(), nullable=True) for name in NUMBERS),
        sa.Column("champion", sa.Text(), nullable=True),
        sa.Column("model_id", sa.Text(), nullable=True),
        sa.Column("published_at", sa.DateTime(), nullable=False),
        sa.Column("known_at", sa.DateTime(), nullable=True),
        sa.Column("published_by", sa.Text(), nullable=True),
        sa.Column("withdrawn", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(*KEY, "horizon", "published_at", name="pk_publications"),
    )
    for name in ("cutoff", "session"):
        op.create_index(f"ix_publications_universe_{name}", "publications", ["universe", name])
    _publish_what_is_stored()
    op.add_column("lineups", sa.Column("decision", sa.Text(), nullable=True))
    op.add_column("scores", sa.Column("published_at", sa.DateTime(), nullable=True))
    for table in ("scores", "drift"):
        # Rows that are there already need a value; what is written from now on brings its own.
        label = sa.Column[bool](
            "backfilled", sa.Boolean(), nullable=False, server_default=sa.true()
        )
        op.add_column(table, label)
    _date_scores()


def _publish_what_is_stored() -> None:
    connection = op.get_bind()
    forecasts = sa.Table("forecasts", sa.MetaData(), autoload_with=connection)
    runs = sa.Table("runs", sa.MetaData(), autoload_with=connection)
    publications = sa.Table("publications", sa.MetaData(), autoload_with=connection)
    names = [column.name for column in forecasts.c]
    same = sa.and_(*(forecasts.c[name] == runs.c[name] for name in KEY))
    day_after = (
        sa.cast(forecasts.c.cutoff, sa.DateTime()) + sa.literal_column("INTERVAL '1 day'")
        if connection.dialect.name == "postgresql"
        else sa.func.strftime("%Y-%m-%d %H:%M:%f000", forecasts.c.cutoff, "+1 day")
    )
    rows = sa.select(
        *(forecasts.c[name] for name in names),
        sa.func.coalesce(sa.type_coerce(runs.c.known_at, sa.DateTime()), day_after),
        runs.c.known_at,
        sa.literal("a version that kept no publications"),
        sa.literal(""),
    ).select_from(forecasts.outerjoin(runs, same))
    stamps = ["published_at", "known_at", "published_by", "withdrawn"]
    connection.execute(sa.insert(publications).from_select([*names, *stamps], rows))


def _date_scores() -> None:
    connection = op.get_bind()
    scores = sa.Table("scores", sa.MetaData(), autoload_with=connection)
    drift = sa.Table("drift", sa.MetaData(), autoload_with=connection)
    publications = sa.Table("publications", sa.MetaData(), autoload_with=connection)
    same = [scores.c[name] == publications.c[name] for name in (*KEY, "horizon")]
    moment = sa.select(publications.c.published_at).where(*same).scalar_subquery()
    connection.execute(sa.update(scores).values(published_at=moment))
    begin = (
        sa.cast(scores.c.session, sa.DateTime())
        if connection.dialect.name == "postgresql"
        else sa.func.strftime("%Y-%m-%d 00:00:00.000000", scores.c.session)
    )
    in_time = sa.type_coerce(scores.c.published_at, sa.DateTime()) < begin
    connection.execute(sa.update(scores).where(in_time).values(backfilled=sa.false()))
    of_series = [scores.c[name] == drift.c[name] for name in KEY[:-1]]
    judged = sa.exists().where(
        *of_series, scores.c.session <= drift.c.cutoff, scores.c.backfilled == sa.false()
    )
    connection.execute(sa.update(drift).where(judged).values(backfilled=sa.false()))
