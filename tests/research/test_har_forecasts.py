"""HAR regressions on histories: each bar at its place, each forecast with its stock."""

import datetime as dt

import numpy as np
import pytest

from pipeline.models import har
from pipeline.prices import on_calendar
from pipeline.research.har_forecasts import har_forecasts, panel_of
from pipeline.sessions import Calendar
from pipeline.tables import HISTORY, OHLCV
from tests.made_prices import LAST, random_walk

XNYS = Calendar("XNYS")
HORIZON = 2


def history_of(ticker, seed, count):
    bars = random_walk(seed, count).rename(columns={"date": "session"})
    table = HISTORY.conform(bars.assign(ticker=ticker, adj_close=bars["close"]))
    return on_calendar(table, XNYS.sessions(table["session"].iloc[0].date(), LAST))


@pytest.fixture(scope="module")
def histories():
    return {"OLD": history_of("OLD", 0, 500), "NEW": history_of("NEW", 1, 60)}


def test_a_panel_has_each_bar_at_its_session_and_knows_the_sessions_ahead(histories):
    panel = panel_of(histories, "high", HORIZON, XNYS)
    assert panel.bars.shape == (500, 2, 5)
    assert np.array_equal(panel.bars[:, 0], histories["OLD"][OHLCV])
    assert np.array_equal(panel.bars[440:, 1], histories["NEW"][OHLCV])
    assert np.isnan(panel.bars[:440, 1]).all()
    assert np.array_equal(panel.target[440:, 1], histories["NEW"]["high"])
    assert panel.later.astype(str).tolist() == ["2013-03-04", "2013-03-05", "2013-03-06"]
    assert panel.hours.shape == (503,)
    assert np.nanmin(panel.hours) == 3.5


@pytest.mark.parametrize("name", har.HAR_NAMES)
def test_forecasts_begin_at_the_training_cutoff_and_are_each_stocks_own(histories, name):
    cutoff = dt.date(2013, 1, 18)
    forecasts = har_forecasts(name, histories, "close", HORIZON, cutoff, XNYS)
    assert str(forecasts.cutoffs[0]) == "2013-01-18"
    assert str(forecasts.cutoffs[-1]) == str(LAST)
    panel = panel_of(histories, "close", HORIZON, XNYS)
    fitted = 500 - len(forecasts.cutoffs)
    expected = har.forecast(name, panel, HORIZON, fitted)
    origins = np.array(["2013-02-04", LAST], "datetime64[D]")
    rows = np.searchsorted(panel.sessions, origins) - fitted
    for stock, ticker in enumerate(histories):
        assert np.array_equal(forecasts.at(ticker, origins), expected[rows, stock])


def test_a_day_without_a_session_counts_as_the_session_before(histories):
    saturday, friday = (
        har_forecasts("har_range", histories, "close", HORIZON, day, XNYS)
        for day in (dt.date(2013, 1, 19), dt.date(2013, 1, 18))
    )
    assert np.array_equal(saturday.by_ticker["OLD"], friday.by_ticker["OLD"])
