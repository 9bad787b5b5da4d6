"""Fitting in this process: tiny networks on windows that are cut from made prices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import LookAtTheData
from pipeline.models import Examples, Optimiser, Stack
from pipeline.models.optimisation import Constant, DecayAfter, HalvedOnPlateau, MeanSquaredError
from pipeline.training.fit import fit
from pipeline.training.predict import predict
from pipeline.windows import encode, load_dataset, training_part
from tests.training.made_networks import (
    SPLIT,
    anchor,
    dataset_file,
    made_history,
    relative,
    small,
    spec_of,
    training_files,
    validation_loss,
)

POOLED = small(
    network=Stack((4,), embedding=2), loss=MeanSquaredError(), pooled=True, patience=None
)


@pytest.mark.slow
def test_a_training_that_diverges_is_an_error_that_says_when():
    wild = small(patience=None, optimiser=Optimiser("SGD", Constant(1e30)))
    with pytest.raises(LookAtTheData, match=r"diverged: after epoch 2 of 2 its loss is (nan|inf)"):
        fit(wild, training_files(), seed=7)


@pytest.mark.slow
def test_it_learns_what_there_is_to_learn():
    history = made_history(pull=0.0, wildness=4.0)
    file = encode(history, spec_of(history))
    fast = small(optimiser=Optimiser("Adam", Constant(0.01)), batch_size=32, epochs=20)
    learnt = fit(fast, {"UP": training_part(file)}, seed=7).history
    walk = load_dataset(file)
    assert learnt["val_loss"][0] == pytest.approx(validation_loss(walk, anchor(walk)))
    assert min(learnt["val_loss"]) < 0.95 * learnt["val_loss"][0]
    assert len({len(entries) for entries in learnt.values()}) == 1


@pytest.mark.slow
def test_the_weights_kept_are_those_of_the_best_epoch(dataset, trained):
    losses = trained.history["val_loss"]
    assert trained.best_epoch == int(np.argmin(losses))
    forecast = relative(trained.model, dataset.validation)
    assert validation_loss(dataset, forecast) == pytest.approx(losses[trained.best_epoch], rel=1e-5)


@pytest.mark.slow
def test_where_nothing_learnt_helps_the_random_walk_is_the_result():
    wild = small(optimiser=Optimiser("Adam", Constant(1.0)), patience=2, epochs=20)
    result = fit(wild, training_files(pull=0.0), seed=7)
    assert result.best_epoch == 0
    assert len(result.history["val_loss"]) == 3
    walk = load_dataset(dataset_file(pull=0.0))
    forecast = relative(result.model, walk.test)
    np.testing.assert_allclose(forecast, np.broadcast_to(anchor(walk), forecast.shape), atol=1e-5)


@pytest.mark.slow
def test_without_patience_all_epochs_are_trained_and_the_last_is_kept(dataset):
    fast = small(optimiser=Optimiser("Adam", Constant(0.05)), patience=None, epochs=5)
    result = fit(fast, training_files(), seed=7)
    assert (result.best_epoch, len(result.history["val_loss"])) == (5, 6)
    loss = validation_loss(dataset, relative(result.model, dataset.validation))
    assert loss == pytest.approx(result.history["val_loss"][5], rel=1e-4)


@pytest.mark.slow
def test_without_validation_windows_there_is_no_validation_loss():
    file = training_part(dataset_file(split=replace(SPLIT, validation=None)))
    assert len(load_dataset(file).validation) == 0
    result = fit(small(patience=None), {"UP": file}, seed=7)
    assert np.isnan(result.history["val_loss"]).all()
    assert np.isfinite(result.history["loss"]).all()


@pytest.mark.slow
def test_a_schedule_moves_the_learning_rate_between_epochs():
    falling = Optimiser("RMSprop", DecayAfter(0.001, 0.5, first_epochs=2))
    recipe = small(optimiser=falling, patience=None, epochs=4)
    rates = fit(recipe, training_files(), seed=7).history["learning_rate"]
    np.testing.assert_allclose(rates[1:], [0.001, 0.001, 0.0005, 0.00025], rtol=1e-6)


@pytest.mark.parametrize("watches", ["validation", "test"])
@pytest.mark.slow
def test_only_a_schedule_that_watches_the_test_looks_at_it(watches):
    plateau = Optimiser("Adam", HalvedOnPlateau(0.01, 0.0001, patience=1, watches=watches))
    recipe = small(optimiser=plateau, patience=None, epochs=8)
    history = made_history()
    other = history.copy()
    prices = ["open", "high", "low", "close", "adj_close"]
    other.loc[450:, prices] = history.loc[400:449, prices].to_numpy()  # within the test
    # Whole files: what is held out of them must not be looked at.
    one, same = (
        fit(recipe, {"UP": encode(table, spec_of(table))}, seed=7).history["learning_rate"]
        for table in (history, other)
    )
    assert min(one) < 0.01
    assert (one == same) == (watches == "validation")


@pytest.mark.slow
def test_stocks_that_share_a_network_have_their_vectors_and_an_unknown_one_its_own(dataset):
    files = training_files("UP", 0.5) | training_files("WALK", 0.0)
    trained = fit(POOLED, files, seed=7)
    assert trained.model == fit(POOLED, dict(reversed(files.items())), seed=7).model
    forecasts = {
        symbol: predict(trained.model, (dataset.test,), 2, symbol)[0]
        for symbol in ("UP", "WALK", "NEW", "")
    }
    np.testing.assert_array_equal(forecasts["NEW"], forecasts[""])
    assert len({prices.tobytes() for prices in forecasts.values()}) == 3


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.slow
def test_batches_are_those_that_keras_makes_of_arrays(shuffle):
    import keras

    from pipeline.training.fit import _batches

    examples = Examples(
        {"past": np.arange(50, dtype="float32").reshape(25, 2)},
        np.arange(25, dtype="float32")[:, None],
    )
    past = keras.Input((2,), name="past")
    model, expected = keras.Model(past, keras.layers.Dense(1)(past)), []

    def keep(targets, outputs):
        expected.append(np.array(targets).ravel().tolist())
        return keras.ops.mean(outputs - targets)

    model.compile("sgd", keep, run_eagerly=True)
    keras.utils.set_random_seed(7)
    model.fit(
        examples.inputs["past"],
        examples.targets,
        batch_size=10,
        epochs=2,
        shuffle=shuffle,
        verbose=0,
    )
    keras.utils.set_random_seed(7)
    batches = list(_batches(model, examples, small(batch_size=10, shuffle=shuffle), 3).take(6))
    assert [np.array(targets).ravel().tolist() for _, targets in batches] == expected
    assert (sorted(expected[0]) == expected[0]) is not shuffle
    for inputs, targets in batches:
        np.testing.assert_array_equal(inputs[:, 0], 2 * targets[:, 0])


@pytest.mark.slow
def test_the_seed_decides_the_file_and_nothing_before_it_does():
    one, other, again = (fit(small(), training_files(), seed) for seed in (7, 8, 7))
    assert one.model == again.model
    assert one.model != other.model
    assert one.history == again.history
