"""Scores are found by their session: what is watched are the newest, however many there are."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index("ix_scores_universe_session", "scores", ["universe", "session"])
