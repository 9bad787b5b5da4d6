"""The DAG `prune`, as Airflow's DAG processor sees it and as it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.storage import Store
from tests.forked_airflow import ForkedAirflow
from tests.made_dags import run_dag
from tests.made_publications import fill

pytestmark = pytest.mark.slow


@pytest.fixture
def dag(parsed: dict[str, Any]) -> dict[str, Any]:
    return parsed["dags"]["prune"]


def test_it_is_off_until_it_is_switched_on_and_then_runs_weekly(dag):
    assert dag["paused"] and dag["scheduled"] and not dag["catchup"]
    assert dag["summary"] == "0 6 * * 0"
    assert dag["downstream"] == {"remove_unneeded": []}
    assert dag["undocumented"] == []
    assert "30 days" in dag["page"] and "{" not in dag["page"]


def test_it_removes_what_nobody_needs(dag_home: Path, airflow: ForkedAirflow):
    old, new = (dag_home / "artifacts" / "replays" / f"{name}.npz" for name in ("old", "new"))
    old.parent.mkdir(parents=True)
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    databases = {
        "STOCKCAST_STORE_URL": f"sqlite:///{dag_home}/store.db",
        "STOCKCAST_TRACKING_URI": f"sqlite:///{dag_home}/mlflow.db",
    }
    store = Store.open(databases["STOCKCAST_STORE_URL"])
    fill(store)
    store.close()
    state, _, [task] = run_dag(airflow, "prune", {}, dag_home, **databases)
    assert (state, task["state"]) == ("success", "success")
    assert task["returned"]["replays"] == "1 file, 1 bytes"
    assert new.exists() and not old.exists()
