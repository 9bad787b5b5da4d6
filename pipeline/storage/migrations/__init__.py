"""The store's schema, one revision after the other.

Alembic applies them; `pipeline.storage.database` asks for it. A new revision is a file in
`versions/` that continues the newest. Its id comes at the end of `REVISIONS`, and the tables in
`pipeline.tables` are brought into line (`tests/storage/test_migrations.py` compares the two).
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

#: All revisions, oldest first. They stand here so that an up-to-date store opens without importing
#: Alembic.
REVISIONS = tuple(f"{number:04}" for number in range(1, 13))
#: A name of its own: Alembic is also at work in Airflow's and MLflow's databases, and people do
#: share one.
VERSION_TABLE = "stockcast_version"


def upgrade(connection: sa.Connection) -> None:
    """Bring the schema to the newest revision inside the connection's open transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    # Config interpolates "%", which a folder's name may contain.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
