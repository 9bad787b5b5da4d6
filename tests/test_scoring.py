"""Realised errors, in the dollars that the forecast was made in."""

import pandas as pd
import pytest

from pipeline.scoring import score
from pipeline.tables import FORECASTS, HISTORY, PRICES

THURSDAY, FRIDAY, MONDAY = pd.to_datetime(["2013-02-28", "2013-03-01", "2013-03-04"])


def forecast(session, horizon, **changes):
    row = {
        **{"universe": "u", "recipe": "r", "target": "close", "ticker": "IBM", "cutoff": THURSDAY, "horizon": horizon},
        **{"session": session, "last_value": 100.0, "y_hat": 101.0, "champion": "lstm", "model_id": "m"},
        **{"lower_80": 99.0, "upper_80": 103.0, "lower_95": 97.0, "upper_95": 105.0},
    }
    return {**row, **changes}


def prices(table, closes, **columns):
    frame = pd.DataFrame({"session": list(closes), "close": list(closes.values()), "ticker": "IBM"})
    for column in table.columns:
        if column not in frame:
            frame[column] = frame["close"]
    return table.conform(frame.assign(**columns))


def scored(rows, tape, adjusted=None, target="close", **columns):
    return score(FORECASTS.conform(pd.DataFrame(rows)), prices(HISTORY, adjusted or tape, **columns), prices(PRICES, tape), target)


def test_errors_are_actual_minus_forecast_beside_those_of_the_last_price():
    [row] = scored([forecast(FRIDAY, 1)], {THURSDAY: 100.0, FRIDAY: 104.0}).to_dict("records")
    assert (row["actual"], row["error"], row["naive_error"], row["inside_80"], row["inside_95"]) == (104.0, 3.0, 4.0, False, True)


def test_a_forecast_whose_bar_is_missing_waits():
    assert scored([forecast(FRIDAY, 1), forecast(MONDAY, 2)], {THURSDAY: 100.0, FRIDAY: 101.0})["horizon"].tolist() == [1]


def test_a_split_in_between_is_undone():
    [row] = scored([forecast(FRIDAY, 1)], {THURSDAY: 100.0, FRIDAY: 51.0}, {THURSDAY: 50.0, FRIDAY: 51.0}).to_dict("records")
    assert row["actual"] == 102.0


def test_a_dividend_in_between_counts_towards_the_adjusted_close():
    # 2 dollars were paid on Friday: Thursday's adjusted close is 98 % of what it was on the tape.
    rows = [forecast(FRIDAY, 1, target="adj_close")]
    [row] = scored(rows, {THURSDAY: 100.0, FRIDAY: 98.0}, adj_close=[98.0, 98.0], target="adj_close").to_dict("records")
    assert row["actual"] == pytest.approx(100.0)
