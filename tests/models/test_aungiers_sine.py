"""The sine wave: the published series and windows, and a network that beats the last value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.models.toys.aungiers_sine import AUNGIERS_SINE, sine_wave
from pipeline.models.toys.meetup import SINE_RNN
from pipeline.windows import look_ahead


@pytest.fixture(scope="module")
def exercise():
    return AUNGIERS_SINE.exercises(7, None)["sine"]


def test_the_windows_are_those_of_a_plain_loop(exercise):
    wave = [np.sin(1 + 2 * np.pi * k / 100) for k in range(5001)]
    windows = [(wave[k : k + 50], wave[k + 50]) for k in range(5001 - 50)]
    parts = (exercise.train, exercise.validation, exercise.test)
    assert [len(part) for part in parts] == [4232, 223, 496]
    past = np.concatenate([part.inputs["past"] for part in parts])
    targets = np.concatenate([part.targets for part in parts])
    np.testing.assert_allclose(past[:, :, 0], [window for window, _ in windows], atol=1e-7)
    np.testing.assert_allclose(targets[:, 0], [after for _, after in windows], atol=1e-7)
    np.testing.assert_allclose(exercise.naive[:, 0], [window[-1] for window, _ in windows][-496:])


def test_the_wave_crosses_0_and_is_not_divided_by_its_first_value(exercise):
    assert (np.abs(sine_wave()) < 0.05).any()
    np.testing.assert_array_equal(exercise.windows.offset, 0.0)
    np.testing.assert_array_equal(exercise.windows.scale, 1.0)


def test_a_forecast_that_continues_the_wave_exactly_is_exact_in_all_three_ways(exercise):
    """sin(t + d) = 2 cos(d) sin(t) - sin(t - d)."""

    def exact(windows):
        newest, before = windows.past[:, -1], windows.past[:, -2]
        return 2 * np.cos(2 * np.pi / 100) * newest - before

    look = look_ahead(exercise.windows, exact, 50)
    for way in (look.point_by_point, look.multiple_sequences, look.full_sequence):
        np.testing.assert_allclose(way, look.actual, atol=2e-3)


def test_a_step_of_the_plain_rnn_is_a_value_and_the_one_before_it():
    past = SINE_RNN.exercises(7, None)["sine"].test.inputs["past"]
    assert past.shape == (500, 5, 2)
    expected = [sine_wave()[k : k + 10] for k in range(4491, 4991)]
    np.testing.assert_allclose(past.reshape(500, 10), expected, atol=1e-7)


@pytest.mark.slow
def test_the_network_beats_the_last_value(exercise):
    from pipeline.training.fit import fit_examples
    from pipeline.training.predict import answering

    # A third of the windows does: with all of them the error is half of this.
    train = dataclasses.replace(
        exercise.train,
        inputs={name: values[::3] for name, values in exercise.train.inputs.items()},
        targets=exercise.train.targets[::3],
    )
    trained = fit_examples(AUNGIERS_SINE, train, exercise.validation, seed=7)
    forecast, targets = answering(trained.model)(exercise.test.inputs), exercise.test.targets
    network, naive = (np.mean((values - targets) ** 2) for values in (forecast, exercise.naive))
    assert network < naive / 2
    assert trained.weights == 4 * 50 * (1 + 50 + 1) + 4 * 100 * (50 + 100 + 1) + 101
