"""The model folder that is made without TensorFlow, and MLflow's own view of it."""

import dataclasses
import os
import subprocess
import sys

import pytest

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
        "input_example.json",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    ]
    assert (model / "data/model.keras").read_bytes() == b"weights"
    assert '"shape": [-1, 60,\n    2]' in (model / "MLmodel").read_text()


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
tracked = mlflow.pyfunc.load_model(champion)
example = tracked.input_example
shapes = example.shape, tracked.predict(example).shape
print("shapes", *shapes)
print((tracked.predict(past) == expected).all(), tracked.metadata.signature.to_dict()["outputs"])
"""
OUTPUTS = '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 5]}}]'


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
        tracker.set_champions({"AAPL": "aapl-march"}, lambda: True)
        answer, _ = keras.communicate("\n", timeout=120)
    assert "shapes (1, 60, 2) (1, 5)\n" in answer
    assert answer.startswith("True\n") and answer.endswith(f"True {OUTPUTS}\n")
