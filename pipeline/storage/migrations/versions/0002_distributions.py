"""Make forecasts distributions: quantiles, calibration, drift, requests of runs, search trials.

Forecasts, scores and promotions made before keep all they had, with nothing in the new columns.
Evaluations and predictions are made again from the networks, which are kept, so these two tables
begin empty.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

RUN_KEY = ("universe", "recipe", "target", "ticker")


def upgrade() -> None:
    op.add_column("datasets", sa.Column("known_at", sa.DateTime(), nullable=True))
    op.drop_table("evaluations")
    op.create_table(
        "evaluations",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        *_numbers(
            "rmse",
            "mae",
            "mase",
            "directional_accuracy",
            "pinball",
            "coverage_50",
            "coverage_80",
            "coverage_95",
        ),
        sa.PrimaryKeyConstraint("dataset", "model", "split", "horizon", name="pk_evaluations"),
    )
    op.drop_table("predictions")
    op.create_table(
        "predictions",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        *_numbers("q025", "q100", "q250", "q500", "q750", "q900", "q975"),
        sa.PrimaryKeyConstraint("dataset", "model", "horizon", name="pk_predictions"),
    )
    for table, names in {
        "promotions": ("weight", "test_pinball", "ewma_test_pinball", "pinball_skill"),
        "forecasts": ("lower_50", "upper_50"),
        "scores": ("pinball", "ewma_pinball"),
    }.items():
        for column in _numbers(*names):
            op.add_column(table, column)
    op.add_column("promotions", sa.Column("baseline", sa.Text(), nullable=True))
    kinds, levels = ("raw_coverage", "coverage", "growth"), (50, 80, 95)
    op.create_table(
        "calibrations",
        *_run_key(),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        *_numbers(*(f"{kind}_{level}" for kind in kinds for level in levels)),
        sa.PrimaryKeyConstraint(*RUN_KEY, "cutoff", "horizon", name="pk_calibrations"),
    )
    op.create_index("ix_calibrations_universe_cutoff", "calibrations", ["universe", "cutoff"])
    op.create_table(
        "drift",
        *_run_key(),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        *_numbers("coverage_80", "coverage_95", "pinball_skill", "psi"),
        sa.Column("warnings", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(*RUN_KEY, "cutoff", name="pk_drift"),
    )
    op.create_index("ix_drift_universe_cutoff", "drift", ["universe", "cutoff"])
    op.create_table(
        "runs",
        *_run_key(),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("known_at", sa.DateTime(), nullable=True),
        *(
            sa.Column(name, sa.Text(), nullable=True)
            for name in ("request", "settings", "code_version", "libraries")
        ),
        sa.PrimaryKeyConstraint(*RUN_KEY, "cutoff", name="pk_runs"),
    )
    op.create_index("ix_runs_universe_cutoff", "runs", ["universe", "cutoff"])
    op.create_table(
        "trials",
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        *_numbers("value"),
        sa.Column("params", sa.Text(), nullable=True),
        sa.Column("intermediate", sa.Text(), nullable=True),
        *_numbers("seconds"),
        sa.PrimaryKeyConstraint("study", "fingerprint", "number", name="pk_trials"),
    )


def _numbers(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Double(), nullable=True) for name in names]


def _run_key() -> list[sa.Column[Any]]:
    return [
        *(sa.Column(name, sa.Text(), nullable=False) for name in RUN_KEY),
        sa.Column("cutoff", sa.Date(), nullable=False),
    ]
