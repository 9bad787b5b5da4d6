"""Quantiles and how good they were, against plain loops."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from pipeline.models.baselines import NORMAL
from pipeline.quantiles import (
    CELLS,
    COLUMNS,
    INTERVALS,
    MEDIAN,
    PROBABILITIES,
    around,
    cells,
    coverage,
    in_order,
    inside,
    losses,
    pinball,
    shape_of,
)

RANDOM = np.random.default_rng(3)
ACTUAL = RANDOM.normal(100, 5, (6, 2))
QUANTILES = np.sort(RANDOM.normal(100, 5, (6, 2, 7)), axis=-1)
#: Of a normal distribution about 0, which is what comes of it too.
NORMALS = np.tile(NORMAL, (20_000, 1, 1))
DRAWS = RANDOM.normal(size=(20_000, 1))


def test_the_seven_are_told_by_their_names():
    assert COLUMNS == ("q025", "q100", "q250", "q500", "q750", "q900", "q975")
    assert PROBABILITIES[MEDIAN] == 0.5
    for level, (low, high) in INTERVALS.items():
        assert PROBABILITIES[high] - PROBABILITIES[low] == pytest.approx(level / 100)
        assert PROBABILITIES[low] + PROBABILITIES[high] == pytest.approx(1)
    assert pytest.approx([NormalDist().inv_cdf(probability) for probability in PROBABILITIES], abs=1e-6) == NORMAL


def test_the_pinball_loss_is_that_of_a_plain_loop():
    made = pinball(ACTUAL, QUANTILES)
    for row in range(6):
        for horizon in range(2):
            for place, probability in enumerate(PROBABILITIES):
                error = ACTUAL[row, horizon] - QUANTILES[row, horizon, place]
                expected = probability * error if error > 0 else (1 - probability) * -error
                assert math.isclose(made[row, horizon, place], expected)
    last = np.array([50.0, 100.0, 200.0, 100.0, 100.0, 100.0])
    for row in range(6):
        for horizon in range(2):
            assert math.isclose(losses(ACTUAL, QUANTILES, last)[row, horizon], sum(made[row, horizon]) / 7 / last[row])


def test_a_median_that_is_off_by_a_dollar_costs_half_of_one():
    assert pinball(np.array([[11.0]]), np.full((1, 1, 7), 10.0)).tolist() == [[list(PROBABILITIES)]]
    assert pinball(np.array([[9.0]]), np.full((1, 1, 7), 10.0))[0, 0].tolist() == pytest.approx([1 - p for p in PROBABILITIES])


def test_no_quantiles_cost_less_than_the_true_ones():
    true = pinball(DRAWS, NORMALS).mean()
    assert true == min(pinball(DRAWS, wrong).mean() for wrong in (NORMALS, NORMALS * 0.8, NORMALS * 1.25, NORMALS + 0.2))


def test_coverage_counts_what_came_and_nothing_else():
    quantiles = np.tile([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0], (4, 3, 1))
    actual = np.array([[0.0, 2.5, np.nan], [1.0, np.nan, np.nan], [1.5, 3.0, np.nan], [-9.0, -1.0, np.nan]])
    np.testing.assert_array_equal(coverage(actual, quantiles, 50), [0.5, 1 / 3, np.nan])
    np.testing.assert_array_equal(coverage(actual, quantiles, 80), [0.75, 1 / 3, np.nan])
    np.testing.assert_array_equal(coverage(actual, quantiles, 95), [0.75, 1.0, np.nan])
    np.testing.assert_array_equal(
        inside(actual, quantiles, 50), [[1, 0, np.nan], [1, np.nan, np.nan], [0, 0, np.nan], [0, 1, np.nan]]
    )


def test_the_true_quantiles_cover_as_they_say():
    for level in INTERVALS:
        assert coverage(DRAWS, NORMALS, level)[0] == pytest.approx(level / 100, abs=0.01)


def test_cells_are_counted_as_by_a_plain_loop_and_sum_to_one():
    actual = ACTUAL.copy()
    actual[0, 0] = np.nan
    counts = [0] * 8
    for row in range(6):
        for horizon in range(2):
            if not math.isnan(actual[row, horizon]):
                counts[sum(actual[row, horizon] > quantile for quantile in QUANTILES[row, horizon])] += 1
    made = cells(actual, QUANTILES)
    assert made.tolist() == [count / 11 for count in counts]
    assert made.sum() == pytest.approx(1)


def test_cells_of_the_true_quantiles_are_what_they_should_be():
    assert CELLS == (0.025, 0.075, 0.15, 0.25, 0.25, 0.15, 0.075, 0.025)
    np.testing.assert_allclose(cells(DRAWS, NORMALS), CELLS, atol=0.01)
    assert cells(np.full((3, 1), np.nan), NORMALS[:3]).tolist() == [0] * 8  # nothing has come


def test_the_shape_of_errors_put_around_the_same_points_gives_their_quantiles_back():
    actual = ACTUAL.copy()
    actual[2, 0] = np.nan  # left out
    points, unit = np.full((6, 2), 100.0), np.full(6, 4.0)
    made = around(points, unit, shape_of(actual, points, unit))
    assert made.shape == (6, 2, 7)
    np.testing.assert_allclose(made[0, 0], np.quantile(np.delete(actual[:, 0], 2), PROBABILITIES))
    np.testing.assert_allclose(made[5, 1], np.quantile(actual[:, 1], PROBABILITIES))


def test_a_shape_is_told_in_units_and_put_around_in_units():
    shape = np.array([[-2, -1, -0.5, 0, 0.5, 1, 2.0]])
    assert around(np.array([[10.0], [20.0]]), np.array([1.0, 3.0]), shape).tolist() == [
        [[8, 9, 9.5, 10, 10.5, 11, 12]],
        [[14, 17, 18.5, 20, 21.5, 23, 26]],
    ]


def test_putting_crossed_quantiles_in_order_never_costs_more():
    crossed = RANDOM.normal(100, 5, (50, 2, 7))
    actual = RANDOM.normal(100, 5, (50, 2))
    assert (np.diff(in_order(crossed), axis=-1) >= 0).all()
    assert (pinball(actual, in_order(crossed)).mean(axis=2) <= pinball(actual, crossed).mean(axis=2) + 1e-12).all()
