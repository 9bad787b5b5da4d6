"""The doctor's look at an Airflow that others have set up: has it what the DAGs need?

It is the one that `airflow` uses in the same shell, by its configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipeline.errors import SettingsError, StoreUnavailable
from pipeline.inspection import Diagnosis, diagnosis_of
from pipeline.scheduling.environment import PRICE_POOL, PRICE_POOL_SLOTS, settings_of_airflow
from pipeline.scheduling.notifications import MAIL_CONNECTION
from pipeline.scheduling.price_pool import PRICE_POOL_DESCRIPTION, price_pool_slots
from pipeline.settings import Settings
from pipeline.shipped_files import PACKAGE


def examine_airflow(settings: Settings) -> Iterator[Diagnosis]:
    """Look at home, pool, DAG folder and the connections of messages; nothing is changed."""
    yield diagnosis_of("airflow home", lambda: f"{settings_of_airflow().home}, for all processes")
    yield diagnosis_of("airflow pool", _pool)
    yield diagnosis_of("airflow dags", _dags_folder)
    for name, use in _connections_needed(settings).items():
        yield diagnosis_of("messages", partial(_connection, name, use))


def _pool() -> str:
    import sqlalchemy as sa
    from airflow.configuration import conf

    engine = sa.create_engine(conf.get("database", "sql_alchemy_conn"), poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            slots = price_pool_slots(connection)
    except sa.exc.NoSuchTableError:
        raise StoreUnavailable(
            "Airflow's database has no tables yet. Make them: airflow db migrate."
        ) from None
    except sa.exc.DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise StoreUnavailable(
            f"Airflow's database does not answer ({reason}). Start it, or set AIRFLOW_HOME or "
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN as Airflow's scheduler has it."
        ) from None
    if slots is None:
        raise SettingsError(
            f"Airflow has no pool {PRICE_POOL!r}, for which every task ingest waits. Restart its "
            f"scheduler, which makes it, or: airflow pools set {PRICE_POOL} {PRICE_POOL_SLOTS} "
            f"'{PRICE_POOL_DESCRIPTION}'."
        )
    return f"{PRICE_POOL} has {slots} slots"


def _dags_folder() -> str:
    from airflow.configuration import conf

    folder = Path(conf.get("core", "dags_folder"))
    for name in ("pipeline", "pipeline.py"):
        own = folder / name
        if own.exists() and own.resolve() != PACKAGE.resolve():
            raise SettingsError(
                f"{own} has the name of this program's package, {PACKAGE}, which hides it from "
                "other DAG files. Give it another name, or put it into a folder of its own below "
                "a package."
            )
    return f"{folder} has no package of the name pipeline"


def _connections_needed(settings: Settings) -> dict[str, str]:
    """Return the connections that messages go over, and the setting that asks for each."""
    needed = {MAIL_CONNECTION: "STOCKCAST_NOTIFY_EMAIL"} if settings.notify_email else {}
    if settings.notify_webhook:
        needed[settings.notify_webhook] = "STOCKCAST_NOTIFY_WEBHOOK"
    return needed


def _connection(name: str, use: str) -> str:
    from airflow.models.connection import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        Connection.get_connection_from_secrets(name)
    except AirflowNotFoundException:
        kind = "smtp" if name == MAIL_CONNECTION else "http"
        raise SettingsError(
            f"Airflow has no connection {name!r}, over which {use} sends. Make it: airflow "
            f"connections add {name} --conn-type {kind} --conn-host HOST."
        ) from None
    return f"connection {name}"
