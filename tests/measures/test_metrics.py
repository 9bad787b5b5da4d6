"""Error measures against plain loops and numbers a reader can check."""

import math

import numpy as np
import pandas as pd

from pipeline.measures import metrics
from tests.measures.made_sums import sums_by_loop

ACTUAL = np.array([[101.0, 98.0], [103.0, 104.0], [99.0, 100.0]])
FORECAST = np.array([[100.0, 99.0], [104.0, 100.0], [101.0, 100.0]])
LAST = np.array([100.0, 100.0, 100.0])
#: Quantiles about the forecast.
QUANTILES = FORECAST[:, :, None] + np.array([-3.0, -2.0, -0.5, 0.0, 0.5, 2.0, 3.0])
#: SCORES of two sessions, as far as they are alike.
TWO_SESSIONS = {
    "universe": "u",
    "recipe": "r",
    "target": "close",
    "ticker": "IBM",
    "horizon": [1, 1],
    "backfilled": [False, False],
    "session": pd.to_datetime(["2013-03-04", "2013-03-05"]),
    "actual": [105.0, 105.0],
    "error": [3.0, 4.0],
    "naive_error": [5.0, 5.0],
    "har_pinball": [math.nan, math.nan],
}


def realised(scores: pd.DataFrame) -> pd.DataFrame:
    groups = ["universe", "recipe", "target", "ticker", "horizon"]
    return metrics.realised(sums_by_loop(scores, groups))


def test_rmse_and_mae_are_what_a_loop_gives():
    for column in range(2):
        errors = [ACTUAL[row][column] - FORECAST[row][column] for row in range(3)]
        rmse = metrics.root_mean_squared_error(ACTUAL, FORECAST)[column]
        assert math.isclose(rmse, math.sqrt(sum(error * error for error in errors) / 3))
        mae = metrics.mean_absolute_error(ACTUAL, FORECAST)[column]
        assert math.isclose(mae, sum(abs(error) for error in errors) / 3)


def test_mase_is_mae_in_units_of_the_mean_step():
    mase = metrics.mean_absolute_scaled_error(ACTUAL, FORECAST, 2.0)
    assert mase.tolist() == [4 / 3 / 2, 5 / 3 / 2]
    assert np.isnan(metrics.mean_absolute_scaled_error(ACTUAL, FORECAST, 0.0)).all()


def test_directions_count_only_where_there_are_any():
    # Horizon 1: flat against up, up against up, up against down.
    # Horizon 2: down/down, flat/up, flat/flat.
    assert metrics.directional_accuracy(ACTUAL, FORECAST, LAST).tolist() == [0.5, 1.0]
    assert np.isnan(metrics.directional_accuracy(ACTUAL, np.full((3, 2), 100.0), LAST)).all()


def test_measures_give_one_row_per_horizon_and_take_the_median_as_the_point():
    table = pd.DataFrame(metrics.measures(ACTUAL, QUANTILES, LAST, 2.0))
    shares = ["horizon", "sessions", "coverage_50", "coverage_80", "coverage_95"]
    assert table[shares].values.tolist() == [[1, 3, 0.0, 1.0, 1.0], [2, 3, 1 / 3, 2 / 3, 2 / 3]]
    assert table["rmse"].tolist() == metrics.root_mean_squared_error(ACTUAL, FORECAST).tolist()
    assert table["mae"].tolist() == [4 / 3, 5 / 3] and table["mase"].tolist() == [4 / 6, 5 / 6]
    assert table["directional_accuracy"].tolist() == [0.5, 1.0]


def test_the_pinball_loss_is_a_fraction_of_the_price():
    probabilities = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
    last = np.array([100.0, 50.0, 200.0])
    expected = []
    for horizon in range(2):
        total = 0.0
        for row in range(3):
            for probability, quantile in zip(probabilities, QUANTILES[row, horizon], strict=True):
                error = ACTUAL[row, horizon] - quantile
                loss = probability * error if error > 0 else (probability - 1) * error
                total += loss / last[row]
        expected.append(total / 21)
    np.testing.assert_allclose(metrics.measures(ACTUAL, QUANTILES, last, 2.0)["pinball"], expected)


def test_realised_scores_are_next_to_the_naive_forecast():
    scores = pd.DataFrame(
        {
            **TWO_SESSIONS,
            "pinball": [0.01, 0.02],
            "ewma_pinball": [0.02, 0.03],
            "inside_80": [True, False],
            "inside_95": [True, True],
        }
    )
    row = realised(scores).iloc[0]
    columns = ["forecasts", "naive_rmse", "inside_80", "inside_95"]
    assert row[columns].tolist() == [2, 0.05, 0.5, 1.0]
    assert math.isclose(row["rmse"], math.sqrt(12.5) / 100)
    assert math.isclose(row["skill"], 1 - math.sqrt(12.5) / 5)
    assert math.isclose(row["pinball_skill"], 1 - 0.015 / 0.025)


def test_the_skill_over_har_is_of_the_forecasts_that_both_have_made():
    beside = {"pinball": [0.01, 0.02], "har_pinball": [math.nan, 0.016], "ewma_pinball": 0.04}
    scores = pd.DataFrame({**TWO_SESSIONS, **beside, "inside_80": True, "inside_95": True})
    row = realised(scores).iloc[0]
    assert math.isclose(row["pinball"], 0.015) and math.isclose(row["har_pinball"], 0.016)
    assert math.isclose(row["pinball_skill_over_har"], 1 - 0.02 / 0.016)
    without = realised(scores.assign(har_pinball=math.nan)).iloc[0]
    assert without[["har_pinball", "pinball_skill_over_har"]].isna().all()
    same = ["rmse", "skill", "pinball", "pinball_skill"]
    assert without[same].tolist() == row[same].tolist()


def test_a_split_between_two_sessions_makes_no_difference():
    scores = pd.DataFrame(TWO_SESSIONS).assign(
        inside_80=True, inside_95=True, pinball=0.01, ewma_pinball=0.01
    )
    halved = {name: scores[name] / [1, 2] for name in ("actual", "error", "naive_error")}
    split = realised(scores.assign(**halved))
    pd.testing.assert_frame_equal(split, realised(scores))


def test_what_was_published_in_time_is_summed_up_apart_from_backfilled_forecasts():
    scores = pd.DataFrame({**TWO_SESSIONS, "backfilled": [True, False]}).assign(
        inside_80=True, inside_95=True, pinball=0.01, ewma_pinball=0.01
    )
    rows = realised(scores)
    assert rows[["backfilled", "forecasts", "rmse"]].values.tolist() == [
        [False, 1, 0.04],
        [True, 1, 0.03],
    ]


def test_scores_from_before_there_were_distributions_leave_their_pinball_skill_open():
    scores = pd.DataFrame(
        {
            **TWO_SESSIONS,
            "inside_80": True,
            "inside_95": True,
            "pinball": math.nan,
            "ewma_pinball": math.nan,
        }
    )
    row = realised(scores).iloc[0]
    assert math.isnan(row["pinball_skill"]) and row["forecasts"] == 2 and row["naive_rmse"] == 0.05
