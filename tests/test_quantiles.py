"""Quantiles and their measures, against plain loops."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from pipeline.models.baselines import NORMAL_QUANTILES
from pipeline.quantiles import (
    EXPECTED_CELLS,
    INTERVALS,
    MEDIAN,
    PROBABILITIES,
    QUANTILE_COLUMNS,
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
#: The true quantiles of the normal distribution that `DRAWS` are from.
NORMALS = np.tile(NORMAL_QUANTILES, (20_000, 1, 1))
DRAWS = RANDOM.normal(size=(20_000, 1))


def test_the_seven_are_known_by_their_names():
    assert QUANTILE_COLUMNS == ("q025", "q100", "q250", "q500", "q750", "q900", "q975")
    assert PROBABILITIES[MEDIAN] == 0.5
    for level, (low, high) in INTERVALS.items():
        assert PROBABILITIES[high] - PROBABILITIES[low] == pytest.approx(level / 100)
        assert PROBABILITIES[low] + PROBABILITIES[high] == pytest.approx(1)
    normal = [NormalDist().inv_cdf(probability) for probability in PROBABILITIES]
    assert pytest.approx(normal, abs=1e-6) == NORMAL_QUANTILES


def test_the_pinball_loss_is_that_of_a_plain_loop():
    loss = pinball(ACTUAL, QUANTILES)
    for row in range(6):
        for horizon in range(2):
            for place, probability in enumerate(PROBABILITIES):
                error = ACTUAL[row, horizon] - QUANTILES[row, horizon, place]
                expected = probability * error if error > 0 else (1 - probability) * -error
                assert math.isclose(loss[row, horizon, place], expected)
    last = np.array([50.0, 100.0, 200.0, 100.0, 100.0, 100.0])
    relative = losses(ACTUAL, QUANTILES, last)
    for row in range(6):
        for horizon in range(2):
            expected = sum(loss[row, horizon]) / 7 / last[row]
            assert math.isclose(relative[row, horizon], expected)


def test_a_median_that_is_off_by_a_dollar_costs_half_of_one():
    forecast = np.full((1, 1, 7), 10.0)
    too_low, too_high = (pinball(np.array([[price]]), forecast)[0, 0] for price in (11.0, 9.0))
    assert too_low.tolist() == list(PROBABILITIES)
    assert too_high.tolist() == pytest.approx([1 - share for share in PROBABILITIES])


def test_no_quantiles_cost_less_than_the_true_ones():
    true = pinball(DRAWS, NORMALS).mean()
    wrong = (NORMALS * 0.8, NORMALS * 1.25, NORMALS + 0.2)
    assert true < min(pinball(DRAWS, quantiles).mean() for quantiles in wrong)


def test_coverage_counts_known_actuals_and_nothing_else():
    quantiles = np.tile([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0], (4, 3, 1))
    actual = np.array(
        [[0.0, 2.5, np.nan], [1.0, np.nan, np.nan], [1.5, 3.0, np.nan], [-9.0, -1.0, np.nan]]
    )
    np.testing.assert_array_equal(coverage(actual, quantiles, 50), [0.5, 1 / 3, np.nan])
    np.testing.assert_array_equal(coverage(actual, quantiles, 80), [0.75, 1 / 3, np.nan])
    np.testing.assert_array_equal(coverage(actual, quantiles, 95), [0.75, 1.0, np.nan])
    np.testing.assert_array_equal(
        inside(actual, quantiles, 50),
        [[1, 0, np.nan], [1, np.nan, np.nan], [0, 0, np.nan], [0, 1, np.nan]],
    )


def test_the_true_quantiles_cover_their_share():
    for level in INTERVALS:
        assert coverage(DRAWS, NORMALS, level)[0] == pytest.approx(level / 100, abs=0.01)


def test_cells_are_counted_as_by_a_plain_loop_and_sum_to_one():
    actual = ACTUAL.copy()
    actual[0, 0] = np.nan
    counts = [0] * 8
    for row in range(6):
        for horizon in range(2):
            price, quantiles = actual[row, horizon], QUANTILES[row, horizon]
            if not math.isnan(price):
                counts[sum(price > quantile for quantile in quantiles)] += 1
    shares = cells(actual, QUANTILES)
    assert shares.tolist() == [count / 11 for count in counts]
    assert shares.sum() == pytest.approx(1)


def test_cells_of_the_true_quantiles_have_the_expected_shares():
    assert EXPECTED_CELLS == (0.025, 0.075, 0.15, 0.25, 0.25, 0.15, 0.075, 0.025)
    np.testing.assert_allclose(cells(DRAWS, NORMALS), EXPECTED_CELLS, atol=0.01)
    without_actuals = cells(np.full((3, 1), np.nan), NORMALS[:3])
    assert without_actuals.tolist() == [0] * 8


def test_the_shape_of_errors_put_around_the_same_points_gives_their_quantiles_back():
    actual = ACTUAL.copy()
    actual[2, 0] = np.nan  # left out
    points, unit = np.full((6, 2), 100.0), np.full(6, 4.0)
    made = around(points, unit, shape_of(actual, points, unit))
    assert made.shape == (6, 2, 7)
    np.testing.assert_allclose(made[0, 0], np.quantile(np.delete(actual[:, 0], 2), PROBABILITIES))
    np.testing.assert_allclose(made[5, 1], np.quantile(actual[:, 1], PROBABILITIES))


def test_a_shape_is_in_units_and_is_put_around_in_units():
    shape = np.array([[-2, -1, -0.5, 0, 0.5, 1, 2.0]])
    assert around(np.array([[10.0], [20.0]]), np.array([1.0, 3.0]), shape).tolist() == [
        [[8, 9, 9.5, 10, 10.5, 11, 12]],
        [[14, 17, 18.5, 20, 21.5, 23, 26]],
    ]


def test_putting_crossed_quantiles_in_order_never_costs_more():
    crossed = RANDOM.normal(100, 5, (50, 2, 7))
    actual = RANDOM.normal(100, 5, (50, 2))
    ordered = in_order(crossed)
    assert (np.diff(ordered, axis=-1) >= 0).all()
    costs, crossed_costs = (pinball(actual, each).mean(axis=2) for each in (ordered, crossed))
    assert (costs <= crossed_costs + 1e-12).all()
