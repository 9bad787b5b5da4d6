"""Made runs of a tracker, and what MLflow then shows of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

from pipeline.tracking import TrackedModel, TrackedRun, Tracker

FRIDAY = dt.date(2013, 3, 1)
#: The name of its run in MLflow.
FRIDAY_RUN = "2013-03-01 default"
NETWORK = TrackedModel(
    "aapl-march",
    dt.date(2013, 3, 1),
    b"weights",
    {"past": (60, 2)},
    5,
    ("open", "close"),
    "a change",
)
EARLIER_NETWORK = dataclasses.replace(
    NETWORK, model_id="aapl-february", training_cutoff=dt.date(2013, 2, 1)
)
AAPL = TrackedRun(
    "AAPL",
    params={"seed": 7},
    metrics={"test_rmse": 9.5, "test_rmse_naive": 9.25, "test_mase": float("nan")},
    history={"loss": [0.5, 0.25], "val_loss": [0.75, 0.5]},
    tags={"code_version": "abc"},
    model=NETWORK,
    rivals=(EARLIER_NETWORK,),
    files={"prediction.png": b"png"},
)
SHORT_HISTORY = TrackedRun("FB", params={"seed": 7}, metrics={"test_rmse_naive": 0.5})


def uri_of(folder: Path) -> str:
    """Return the URI of the MLflow database in a folder."""
    return f"sqlite:///{folder}/mlflow.db"


def tracker_in(folder: Path, **options: Any) -> Tracker:
    """Return a tracker of the experiment "sample" in a folder."""
    return Tracker(uri_of(folder), str(folder / "artifacts"), "sample", **options)


def record_friday(tracker: Tracker, stock: TrackedRun = AAPL) -> tuple[str, str]:
    """Record a stock below Friday's session; return the ids of parent and child."""
    parent = tracker.open_session(
        FRIDAY, "default", "close", tags={"source": "sample"}, params={"horizon": 5}
    )
    return parent, tracker.record(parent, stock)


def client_of(uri: str | Path) -> Any:
    """Return MLflow's client of a URI, or of the database in a folder."""
    from mlflow import MlflowClient

    return MlflowClient(uri_of(uri) if isinstance(uri, Path) else uri)


def active_runs(uri: str | Path) -> list[Any]:
    """Return MLflow's active runs of the experiment "sample", the oldest first."""
    client = client_of(uri)
    experiment = client.get_experiment_by_name("sample").experiment_id
    return list(client.search_runs([experiment], order_by=["attributes.start_time ASC"]))


def runs_of(uri: str | Path) -> list[tuple[str, str | None, str]]:
    """Return every active run: its name, its parent's name, its status."""
    runs = active_runs(uri)
    names = {run.info.run_id: run.info.run_name for run in runs}
    return sorted(
        (run.info.run_name, names.get(run.data.tags.get("mlflow.parentRunId")), run.info.status)
        for run in runs
    )


def statuses(uri: str | Path) -> dict[str, str]:
    """Return the status of every active run by its name."""
    return {run.info.run_name: run.info.status for run in active_runs(uri)}


def versions_of(uri: str | Path) -> list[tuple[str, int, str, str]]:
    """Return every registered version: model, number, model_id, training cutoff."""
    return sorted(
        (
            version.name,
            int(version.version),
            version.tags["model_id"],
            version.tags["training_cutoff"],
        )
        for version in client_of(uri).search_model_versions()
    )
