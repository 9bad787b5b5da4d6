"""The model folder that is made without TensorFlow, and MLflow's own view of it."""

import dataclasses
import importlib.util
import os
import subprocess
import sys

import pytest
from mlflow.models import Model

from pipeline import __version__
from pipeline.tables import OHLCV
from pipeline.tracking import PublishedModel
from pipeline.tracking.model_folder import LOADER_MODULE
from tests.servers import SECONDS_TO_START
from tests.tracking.made_runs import AAPL, NETWORK, record_friday, uri_of

pytestmark = pytest.mark.slow


def test_the_model_folder_holds_the_file_and_its_signature_and_no_pickle(tracker, folder):
    record_friday(tracker)
    [model] = [
        path.parent
        for path in (folder / "artifacts").rglob("MLmodel")
        if "aapl-march" in path.read_text()
    ]
    files = sorted(str(path.relative_to(model)) for path in model.rglob("*") if path.is_file())
    assert files == [
        "MLmodel",
        "conda.yaml",
        "data/model.keras",
        "python_env.yaml",
        "requirements.txt",
    ]
    assert (model / "data/model.keras").read_bytes() == b"weights"
    assert f"stockcast=={__version__}" in (model / "requirements.txt").read_text()


def test_a_model_takes_price_rows_and_says_what_its_network_takes(tracker, folder):
    record_friday(tracker)
    [model, *_] = sorted((folder / "artifacts").rglob("MLmodel"))
    description = Model.load(str(model))
    assert description.signature.inputs.input_names() == ["session", *OHLCV]
    assert description.signature.outputs.input_names() == [
        "ticker",
        "cutoff",
        "session",
        "horizon",
        "level",
        "price",
    ]
    assert sorted(description.flavors) == ["keras", "python_function"]
    assert description.flavors["python_function"]["loader_module"] == LOADER_MODULE
    assert importlib.util.find_spec(LOADER_MODULE) is not None
    assert description.metadata["network_inputs"] == {"past": [60, 2]}


def test_a_baseline_has_no_network(tracker, folder):
    tracker.set_champions({"AAPL": PublishedModel("har", is_baseline=True)}, lambda: True)
    [model] = (folder / "artifacts").rglob("MLmodel")
    assert list(Model.load(str(model)).flavors) == ["python_function"]
    assert "keras" not in (model.parent / "requirements.txt").read_text()
    assert not (model.parent / "data").exists()


#: Saves a network, waits until it is tracked, and loads it from MLflow.
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
"""


def test_mlflow_loads_the_network_that_was_tracked(tracker, folder):
    file = folder / "network.keras"
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-c", KERAS, uri_of(folder), str(file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as keras:
        assert keras.stdout.readline() == "saved\n"
        network = dataclasses.replace(NETWORK, content=file.read_bytes())
        record_friday(tracker, dataclasses.replace(AAPL, model=network))
        tracker.set_champions({"AAPL": PublishedModel("aapl-march")}, lambda: True)
        answer, _ = keras.communicate("\n", timeout=SECONDS_TO_START)
    assert answer == "True\n"
