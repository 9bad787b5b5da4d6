"""Index scores by their session: the newest are watched, however many scores there are."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index("ix_scores_universe_session", "scores", ["universe", "session"])
