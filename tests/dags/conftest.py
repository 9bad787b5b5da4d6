"""Airflow for the tests of DAGs: one parse of all files, and homes with migrated databases."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.airflow_homes import use_empty_home
from tests.forked_airflow import ForkedAirflow
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
def airflow(made_once: MadeOnce) -> Iterator[ForkedAirflow]:
    """Airflow in a process that all share, for runs of DAGs in forks of it."""

    def make(folder: Path) -> None:
        # A socket's name is short, and pytest's own folder may have a long one.
        (folder / "socket").write_text(tempfile.mkdtemp(prefix="stockcast-test-", dir="/tmp"))

    home = made_once("forked_airflow", make)
    with contextlib.closing(ForkedAirflow(home, Path((home / "socket").read_text()))) as forked:
        yield forked


@pytest.fixture
def dag_home(tmp_path: Path, airflow_database: Path, mlflow_database: Path) -> Path:
    """A home whose databases of Airflow and MLflow have empty tables."""
    shutil.copy(airflow_database, tmp_path / "airflow.db")
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    return tmp_path
