"""Make all tables of the first version."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "price_revisions",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("open", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("close", sa.Double(), nullable=True),
        sa.Column("volume", sa.Double(), nullable=True),
        sa.Column("known_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint(
            "source_id", "ticker", "session", "known_at", name="pk_price_revisions"
        ),
    )
    op.create_table(
        "action_revisions",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("known_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint(
            "source_id", "ticker", "session", "kind", "known_at", name="pk_action_revisions"
        ),
    )
    op.create_table(
        "findings",
        sa.Column("universe", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("column", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(
            "universe",
            "recipe",
            "target",
            "ticker",
            "cutoff",
            "rule",
            "session",
            "column",
            name="pk_findings",
        ),
    )
    op.create_index("ix_findings_universe_cutoff", "findings", ["universe", "cutoff"])
    op.create_table(
        "checks",
        sa.Column("universe", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("reasons", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(
            "universe", "recipe", "target", "ticker", "cutoff", name="pk_checks"
        ),
    )
    op.create_index("ix_checks_universe_cutoff", "checks", ["universe", "cutoff"])
    op.create_table(
        "datasets",
        sa.Column("universe", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("dataset_cutoff", sa.Date(), nullable=True),
        sa.Column("dataset", sa.Text(), nullable=True),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(
            "universe", "recipe", "target", "ticker", "cutoff", "role", name="pk_datasets"
        ),
    )
    op.create_index("ix_datasets_universe_cutoff", "datasets", ["universe", "cutoff"])
    op.create_table(
        "models",
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=True),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("ticker", sa.Text(), nullable=True),
        sa.Column("training_cutoff", sa.Date(), nullable=True),
        sa.Column("dataset", sa.Text(), nullable=True),
        sa.Column("config_hash", sa.Text(), nullable=True),
        sa.Column("epochs", sa.BigInteger(), nullable=False),
        sa.Column("best_epoch", sa.BigInteger(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("model_id", name="pk_models"),
    )
    op.create_index("ix_models_ticker_training_cutoff", "models", ["ticker", "training_cutoff"])
    op.create_table(
        "evaluations",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("rmse", sa.Double(), nullable=True),
        sa.Column("mae", sa.Double(), nullable=True),
        sa.Column("mase", sa.Double(), nullable=True),
        sa.Column("directional_accuracy", sa.Double(), nullable=True),
        sa.Column("coverage_80", sa.Double(), nullable=True),
        sa.Column("coverage_95", sa.Double(), nullable=True),
        sa.Column("half_width_80", sa.Double(), nullable=True),
        sa.Column("half_width_95", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("dataset", "model", "split", "horizon", name="pk_evaluations"),
    )
    op.create_table(
        "predictions",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("y_hat", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("dataset", "model", "horizon", name="pk_predictions"),
    )
    op.create_table(
        "promotions",
        sa.Column("universe", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("champion", sa.Text(), nullable=True),
        sa.Column("model_id", sa.Text(), nullable=True),
        sa.Column("training_cutoff", sa.Date(), nullable=True),
        sa.Column("test_sessions", sa.BigInteger(), nullable=False),
        sa.Column("test_rmse", sa.Double(), nullable=True),
        sa.Column("naive_test_rmse", sa.Double(), nullable=True),
        sa.Column("skill", sa.Double(), nullable=True),
        sa.Column("reasons", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(
            "universe", "recipe", "target", "ticker", "cutoff", name="pk_promotions"
        ),
    )
    op.create_index("ix_promotions_universe_cutoff", "promotions", ["universe", "cutoff"])
    op.create_table(
        "forecasts",
        sa.Column("universe", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.Date(), nullable=True),
        sa.Column("last_value", sa.Double(), nullable=True),
        sa.Column("y_hat", sa.Double(), nullable=True),
        sa.Column("lower_80", sa.Double(), nullable=True),
        sa.Column("upper_80", sa.Double(), nullable=True),
        sa.Column("lower_95", sa.Double(), nullable=True),
        sa.Column("upper_95", sa.Double(), nullable=True),
        sa.Column("champion", sa.Text(), nullable=True),
        sa.Column("model_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(
            "universe", "recipe", "target", "ticker", "cutoff", "horizon", name="pk_forecasts"
        ),
    )
    op.create_index("ix_forecasts_universe_cutoff", "forecasts", ["universe", "cutoff"])
    op.create_index("ix_forecasts_universe_session", "forecasts", ["universe", "session"])
    op.create_table(
        "scores",
        sa.Column("universe", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.Date(), nullable=True),
        sa.Column("champion", sa.Text(), nullable=True),
        sa.Column("y_hat", sa.Double(), nullable=True),
        sa.Column("actual", sa.Double(), nullable=True),
        sa.Column("error", sa.Double(), nullable=True),
        sa.Column("naive_error", sa.Double(), nullable=True),
        sa.Column("inside_80", sa.Boolean(), nullable=False),
        sa.Column("inside_95", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "universe", "recipe", "target", "ticker", "cutoff", "horizon", name="pk_scores"
        ),
    )
    op.create_index("ix_scores_universe_cutoff", "scores", ["universe", "cutoff"])
