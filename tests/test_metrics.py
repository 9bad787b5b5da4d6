"""Error measures against plain loops and numbers a reader can check."""

import math

import numpy as np
import pandas as pd

from pipeline import metrics

ACTUAL = np.array([[101.0, 98.0], [103.0, 104.0], [99.0, 100.0]])
FORECAST = np.array([[100.0, 99.0], [104.0, 100.0], [101.0, 100.0]])
LAST = np.array([100.0, 100.0, 100.0])


def test_rmse_and_mae_are_what_a_loop_gives():
    for column in range(2):
        errors = [ACTUAL[row][column] - FORECAST[row][column] for row in range(3)]
        assert math.isclose(metrics.root_mean_squared_error(ACTUAL, FORECAST)[column], math.sqrt(sum(e * e for e in errors) / 3))
        assert math.isclose(metrics.mean_absolute_error(ACTUAL, FORECAST)[column], sum(abs(e) for e in errors) / 3)


def test_mase_is_mae_in_units_of_the_mean_step():
    assert metrics.mean_absolute_scaled_error(ACTUAL, FORECAST, 2.0).tolist() == [4 / 3 / 2, 5 / 3 / 2]
    assert np.isnan(metrics.mean_absolute_scaled_error(ACTUAL, FORECAST, 0.0)).all()


def test_directions_count_only_where_there_are_any():
    # Horizon 1: flat against up, up against up, up against down. Horizon 2: down/down, flat/up, flat/flat.
    assert metrics.directional_accuracy(ACTUAL, FORECAST, LAST).tolist() == [0.5, 1.0]
    assert np.isnan(metrics.directional_accuracy(ACTUAL, np.full((3, 2), 100.0), LAST)).all()


def test_half_widths_are_the_conformal_order_statistic():
    errors = np.arange(1, 20)[:, None] / 100  # 0.01 .. 0.19: n = 19
    last = np.full(19, 50.0)
    actual = 50 + errors * 50
    widths = [metrics.half_widths(actual, np.full((19, 1), 50.0), last, level)[0] for level in (80, 95)]
    np.testing.assert_allclose(widths, [0.16, 0.19])  # ceil(20 * .8) = 16th, ceil(20 * .95) = 19th


def test_half_widths_of_too_few_errors_are_the_largest():
    assert metrics.half_widths(ACTUAL, FORECAST, LAST, 95).tolist() == [0.02, 0.04]


def test_intervals_calibrated_on_exchangeable_errors_cover_as_promised():
    random = np.random.default_rng(1)
    draw = lambda: 100 + random.standard_t(4, size=(4000, 1))  # noqa: E731
    last, forecast = np.full(4000, 100.0), np.full((4000, 1), 100.0)
    widths = metrics.half_widths(draw(), forecast, last, 80)
    assert abs(metrics.coverage(draw(), forecast, last, widths)[0] - 0.8) < 0.02


def test_evaluate_gives_one_row_per_horizon():
    widths = {80: np.array([0.01, 0.01]), 95: np.array([0.03, 0.03])}
    table = metrics.evaluate(ACTUAL, FORECAST, LAST, LAST, 2.0, widths)
    assert table[["horizon", "sessions", "coverage_80", "coverage_95"]].values.tolist() == [
        [1, 3, 2 / 3, 1.0],
        [2, 3, 2 / 3, 2 / 3],
    ]


def test_realised_scores_stand_beside_the_naive_forecast():
    scores = pd.DataFrame(
        {
            "universe": "u",
            "recipe": "r",
            "target": "close",
            "ticker": "IBM",
            "horizon": [1, 1],
            "session": pd.to_datetime(["2013-03-04", "2013-03-05"]),
            "error": [3.0, 4.0],
            "naive_error": [5.0, 5.0],
            "inside_80": [True, False],
            "inside_95": [True, True],
        }
    )
    row = metrics.realised(scores).iloc[0]
    assert (row["forecasts"], row["naive_rmse"], row["inside_80"], row["inside_95"]) == (2, 5.0, 0.5, 1.0)
    assert math.isclose(row["rmse"], math.sqrt(12.5)) and math.isclose(row["skill"], 1 - math.sqrt(12.5) / 5)
