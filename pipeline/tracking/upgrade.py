"""MLflow's own tables, brought to the installed version:

    MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://... python -m pipeline.tracking.upgrade

`mlflow db upgrade` takes the URL with its password on the command line, which everyone on the
machine can read.
"""

from __future__ import annotations

import os
import sys

from pipeline.errors import SettingsError
from pipeline.tracking.mlflow_database import database_of, make_folder, prepare_tables

#: The variable that MLflow's own server reads its database from.
VARIABLE = "MLFLOW_BACKEND_STORE_URI"


def main() -> int:
    """Upgrade the database that the variable names; return the exit code."""
    database = database_of(os.environ.get(VARIABLE, ""))
    if database is None:
        raise SettingsError(f"{VARIABLE} names an MLflow server, which upgrades its own database.")
    make_folder(database)
    prepare_tables(database, database.render_as_string(hide_password=True), upgrade=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
