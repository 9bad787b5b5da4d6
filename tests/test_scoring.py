"""Realised errors, in the dollars that the forecast was made in."""

import pandas as pd
import pytest

from pipeline.quantiles import COLUMNS as QUANTILES
from pipeline.quantiles import PROBABILITIES
from pipeline.scoring import score
from pipeline.tables import FORECASTS, HISTORY, PRICES

THURSDAY, FRIDAY, MONDAY = pd.to_datetime(["2013-02-28", "2013-03-01", "2013-03-04"])


def forecast(session, horizon, **changes):
    bounds = {
        f"{side}_{level}": 101.0 + sign * width
        for level, width in ((50, 1.0), (80, 2.0), (95, 4.0))
        for side, sign in (("lower", -1), ("upper", 1))
    }
    row = {
        **{"universe": "u", "recipe": "r", "target": "close", "ticker": "IBM", "cutoff": THURSDAY, "horizon": horizon},
        **{"session": session, "last_value": 100.0, "y_hat": 101.0, "champion": "lstm", "model_id": "m"},
        **bounds,
    }
    return {**row, **changes}


def prices(table, closes, **columns):
    frame = pd.DataFrame({"session": list(closes), "close": list(closes.values()), "ticker": "IBM"})
    for column in table.columns:
        if column not in frame:
            frame[column] = frame["close"]
    return table.conform(frame.assign(**columns))


def beside(rows, width=3.0, **changes):
    """What the random walk said beside each of the forecasts: the last value, and six quantiles `width` apart."""
    quantiles = {name: 100.0 + (place - 3) * width for place, name in enumerate(QUANTILES)}
    return pd.DataFrame(
        [{"ticker": "IBM", "cutoff": row["cutoff"], "horizon": row["horizon"], **quantiles, **changes} for row in rows]
    )


def scored(rows, tape, adjusted=None, target="close", baseline=None, **columns):
    return score(
        FORECASTS.conform(pd.DataFrame(rows)),
        beside(rows) if baseline is None else baseline,
        prices(HISTORY, adjusted or tape, **columns),
        prices(PRICES, tape),
        target,
    )


def mean_pinball(actual, quantiles, last):
    total = 0.0
    for probability, quantile in zip(PROBABILITIES, quantiles, strict=True):
        error = actual - quantile
        total += probability * error if error > 0 else (probability - 1) * error
    return total / 7 / last


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


def test_losses_are_those_of_a_plain_loop_beside_the_random_walks_on_the_same_bar():
    rows = [forecast(FRIDAY, 1), forecast(MONDAY, 2, last_value=50.0)]
    table = scored(rows, {THURSDAY: 100.0, FRIDAY: 104.0, MONDAY: 95.5}).to_dict("records")
    published, walk = [97.0, 99.0, 100.0, 101.0, 102.0, 103.0, 105.0], [91.0, 94.0, 97.0, 100.0, 103.0, 106.0, 109.0]
    assert [row["pinball"] for row in table] == pytest.approx(
        [mean_pinball(104.0, published, 100.0), mean_pinball(95.5, published, 50.0)]
    )
    assert [row["ewma_pinball"] for row in table] == pytest.approx(
        [mean_pinball(104.0, walk, 100.0), mean_pinball(95.5, walk, 50.0)]
    )


def test_the_random_walk_is_matched_by_cutoff_and_horizon_whatever_the_order_of_its_rows():
    rows = [forecast(FRIDAY, 1), forecast(MONDAY, 2)]
    baseline = pd.concat([beside([rows[1]], width=6.0), beside([rows[0]]), beside([forecast(MONDAY, 1, cutoff=FRIDAY)], width=9.0)])
    table = scored(rows, {THURSDAY: 100.0, FRIDAY: 100.0, MONDAY: 100.0}, baseline=baseline)
    assert table["ewma_pinball"].iloc[1] == pytest.approx(2 * table["ewma_pinball"].iloc[0])
    assert table["ewma_pinball"].iloc[0] == pytest.approx(mean_pinball(100.0, [91, 94, 97, 100, 103, 106, 109], 100.0))


def test_a_loss_without_its_quantiles_is_not_a_number_and_the_rest_of_the_row_is_there():
    rows = [forecast(FRIDAY, 1), forecast(MONDAY, 2, lower_50=None, upper_50=None)]  # from before there were such bounds
    table = scored(rows, {THURSDAY: 100.0, FRIDAY: 104.0, MONDAY: 104.0}, baseline=beside([rows[1]]))
    assert table["pinball"].isna().tolist() == [False, True]
    assert table["ewma_pinball"].isna().tolist() == [True, False]
    assert table["error"].tolist() == [3.0, 3.0] and table["inside_95"].all()
