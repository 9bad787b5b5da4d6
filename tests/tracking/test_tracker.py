"""Sessions and stocks on a real MLflow: a temporary SQLite database, and once a server."""

import contextlib
import dataclasses
import datetime as dt
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.tracking import Origin, PublishedModel, TrackedDataset, Tracker
from pipeline.tracking.experiment_runs import ExperimentRuns
from tests.servers import LOOPBACK, ROOT, answers, free_port, wait_for
from tests.tracking.made_runs import (
    AAPL,
    FRIDAY,
    FRIDAY_RUN,
    SHORT_HISTORY,
    client_of,
    record_friday,
    runs_of,
    tracker_in,
    uri_of,
    versions_of,
)

pytestmark = pytest.mark.slow

AAPL_RUN = f"AAPL {FRIDAY_RUN}"
DATASET = TrackedDataset(
    "AAPL up to 2013-02-28",
    "0123abcd",
    "s3://files/datasets/0123abcd.npz",
    ("close", "volume"),
    3270,
    "training",
)
PAGE = "http://127.0.0.1:8080/dags/daily_forecast_sample/runs/manual__1"
DAG_RUN = Origin("manual__1", PAGE, "airflow daily_forecast_sample manual__1")


def dump(folder):
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        return "\n".join(connection.iterdump())


def test_a_session_has_one_parent_and_one_child_per_stock(tracker, folder):
    parent, _ = record_friday(tracker)
    tracker.record(parent, SHORT_HISTORY)
    tracker.finish(parent, {"mean_skill": -0.01})
    assert runs_of(folder) == [
        (FRIDAY_RUN, None, "FINISHED"),
        (AAPL_RUN, FRIDAY_RUN, "FINISHED"),
        (f"FB {FRIDAY_RUN}", FRIDAY_RUN, "FINISHED"),
    ]
    assert client_of(folder).get_run(parent).data.metrics == {"mean_skill": -0.01}


def test_a_child_holds_what_was_recorded(tracker, folder):
    _, child = record_friday(tracker)
    client = client_of(folder)
    run = client.get_run(child)
    assert run.data.params == {"seed": "7"}
    assert run.data.metrics == {
        "test_rmse": 9.5,
        "test_rmse_naive": 9.25,
        "loss": 0.25,
        "val_loss": 0.5,
    }
    curve = [(point.step, point.value) for point in client.get_metric_history(child, "loss")]
    assert curve == [(0, 0.5), (1, 0.25)]
    tags = {
        "ticker": "AAPL",
        "session": "2013-03-01",
        "recipe": "default",
        "code_version": "abc",
    }
    assert run.data.tags.items() >= tags.items()
    assert [file.path for file in client.list_artifacts(child)] == ["prediction.png"]


def test_a_run_shows_its_verdict_its_dataset_and_the_dag_run_that_asked_for_it(tracker, folder):
    asked = tracker_in(folder, code_version="0.1.0", origin=DAG_RUN)
    parent = asked.open_session(FRIDAY, "default", "close", tags={"universe": "sample"})
    stock = dataclasses.replace(AAPL, tags={}, description="**AAPL: better.**", datasets=(DATASET,))
    run = client_of(folder).get_run(asked.record(parent, stock))
    link = f"[Airflow: run manual__1]({PAGE})"
    tags = {"universe": "sample", "code_version": "0.1.0", "dag_run": "manual__1"}
    tags["mlflow.note.content"] = f"**AAPL: better.**\n\n{link}"
    assert run.data.tags.items() >= tags.items()
    [given] = run.inputs.dataset_inputs
    dataset = given.dataset
    assert (dataset.name, dataset.digest, dataset.source_type) == (DATASET.name, "0123abcd", "s3")
    assert [tag.value for tag in given.tags] == ["training"]
    # Where somebody else finishes it, the link stays to the first who asked.
    tracker.finish(parent, {}, description="**5 tickers forecast.**")
    note = client_of(folder).get_run(parent).data.tags["mlflow.note.content"]
    assert note == f"**5 tickers forecast.**\n\n{link}"


def test_recording_the_same_again_writes_nothing(tracker, folder):
    ids = record_friday(tracker)
    before = dump(folder)
    assert record_friday(tracker_in(folder)) == ids
    assert dump(folder) == before


def test_a_changed_configuration_replaces_the_child_and_keeps_its_models(tracker, folder):
    _, old = record_friday(tracker)
    changed = dataclasses.replace(AAPL, params={"seed": 7, "promotion_margin": 0.02})
    _, new = record_friday(tracker, changed)
    assert old != new
    assert [name for name, *_ in runs_of(folder)] == [FRIDAY_RUN, AAPL_RUN]
    assert client_of(folder).get_run(new).data.tags["model_version"] == "sample.AAPL/1"
    assert len(versions_of(folder)) == 2


@pytest.mark.parametrize("cut_short_at", ["log", "log_files"], ids=["parent", "child"])
def test_a_run_cut_short_is_failed_and_replaced(tracker, folder, monkeypatch, cut_short_at):
    monkeypatch.setattr(ExperimentRuns, cut_short_at, lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record_friday(tracker)
    monkeypatch.undo()
    assert "FAILED" in [status for _, _, status in runs_of(folder)]
    parent, _ = record_friday(tracker)
    tracker.finish(parent, {})
    assert runs_of(folder) == [
        (FRIDAY_RUN, None, "FINISHED"),
        (AAPL_RUN, FRIDAY_RUN, "FINISHED"),
    ]


def test_a_long_training_fits(tracker, folder):
    _, child = record_friday(tracker, dataclasses.replace(AAPL, history={"loss": [0.5] * 2500}))
    assert len(client_of(folder).get_metric_history(child, "loss")) == 2500


def test_a_run_is_addressed_by_its_key(tracker):
    _, child = record_friday(tracker)
    assert str(tracker.address_of("2013-03-01 default close AAPL")).endswith(f"/runs/{child}")
    assert tracker.address_of("2013-03-01 default close NOPE") is None


#: Records a network, and prints which heavy libraries were imported before and after.
RECORDING = """
import datetime as dt, sys
from pipeline.tracking import *

def imported():
    return [name for name in ("mlflow", "tensorflow", "keras") if name in sys.modules]

uri, artifacts = sys.argv[1:]
tracker, early = Tracker(uri, artifacts, "sample"), imported()
day = dt.date(2013, 3, 1)
model = TrackedModel("m1", day, b"weights", {"past": (60, 2)}, 5, ("open", "close"), "a change")
parent = tracker.open_session(day, "default", "close")
tracker.record(parent, TrackedRun("AAPL", {}, {}, model=model))
tracker.set_champions({"AAPL": PublishedModel("m1")}, lambda: True)
print(early, imported())
"""


def test_nothing_heavy_is_imported_before_its_time_and_tensorflow_never(folder):
    done = subprocess.run(
        [sys.executable, "-c", RECORDING, uri_of(folder), str(folder / "artifacts")],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("[] ['mlflow']\n", "", 0)


@contextlib.contextmanager
def mlflow_server(folder):
    """Yield the address of an MLflow server on a folder's database."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri_of(folder)]
    command += ["--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "served")]
    environ = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
    try:
        address = f"http://{LOOPBACK}:{port}"
        wait_for("the MLflow server", lambda: answers(f"{address}/health"))
        yield address
    finally:
        process.terminate()
        process.wait(30)


def test_a_server_takes_the_same_runs_and_shows_those_of_its_database(tracker, folder):
    record_friday(tracker)
    with mlflow_server(folder) as address:
        remote = Tracker(address, "unused", "remote")
        remote.record_together([(remote.open_session(FRIDAY, "default", "close"), AAPL)])
        remote.set_champions({"AAPL": PublishedModel("aapl-march")}, lambda: True)
        assert versions_of(address) == [
            ("remote.AAPL", 1, "aapl-march", "2013-03-01"),
            ("remote.AAPL", 2, "aapl-february", "2013-02-01"),
            ("sample.AAPL", 1, "aapl-march", "2013-03-01"),
            ("sample.AAPL", 2, "aapl-february", "2013-02-01"),
        ]
        assert [name for name, *_ in runs_of(address)] == [FRIDAY_RUN, AAPL_RUN]
        machines = [
            Tracker(address, "unused", "remote", lock_url=f"sqlite:///{folder}/store.db")
            for _ in range(4)
        ]
        with ThreadPoolExecutor(4) as pool:
            parents = pool.map(
                lambda machine: machine.open_session(FRIDAY, "castilla", "close"), machines
            )
            assert len(set(parents)) == 1, "they have taken turns"


def test_a_session_that_is_not_run_has_a_finished_parent_for_its_stocks(tracker, folder):
    february = dt.date(2013, 2, 1)
    parent = tracker.ensure_session(february, "default", "close")
    tracker.record(parent, SHORT_HISTORY)
    assert runs_of(folder) == [
        ("2013-02-01 default", None, "FINISHED"),
        ("FB 2013-02-01 default", "2013-02-01 default", "FINISHED"),
    ]
    assert tracker.ensure_session(february, "default", "close") == parent
