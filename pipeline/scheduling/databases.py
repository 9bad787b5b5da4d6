"""Brings Airflow's and MLflow's databases to the installed versions' tables; costs milliseconds when they are there already."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from pipeline.errors import StoreUnavailable
from pipeline.scheduling.environment import PRICE_POOL, PRICE_POOL_SLOTS


def migrate(env: dict[str, str], home: Path, with_mlflow: bool) -> None:
    """Migrates what needs it, both at the same time, and makes the pool that `ingest` takes. `env` is `environment.environment`.

    Starting Airflow's own check takes seconds, so `home`/airflow/migrated.json keeps which installed version left a database at
    which revision; the database itself says at which it is.
    """
    wanted = {"apache-airflow-core": (env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], ["airflow", "db", "migrate"])}
    if with_mlflow:
        wanted["mlflow"] = (env["MLFLOW_TRACKING_URI"], ["mlflow", "db", "upgrade", env["MLFLOW_TRACKING_URI"]])
    stamps = home / "airflow" / "migrated.json"
    known = json.loads(stamps.read_text()) if stamps.exists() else {}
    stale = {name: job for name, job in wanted.items() if known.get(name) != _state(name, job[0])}
    if stale:
        _migrate(stale, env, home)
        known.update({name: _state(name, url) for name, (url, _) in stale.items()})
        stamps.write_text(json.dumps(known))
    make_price_pool(env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])


def make_price_pool(url: str) -> None:
    """Airflow's pool for `ingest`, in its database at `url`; one that is there keeps the slots that people have given it."""
    import sqlalchemy as sa

    values = {"pool": PRICE_POOL, "slots": PRICE_POOL_SLOTS, "description": "ingest tasks that ask a price source at the same time"}
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        pools = sa.Table("slot_pool", sa.MetaData(), autoload_with=connection)
        if connection.scalar(sa.select(pools.c.id).where(pools.c.pool == PRICE_POOL)) is None:
            with contextlib.suppress(sa.exc.IntegrityError), connection.begin_nested():  # another process has been faster
                connection.execute(sa.insert(pools).values(**values, include_deferred=False))


def _migrate(stale: dict[str, tuple[str, list[str]]], env: dict[str, str], home: Path) -> None:
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    running = {name: _start(command, env, logs / f"migrate-{name}.log") for name, (_, command) in stale.items()}
    for name, process in running.items():
        if process.wait() != 0:
            raise StoreUnavailable(f"The database of {name} could not be brought up to date; see {logs / f'migrate-{name}.log'}.")


def _start(command: list[str], env: dict[str, str], log: Path) -> subprocess.Popen:
    with log.open("a") as file:
        return subprocess.Popen([sys.executable, "-m", *command], env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


def _state(distribution: str, url: str) -> list[str]:
    """[installed version, the database's revision]; the revision of an empty database is ""."""
    import sqlalchemy as sa

    engine = sa.create_engine(url, poolclass=sa.NullPool)
    if not sa.inspect(engine).has_table("alembic_version"):
        return [version(distribution), ""]
    with engine.connect() as connection:
        return [version(distribution), str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))]
