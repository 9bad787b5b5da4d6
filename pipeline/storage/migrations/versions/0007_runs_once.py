"""Keep each run once: until now each of its tickers had a row with all that was asked for."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

SERIES = ("universe", "recipe", "target")
TEXTS = ("source_id", "request", "settings", "code_version", "libraries")
SHARED = (*SERIES, "cutoff", "known_at", *TEXTS)


def upgrade() -> None:
    key = (*SERIES, "ticker", "cutoff")
    op.create_table(
        "run_tickers",
        *(sa.Column(name, sa.Text(), nullable=False) for name in (*SERIES, "ticker")),
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(*key, name="pk_run_tickers"),
    )
    by_cutoff = [*SERIES, "cutoff"]
    op.create_index(f"ix_run_tickers_{'_'.join(by_cutoff)}", "run_tickers", by_cutoff)
    runs = _name_runs()
    op.drop_table("runs")
    kept = op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in SERIES),
        sa.Column("cutoff", sa.Date(), nullable=True),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("known_at", sa.DateTime(), nullable=True),
        *(sa.Column(name, sa.Text(), nullable=True) for name in TEXTS[1:]),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.bulk_insert(kept, runs)


def _name_runs() -> list[dict[str, object]]:
    """Return the different runs, and name for each ticker its own."""
    connection = op.get_bind()
    metadata = sa.MetaData()
    old = sa.Table("runs", metadata, autoload_with=connection)
    members = sa.Table("run_tickers", metadata, autoload_with=connection)
    shared = [old.c[name] for name in SHARED]
    runs = []
    for row in connection.execute(sa.select(*shared).distinct()).mappings().all():
        run = {"run_id": _digest(row), **row}
        same = [column.is_not_distinct_from(row[column.name]) for column in shared]
        columns = [*SERIES, "ticker", "cutoff"]
        of_run = sa.select(*(old.c[name] for name in columns), sa.literal(run["run_id"]))
        connection.execute(
            sa.insert(members).from_select([*columns, "run_id"], of_run.where(*same))
        )
        runs.append(run)
    return runs


def _digest(row: sa.RowMapping) -> str:
    """Return the run_id as `daily.publish` makes it, so that a run that is repeated is the same."""
    known_at = row["known_at"]
    moment = known_at and known_at.isoformat(timespec="microseconds")
    values = {**row, "cutoff": row["cutoff"].isoformat(), "known_at": moment}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
