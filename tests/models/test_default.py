"""The default recipe's network: what it says before it has learnt anything, what it can never say, how pools become stocks' own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pipeline import training
from pipeline.keras_files import load_model
from pipeline.models import DEFAULT
from pipeline.models.optimisation import Constant, Optimiser
from pipeline.models.recipe import Examples, Shape
from pipeline.quantiles import COUNT, MEDIAN
from pipeline.training import FitJob, Workers, fit, predict
from pipeline.windows import Dataset, encode, load_dataset
from tests.made_days import SMALL
from tests.made_windows import walk

pytestmark = pytest.mark.slow

#: Two horizons; in binary fractions, so that sums are exact.
ANCHOR = np.array([[-2.5, -1.5, -0.5, 0.25, 0.75, 1.5, 3.0], [-4.0, -2.0, -1.0, 0.5, 1.0, 2.0, 4.0]])
HORIZON = 2


def shape(steps: int = 20, symbols: tuple[str, ...] = ("AAA", "BBB")) -> Shape:
    rows = np.random.default_rng(1).normal(size=(steps, 6))
    return Shape(steps, 6, HORIZON, rows, np.exp(rows), np.ones(HORIZON), ANCHOR, symbols)


def built(**changes: object):
    import keras

    return replace(SMALL.network, **changes).build(shape(), keras.layers.LSTM)


def said(model, past: np.ndarray, symbol: str = "AAA") -> np.ndarray:
    """(n, horizon, Q) for windows `past` (n, steps, features)."""
    import tensorflow as tf

    given = [tf.convert_to_tensor(past), tf.constant([[symbol]] * len(past))]
    return np.asarray(model(given)).reshape(len(past), HORIZON, COUNT)


def windows(count: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=scale, size=(count, 20, 6)).astype("float32")


def set_corrections(model, location: np.ndarray, log_growth: np.ndarray) -> None:
    """Lets every window have the same corrections: (horizons,) and (horizons * 6,)."""
    for name, values in (("location", location), ("log_growth", log_growth)):
        layer = model.get_layer(name)
        layer.set_weights([np.zeros_like(layer.get_weights()[0]), values])


def test_a_network_that_corrects_nothing_says_the_anchor_exactly():
    for symbol in ("AAA", "BBB", "", "unheard of"):
        np.testing.assert_array_equal(said(built(), windows(5), symbol), np.broadcast_to(ANCHOR, (5, HORIZON, COUNT)))


def test_corrections_move_the_median_and_stretch_the_distances_between_neighbours():
    model = built()
    factors = np.array([[1, 2, 4, 1, 0.5, 2], [1, 1, 1, 4, 1, 1.0]])
    set_corrections(model, np.array([0.5, -1.0]), np.log(factors).ravel())
    expected = []
    for quantiles, shift, grown in zip(ANCHOR, (0.5, -1.0), factors, strict=True):
        row = [0.0] * COUNT
        row[MEDIAN] = quantiles[MEDIAN] + shift
        for at in range(MEDIAN, COUNT - 1):
            row[at + 1] = row[at] + grown[at] * (quantiles[at + 1] - quantiles[at])
        for at in range(MEDIAN, 0, -1):
            row[at - 1] = row[at] - grown[at - 1] * (quantiles[at] - quantiles[at - 1])
        expected.append(row)
    np.testing.assert_allclose(said(model, windows(1))[0], expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 0.5, 1.5])
def test_quantiles_never_cross_whatever_the_weights(scale):
    model = built(units=4)
    random = np.random.default_rng(2)
    for weight in model.trainable_weights:
        weight.assign(random.normal(scale=scale, size=weight.shape))
    quantiles = said(model, windows(200))
    assert np.isfinite(quantiles).all()
    rounding = 1e-6 * np.abs(quantiles).max(axis=2, keepdims=True)
    assert (np.diff(quantiles, axis=2) >= -rounding).all()
    assert np.ptp(quantiles, axis=0).min() > 0  # it does say something about the window


def test_only_the_corrections_are_learnt_and_the_anchor_stays():
    model = built()
    learnt = {weight.path.split("/")[0] for weight in model.trainable_weights}
    assert learnt == {"symbol_embedding", "lstm", "location", "log_growth"}


def test_the_median_starts_from_the_straight_line_where_there_is_one_and_from_nothing_elsewhere():
    random = np.random.default_rng(3)
    past = random.normal(size=(400, 20, 6)).astype("float32")
    symbol = np.full((400, 1), "AAA", dtype=object)
    noise = random.normal(scale=0.1, size=(400, HORIZON))
    newest = (past[:, -1, 3] - shape().past_mean[-1, 3]) / shape().past_scale[-1, 3]
    steered = (ANCHOR[:, MEDIAN] + np.outer(newest, [1.0, -2.0]) + noise).astype("float32")
    aimless = (ANCHOR[:, MEDIAN] + random.normal(size=(400, HORIZON))).astype("float32")
    for targets, slopes in ((steered, [1.0, -2.0]), (aimless, [0.0, 0.0])):
        model = built()
        parts = [Examples({"past": past[some], "symbol": symbol[some]}, targets[some]) for some in (slice(300), slice(300, None))]
        replace(SMALL.network, strengths=(0.001, 3.0)).start(model, *parts)
        kernel, _ = model.get_layer("location").get_weights()
        # Seen: the LSTM, the symbol's vector, the mean of the newest session, of the newest five.
        at = SMALL.network.units + SMALL.network.embedding + 3
        np.testing.assert_allclose(kernel[at], slopes, atol=0.05)
        assert not kernel[: SMALL.network.units + SMALL.network.embedding].any()


# --- pool, then tune ------------------------------------------------------------------------------------------------------------


def file_of(ticker: str, seed: int, count: int = 400) -> bytes:
    table = walk(count, seed).assign(ticker=ticker)
    return encode(table, SMALL.spec(ticker, table["session"].iloc[-1].date(), "close", HORIZON))


FILES = {"AAA": file_of("AAA", 1), "BBB": file_of("BBB", 2)}


def datasets_of(files: dict[str, bytes]) -> dict[str, Dataset]:
    return {ticker: load_dataset(file) for ticker, file in files.items()}


@pytest.fixture(scope="module")
def pooled():
    return fit(SMALL.pool, datasets_of(FILES), seed=7)


def tuned(base: bytes, seed: int = 7, **changes: object):
    """AAA's own network, tuned otherwise than usual."""
    recipe = replace(SMALL, fine_tuning=replace(SMALL.fine_tuning, **changes))
    return fit(recipe, datasets_of({"AAA": FILES["AAA"]}), seed, base=base)


def test_a_network_tuned_for_no_epochs_is_the_pooled_one(pooled):
    assert tuned(pooled.model, epochs=0).model == pooled.model


def test_tuning_goes_on_from_the_pooled_network_s_loss_and_moves_it(pooled):
    test = load_dataset(FILES["AAA"]).validation
    own = tuned(pooled.model, optimiser=Optimiser("Adam", Constant(3e-3)), patience=9, epochs=4)
    came, quantiles = test.future[..., None], said(load_model(pooled.model), test.past)
    probability = np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
    cost = np.maximum(probability * (came - quantiles), (probability - 1) * (came - quantiles)).mean(axis=(0, 2))
    scale = load_dataset(FILES["AAA"]).train.future.std(axis=0, dtype="float64")
    assert own.history["val_loss"][0] == pytest.approx((cost / scale).mean(), rel=1e-4)
    assert len(own.history["val_loss"]) == 5 and own.history["loss"][-1] < own.history["loss"][0]


def test_early_stopping_keeps_the_pooled_network_where_tuning_does_not_help(pooled):
    own = tuned(pooled.model, optimiser=Optimiser("Adam", Constant(1.0)), patience=2, epochs=9)
    assert (own.best_epoch, len(own.history["val_loss"])) == (0, 3)
    assert own.model == pooled.model


def test_a_stock_unknown_to_the_pool_has_the_unknown_s_forecast_and_can_be_tuned(pooled):
    test = load_dataset(FILES["AAA"]).test
    by_symbol = {symbol: predict(pooled.model, (test,), HORIZON, symbol)[0] for symbol in ("AAA", "BBB", "", "NEW")}
    np.testing.assert_array_equal(by_symbol["NEW"], by_symbol[""])
    assert len({prices.tobytes() for prices in by_symbol.values()}) == 3
    new = fit(SMALL, datasets_of({"NEW": file_of("NEW", 3)}), 7, base=pooled.model)
    assert np.isfinite(new.history["val_loss"]).all()


def test_without_a_pooled_network_a_stock_begins_alone_and_learns_by_the_recipe_s_own_numbers():
    alone = fit(replace(SMALL, epochs=3, patience=9), datasets_of({"AAA": FILES["AAA"]}), 7)
    assert len(alone.history["loss"]) == 4
    assert alone.history["learning_rate"][1:] == pytest.approx([SMALL.optimiser.schedule.rate] * 3)


def test_pooling_and_tuning_twice_give_the_same_bytes_in_another_process_too(pooled):
    assert fit(SMALL.pool, datasets_of(dict(reversed(FILES.items()))), seed=7).model == pooled.model
    here, other = (tuned(pooled.model, seed) for seed in (7, 8))
    with Workers(1) as workers:
        jobs = [FitJob("all", SMALL.pool, FILES, 7), FitJob("AAA", SMALL, {"AAA": FILES["AAA"]}, 7, base=pooled.model)]
        there = {job.ticker: outcome for job, outcome in workers.fit_all(jobs)}
    assert there["all"].model == pooled.model
    assert (there["AAA"].model, there["AAA"].history) == (here.model, here.history)
    assert other.history["loss"] != here.history["loss"]


def test_which_stocks_were_tuned_before_makes_no_difference(pooled):
    """A worker keeps the network that it has traced, and brings it back to its beginning."""
    bases = [pooled.model, fit(SMALL.pool, datasets_of(FILES), seed=8).model]
    jobs = [(ticker, base) for ticker in FILES for base in bases]
    told = []
    for order in (jobs, jobs[::-1]):
        training._ready.cache_clear()
        outcomes = {job: fit(SMALL, datasets_of({job[0]: FILES[job[0]]}), 7, base=job[1]) for job in order}
        told.append([(outcomes[job].model, outcomes[job].history) for job in jobs])
        assert training._ready.cache_info().hits > 0
    assert told[0] == told[1]
    assert len({model for model, _ in told[0]}) > 1


PLAIN = """
import sys, numpy as np, tensorflow as tf, keras
model = keras.saving.load_model(sys.argv[1], compile=False, safe_mode=True)
past = np.load(sys.argv[2])
np.save(sys.argv[3], model([tf.constant(past), tf.constant([["AAA"]] * len(past))]).numpy())
print([name for name in sys.modules if name.split(".")[0] == "pipeline"])
"""


def test_the_saved_file_is_plain_keras_and_says_the_same_without_this_project(pooled, tmp_path):
    test = load_dataset(FILES["AAA"]).test
    (tmp_path / "model.keras").write_bytes(pooled.model)
    np.save(tmp_path / "past.npy", test.past)
    # -I: neither this folder nor any environment variable is looked at; the package is not installed where it is not seen.
    command = [sys.executable, "-I", "-c", PLAIN, *("model.keras", "past.npy", "said.npy")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    dollars = test.to_prices(np.load(tmp_path / "said.npy")).reshape(-1, HORIZON, COUNT)
    np.testing.assert_allclose(predict(pooled.model, (test,), HORIZON, "AAA")[0], dollars, rtol=1e-6)


def test_the_recipe_says_what_it_does():
    told = DEFAULT.described()
    assert "all zero is the random walk with EWMA volatility" in told["network"]
    assert "until 2 bring nothing better on the stock's validation sessions" in told["fine tuning"]
    assert (DEFAULT.pool.name, DEFAULT.pool.pooled, DEFAULT.pool.fine_tuning) == ("default.pool", True, None)
    assert DEFAULT.config_hash() != DEFAULT.pool.config_hash()
    tuned_otherwise = replace(DEFAULT, fine_tuning=replace(DEFAULT.fine_tuning, epochs=99))
    assert tuned_otherwise.config_hash() != DEFAULT.config_hash()  # a changed tuning makes new networks, from the same pool
    assert tuned_otherwise.pool.config_hash() == DEFAULT.pool.config_hash()
