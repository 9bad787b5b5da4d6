"""The default recipe's network: before it has learnt, what it can never answer, and its tuning."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from pipeline.models import Examples, Optimiser, Shape
from pipeline.models.optimisation import Constant
from pipeline.quantiles import MEDIAN, PROBABILITIES, QUANTILE_COUNT
from pipeline.training.jobs import FitJob, Trained
from pipeline.windows import encode, load_dataset, training_part
from tests.made_days import SMALL
from tests.made_windows import walk

pytestmark = pytest.mark.slow

#: Two horizons; in binary fractions, so that sums are exact.
ANCHOR = np.array(
    [[-2.5, -1.5, -0.5, 0.25, 0.75, 1.5, 3.0], [-4.0, -2.0, -1.0, 0.5, 1.0, 2.0, 4.0]]
)
HORIZON = 2
ROWS = np.random.default_rng(1).normal(size=(20, 6))
SHAPE = Shape(20, 6, HORIZON, ROWS, np.exp(ROWS), np.ones(HORIZON), ANCHOR, ("AAA", "BBB"))


def untrained(**changes: object):
    import keras

    return replace(SMALL.network, **changes).build(SHAPE, keras.layers.LSTM)


def answers(model, past: np.ndarray, symbol: str = "AAA") -> np.ndarray:
    """Return (n, horizon, Q) for windows `past` (n, steps, features)."""
    import tensorflow as tf

    inputs = [tf.convert_to_tensor(past), tf.constant([[symbol]] * len(past))]
    return np.asarray(model(inputs)).reshape(len(past), HORIZON, QUANTILE_COUNT)


def windows(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 20, 6)).astype("float32")


def set_corrections(model, location: np.ndarray, log_growth: np.ndarray) -> None:
    """Give every window the same corrections: (horizons,) and (horizons * 6,)."""
    for name, values in (("location", location), ("log_growth", log_growth)):
        layer = model.get_layer(name)
        layer.set_weights([np.zeros_like(layer.get_weights()[0]), values])


def test_a_network_that_corrects_nothing_answers_the_anchor_exactly():
    model = untrained()
    for symbol in ("AAA", "BBB", "", "never seen"):
        np.testing.assert_array_equal(
            answers(model, windows(5), symbol),
            np.broadcast_to(ANCHOR, (5, HORIZON, QUANTILE_COUNT)),
        )


def test_corrections_move_the_median_and_stretch_the_distances_between_neighbours():
    model = untrained()
    factors = np.array([[1, 2, 4, 1, 0.5, 2], [1, 1, 1, 4, 1, 1.0]])
    set_corrections(model, np.array([0.5, -1.0]), np.log(factors).ravel())
    expected = []
    for quantiles, shift, growth in zip(ANCHOR, (0.5, -1.0), factors, strict=True):
        row = [0.0] * QUANTILE_COUNT
        row[MEDIAN] = quantiles[MEDIAN] + shift
        for at in range(MEDIAN, QUANTILE_COUNT - 1):
            row[at + 1] = row[at] + growth[at] * (quantiles[at + 1] - quantiles[at])
        for at in range(MEDIAN, 0, -1):
            row[at - 1] = row[at] - growth[at - 1] * (quantiles[at] - quantiles[at - 1])
        expected.append(row)
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
    assert np.ptp(quantiles, axis=0).min() > 0  # the answer depends on the window


def test_only_the_corrections_are_learnt_and_the_anchor_stays():
    learnt = {weight.path.split("/")[0] for weight in untrained().trainable_weights}
    assert learnt == {"symbol_embedding", "lstm", "location", "log_growth"}


def test_the_median_starts_from_the_straight_line_where_there_is_one_and_from_zero_elsewhere():
    random = np.random.default_rng(3)
    past = random.normal(size=(400, 20, 6)).astype("float32")
    symbol = np.full((400, 1), "AAA", dtype=object)
    noise = random.normal(scale=0.1, size=(400, HORIZON))
    newest = (past[:, -1, 3] - SHAPE.past_mean[-1, 3]) / SHAPE.past_scale[-1, 3]
    medians = ANCHOR[:, MEDIAN]
    steered = (medians + np.outer(newest, [1.0, -2.0]) + noise).astype("float32")
    aimless = (medians + random.normal(size=(400, HORIZON))).astype("float32")
    for targets, slopes in ((steered, [1.0, -2.0]), (aimless, [0.0, 0.0])):
        model = untrained()
        train, validation = (
            Examples({"past": past[rows], "symbol": symbol[rows]}, targets[rows])
            for rows in (slice(300), slice(300, None))
        )
        replace(SMALL.network, strengths=(0.001, 3.0)).start(model, train, validation)
        kernel, _ = model.get_layer("location").get_weights()
        # Seen: the LSTM, the symbol's vector, the mean of the newest session, of the newest five.
        first_mean = SMALL.network.units + SMALL.network.embedding
        np.testing.assert_allclose(kernel[first_mean + 3], slopes, atol=0.05)
        assert not kernel[:first_mean].any()


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
    """Tune AAA's own network, otherwise than usual."""
    from pipeline.training.fit import fit

    def tune(base: bytes, seed: int = 7, **changes: object) -> Trained:
        recipe = replace(SMALL, fine_tuning=replace(SMALL.fine_tuning, **changes))
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
    jobs = [
        FitJob("all", SMALL.pool, files, 7),
        FitJob("AAA", SMALL, {"AAA": files["AAA"]}, 7, base=pooled.model),
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
