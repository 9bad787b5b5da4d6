"""Airflow for the tests of DAGs: one parse of all files, and homes with migrated databases."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.airflow_homes import migrate_database, use_empty_home
from tests.made_dags import parsed_dags
from tests.made_once import MadeOnce

use_empty_home()


@pytest.fixture(scope="session")
def parsed(made_once: MadeOnce) -> dict[str, Any]:
    """All of `dags/`, as Airflow's DAG processor sees it: made once, then shared."""

    def make(folder: Path) -> None:
        (folder / "parsed.json").write_text(json.dumps(parsed_dags(folder)))

    found: dict[str, Any] = json.loads((made_once("parsed", make) / "parsed.json").read_text())
    return found


@pytest.fixture(scope="session")
def airflow_database(made_once: MadeOnce) -> Path:
    """An SQLite file with Airflow's empty tables: made once, then copied."""
    return made_once("airflow", migrate_database) / "airflow.db"


@pytest.fixture
def dag_home(tmp_path: Path, airflow_database: Path, mlflow_database: Path) -> Path:
    """A home whose databases of Airflow and MLflow have empty tables."""
    shutil.copy(airflow_database, tmp_path / "airflow.db")
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    return tmp_path
