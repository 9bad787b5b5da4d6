"""The sine wave: the published series and windows, and a network that beats "the last value goes on"."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.lookahead import look_ahead
from pipeline.models.aungiers_sine import AUNGIERS_SINE, sine_wave
from pipeline.models.meetup import SINE_RNN
from pipeline.normalisation import Unscaled


@pytest.fixture(scope="module")
def exercise():
    return AUNGIERS_SINE.exercises(7, None)["sine"]


def test_the_windows_are_those_of_a_plain_loop(exercise):
    wave = [np.sin(1 + 2 * np.pi * k / 100) for k in range(5001)]
    windows = [(wave[k : k + 50], wave[k + 50]) for k in range(5001 - 50)]
    parts = (exercise.train, exercise.validation, exercise.test)
    assert [len(part) for part in parts] == [4232, 223, 496]
    past = np.concatenate([part.inputs["past"] for part in parts])
    np.testing.assert_allclose(past[:, :, 0], [window for window, _ in windows], atol=1e-7)
    np.testing.assert_allclose(np.concatenate([part.targets for part in parts])[:, 0], [after for _, after in windows], atol=1e-7)
    np.testing.assert_allclose(exercise.naive[:, 0], [window[-1] for window, _ in windows][-496:])


def test_the_wave_crosses_0_and_is_not_divided_by_its_first_value():
    assert (np.abs(sine_wave()) < 0.05).any()
    assert AUNGIERS_SINE.normalisation == Unscaled()


def test_what_continues_a_wave_exactly_looks_ahead_exactly_in_all_three_ways(exercise):
    """sin(t + d) = 2 cos(d) sin(t) - sin(t - d)."""

    def exact(windows):
        newest, before = windows.past[:, -1], windows.past[:, -2]
        return 2 * np.cos(2 * np.pi / 100) * newest - before

    look = look_ahead(exercise.windows, exact, 50)
    for way in (look.point_by_point, look.multiple_sequences, look.full_sequence):
        np.testing.assert_allclose(way, look.actual, atol=2e-3)


def test_a_step_of_the_plain_rnn_is_a_value_and_the_one_before_it():
    test = SINE_RNN.exercises(7, None)["sine"].test
    assert test.inputs["past"].shape == (500, 5, 2)
    np.testing.assert_allclose(
        test.inputs["past"].reshape(500, 10), [sine_wave()[k : k + 10] for k in range(4491, 4991)], atol=1e-7
    )


@pytest.mark.slow
def test_it_beats_the_last_value(exercise):
    from pipeline.training import ExerciseJob, Workers

    with Workers(1) as workers:
        [(_, (trained, said))] = workers.exercise_all([ExerciseJob("sine", AUNGIERS_SINE, exercise, 7)])
    errors = {
        name: np.mean((values - exercise.test.targets) ** 2) for name, values in (("network", said), ("naive", exercise.naive))
    }
    assert errors["network"] < errors["naive"] / 2
    assert trained.weights == 4 * 50 * (1 + 50 + 1) + 4 * 100 * (50 + 100 + 1) + 101
