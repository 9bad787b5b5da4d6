"""Forecasts at the gate: every broken one is kept back, with its rule."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.quality import GateVerdict
from pipeline.tables import FORECASTS
from tests.quality.made_bars import CALENDAR, CUTOFF, GATE

pytestmark = pytest.mark.slow

AHEAD = CALENDAR.next_sessions(CUTOFF, 3)


def forecast(ticker: str, **changes: object) -> pd.DataFrame:
    """Return forecasts three sessions ahead; `changes` replace the middle row's values."""
    y_hat = np.array([100.0, 101.0, 102.0])
    rows = pd.DataFrame({"ticker": ticker, "horizon": [1, 2, 3], "session": AHEAD, "y_hat": y_hat})
    rows = rows.assign(
        universe="made",
        recipe="default",
        target="close",
        cutoff=CUTOFF,
        last_value=100.0,
        champion="naive",
        model_id="",
    )
    for width, level in ((1, "50"), (2, "80"), (4, "95"), (5, "98")):
        rows[f"lower_{level}"], rows[f"upper_{level}"] = y_hat - width, y_hat + width
    for column, value in changes.items():
        rows[column] = rows[column].astype(object)
        rows.loc[1, column] = value
    return rows.astype(FORECASTS.columns)


#: By ticker, the changes of its middle forecast and the rules that these break.
BAD_FORECASTS: dict[str, tuple[dict[str, object], set[str]]] = {
    "PAST": ({"session": CUTOFF}, {"session_not_after_cutoff", "wrong_session"}),
    "HOLIDAY": ({"session": dt.date(2017, 12, 25)}, {"wrong_session"}),
    "TWICE": ({"horizon": 1}, {"horizon_repeated", "horizon_missing", "wrong_session"}),
    "NONE": ({"y_hat": np.nan}, {"value_missing"}),
    "NOMIDDLE": ({"lower_50": np.nan}, {"value_missing"}),
    "NOOUTER": ({"lower_98": np.nan}, {"value_missing"}),
    "NOUPPER": ({"upper_95": np.nan}, {"value_missing"}),
    "MINUS": (
        {"y_hat": -1.0, "lower_50": -1.5, "lower_80": -2.0, "lower_95": -3.0, "lower_98": -4.0},
        {"price_not_positive", "forecast_far_off"},
    ),
    "BELOW_ZERO": ({"lower_95": -3.0, "lower_98": -4.0}, {"price_not_positive"}),
    "ENDLESS": (
        {
            "y_hat": np.inf,
            "upper_50": np.inf,
            "upper_80": np.inf,
            "upper_95": np.inf,
            "upper_98": np.inf,
        },
        {"price_not_positive", "forecast_far_off"},
    ),
    "CROSSED": ({"lower_95": 100.0}, {"interval_order"}),
    "INSIDE": ({"lower_98": 97.5}, {"interval_order"}),
    "CROSSED_WITHIN": ({"upper_50": 103.5}, {"interval_order"}),
    "OUTSIDE": ({"y_hat": 104.0}, {"interval_order"}),
    "FAR": (
        {
            "y_hat": 250.0,
            "upper_50": 250.5,
            "upper_80": 251.0,
            "upper_95": 252.0,
            "upper_98": 253.0,
        },
        {"forecast_far_off"},
    ),
}


@pytest.fixture(scope="module")
def bad_forecasts() -> GateVerdict:
    rows = [forecast(ticker, **changes) for ticker, (changes, _) in BAD_FORECASTS.items()]
    return GATE.check_forecasts(pd.concat([*rows, forecast("GOOD")]), AHEAD)


@pytest.mark.parametrize("ticker", BAD_FORECASTS)
def test_a_bad_forecast_is_kept_back_and_its_rule_named(bad_forecasts, ticker):
    rows = bad_forecasts.findings[bad_forecasts.findings["ticker"] == ticker]
    assert set(rows["rule"]) == BAD_FORECASTS[ticker][1]
    assert ticker in bad_forecasts.quarantined


def test_good_forecasts_pass_next_to_bad_ones(bad_forecasts):
    assert "GOOD" not in bad_forecasts.quarantined


def test_what_is_broken_names_rule_ticker_and_rows():
    verdict = GATE.check_forecasts(forecast("AAPL", y_hat=104.0), AHEAD)
    message = "AAPL breaks interval_order: 2017-12-04: upper_50 102 is below y_hat 104"
    assert verdict.broken == {"AAPL": message}


def test_good_forecasts_break_nothing():
    assert GATE.check_forecasts(forecast("AAPL"), AHEAD).broken == {}
