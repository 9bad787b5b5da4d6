"""The databases of Airflow and MLflow, brought to the tables of the installed versions."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import StoreUnavailable
from pipeline.scheduling.environment import ADMIN_USER, airflow_home, mlflow_password
from pipeline.scheduling.price_pool import make_price_pool

if TYPE_CHECKING:
    import sqlalchemy as sa


@dataclass(frozen=True)
class Migration:
    """A command that brings a database to the tables of an installed version.

    Attributes:
        distribution: the installed distribution, by its name on PyPI.
        url: the database.
        command: arguments of `python -m`.
        env: what the command alone gets in its environment.
    """

    distribution: str
    url: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def migrate(env: Mapping[str, str], home: Path, with_mlflow: bool) -> None:
    """Migrate the databases that need it, both at once, and make the pool that `ingest` takes.

    Airflow's own check takes seconds to start, so `home`/airflow/migrated.json keeps which
    installed version left a database at which revision; the database itself has its revision.
    Databases that are up to date cost milliseconds.

    Args:
        env: the process's environment with `environment.airflow_environment`.

    Raises:
        StoreUnavailable: a database could not be brought up to date.
    """
    import sqlalchemy as sa

    migrations = migrations_of(env, home, with_mlflow)
    stamps = airflow_home(home) / "migrated.json"
    known = json.loads(stamps.read_text()) if stamps.exists() else {}
    stale = [each for each in migrations if known.get(each.distribution) != _state(each)]
    if stale:
        run_migrations(stale, env, home)
        known.update({each.distribution: _state(each) for each in stale})
        stamps.write_text(json.dumps(known))
    url = env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        make_price_pool(connection)


def migrations_of(env: Mapping[str, str], home: Path, with_mlflow: bool) -> list[Migration]:
    """Return the migrations of a deployment; see `migrate`."""
    airflow_database = env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    command = ("pipeline.scheduling.preloaded_airflow", "db", "migrate")
    migrations = [Migration("apache-airflow-core", airflow_database, command)]
    if with_mlflow:
        uri = env["MLFLOW_TRACKING_URI"]
        account = {
            "MLFLOW_BACKEND_STORE_URI": uri,
            "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN_USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": mlflow_password(home),
        }
        migrations.append(Migration("mlflow", uri, ("pipeline.tracking.upgrade",), account))
    return migrations


def run_migrations(migrations: list[Migration], env: Mapping[str, str], home: Path) -> None:
    """Run migrations at the same time; their output is in `home`/logs.

    Raises:
        StoreUnavailable: a database could not be brought up to date.
    """
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    running = {
        each.distribution: _start(
            # Not on the command line, which everyone can read.
            each.command,
            {**env, **each.env},
            logs / f"migrate-{each.distribution}.log",
        )
        for each in migrations
    }
    for name, process in running.items():
        if process.wait() != 0:
            raise StoreUnavailable(
                f"The database of {name} could not be brought up to date; see "
                f"{logs / f'migrate-{name}.log'}."
            )


def _start(command: tuple[str, ...], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("a") as file:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )


def _state(migration: Migration) -> list[str]:
    """Return the installed version, the database's revision and a digest of its first account.

    An empty database has neither of the last two.
    """
    import sqlalchemy as sa

    installed = version(migration.distribution)
    engine = sa.create_engine(migration.url, poolclass=sa.NullPool)
    if not sa.inspect(engine).has_table("alembic_version"):
        return [installed, "", ""]
    with engine.connect() as connection:
        revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return [installed, str(revision), _account_digest(migration, connection)]


def _account_digest(migration: Migration, connection: sa.Connection) -> str:
    """Return what changes where the account's password is another one, in its file or stored."""
    import sqlalchemy as sa

    user = migration.env.get("MLFLOW_AUTH_ADMIN_USERNAME")
    if not user or not sa.inspect(connection).has_table("users"):
        return ""
    query = sa.text("SELECT password_hash FROM users WHERE username = :user")
    stored = connection.scalar(query, {"user": user})
    return hashlib.sha256(f"{stored} {migration.env}".encode()).hexdigest()
