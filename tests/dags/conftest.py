"""Airflow for the tests of DAGs: one parse of all files, and homes with migrated databases."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.airflow_homes import migrated_database, use_empty_home
from tests.made_dags import parsed_dags

use_empty_home()


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All of `dags/`, as Airflow's DAG processor sees it: made once, then shared."""
    return parsed_dags(tmp_path_factory.mktemp("parsed"))


@pytest.fixture(scope="session")
def airflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with Airflow's empty tables: made once, then copied."""
    return migrated_database(tmp_path_factory.mktemp("airflow"))


@pytest.fixture
def dag_home(tmp_path: Path, airflow_database: Path, mlflow_database: Path) -> Path:
    """A home whose databases of Airflow and MLflow have empty tables."""
    shutil.copy(airflow_database, tmp_path / "airflow.db")
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    return tmp_path
