"""Tracking on a real MLflow: a temporary SQLite database, and once a server."""

import dataclasses
import datetime as dt
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import NothingStored, SettingsError, TrackingUnavailable
from pipeline.tracking import Origin, StockRun, TrackedDataset, TrackedModel, Tracker

FRIDAY = dt.date(2013, 3, 1)
NETWORK = TrackedModel(
    "aapl-march",
    dt.date(2013, 3, 1),
    b"weights",
    {"past": (60, 2)},
    5,
    ("open", "close"),
    "a change",
    {"past": np.ones((1, 60, 2), "float32")},
)
BEFORE = dataclasses.replace(NETWORK, model_id="aapl-february", training_cutoff=dt.date(2013, 2, 1))
AAPL = StockRun(
    "AAPL",
    params={"seed": 7},
    metrics={"test_rmse": 9.5, "test_rmse_naive": 9.25, "test_mase": float("nan")},
    history={"loss": [0.5, 0.25], "val_loss": [0.75, 0.5]},
    tags={"code_version": "abc"},
    model=NETWORK,
    rivals=(BEFORE,),
    files={"prediction.png": b"png"},
)
SHORT_HISTORY = StockRun("FB", params={"seed": 7}, metrics={"test_rmse_naive": 0.5})


@pytest.fixture
def tracker(mlflow_database, tmp_path):
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    return Tracker(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"), "sample")


def client(tracker):
    from mlflow import MlflowClient

    return MlflowClient(tracker.uri)


def runs(tracker):
    """Every active run: its name, its parent's name, status."""
    found = client(tracker).search_runs([client(tracker).get_experiment_by_name("sample").experiment_id])
    names = {run.info.run_id: run.info.run_name for run in found}
    return sorted((run.info.run_name, names.get(run.data.tags.get("mlflow.parentRunId")), run.info.status) for run in found)


def versions(tracker):
    found = client(tracker).search_model_versions()
    return sorted(
        (version.name, int(version.version), version.tags["model_id"], version.tags["training_cutoff"]) for version in found
    )


def record_friday(tracker, stock=AAPL):
    parent = tracker.open_session(FRIDAY, "default", "close", tags={"source": "sample"}, params={"horizon": 5})
    return parent, tracker.record(parent, stock)


def test_a_session_has_one_parent_and_one_child_per_stock(tracker):
    parent, _ = record_friday(tracker)
    tracker.record(parent, SHORT_HISTORY)
    tracker.close_session(parent, {"mean_skill": -0.01})
    assert runs(tracker) == [
        ("2013-03-01 default", None, "FINISHED"),
        ("AAPL 2013-03-01 default", "2013-03-01 default", "FINISHED"),
        ("FB 2013-03-01 default", "2013-03-01 default", "FINISHED"),
    ]


def test_a_child_holds_what_was_recorded(tracker):
    _, child = record_friday(tracker)
    run = client(tracker).get_run(child)
    assert run.data.params == {"seed": "7"}
    assert run.data.metrics == {"test_rmse": 9.5, "test_rmse_naive": 9.25, "loss": 0.25, "val_loss": 0.5}
    assert [(point.step, point.value) for point in client(tracker).get_metric_history(child, "loss")] == [(0, 0.5), (1, 0.25)]
    assert run.data.tags.items() >= {"ticker": "AAPL", "session": "2013-03-01", "recipe": "default", "code_version": "abc"}.items()
    assert [file.path for file in client(tracker).list_artifacts(child)] == ["prediction.png"]


DATASET = TrackedDataset(
    "AAPL up to 2013-02-28", "0123abcd", "s3://files/datasets/0123abcd.npz", ("close", "volume"), 3270, "training"
)
DAG_RUN = Origin("manual__1", "http://127.0.0.1:8080/dags/daily_forecast_sample/runs/manual__1")


def test_a_run_says_what_it_is_worth_what_it_learnt_from_and_who_asked_for_it(tracker):
    asked = Tracker(tracker.uri, tracker.artifact_root, "sample", code_version="0.1.0", origin=DAG_RUN)
    parent = asked.open_session(FRIDAY, "default", "close", tags={"universe": "sample"})
    child = asked.record(parent, dataclasses.replace(AAPL, tags={}, description="**AAPL: better.**", datasets=(DATASET,)))
    run = client(tracker).get_run(child)
    link = "[Airflow: run manual__1](http://127.0.0.1:8080/dags/daily_forecast_sample/runs/manual__1)"
    wanted = {"universe": "sample", "code_version": "0.1.0", "dag_run": "manual__1"}
    assert run.data.tags.items() >= {**wanted, "mlflow.note.content": f"**AAPL: better.**\n\n{link}"}.items()
    [given] = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest, given.dataset.source_type) == (DATASET.name, "0123abcd", "s3")
    assert [tag.value for tag in given.tags] == ["training"]
    # Whoever repeats it, the first stays who asked.
    tracker.close_session(parent, {}, description="**5 tickers forecast.**")
    assert client(tracker).get_run(parent).data.tags["mlflow.note.content"] == f"**5 tickers forecast.**\n\n{link}"


def test_an_experiment_says_how_its_metrics_are_named(tracker):
    tracker.prepare()
    assert "`skill/` first" in client(tracker).get_experiment_by_name("sample").tags["mlflow.note.content"]


def test_recording_the_same_again_writes_nothing(tracker, tmp_path):
    parent, child = record_friday(tracker)
    before = "\n".join(sqlite3.connect(tmp_path / "mlflow.db").iterdump())
    assert record_friday(Tracker(tracker.uri, tracker.artifact_root, "sample")) == (parent, child)
    assert "\n".join(sqlite3.connect(tmp_path / "mlflow.db").iterdump()) == before


def test_a_changed_configuration_replaces_the_child_and_keeps_its_models(tracker):
    _, old = record_friday(tracker)
    _, new = record_friday(tracker, dataclasses.replace(AAPL, params={"seed": 7, "promotion_margin": 0.02}))
    assert old != new
    assert [name for name, *_ in runs(tracker)] == ["2013-03-01 default", "AAPL 2013-03-01 default"]
    assert client(tracker).get_run(new).data.tags["model_version"] == "sample.AAPL/1"
    assert len(versions(tracker)) == 2


def test_a_run_cut_short_is_replaced(tracker, monkeypatch):
    monkeypatch.setattr(Tracker, "_log", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record_friday(tracker)
    monkeypatch.undo()
    record_friday(tracker)
    assert [name for name, *_ in runs(tracker)] == ["2013-03-01 default", "AAPL 2013-03-01 default"]


def test_children_move_to_the_parent_of_changed_parameters(tracker):
    parent, child = record_friday(tracker)
    new = tracker.open_session(FRIDAY, "default", "close", params={"horizon": 3})
    assert new != parent
    assert client(tracker).get_run(child).data.tags["mlflow.parentRunId"] == new
    assert len(runs(tracker)) == 2


def test_each_network_is_one_version_whatever_the_sessions(tracker):
    _, friday = record_friday(tracker)
    monday = tracker.record(tracker.open_session(dt.date(2013, 3, 4), "default", "close"), AAPL)
    assert versions(tracker) == [
        ("sample.AAPL", 1, "aapl-march", "2013-03-01"),
        ("sample.AAPL", 2, "aapl-february", "2013-02-01"),
    ]
    [model] = {output.model_id for run in (friday, monday) for output in client(tracker).get_run(run).outputs.model_outputs}
    shown = {metric.key: metric.value for metric in client(tracker).get_logged_model(model).metrics}
    assert shown.items() >= {"test_rmse": 9.5, "test_rmse_naive": 9.25}.items()


def test_the_champion_alias_follows_what_is_published(tracker):
    record_friday(tracker)

    def champion():
        model = client(tracker).get_registered_model("sample.AAPL")
        version = model.aliases.get("champion")
        return version and int(version), model.tags["published"]

    seen = []
    for model_id in ("aapl-march", "aapl-february", "aapl-february", None):
        tracker.set_champions({"AAPL": model_id})
        seen.append(champion())
    assert seen == [(1, "network"), (2, "network"), (2, "network"), (None, "naive")]


def test_a_version_that_somebody_else_registered_is_not_crowned_where_a_baseline_is(tracker):
    tracker.prepare()
    name = f"{tracker.experiment}.AAPL"
    tracker._client.create_registered_model(name)
    tracker._client.create_model_version(name, "s3://elsewhere/model")
    tracker.set_champions({"AAPL": None})
    assert tracker._client.get_registered_model(name).aliases == {}


def test_a_champion_that_nobody_registered_is_named(tracker):
    tracker.set_champions({"FB": None})
    with pytest.raises(NothingStored, match=r"FB: model nope is not registered as sample\.FB"):
        tracker.set_champions({"FB": "nope"})


def test_the_model_folder_holds_the_file_and_its_signature_and_no_pickle(tracker, tmp_path):
    record_friday(tracker)
    [folder] = [path.parent for path in (tmp_path / "artifacts").rglob("MLmodel") if "aapl-march" in path.read_text()]
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    environment = ["python_env.yaml", "requirements.txt"]
    assert files == ["MLmodel", "conda.yaml", "data/model.keras", "input_example.json", *environment, "serving_input_example.json"]
    assert (folder / "data/model.keras").read_bytes() == b"weights"
    assert '"shape": [-1, 60,\n    2]' in (folder / "MLmodel").read_text()


@pytest.mark.parametrize("ticker", ["^GSPC", "BRK.B", "EURUSD=X"])
def test_every_ticker_makes_a_valid_name(tracker, ticker):
    record_friday(tracker, dataclasses.replace(AAPL, ticker=ticker))
    assert {name for name, *_ in versions(tracker)} == {f"sample.{ticker}"}


def test_a_long_training_fits(tracker):
    _, child = record_friday(tracker, dataclasses.replace(AAPL, history={"loss": [0.5] * 2500}))
    assert len(client(tracker).get_metric_history(child, "loss")) == 2500


def test_a_deleted_experiment_is_named_with_its_remedy(tracker):
    tracker.prepare()
    client(tracker).delete_experiment(client(tracker).get_experiment_by_name("sample").experiment_id)
    with pytest.raises(SettingsError, match="mlflow experiments restore"):
        Tracker(tracker.uri, tracker.artifact_root, "sample").prepare()


@pytest.mark.parametrize(
    "uri",
    ["http://user:secret@127.0.0.1:9", "postgresql+psycopg2://user:secret@127.0.0.1:9/mlflow", "sqlite:////proc/none/mlflow.db"],
)
def test_an_unreachable_address_is_one_line_without_its_password(uri, tmp_path):
    with pytest.raises(TrackingUnavailable) as caught:
        Tracker(uri, str(tmp_path), "sample").open_session(FRIDAY, "default", "close")
    message = str(caught.value)
    assert message.startswith("MLflow at ") and "\n" not in message and "secret" not in message


def test_an_address_of_no_kind_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="neither a database URL"):
        Tracker("my-server", str(tmp_path), "sample").prepare()


def test_nothing_heavy_is_imported_before_its_time_and_tensorflow_never(tracker):
    tracker.prepare()
    script = (
        "import sys, datetime as dt; from pipeline.tracking import *; heavy = ('mlflow', 'tensorflow', 'keras');"
        f"tracker = Tracker({tracker.uri!r}, {tracker.artifact_root!r}, 'sample');"
        "early = [name for name in heavy if name in sys.modules];"
        "model = TrackedModel('m1', dt.date(2013, 3, 1), b'weights', {'past': (60, 2)}, 5, ('open', 'close'), 'a change');"
        "parent = tracker.open_session(dt.date(2013, 3, 1), 'default', 'close');"
        "tracker.record(parent, StockRun('AAPL', {}, {}, model=model)); tracker.set_champions({'AAPL': 'm1'});"
        "print(early, [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert (done.stdout, done.stderr, done.returncode) == ("[] ['mlflow']\n", "", 0)


KERAS = """
import sys, numpy as np, keras, mlflow
uri, file = sys.argv[1:]
past = keras.Input((60, 2))
model = keras.Model(past, keras.layers.Dense(5)(keras.layers.LSTM(2)(past)))
model.save(file)
print("saved", flush=True)
input()
mlflow.set_tracking_uri(uri)
past = np.ones((3, 60, 2), "float32")
expected = model.predict(past, verbose=0)
champion = "models:/sample.AAPL@champion"
print((mlflow.keras.load_model(champion).predict(past, verbose=0) == expected).all())
tracked = mlflow.pyfunc.load_model(champion)
example = tracked.input_example
shapes = example.shape, tracked.predict(example).shape
print("shapes", *shapes)
print((tracked.predict(past) == expected).all(), tracked.metadata.signature.to_dict()["outputs"])
"""


@pytest.mark.slow
def test_mlflow_loads_the_network_that_was_tracked(tracker, tmp_path):
    file = tmp_path / "network.keras"
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-c", KERAS, tracker.uri, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as keras:
        assert keras.stdout.readline() == "saved\n"
        record_friday(tracker, dataclasses.replace(AAPL, model=dataclasses.replace(NETWORK, content=file.read_bytes())))
        tracker.set_champions({"AAPL": "aapl-march"})
        answer, _ = keras.communicate("\n", timeout=120)
    assert "shapes (1, 60, 2) (1, 5)\n" in answer
    assert answer.endswith("""True [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 5]}}]\n""")


@pytest.mark.slow
def test_a_server_takes_the_same_runs_and_shows_those_of_its_database(tracker, tmp_path):
    record_friday(tracker)
    with _server(tracker.uri, tmp_path) as address:
        over_http = Tracker(address, "unused", "remote")
        over_http.record(over_http.open_session(FRIDAY, "default", "close"), AAPL)
        over_http.set_champions({"AAPL": "aapl-march"})
        assert versions(over_http) == [
            ("remote.AAPL", 1, "aapl-march", "2013-03-01"),
            ("remote.AAPL", 2, "aapl-february", "2013-02-01"),
            ("sample.AAPL", 1, "aapl-march", "2013-03-01"),
            ("sample.AAPL", 2, "aapl-february", "2013-02-01"),
        ]
        assert [name for name, *_ in runs(Tracker(address, "", "sample"))] == ["2013-03-01 default", "AAPL 2013-03-01 default"]
        machines = [Tracker(address, "unused", "remote", turns=f"sqlite:///{tmp_path}/store.db") for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            parents = pool.map(lambda machine: machine.open_session(FRIDAY, "castilla", "close"), machines)
            assert len(set(parents)) == 1, "they have taken turns"


class _server:
    """An MLflow server on loopback; answers until the block ends."""

    def __init__(self, database, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--host", "127.0.0.1"]
        self.command += ["--port", str(self.port), "--workers", "1", "--artifacts-destination", str(folder / "served")]
        self.log = (folder / "server.log").open("w")

    def __enter__(self):
        environ = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, env=environ)
        address = f"http://127.0.0.1:{self.port}"
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                return address
            except OSError:
                assert self.process.poll() is None, Path(self.log.name).read_text()
                time.sleep(0.5)
        raise TimeoutError(Path(self.log.name).read_text())

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
