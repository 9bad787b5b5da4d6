"""Tuning the last layer of a network: what it learns, next to Keras, and next to other stocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import LookAtTheData
from pipeline.models import Optimiser
from pipeline.models.optimisation import Constant, Pinball
from pipeline.training.examples import training_examples
from pipeline.training.jobs import Trained, TuneJob
from pipeline.training.last_layer import _network, _stocks, tune_together
from pipeline.training.numpy_networks import numpy_network
from pipeline.training.workers import Workers
from pipeline.windows import encode, training_part
from tests.made_days import SMALL
from tests.made_windows import walk

pytestmark = pytest.mark.slow

HORIZON = 2
#: Of different length, so that stocks tuned side by side have different numbers of batches.
STOCKS = {"AAA": 400, "BBB": 700, "CCC": 450}


def training_file(ticker: str, count: int) -> bytes:
    table = walk(count, seed=count).assign(ticker=ticker)
    spec = SMALL.spec(ticker, table["session"].iloc[-1].date(), "close", HORIZON)
    return training_part(encode(table, spec))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {ticker: training_file(ticker, count) for ticker, count in STOCKS.items()}


@pytest.fixture(scope="module")
def pooled(files) -> Trained:
    from pipeline.training.fit import fit

    return fit(SMALL.pool, files, seed=7)


def recipe_of(rate: float = 0.01, epochs: int = 4, patience: int = 9, **changes: object):
    optimiser = Optimiser("Adam", Constant(rate), clip_norm=1.0)
    tuning = replace(SMALL.fine_tuning, optimiser=optimiser, epochs=epochs, patience=patience)
    return replace(SMALL, fine_tuning=replace(tuning, **changes))


@pytest.fixture(scope="module")
def job_of(files, pooled):
    def make(ticker: str, seed: int = 7, **changes: object) -> TuneJob:
        return TuneJob(ticker, recipe_of(**changes), {ticker: files[ticker]}, seed, pooled.model)

    return make


def stock_of(job: TuneJob):
    """Return what the tuned layer sees of a job's stock."""
    train, validation, _ = training_examples(job.recipe, job.training_files, job.seed)
    network, tail, _ = _network(job)
    return _stocks({job: (train, validation)}, network, tail)[job]


def results(jobs: list[TuneJob]) -> list[tuple[bytes, dict, int]]:
    tuned = tune_together(jobs)
    assert all(isinstance(each, Trained) for each in tuned), tuned
    return [(each.model, each.history, each.best_epoch) for each in tuned]


def test_a_stock_is_tuned_alike_alone_and_next_to_others_in_any_order(job_of):
    jobs = [job_of(ticker) for ticker in STOCKS]
    alone = [results([job])[0] for job in jobs]
    assert results(jobs) == alone
    assert results(jobs[::-1]) == alone[::-1]
    assert results([jobs[2], jobs[0]]) == [alone[2], alone[0]]
    assert len({model for model, *_ in alone}) == 3
    with Workers(2) as workers:
        there = {job.label: future.result().model for job, future in workers.run(jobs)}
    assert list(there.values()) == [model for model, *_ in alone]


def test_only_the_layer_and_the_stocks_own_anchor_differ_from_the_pooled_network(job_of, pooled):
    [(model, history, best)] = results([job_of("AAA")])
    before, after = numpy_network(pooled.model), numpy_network(model)
    assert best > 0
    names = {place: step.name for step in before.architecture.steps for place in step.places}
    changed = {
        names[place]
        for place, values in before.weights.items()
        if not np.array_equal(values, after.weights[place])
    }
    assert changed == {
        "log_growth"
    }  # nothing is expected of these shocks: the anchor is the pool's
    assert len(history["loss"]) == len(history["val_loss"]) == len(history["learning_rate"]) == 5


def test_it_learns_what_keras_learns_of_the_same_batches(job_of, files):
    import keras
    import tensorflow as tf

    from pipeline.training.keras_files import load_model

    job = job_of("BBB", epochs=3)
    stock = stock_of(job)
    order = np.random.default_rng(7).permutation(len(stock.train))
    layers = keras.layers
    base = load_model(job.base)
    growth = layers.Dense(HORIZON, name="growth")
    anchor = layers.Dense(stock.bias.size, trainable=False)
    seen = keras.Input((stock.train.shape[1] - 1,))
    model = keras.Model(seen, anchor(layers.Activation("exponential")(growth(seen))))
    growth.set_weights(base.get_layer("log_growth").get_weights())
    anchor.set_weights([stock.kernel, stock.bias])
    optimiser = job.recipe.fine_tuning.optimiser.make()
    loss = job.recipe.loss.make(stock.unit)
    weights = growth.trainable_weights
    for _ in range(3):
        for begin in range(0, len(order), 64):
            rows = order[begin : begin + 64]
            with tf.GradientTape() as tape:
                answers = model(tf.constant(stock.train[rows, :-1], "float32"))
                value = tf.reduce_mean(loss(stock.train_targets[rows].astype("float32"), answers))
            optimiser.apply(tape.gradient(value, weights), weights)
    after = model(tf.constant(stock.validation[:, :-1], "float32"))
    expected = float(np.mean(loss(stock.validation_targets.astype("float32"), after)))
    [(_, history, _)] = results([job])
    assert history["val_loss"][3] == pytest.approx(expected, rel=1e-5)
    assert history["val_loss"][3] != pytest.approx(history["val_loss"][0], rel=1e-4)


def test_the_pooled_network_is_the_result_where_tuning_does_not_help(job_of, pooled):
    [(model, history, best)] = results([job_of("AAA", rate=1.0, patience=2)])
    assert (best, len(history["val_loss"])) == (0, 3)
    assert model == pooled.model
    [(none, history, _)] = results([job_of("AAA", epochs=0)])
    assert (none, len(history["loss"])) == (pooled.model, 1)


def test_each_stock_ends_by_its_own_patience(job_of):
    ends = {}
    for ticker in STOCKS:
        [(_, history, best)] = results([job_of(ticker, rate=0.02, epochs=12, patience=1)])
        ends[ticker] = len(history["val_loss"])
        assert len(history["val_loss"]) == min(best + 2, 13)
        assert min(history["val_loss"]) == history["val_loss"][best]
    assert len(set(ends.values())) > 1


def test_one_stocks_fault_is_its_own(job_of, pooled):
    short = TuneJob("NEW", recipe_of(), {"NEW": training_file("NEW", 110)}, 7, pooled.model)
    good = job_of("AAA")
    error, trained = tune_together([short, good])
    assert isinstance(error, LookAtTheData) and "NEW: too little history" in str(error)
    assert trained.model == results([good])[0][0]


def test_a_stock_that_the_pool_has_never_seen_is_tuned_as_an_unknown_one(pooled):
    job = TuneJob("NEW", recipe_of(), {"NEW": training_file("NEW", 500)}, 7, pooled.model)
    [(_, history, _)] = results([job])
    assert np.isfinite(history["val_loss"]).all()


def test_what_cannot_be_tuned_so_is_said(job_of, files, pooled):
    job = job_of("AAA", layer="lstm")
    [error] = tune_together([job])
    assert "layer 'lstm'" in str(error)


def test_the_examples_are_those_of_one_pass(job_of):
    job = job_of("CCC")
    train, validation, _ = training_examples(job.recipe, job.training_files, job.seed)
    stock = stock_of(job)
    assert isinstance(job.recipe.loss, Pinball)
    for part, seen in ((train, stock.train), (validation, stock.validation)):
        assert len(seen) == np.isfinite(part.targets).all(axis=2).sum()
        assert (seen[:, -1] == 1).all()
