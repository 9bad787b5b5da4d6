"""Training in this process and in workers. The networks here are tiny; their windows are cut from made-up prices."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import keras_files, training
from pipeline.errors import LookAtTheData, RunError, TryAgain
from pipeline.keras_files import load_model
from pipeline.models.default import DEFAULT
from pipeline.models.optimisation import Constant, DecayAfter, HalvedOnPlateau, MeanSquaredError, Optimiser
from pipeline.models.recipe import Examples
from pipeline.models.recurrent import Stack
from pipeline.quantiles import PROBABILITIES
from pipeline.spec import Spec
from pipeline.splits import Newest, Split
from pipeline.training import FitJob, LookAheadJob, PredictJob, Workers, fit, look_ahead, predict, shared_workers
from pipeline.windows import Dataset, Windows, decode, encode, load_dataset

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def dataset_file(ticker: str = "UP", pull: float = 0.5) -> bytes:
    """500 sessions of a price that is pulled back to 100 by `pull` a session: much to learn at .5, nothing at 0."""
    rng = np.random.default_rng(0)
    close = np.empty(500)
    level = 0.0
    for session in range(len(close)):
        level = (1 - pull) * level + rng.normal(scale=0.02)
        close[session] = 100 * np.exp(level)
    sessions = pd.bdate_range("2010-01-04", periods=len(close))
    history = pd.DataFrame(
        {"ticker": ticker, "session": sessions, "open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
        | {"volume": 1000.0, "adj_close": close}
    )
    spec = Spec(
        ticker=ticker,
        cutoff=sessions[-1].date(),
        target="close",
        horizon=2,
        window=small().window,
        normalisation=DEFAULT.normalisation,
        split=Split(test=Newest(60), validation=Newest(60)),
    )
    return encode(history, spec)


def small(**changes: object):
    """The default recipe, cut down to two epochs over ten sessions."""
    return replace(DEFAULT, **{"window": replace(DEFAULT.window, context_length=10), "epochs": 2, **changes})


def relative(trained: bytes, windows: Windows) -> np.ndarray:
    """What a network says (n, 2, 7), as changes in multiples of the volatility."""
    [prices] = predict(trained, (windows,), 2, "UP")
    return (prices - windows.offset[:, None, None]) / windows.scale[:, None, None]


def anchor(dataset: Dataset) -> np.ndarray:
    """What a network without opinion says of every window (2, 7): the quantiles of what training saw."""
    return np.array([np.quantile(column, PROBABILITIES) for column in dataset.train.future.T.astype("float64")])


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(dataset_file())


@pytest.fixture(scope="module")
def trained(dataset):
    return fit(small(epochs=12), {"UP": dataset}, seed=7)


@pytest.fixture(scope="module")
def workers():
    with Workers(1) as pool:
        yield pool


def validation_loss(dataset: Dataset, forecast: np.ndarray) -> float:
    """The default recipe's loss, the dull way: what lies above a quantile costs p of its distance, what lies below 1 - p."""
    scale, total = dataset.train.future.std(axis=0, dtype="float64"), []
    for actual, said in zip(dataset.validation.future, np.broadcast_to(forecast, (len(dataset.validation), 2, 7)), strict=True):
        for horizon in range(2):
            for probability, quantile in zip(PROBABILITIES, said[horizon], strict=True):
                error = (actual[horizon] - quantile) / scale[horizon]
                total.append(probability * error if error > 0 else (probability - 1) * error)
    return float(np.mean(total))


def test_it_learns_what_there_is_to_learn(dataset, trained):
    walk = validation_loss(dataset, anchor(dataset))
    assert trained.history["val_loss"][0] < 0.9 * walk  # the straight line alone
    assert min(trained.history["val_loss"]) <= trained.history["val_loss"][0]
    assert len({len(entries) for entries in trained.history.values()}) == 1


def test_the_weights_kept_are_those_of_the_best_epoch(dataset, trained):
    forecast = relative(trained.model, dataset.validation)
    assert trained.best_epoch == int(np.argmin(trained.history["val_loss"]))
    assert validation_loss(dataset, forecast) == pytest.approx(trained.history["val_loss"][trained.best_epoch], rel=1e-5)


def test_saved_and_loaded_by_keras_alone_it_forecasts_the_same(dataset, trained):
    import tensorflow as tf

    plain, test = load_model(trained.model), dataset.test
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    said = plain([tf.constant(test.past), tf.constant([["UP"]] * len(test))])
    np.testing.assert_allclose(np.reshape(said, (-1, 2, 7)), relative(trained.model, test), atol=1e-5)


def test_when_nothing_learnt_helps_the_random_walk_comes_out():
    walk = load_dataset(dataset_file(pull=0.0))

    result = fit(small(optimiser=Optimiser("Adam", Constant(1.0)), patience=2, epochs=20), {"UP": walk}, seed=7)
    assert result.best_epoch == 0
    assert len(result.history["val_loss"]) == 3
    said = relative(result.model, walk.test)
    np.testing.assert_allclose(said, np.broadcast_to(anchor(walk), said.shape), atol=1e-5)


def test_without_patience_all_epochs_are_trained_and_the_last_is_kept(dataset):
    result = fit(small(optimiser=Optimiser("Adam", Constant(0.05)), patience=None, epochs=5), {"UP": dataset}, seed=7)
    assert (result.best_epoch, len(result.history["val_loss"])) == (5, 6)
    loss = validation_loss(dataset, relative(result.model, dataset.validation))
    assert loss == pytest.approx(result.history["val_loss"][5], rel=1e-4)


def test_without_validation_windows_there_is_no_validation_loss():
    spec, history = decode(dataset_file())
    whole = load_dataset(encode(history, replace(spec, split=replace(spec.split, validation=None))))
    result = fit(small(patience=None), {"UP": whole}, seed=7)
    assert len(whole.validation) == 0
    assert np.isnan(result.history["val_loss"]).all()
    assert np.isfinite(result.history["loss"]).all()


def test_a_schedule_moves_the_learning_rate_between_epochs(dataset):
    falling = Optimiser("RMSprop", DecayAfter(0.001, 0.5, first_epochs=2))
    result = fit(small(optimiser=falling, patience=None, epochs=4), {"UP": dataset}, seed=7)
    np.testing.assert_allclose(result.history["learning_rate"][1:], [0.001, 0.001, 0.0005, 0.00025], rtol=1e-6)


@pytest.mark.parametrize("watches", ["validation", "test"])
def test_only_a_schedule_that_says_so_looks_at_the_test_windows(dataset, watches):
    plateau = Optimiser("Adam", HalvedOnPlateau(0.01, 0.0001, patience=1, watches=watches))
    recipe = small(optimiser=plateau, patience=None, epochs=8)
    other = replace(dataset, test=replace(dataset.test, ahead=dataset.test.ahead[::-1]))
    rates = [fit(recipe, {"UP": data}, seed=7).history["learning_rate"] for data in (dataset, other)]
    assert min(rates[0]) < 0.01
    assert (rates[0] == rates[1]) == (watches == "validation")


def test_stocks_that_share_a_network_are_told_apart_and_an_unknown_one_has_its_own_vector():
    recipe = small(network=Stack((4,), embedding=2), loss=MeanSquaredError(), pooled=True, patience=None)
    datasets = {ticker: load_dataset(dataset_file(ticker, pull)) for ticker, pull in (("UP", 0.5), ("WALK", 0.0))}
    trained = fit(recipe, datasets, seed=7)
    assert trained.model == fit(recipe, dict(reversed(datasets.items())), seed=7).model
    test = datasets["UP"].test
    said = {symbol: predict(trained.model, (test,), 2, symbol)[0] for symbol in ("UP", "WALK", "NEW", "")}
    np.testing.assert_array_equal(said["NEW"], said[""])
    assert len({prices.tobytes() for prices in said.values()}) == 3


def test_a_network_of_many_stocks_learns_from_so_many_windows_of_each_the_newest_among_them(monkeypatch, dataset):
    monkeypatch.setattr(training, "LEARNT_TOGETHER", 100)
    learnt = {}
    monkeypatch.setattr(
        training, "fit_examples", lambda recipe, *parts: learnt.update(zip(("train", "validation"), parts[:2], strict=True))
    )
    recipe = small(network=Stack((4,), embedding=2), loss=MeanSquaredError(), pooled=True)
    fit(recipe, {"UP": dataset, "WALK": dataset}, seed=7)
    for name in ("train", "validation"):
        whole = getattr(dataset, name)
        stride = -(-len(whole) // 50)
        assert stride > 1
        assert len(learnt[name]) == 2 * len(range(len(whole) - 1, -1, -stride)) <= 100
        np.testing.assert_array_equal(learnt[name].targets[-1], whole.future[-1])
        np.testing.assert_array_equal(learnt[name].targets[-2], whole.future[-1 - stride])


def test_a_network_that_has_been_built_is_given_the_weights_of_each_file(dataset):
    one, other = (fit(small(), {"UP": dataset}, seed).model for seed in (7, 8))
    alone = {}
    for model in (one, other):
        keras_files._built.clear()
        alone[model] = predict(model, (dataset.test,), 2)[0]
    assert not np.array_equal(alone[one], alone[other])
    for model in (one, other, one):
        np.testing.assert_array_equal(predict(model, (dataset.test,), 2)[0], alone[model])
    assert len(keras_files._built) == 1
    loaded = load_model(one)
    for weights, expected in zip(keras_files.load_fused(one).get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_a_file_with_other_weights_is_the_file_of_the_other_network(trained):
    other = load_model(trained.model)
    names = keras_files.places(load_model(trained.model))
    other.set_weights([weight + number for number, weight in enumerate(other.get_weights())])
    file = keras_files.with_weights(trained.model, dict(zip(names, other.get_weights(), strict=True)))
    assert file == keras_files.plain_file(other) != trained.model
    with pytest.raises(LookAtTheData, match="no model file that Keras can load"):
        keras_files.with_weights(trained.model[:2000], {})


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_are_those_that_keras_makes_of_arrays(shuffle):
    import keras

    examples = Examples({"past": np.arange(50, dtype="float32").reshape(25, 2)}, np.arange(25, dtype="float32")[:, None])
    past = keras.Input((2,), name="past")
    model, given = keras.Model(past, keras.layers.Dense(1)(past)), []

    def kept(targets, outputs):
        given.append(np.array(targets).ravel().tolist())
        return keras.ops.mean(outputs - targets)

    model.compile("sgd", kept, run_eagerly=True)
    keras.utils.set_random_seed(7)
    model.fit(examples.inputs["past"], examples.targets, batch_size=10, epochs=2, shuffle=shuffle, verbose=0)
    keras.utils.set_random_seed(7)
    batches = list(training._batches(model, examples, small(batch_size=10, shuffle=shuffle), 3).take(6))
    assert [np.array(targets).ravel().tolist() for _, targets in batches] == given
    assert (sorted(given[0]) == given[0]) is not shuffle
    for inputs, targets in batches:
        np.testing.assert_array_equal(inputs[:, 0], 2 * targets[:, 0])


def test_the_seed_decides_the_file_and_nothing_before_it_does(dataset):
    one, other, again = (fit(small(), {"UP": dataset}, seed) for seed in (7, 8, 7))
    assert one.model == again.model
    assert one.model != other.model
    assert one.history == again.history


def test_a_file_names_no_moment_and_no_address(trained):
    with zipfile.ZipFile(io.BytesIO(trained.model)) as file:
        assert {entry.date_time[0] for entry in file.infolist()} == {1980}
        assert json.loads(file.read("metadata.json"))["date_saved"].startswith("1980")
        assert set(file.namelist()) == {"config.json", "metadata.json", "model.weights.h5"}


def test_a_damaged_model_file_is_a_matter_for_a_person(trained, dataset):
    for data in (b"", b"no zip", trained.model[:2000], trained.model.replace(b"Rescaling", b"Rescalinq")):
        with pytest.raises(LookAtTheData, match="no model file that Keras can load"):
            predict(data, (dataset.test,), 2)


def test_a_model_file_cannot_bring_code_along():
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("/tmp")
        model.save("stockcast-lambda.keras")
        data = Path("stockcast-lambda.keras").read_bytes()
        Path("stockcast-lambda.keras").unlink()
    with pytest.raises(LookAtTheData):
        load_model(data)


def test_a_missing_number_is_never_trained_on(dataset):
    values = dataset.train.values.copy()
    values[3, 2, 1] = np.nan
    broken = replace(dataset, train=replace(dataset.train, values=values))
    with pytest.raises(LookAtTheData, match=r"UP: .* has a number missing"):
        fit(small(), {"UP": broken}, seed=7)


def test_a_worker_with_one_thread_makes_the_same_file_as_this_process_with_several(workers):
    job = FitJob("UP", small(), {"UP": dataset_file()}, seed=7)
    [(given, first)] = workers.fit_all([job])
    assert given is job
    here = fit(small(), {"UP": load_dataset(job.datasets["UP"])}, seed=7)
    assert first.model == here.model
    assert first.history == here.history


def test_a_worker_forecasts_what_this_process_does(workers, trained, dataset):
    [(_, forecasts)] = workers.predict_all([PredictJob("UP", trained.model, (dataset.validation, dataset.test), 2)])
    for there, here in zip(forecasts, predict(trained.model, (dataset.validation, dataset.test), 2, "UP"), strict=True):
        np.testing.assert_array_equal(there, here)


def test_a_worker_looks_ahead_as_this_process_does(workers, trained, dataset):
    [(_, there)] = workers.look_ahead_all([LookAheadJob("UP", trained.model, dataset.test, 20)])
    assert there.table().equals(look_ahead(trained.model, dataset.test, 20, "UP").table())


def test_one_job_that_fails_names_its_ticker_and_does_not_keep_the_others(workers, trained, dataset):
    test = dataset.test
    narrow = replace(test, values=test.values[:, 1:])
    jobs = [
        PredictJob("BAD", b"no zip", (test,), 2),
        FitJob("OOPS", small(), {"OOPS": b"no dataset"}, seed=7),
        PredictJob("GOOD", trained.model, (test,), 2),
        PredictJob("SHAPE", trained.model, (narrow,), 2),
    ]
    outcomes = dict(zip(["BAD", "GOOD", "SHAPE"], [None] * 3, strict=True))
    outcomes |= {job.ticker: outcome for job, outcome in workers.predict_all([job for job in jobs if isinstance(job, PredictJob)])}
    outcomes |= {job.ticker: outcome for job, outcome in workers.fit_all([job for job in jobs if isinstance(job, FitJob)])}
    assert isinstance(outcomes["GOOD"], tuple)
    assert (type(outcomes["BAD"]), type(outcomes["OOPS"]), type(outcomes["SHAPE"])) == (LookAtTheData, LookAtTheData, RunError)
    assert all(str(outcomes[ticker]).startswith(f"{ticker}: ") for ticker in ("BAD", "OOPS", "SHAPE"))
    assert "Traceback" in outcomes["SHAPE"].__notes__[0]


def children(of: int) -> set[int]:
    listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(of)], capture_output=True, text=True, check=False).stdout
    return {int(line) for line in listing.split()}


def wait_until(holds, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_worker_that_is_killed_costs_its_job_only(trained, dataset):
    job = PredictJob("LOST", trained.model, (dataset.test,), 2)
    with Workers(1) as pool:
        before = children(os.getpid())
        pool.warm_up()
        [victim] = {worker._process.pid for worker in pool._all} - before
        os.kill(victim, signal.SIGKILL)
        [(_, outcome)] = pool.predict_all([job])
        assert isinstance(outcome, TryAgain)
        assert str(outcome).startswith("LOST: its training process was ended by SIGKILL")
        [(_, outcome)] = pool.predict_all([job])
        assert isinstance(outcome, tuple)
    assert not pool._all


#: Starts a worker, says its process id, and waits to be killed.
PARENT = """
import time
from pipeline.training import shared_workers
workers = shared_workers(1)
workers.warm_up()
print(*[worker._process.pid for worker in workers._all], flush=True)
time.sleep({seconds})
"""


@pytest.mark.parametrize("end", ["killed", "leaves"])
def test_workers_end_with_their_parent_however_it_ends(end):
    script = PARENT.format(seconds=60 if end == "killed" else 0)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        pid = int(parent.stdout.readline())
        if end == "killed":
            parent.kill()
        parent.wait()
    wait_until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())


def _start_and_stop_workers() -> None:
    with Workers(1) as pool:
        pool.warm_up()


def test_a_daemonic_process_may_have_workers():
    """multiprocessing refuses children to daemonic processes, as Airflow's may be."""
    process = multiprocessing.get_context("spawn").Process(target=_start_and_stop_workers, daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_steps_of_one_process_share_their_workers_and_never_import_tensorflow():
    assert shared_workers(2) is shared_workers(2)
    code = "import sys, pipeline.training; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
