"""A folder with an empty MLflow database, and a tracker in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.tracking import Tracker
from tests.tracking.made_runs import tracker_in


@pytest.fixture
def folder(mlflow_database: Path, tmp_path: Path) -> Path:
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def tracker(folder: Path) -> Tracker:
    return tracker_in(folder)
