"""MLflow's own database: its engine, and its tables brought to this MLflow's version."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import sqlalchemy

from pipeline.addresses import with_driver
from pipeline.errors import SettingsError, StoreTooNew

CONNECT_SECONDS = 5
#: Seconds for which a writer to SQLite waits for another, as MLflow does.
BUSY_SECONDS = 20
#: The variable that MLflow's own server reads its database from.
BACKEND_VARIABLE = "MLFLOW_BACKEND_STORE_URI"


def database_of(uri: str) -> sqlalchemy.URL | None:
    """Return the database that a tracking URI names; None for an MLflow server.

    Raises:
        SettingsError: it names neither.
    """
    if uri.startswith(("http://", "https://")):
        return None
    try:
        return sqlalchemy.make_url(with_driver(uri))
    except sqlalchemy.exc.ArgumentError:
        raise SettingsError(
            "The tracking URI is neither a database URL (postgresql+psycopg2://..., "
            "sqlite:///...) nor http(s)://... Correct STOCKCAST_TRACKING_URI."
        ) from None


def engine_of(database: sqlalchemy.URL, pool: type[sqlalchemy.Pool]) -> sqlalchemy.Engine:
    """Return an engine that gives up on a silent database within seconds.

    Raises:
        SettingsError: there is no driver for such a URL.
    """
    is_sqlite = database.get_backend_name() == "sqlite"
    timeout = {"timeout": BUSY_SECONDS} if is_sqlite else {"connect_timeout": CONNECT_SECONDS}
    try:
        return sqlalchemy.create_engine(database, poolclass=pool, connect_args=timeout)
    except sqlalchemy.exc.NoSuchModuleError:
        raise SettingsError(
            f"MLflow cannot be reached as {database.drivername}://...; use http(s)://, "
            "postgresql+psycopg2:// or sqlite:///."
        ) from None


def make_folder(database: sqlalchemy.URL) -> None:
    """Make the folder of an SQLite file."""
    if database.get_backend_name() == "sqlite" and database.database:
        Path(database.database).parent.mkdir(parents=True, exist_ok=True)


def prepare_tables(database: sqlalchemy.URL, address: str, upgrade: bool) -> None:
    """Connect once, and bring the tables to this MLflow's version.

    MLflow itself would try to connect for hours.

    Args:
        address: the database for messages.
        upgrade: whether the tables of an older MLflow are upgraded.

    Raises:
        SettingsError: the tables are of an older MLflow, and `upgrade` is False.
        StoreTooNew: the tables are of a newer MLflow.
    """
    engine = engine_of(database, sqlalchemy.NullPool)
    current = _schema_revision(engine)
    from mlflow.store.db import utils

    # MLflow's functions have no types of their own.
    initialise: Callable[[sqlalchemy.Engine], None] = utils._initialize_tables
    if current is None:
        initialise(engine)
    elif current != installed_revision():
        if not upgrade:
            raise SettingsError(
                f"The MLflow database {address} is of an older MLflow. "
                "Run `mlflow db upgrade` on it."
            )
        _upgrade_tables(engine, address)


def installed_revision() -> str:
    """Return the revision of the schema that the installed MLflow has."""
    from mlflow.store.db import utils

    latest_revision: Callable[[], str] = utils._get_latest_schema_revision
    return latest_revision()


def has_tables(database: sqlalchemy.URL) -> bool:
    """Return whether MLflow has ever been used with a database; an absent file stays absent."""
    if database.get_backend_name() == "sqlite" and not Path(database.database or "").is_file():
        return False
    return _schema_revision(engine_of(database, sqlalchemy.NullPool)) is not None


def _upgrade_tables(engine: sqlalchemy.Engine, address: str) -> None:
    from alembic.util import CommandError
    from mlflow.store.db import utils

    upgrade: Callable[[sqlalchemy.Engine], None] = utils._upgrade_db
    try:
        upgrade(engine)
    except CommandError:
        raise StoreTooNew(
            f"The MLflow database {address} was written by a newer MLflow than "
            f"{version('mlflow')}. Upgrade this program or name another database."
        ) from None


def _schema_revision(engine: sqlalchemy.Engine) -> str | None:
    """Return the schema's Alembic revision; None for a database without MLflow's tables."""
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return None
        query = sqlalchemy.text("select version_num from alembic_version")
        revision: str | None = connection.execute(query).scalar()
        return revision
