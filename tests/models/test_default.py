"""The default recipe's network: before it has learnt, what it can never answer, and its tuning."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from pipeline.models import Optimiser, Shape, StockHar
from pipeline.models.optimisation import Constant
from pipeline.quantiles import MEDIAN, PROBABILITIES, QUANTILE_COUNT
from pipeline.tables import OHLCV
from pipeline.training.jobs import FitJob, Trained, TuneJob
from pipeline.windows import encode, load_dataset, training_part
from tests.made_days import SMALL
from tests.made_windows import walk

pytestmark = pytest.mark.slow

#: Two horizons; in binary fractions, so that sums are exact.
ANCHOR = np.array(
    [[-2.5, -1.5, -0.5, 0.25, 0.75, 1.5, 3.0], [-4.0, -2.0, -1.0, 0.5, 1.0, 2.0, 4.0]]
)
HORIZON = 2
ROWS = np.random.default_rng(1).normal(size=(20, 8))
SHAPE = Shape(20, 8, HORIZON, ROWS, np.exp(ROWS), np.ones(HORIZON), ANCHOR, ("AAA", "BBB"))


def untrained(**changes: object):
    import keras

    return replace(SMALL.network, **changes).build(SHAPE, keras.layers.LSTM)


def answers(model, past: np.ndarray, symbol: str = "AAA") -> np.ndarray:
    """Return (n, horizon, Q) for windows `past` (n, steps, features)."""
    import tensorflow as tf

    inputs = [tf.convert_to_tensor(past), tf.constant([[symbol]] * len(past))]
    return np.asarray(model(inputs)).reshape(len(past), HORIZON, QUANTILE_COUNT)


def windows(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 20, 8)).astype("float32")


def test_a_network_that_corrects_nothing_answers_the_anchor_exactly():
    model = untrained()
    for symbol in ("AAA", "BBB", "", "never seen"):
        np.testing.assert_array_equal(
            answers(model, windows(5), symbol),
            np.broadcast_to(ANCHOR, (5, HORIZON, QUANTILE_COUNT)),
        )


def test_corrections_stretch_all_distances_from_the_median_by_a_factor_per_horizon():
    model, factors = untrained(), np.array([2.0, 0.5])
    layer = model.get_layer("log_growth")
    layer.set_weights([np.zeros_like(layer.get_weights()[0]), np.log(factors)])
    medians = ANCHOR[:, [MEDIAN]]
    expected = medians + factors[:, None] * (ANCHOR - medians)
    np.testing.assert_allclose(answers(model, windows(1))[0], expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 0.5, 1.5])
def test_quantiles_never_cross_with_any_weights(scale):
    model = untrained(units=4)
    random = np.random.default_rng(2)
    for weight in model.trainable_weights:
        weight.assign(random.normal(scale=scale, size=weight.shape))
    quantiles = answers(model, windows(200))
    assert np.isfinite(quantiles).all()
    rounding = 1e-6 * np.abs(quantiles).max(axis=2, keepdims=True)
    assert (np.diff(quantiles, axis=2) >= -rounding).all()
    moved = np.ptp(quantiles, axis=0)
    assert (moved.min(axis=0) > 0).tolist() == [True] * 3 + [False] + [True] * 3  # not the median


def test_only_the_corrections_are_learnt_and_the_anchor_stays():
    learnt = {weight.path.split("/")[0] for weight in untrained().trainable_weights}
    assert learnt == {"symbol_embedding", "lstm", "log_growth"}


# Pool, then tune


@cache
def dataset_file(ticker: str, seed: int) -> bytes:
    table = walk(400, seed).assign(ticker=ticker)
    return encode(table, SMALL.spec(ticker, table["session"].iloc[-1].date(), "close", HORIZON))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The training files of two stocks."""
    return {
        ticker: training_part(dataset_file(ticker, seed))
        for ticker, seed in (("AAA", 1), ("BBB", 2))
    }


@pytest.fixture(scope="module")
def aaa():
    """The dataset of AAA."""
    return load_dataset(dataset_file("AAA", 1))


@pytest.fixture(scope="module")
def pooled(files) -> Trained:
    from pipeline.training.fit import fit

    return fit(SMALL.pool, files, seed=7)


@pytest.fixture(scope="module")
def tuned(files):
    """Tune all layers of AAA's own network on its windows, otherwise than usual."""
    from pipeline.training.fit import fit

    def tune(base: bytes, seed: int = 7, **changes: object) -> Trained:
        recipe = replace(SMALL, fine_tuning=replace(SMALL.fine_tuning, layer="", **changes))
        return fit(recipe, {"AAA": files["AAA"]}, seed, base=base)

    return tune


def test_a_network_tuned_for_no_epochs_is_the_pooled_one(pooled, tuned):
    assert tuned(pooled.model, epochs=0).model == pooled.model


def test_tuning_goes_on_from_the_pooled_networks_loss_and_moves_it(pooled, tuned, aaa):
    from pipeline.training.keras_files import load_model

    validation = aaa.validation
    own = tuned(pooled.model, optimiser=Optimiser("Adam", Constant(3e-3)), patience=9, epochs=4)
    quantiles = answers(load_model(pooled.model), validation.past)
    error, probability = validation.future[..., None] - quantiles, np.array(PROBABILITIES)
    cost = np.maximum(probability * error, (probability - 1) * error).mean(axis=(0, 2))
    scale = aaa.train.future.std(axis=0, dtype="float64")
    assert own.history["val_loss"][0] == pytest.approx((cost / scale).mean(), rel=1e-4)
    assert len(own.history["val_loss"]) == 5
    assert own.history["loss"][-1] < own.history["loss"][0]


def test_early_stopping_keeps_the_pooled_network_where_tuning_does_not_help(pooled, tuned):
    own = tuned(pooled.model, optimiser=Optimiser("Adam", Constant(1.0)), patience=2, epochs=9)
    assert (own.best_epoch, len(own.history["val_loss"])) == (0, 3)
    assert own.model == pooled.model


def test_a_stock_unknown_to_the_pool_has_the_unknowns_forecast_and_can_be_tuned(pooled, aaa):
    from pipeline.training.fit import fit
    from pipeline.training.predict import predict

    by_symbol = {
        symbol: predict(pooled.model, (aaa.test,), HORIZON, symbol)[0]
        for symbol in ("AAA", "BBB", "", "NEW")
    }
    np.testing.assert_array_equal(by_symbol["NEW"], by_symbol[""])
    assert len({prices.tobytes() for prices in by_symbol.values()}) == 3
    new = fit(SMALL, {"NEW": training_part(dataset_file("NEW", 3))}, 7, base=pooled.model)
    assert np.isfinite(new.history["val_loss"]).all()


def test_without_a_pooled_network_a_stock_begins_alone_and_learns_by_the_recipes_own_numbers(files):
    from pipeline.training.fit import fit

    alone = fit(replace(SMALL, epochs=3, patience=9), {"AAA": files["AAA"]}, 7)
    assert len(alone.history["loss"]) == 4
    assert alone.history["learning_rate"][1:] == pytest.approx([SMALL.optimiser.schedule.rate] * 3)


def test_pooling_and_tuning_again_give_the_same_bytes_in_another_process_too(pooled, tuned, files):
    from pipeline.training import Workers
    from pipeline.training.fit import fit

    assert fit(SMALL.pool, dict(reversed(files.items())), seed=7).model == pooled.model
    here, other = (tuned(pooled.model, seed) for seed in (7, 8))
    whole = replace(SMALL, fine_tuning=replace(SMALL.fine_tuning, layer=""))
    jobs = [
        FitJob("all", SMALL.pool, files, 7),
        FitJob("AAA", whole, {"AAA": files["AAA"]}, 7, base=pooled.model),
    ]
    with Workers(1) as workers:
        there = {job.label: future.result() for job, future in workers.run(jobs)}
    assert there["all"].model == pooled.model
    assert (there["AAA"].model, there["AAA"].history) == (here.model, here.history)
    assert other.history["loss"] != here.history["loss"]


def test_the_stocks_that_were_tuned_before_make_no_difference(pooled, files):
    """A worker keeps the network that it has traced, and brings it back to its beginning."""
    from pipeline.training.fit import _prepared, fit

    bases = [pooled.model, fit(SMALL.pool, files, seed=8).model]
    jobs = [(ticker, base) for ticker in files for base in bases]
    results = []
    for order in (jobs, jobs[::-1]):
        _prepared.cache_clear()
        trained = {
            (ticker, base): fit(SMALL, {ticker: files[ticker]}, 7, base=base)
            for ticker, base in order
        }
        results.append([(trained[job].model, trained[job].history) for job in jobs])
        assert _prepared.cache_info().hits > 0
    assert results[0] == results[1]
    assert len({model for model, _ in results[0]}) > 1


PLAIN = """
import sys, numpy as np, tensorflow as tf, keras
model = keras.saving.load_model(sys.argv[1], compile=False, safe_mode=True)
past = np.load(sys.argv[2])
np.save(sys.argv[3], model([tf.constant(past), tf.constant([["AAA"]] * len(past))]).numpy())
print([name for name in sys.modules if name.split(".")[0] == "pipeline"])
"""


def test_the_saved_file_is_plain_keras_and_answers_the_same_without_this_project(
    pooled, aaa, tmp_path
):
    from pipeline.training.predict import predict

    (tmp_path / "model.keras").write_bytes(pooled.model)
    np.save(tmp_path / "past.npy", aaa.test.past)
    # -I: neither this folder nor any environment variable is looked at; the package is not
    # installed where it is not seen.
    command = [sys.executable, "-I", "-c", PLAIN, *("model.keras", "past.npy", "answers.npy")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    outputs = np.load(tmp_path / "answers.npy")
    dollars = aaa.test.to_prices(outputs).reshape(-1, HORIZON, QUANTILE_COUNT)
    [forecast] = predict(pooled.model, (aaa.test,), HORIZON, "AAA")
    np.testing.assert_allclose(forecast, dollars, rtol=1e-6)


# About har


@cache
def about_har(ticker: str, seed: int) -> tuple[bytes, StockHar]:
    """Return a dataset file with what a made regression forecasts, and the regression."""
    table = walk(400, seed).assign(ticker=ticker)
    spec = SMALL.spec(ticker, table["session"].iloc[-1].date(), "close", HORIZON)
    random, days = np.random.default_rng(seed), table["session"].to_numpy("datetime64[D]")
    deviations = random.uniform(0.01, 0.02, size=(400, 1)) * [1, 1.4]
    centres = random.normal(scale=0.003, size=(400, HORIZON))
    har = StockHar(ANCHOR + seed, days, deviations.astype("f4"), centres.astype("f4"))
    return encode(*har.anchoring(table, spec)), har


@pytest.mark.parametrize("layer", ["", "log_growth"])
def test_what_has_learnt_nothing_is_har_of_each_stock_once_it_is_tuned(layer):
    from pipeline.training.fit import fit
    from pipeline.training.predict import predict

    parts = {ticker: about_har(ticker, seed) for ticker, seed in (("AAA", 1), ("BBB", 2))}
    files = {ticker: training_part(file) for ticker, (file, _) in parts.items()}
    pooled = fit(replace(SMALL.pool, epochs=0), files, seed=7)
    untuned = replace(SMALL, fine_tuning=replace(SMALL.fine_tuning, epochs=0, layer=layer))
    kind = TuneJob if layer else FitJob
    for ticker, (file, har) in parts.items():
        own = kind(ticker, untuned, {ticker: files[ticker]}, 7, base=pooled.model).run()
        test = load_dataset(file).test
        [forecast] = predict(own.model, (test,), HORIZON, ticker)
        np.testing.assert_allclose(forecast, har(test), rtol=1e-6)
        [of_all] = predict(pooled.model, (test,), HORIZON, ticker)
        mean = replace(har, shape=ANCHOR + 1.5)
        np.testing.assert_allclose(of_all, mean(test), rtol=1e-6)


def test_targets_are_shocks_about_har_and_the_inputs_are_what_it_expected():
    file, har = about_har("AAA", 1)
    test = load_dataset(file).test
    centres, deviations = har.at(test.origins)
    moved = np.log(test.actual / test.last[:, None])
    np.testing.assert_allclose(test.future, (moved - centres) / deviations, rtol=1e-4, atol=1e-5)
    closes, row = test.values[:, :, OHLCV.index("close")], len(test.origins) - 1
    before = har.at(np.array([har.sessions[test.position[row] - 1]]))[1][0, 0]
    change = (closes[row, -1] / closes[row, -2] - 1) / before
    assert test.past[row, -1, OHLCV.index("close")] == pytest.approx(change, rel=1e-5)
    assert test.past[row, -1, -1] == pytest.approx(np.log(1.4), rel=1e-5)
