"""Schedules, optimisers and losses against the sources' values and plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import quantiles
from pipeline.models import Examples, ExerciseRecipe, Stack
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
from pipeline.quantiles import PROBABILITIES

WENG = DecayAfter(0.001, decay=0.99, first_epochs=5)


def test_wengs_rate_stays_for_five_epochs_and_then_decays():
    assert [WENG.rate_at(epoch) for epoch in range(5)] == [0.001] * 5
    assert WENG.rate_at(5) == pytest.approx(0.00099, rel=1e-12)
    assert WENG.rate_at(49) == pytest.approx(0.000636185, rel=1e-6)


def test_optimisers_and_losses_are_described_by_their_numbers():
    assert str(NOTHING_LEARNT) == "none: nothing is learnt"
    assert str(Optimiser("Adam", Constant(0.05), clip_norm=1.0)) == "Adam(0.05; clipnorm 1)"
    assert str(Pinball()) == "pinball of 7 quantiles, in standard deviations per horizon"
    assert str(Huber(0.5)) == "Huber(delta=0.5)"


def test_only_a_schedule_that_watches_the_test_peeks():
    assert Optimiser("Adam", HalvedOnPlateau(0.01, least=0.002, watches="test")).peeks
    assert not Optimiser("Adam", HalvedOnPlateau(0.01, least=0.002)).peeks
    assert not Optimiser("Adam", WENG).peeks


@pytest.mark.slow
def test_an_optimiser_is_made_by_its_numbers():
    import keras

    clipped = Optimiser("RMSprop", WENG, clip_norm=1.0).make()
    assert isinstance(clipped, keras.optimizers.RMSprop) and clipped.clipnorm == 1.0
    assert float(clipped.learning_rate) == pytest.approx(0.001)
    free = Optimiser("Adam", Constant(0.05)).make()
    assert isinstance(free, keras.optimizers.Adam) and free.clipnorm is None
    yadav = Optimiser("SGD", DecayPerUpdate(0.01, 1e-7), momentum=0.9).make()
    assert isinstance(yadav, keras.optimizers.SGD) and yadav.momentum == 0.9 and not yadav.nesterov


@pytest.mark.slow
def test_yadavs_rate_decays_with_every_update():
    import keras

    optimiser = Optimiser("SGD", DecayPerUpdate(0.01, decay=0.5)).make()
    weight = keras.Variable([1.0])
    rates = []
    for _ in range(4):
        rates.append(float(optimiser.learning_rate))
        optimiser.apply([np.ones(1, "float32")], [weight])
    expected = [0.01 / (1 + 0.5 * updates) for updates in range(4)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


# Losses

ACTUAL = np.array([[0.01, -0.02], [0.03, 0.0], [-0.04, 0.01]], "float32")
FORECAST = np.array([[0.02, 0.01], [-0.01, 0.02], [-0.01, -3.0]], "float32")


@pytest.mark.slow
def test_the_direction_aware_loss_is_that_of_a_plain_loop():
    total = 0.0
    for actual, forecast in zip(ACTUAL.ravel(), FORECAST.ravel(), strict=True):
        total += (actual - forecast) ** 2 * (3.0 if actual * forecast < 0 else 1.0)
    loss = DirectionAware(weight=2.0).make(np.ones(2))(ACTUAL, FORECAST)
    assert float(np.mean(loss)) == pytest.approx(total / ACTUAL.size, rel=1e-5)


@pytest.mark.slow
def test_a_wrong_direction_costs_more_than_an_error_of_the_same_size_in_the_right_one():
    loss, actual = DirectionAware().make(np.ones(1)), np.array([[0.01]], "float32")
    right, wrong = (
        float(np.mean(loss(actual, np.array([[forecast]], "float32"))))
        for forecast in (0.03, -0.01)
    )
    assert wrong == pytest.approx(2 * right, rel=1e-5)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.slow
def test_the_huber_loss_is_that_of_a_plain_loop(relative):
    scale, total = np.array([0.02, 0.5]), 0.0
    for actual, forecast in zip(ACTUAL, FORECAST, strict=True):
        for step in range(2):
            unit = scale[step] * (step + 1) ** 0.5 if relative else 1.0
            error = abs(float(actual[step] - forecast[step])) / unit
            total += 0.5 * error**2 if error <= 1 else error - 0.5
    loss = Huber(relative=relative).make(scale)(ACTUAL, FORECAST)
    assert float(np.mean(loss)) == pytest.approx(total / ACTUAL.size, rel=1e-4)


@pytest.mark.slow
def test_the_pinball_loss_is_that_of_a_plain_loop():
    scale = np.array([0.02, 0.5])
    forecast = np.random.default_rng(0).normal(0, 0.02, (3, 14)).astype("float32")
    expected = []
    for actual, answer in zip(ACTUAL, forecast, strict=True):
        total = 0.0
        for session in range(2):  # the quantiles of the first session ahead, then of the second
            for place, probability in enumerate(PROBABILITIES):
                distance = float(actual[session]) - float(answer[7 * session + place])
                error = distance / scale[session]
                total += probability * error if error > 0 else (probability - 1) * error
        expected.append(total / 14)
    loss = Pinball().make(scale)(ACTUAL, forecast)
    np.testing.assert_allclose(np.asarray(loss), expected, rtol=1e-5)


@pytest.mark.slow
def test_a_pinball_loss_that_is_rescaled_is_that_of_the_other_scale():
    forecast = np.random.default_rng(0).normal(0, 0.02, (3, 14)).astype("float32")
    rescaled = Pinball().make(np.ones(2))
    rescaled.rescale(np.array([0.02, 0.5]))
    other = Pinball().make(np.array([0.02, 0.5]))
    np.testing.assert_array_equal(rescaled(ACTUAL, forecast), other(ACTUAL, forecast))


@pytest.mark.slow
def test_the_pinball_loss_of_training_is_that_of_evaluation():
    forecast = np.random.default_rng(1).normal(0, 0.02, (3, 14)).astype("float32")
    loss = float(np.mean(Pinball().make(np.ones(2))(ACTUAL, forecast)))
    evaluated = quantiles.losses(ACTUAL, forecast.reshape(3, 2, 7), np.ones(3)).mean()
    assert loss == pytest.approx(evaluated, rel=1e-5)


@pytest.mark.slow
def test_the_mean_squared_error_is_just_that():
    loss = MeanSquaredError().make(np.ones(2))(ACTUAL, FORECAST)
    assert float(loss) == pytest.approx(float(np.mean((ACTUAL - FORECAST) ** 2)), rel=1e-5)


# In a real fit


def learning_rates(optimiser: Optimiser, epochs: int, test_target: float = 1.0) -> list[float]:
    """Return the learning rates of one unit that learns, from four examples, that ones lead to 1.

    Args:
        test_target: what ones lead to in the test.
    """
    from pipeline.training.fit import fit_examples

    recipe = ExerciseRecipe(
        name="one-unit",
        summary="One unit.",
        source="This test",
        network=Stack((1,)),
        optimiser=optimiser,
        loss=MeanSquaredError(),
        epochs=epochs,
        batch_size=4,
        exercises=lambda seed, text: {},
    )
    ones = np.ones((4, 3, 1), "float32")
    train, test = (
        Examples({"past": ones}, np.full((4, 1), target, "float32"))
        for target in (1.0, test_target)
    )
    return fit_examples(recipe, train, train, test, seed=7).history["learning_rate"]


@pytest.mark.slow
def test_a_fit_follows_wengs_rate():
    _, *rates = learning_rates(Optimiser("RMSprop", WENG), epochs=50)  # first: the untrained unit
    np.testing.assert_allclose(rates[:6], [0.001] * 5 + [0.00099], rtol=1e-6)
    assert rates[49] == pytest.approx(0.000636185, rel=1e-5)


@pytest.mark.slow
def test_a_rate_is_halved_by_what_it_watches_and_never_below_the_least():
    def rates(watches: str) -> list[float]:
        schedule = HalvedOnPlateau(0.01, least=0.002, patience=2, watches=watches)
        return learning_rates(Optimiser("Adam", schedule), epochs=12, test_target=-5.0)

    # What is learnt makes validation better and the test worse.
    np.testing.assert_allclose(rates("validation"), [0.01] * 13, rtol=1e-6)
    watched = rates("test")
    assert watched[1] == pytest.approx(0.01) and watched[-1] == pytest.approx(0.002)
    assert {round(rate, 6) for rate in watched} == {0.01, 0.005, 0.0025, 0.002}
