"""Days of a fund that pays a tenth every quarter, next to those of its twin that pays nothing."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.daily import plan
from pipeline.tables import CALIBRATIONS, FORECASTS, PROMOTIONS, SCORES
from tests.daily.quick_days import QuickParts, quick_day
from tests.made_days import NOW, SMALL, TRAINED
from tests.made_prices import LAST, MadeSource, random_walk

pytestmark = pytest.mark.integration

FUNDS = dataclasses.replace(TRAINED, tickers=("PAYS", "KEEPS"))
BEFORE = dt.date(2013, 2, 28)
TESTED = SMALL.split.test.sessions
#: A day's move of the twin, and what the fund pays of its price every 63 sessions, on LAST too.
MOVE, SHARE, EVERY = 0.005, 0.1, 63


def funds(count: int = 420) -> MadeSource:
    """Return both funds: the same happens to what is left in either."""
    bars = random_walk(3, count)
    random = np.random.default_rng(5)
    close = 50 * np.exp(np.cumsum(random.normal(0, MOVE, count)))
    bars["open"], bars["close"] = close * np.exp(random.normal(0, MOVE / 3, count)), close
    bars["high"] = bars[["open", "close"]].max(axis=1) * 1.002
    bars["low"] = bars[["open", "close"]].min(axis=1) * 0.998
    ex_dates = np.arange(count - 1, 0, -EVERY)
    left = np.ones(count)
    left[ex_dates] = 1 - SHARE
    names = ["open", "high", "low", "close"]
    paying = bars.copy()
    paying[names] = bars[names].mul(np.cumprod(left), axis=0)
    dividends = {
        "date": bars["date"].to_numpy()[ex_dates],
        "kind": "dividend",
        "value": paying["close"].to_numpy()[ex_dates - 1] * SHARE,
    }
    return MadeSource({"PAYS": paying, "KEEPS": bars}, {"PAYS": pd.DataFrame(dividends)})


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The sessions before and of an ex-date."""
    with QuickParts(tmp_path_factory.mktemp("funds"), funds()) as made:
        for session in (BEFORE, LAST):
            quick_day(made, session, FUNDS)
        yield made


def of(parts, table, ticker, **key):
    return parts.store.load(table, ticker=ticker, **key).reset_index(drop=True)


def test_a_forecast_is_as_wide_as_that_of_a_fund_that_keeps_its_dividends(parts):
    bounds = [name for name in FORECASTS.columns if name.startswith(("lower", "upper"))]
    for session in (BEFORE, LAST):
        ours, theirs = (of(parts, FORECASTS, each, cutoff=session) for each in FUNDS.tickers)
        for name in ("y_hat", *bounds):
            np.testing.assert_allclose(
                ours[name] / ours["last_value"], theirs[name] / theirs["last_value"], rtol=1e-6
            )
        width = (ours["upper_80"] - ours["lower_80"]) / ours["last_value"]
        assert width[0] < 3 * MOVE
        promoted = [of(parts, PROMOTIONS, each, cutoff=session) for each in FUNDS.tickers]
        assert [each["champion"][0] for each in promoted] == ["previous", "previous"]
        assert promoted[0]["weight"][0] == pytest.approx(promoted[1]["weight"][0])


def test_the_level_is_that_of_the_traded_price_before_and_on_an_ex_date(parts):
    closes = parts.source(FUNDS).bars["PAYS"]["close"]
    for session, close in ((BEFORE, closes.iloc[-2]), (LAST, closes.iloc[-1])):
        [last] = of(parts, FORECASTS, "PAYS", cutoff=session)["last_value"].unique()
        assert last == close


def test_intervals_hold_what_they_promise_of_all_but_ex_dates(parts):
    ours, theirs = (of(parts, CALIBRATIONS, each, cutoff=LAST) for each in FUNDS.tickers)
    figures = [name for name in CALIBRATIONS.columns if name not in CALIBRATIONS.key]
    np.testing.assert_allclose(ours[figures], theirs[figures], rtol=1e-9)


def test_the_fall_of_an_ex_date_is_an_error_of_the_forecast(parts):
    [score] = of(parts, SCORES, "PAYS", cutoff=BEFORE).to_dict("records")
    closes = parts.source(FUNDS).bars["PAYS"]["close"]
    assert score["actual"] == pytest.approx(closes.iloc[-1])
    assert score["naive_error"] == pytest.approx(closes.iloc[-1] - closes.iloc[-2])
    assert (score["inside_80"], score["inside_95"]) == (False, False)


def test_figures_of_the_test_sessions_are_of_traded_prices(parts):
    run = plan(parts, FUNDS, LAST, NOW)
    bars = parts.source(FUNDS).bars["PAYS"]
    known = bars.loc[bars["date"] <= pd.Timestamp(run.training_cutoff), "close"]
    moves = known.diff().to_numpy()[: 1 - FUNDS.horizon][-TESTED:]
    assert (moves / known.mean() < -SHARE / 2).sum() == 1
    rmse = of(parts, PROMOTIONS, "PAYS", cutoff=LAST)["naive_test_rmse"][0]
    assert rmse == pytest.approx(np.sqrt((moves**2).mean()), rel=0.01)
