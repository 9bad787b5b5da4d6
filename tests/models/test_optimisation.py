"""Schedules, optimisers and losses: their values against the sources' and a plain loop, alone and in a real fit."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.models.optimisation import (
    NOTHING_LEARNT,
    Constant,
    DecayAfter,
    DecayPerUpdate,
    DirectionAware,
    HalvedOnPlateau,
    Huber,
    MeanSquaredError,
    Optimiser,
    Pinball,
)
from pipeline.models.recipe import Examples, Recipe
from pipeline.models.recurrent import Stack

WENG = DecayAfter(0.001, decay=0.99, first_epochs=5)


def test_wengs_rate_stays_for_five_epochs_and_then_decays():
    assert [WENG.rate_at(epoch) for epoch in range(5)] == [0.001] * 5
    assert WENG.rate_at(5) == pytest.approx(0.00099, rel=1e-12)
    assert WENG.rate_at(49) == pytest.approx(0.000636185, rel=1e-6)
    assert Constant(0.01).rate_at(99) == 0.01


def test_an_optimiser_is_made_as_it_says():
    import keras

    clipped = Optimiser("RMSprop", WENG, clip_norm=1.0).make()
    assert isinstance(clipped, keras.optimizers.RMSprop) and clipped.clipnorm == 1.0
    assert float(clipped.learning_rate) == pytest.approx(0.001)
    free = Optimiser("Adam", Constant(0.05)).make()
    assert isinstance(free, keras.optimizers.Adam) and free.clipnorm is None
    yadav = Optimiser("SGD", DecayPerUpdate(0.01, 1e-7), momentum=0.9).make()
    assert isinstance(yadav, keras.optimizers.SGD) and yadav.momentum == 0.9 and not yadav.nesterov


def test_yadavs_rate_decays_with_every_update():
    import keras

    optimiser = Optimiser("SGD", DecayPerUpdate(0.01, decay=0.5)).make()
    weight = keras.Variable([1.0])
    rates = []
    for _ in range(4):
        rates.append(float(optimiser.learning_rate))
        optimiser.apply([np.ones(1, "float32")], [weight])
    np.testing.assert_allclose(rates, [0.01 / (1 + 0.5 * updates) for updates in range(4)], rtol=1e-6)


def test_what_is_not_learnt_says_so():
    assert str(NOTHING_LEARNT) == "none: nothing is learnt"


ACTUAL = np.array([[0.01, -0.02], [0.03, 0.0], [-0.04, 0.01]], "float32")
FORECAST = np.array([[0.02, 0.01], [-0.01, 0.02], [-0.01, -3.0]], "float32")


def test_the_direction_aware_loss_is_that_of_a_plain_loop():
    total = 0.0
    for actual, forecast in zip(ACTUAL.ravel(), FORECAST.ravel(), strict=True):
        total += (actual - forecast) ** 2 * (3.0 if actual * forecast < 0 else 1.0)
    loss = DirectionAware(weight=2.0).make(np.ones(2))(ACTUAL, FORECAST)
    assert float(np.mean(loss)) == pytest.approx(total / ACTUAL.size, rel=1e-5)


def test_a_wrong_direction_costs_more_than_as_large_an_error_in_the_right_one():
    loss = DirectionAware().make(np.ones(1))
    actual = np.array([[0.01]], "float32")
    right, wrong = (float(np.mean(loss(actual, np.array([[forecast]], "float32")))) for forecast in (0.03, -0.01))
    assert wrong == pytest.approx(2 * right, rel=1e-5)


@pytest.mark.parametrize("relative", [False, True])
def test_the_huber_loss_is_that_of_a_plain_loop(relative):
    scale, total = np.array([0.02, 0.5]), 0.0
    for actual, forecast in zip(ACTUAL, FORECAST, strict=True):
        for step in range(2):
            error = abs(float(actual[step] - forecast[step])) / (scale[step] * (step + 1) ** 0.5 if relative else 1.0)
            total += 0.5 * error**2 if error <= 1 else error - 0.5
    loss = Huber(relative=relative).make(scale)(ACTUAL, FORECAST)
    assert float(np.mean(loss)) == pytest.approx(total / ACTUAL.size, rel=1e-4)


def test_the_pinball_loss_is_that_of_a_plain_loop():
    from pipeline.quantiles import PROBABILITIES

    scale, said = np.array([0.02, 0.5]), np.random.default_rng(0).normal(0, 0.02, (3, 14)).astype("float32")
    totals = []
    for actual, quantiles in zip(ACTUAL, said, strict=True):
        total = 0.0
        for session in range(2):
            for place, probability in enumerate(PROBABILITIES):  # of the first session ahead, then of the second
                error = (float(actual[session]) - float(quantiles[7 * session + place])) / scale[session]
                total += probability * error if error > 0 else (probability - 1) * error
        totals.append(total / 14)
    loss = Pinball().make(scale)(ACTUAL, said)
    np.testing.assert_allclose(np.asarray(loss), totals, rtol=1e-5)
    assert str(Pinball()) == "pinball of 7 quantiles, in standard deviations per horizon"


def test_the_pinball_loss_of_training_is_that_of_evaluation():
    from pipeline import quantiles

    said = np.random.default_rng(1).normal(0, 0.02, (3, 14)).astype("float32")
    loss = float(np.mean(Pinball().make(np.ones(2))(ACTUAL, said)))
    assert loss == pytest.approx(quantiles.losses(ACTUAL, said.reshape(3, 2, 7), np.ones(3)).mean(), rel=1e-5)


def test_the_mean_squared_error_is_just_that():
    loss = MeanSquaredError().make(np.ones(2))(ACTUAL, FORECAST)
    assert float(loss) == pytest.approx(float(np.mean((ACTUAL - FORECAST) ** 2)), rel=1e-5)


def fitted(optimiser: Optimiser, epochs: int, test_targets: float = 1.0):
    """One unit that learns, from four examples, that ones lead to 1; it is tested on what leads to `test_targets`."""
    from pipeline.training import fit_examples

    recipe = Recipe(
        name="one-unit",
        summary="One unit.",
        source="This test",
        targets=(),
        window=None,
        normalisation=None,
        split=None,
        network=Stack((1,)),
        optimiser=optimiser,
        loss=MeanSquaredError(),
        epochs=epochs,
        batch_size=4,
    )
    ones = np.ones((4, 3, 1), "float32")
    train, test = (Examples({"past": ones}, np.full((4, 1), value, "float32")) for value in (1.0, test_targets))
    return fit_examples(recipe, train, train, test, seed=7).history


@pytest.mark.slow
def test_a_fit_follows_wengs_rate():
    rates = fitted(Optimiser("RMSprop", WENG), epochs=50)["learning_rate"][1:]  # entry 0 is the untrained network
    np.testing.assert_allclose(rates[:6], [0.001] * 5 + [0.00099], rtol=1e-6)
    assert rates[49] == pytest.approx(0.000636185, rel=1e-5)


@pytest.mark.slow
def test_a_rate_is_halved_by_what_it_watches_and_never_below_the_least():
    def rates(watches: str) -> list[float]:
        schedule = HalvedOnPlateau(0.01, least=0.002, patience=2, watches=watches)
        return fitted(Optimiser("Adam", schedule), epochs=12, test_targets=-5.0)["learning_rate"]

    # What is learnt makes validation better and the test worse.
    np.testing.assert_allclose(rates("validation"), [0.01] * 13, rtol=1e-6)
    watched = rates("test")
    assert watched[1] == pytest.approx(0.01) and watched[-1] == pytest.approx(0.002)
    assert {round(rate, 6) for rate in watched} == {0.01, 0.005, 0.0025, 0.002}
