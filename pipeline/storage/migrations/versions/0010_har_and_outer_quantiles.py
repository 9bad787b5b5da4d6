"""Keep the losses of `har` beside the other baselines', and the 1% and the 99% quantile.

What an earlier version has stored has none of them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

ADDED = {
    "scores": ("har_pinball",),
    "promotions": ("har_test_pinball", "pinball_skill_over_har"),
    "forecasts": ("lower_98", "upper_98"),
    "publications": ("lower_98", "upper_98"),
}


def upgrade() -> None:
    for table, names in ADDED.items():
        for name in names:
            op.add_column(table, sa.Column(name, sa.Double(), nullable=True))
