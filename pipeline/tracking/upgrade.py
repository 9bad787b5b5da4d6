"""MLflow's own tables, brought to the installed version, and the account of its administrator:

    MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://... MLFLOW_AUTH_ADMIN_USERNAME=admin \
        MLFLOW_AUTH_ADMIN_PASSWORD=... python -m pipeline.tracking.upgrade

MLflow's server makes the account at its first start, but never gives it another password. Without
a password, there is no account.

`mlflow db upgrade` takes the URL with its password on the command line, which everyone on the
machine can read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from pipeline.errors import SettingsError
from pipeline.tracking.mlflow_database import (
    BACKEND_VARIABLE,
    database_of,
    make_folder,
    prepare_tables,
)

USER_VARIABLE, PASSWORD_VARIABLE = "MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD"
#: MLflow's own limit.
SHORTEST_PASSWORD = 12


def main() -> int:
    """Upgrade the database that the variables name; return the exit code."""
    url = os.environ.get(BACKEND_VARIABLE, "")
    database = database_of(url)
    if database is None:
        raise SettingsError(
            f"{BACKEND_VARIABLE} names an MLflow server, which upgrades its own database."
        )
    make_folder(database)
    prepare_tables(database, database.render_as_string(hide_password=True), upgrade=True)
    if password := os.environ.get(PASSWORD_VARIABLE):
        _make_administrator(url, os.environ[USER_VARIABLE], password)
    return 0


def _make_administrator(url: str, user: str, password: str) -> None:
    """Make an administrator of MLflow's server, or give the one there is this password."""
    if len(password) < SHORTEST_PASSWORD:
        raise SettingsError(
            f"MLflow's password has {len(password)} characters, and MLflow wants at least "
            f"{SHORTEST_PASSWORD}. Set {PASSWORD_VARIABLE} to a longer one."
        )
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    initialise: Callable[[str], None] = store.init_db  # it has no types of its own
    initialise(url)
    if not store.has_user(user):
        store.create_user(user, password, is_admin=True)
    elif not store.authenticate_user(user, password):
        store.update_user(user, password=password)


if __name__ == "__main__":
    sys.exit(main())
