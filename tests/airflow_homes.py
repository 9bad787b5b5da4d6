"""Homes of Airflow for tests: an empty one for this process, and one with a migrated database."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: Airflow reads its configuration when it is imported, so this process gets an empty home before.
_home: tempfile.TemporaryDirectory[str] | None = None


def use_empty_home() -> None:
    """Give this process an empty home of Airflow, which goes when the process ends."""
    global _home
    if _home is None:
        _home = tempfile.TemporaryDirectory(prefix="stockcast-test-airflow-")
        os.environ["AIRFLOW_HOME"] = _home.name
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "false"


def clean_environment(home: Path, **changes: str) -> dict[str, str]:
    """Return an environment with this home and no settings but `changes`."""
    outside = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STOCKCAST_", "AIRFLOW"))
    }
    return {
        **outside,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "STOCKCAST_HOME": str(home),
        **changes,
    }


def migrate_database(folder: Path) -> None:
    """Make an SQLite file with Airflow's empty tables, `airflow.db`; this takes many seconds."""
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    env = clean_environment(folder)
    subprocess.run(command, env=env, capture_output=True, check=True, cwd=folder)
