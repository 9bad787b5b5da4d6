"""A daily DAG run that fails, and those that others have left: their runs in MLflow end."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pipeline.tracking import Origin, Tracker
from tests.made_dags import run_dag
from tests.made_prices import LAST, random_walk

pytestmark = pytest.mark.slow

DAG_ID = "daily_forecast_mine"


def tracker_of(home: Path, owner: str = "") -> Tracker:
    """Return the tracker of the universe, as the DAG run `owner` has it."""
    origin = Origin(owner, "", owner) if owner else None
    return Tracker(f"sqlite:///{home}/mlflow.db", str(home / "artifacts"), "mine", origin=origin)


def mlflow_runs(home: Path) -> list[Any]:
    """Return all runs of the universe, the oldest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiment = client.get_experiment_by_name("mine").experiment_id
    return client.search_runs([experiment], order_by=["attributes.start_time ASC"])


@pytest.fixture
def home(dag_home: Path) -> Path:
    """A home with a universe of two tickers, of which one is broken at its last session."""
    (dag_home / "prices").mkdir()
    for seed, ticker in enumerate(("FINE", "WRONG")):
        prices = random_walk(seed, 120)
        if ticker == "WRONG":
            prices.loc[prices.index[-1], "low"] = -1.0
        prices.to_csv(dag_home / "prices" / f"{ticker}.csv", index=False)
    (dag_home / "universes.toml").write_text(
        f'[mine]\nsource = "csv"\ndata = "{dag_home}/prices"\ntickers = ["FINE", "WRONG"]\n'
    )
    return dag_home


@pytest.fixture
def left_by_others(home: Path) -> dict[str, str]:
    """Runs in MLflow that DAG runs have left running: of one that is over, and one that is not."""
    runs = {}
    for name in ("gone", "queued"):
        tracker = tracker_of(home, f"airflow {DAG_ID} {name}")
        runs[name] = tracker.open_session(LAST, "other", name)
    return runs


#: Makes the DAG run `queued` in Airflow's database.
QUEUED = """
import datetime as dt
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session

now = dt.datetime.now(dt.UTC)
with create_session() as session:
    run = DagRun(dag_id="daily_forecast_mine", run_id="queued", run_type="manual", run_after=now)
    run.state = "queued"
    session.add(run)
"""


def test_a_run_whose_check_fails_leaves_no_run_in_mlflow_running(home, left_by_others, airflow):
    settings = {
        "TRACKING_URI": f"sqlite:///{home}/mlflow.db",
        "STORE_URL": f"sqlite:///{home}/store.db",
        "UNIVERSES": str(home / "universes.toml"),
        "UNIVERSE": "mine",
        "MAX_QUARANTINED": "0",
    }
    places = {f"STOCKCAST_{name}": value for name, value in settings.items()}
    airflow.run(QUEUED, home, **places)
    state, run_id, tasks = run_dag(airflow, "daily_forecast", {}, home, DAG_ID, **places)

    states = {task["task"]: task["state"] for task in tasks}
    assert (state, states["check"], states["publish"]) == ("failed", "failed", "upstream_failed")
    runs = {run.info.run_id: run for run in mlflow_runs(home)}
    queued, gone = (runs.pop(left_by_others[name]) for name in ("queued", "gone"))
    assert (queued.info.status, gone.info.status) == ("RUNNING", "KILLED")

    [failed] = runs.values()
    assert (failed.info.status, failed.data.tags["session"]) == ("FAILED", str(LAST))
    assert failed.data.tags["stockcast.owner"] == f"airflow {DAG_ID} {run_id}"
    # `promote` finds nothing to work on.
    page = f"/dags/{DAG_ID}/runs/{quote(run_id, safe='')}"
    assert failed.data.tags["failure"] == f"The DAG run failed at check, promote: {page}"
