"""The sample source: its sessions, and the splits and dividends that adj_close shows."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UnknownTicker
from pipeline.prices.adjustment import adjust
from pipeline.prices.sample import SampleSource
from pipeline.prices.source import Fetched, fetch, require_known
from pipeline.sessions import Calendar

EVER = dt.date(2000, 1, 1), dt.date(2013, 3, 1)
LATER = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def stocks() -> dict[str, Fetched]:
    source = SampleSource()
    return {
        ticker: fetch(source, ticker, *EVER, Calendar("XNYS"), LATER) for ticker in source.tickers()
    }


def test_the_sample_has_five_stocks_and_all_their_sessions(stocks, xnys):
    counts = {ticker: len(fetched.prices) for ticker, fetched in stocks.items()}
    assert counts == {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}
    for fetched in stocks.values():
        sessions = [session.date() for session in fetched.prices["session"]]
        assert sessions == xnys.sessions(sessions[0], EVER[1])
        assert not fetched.prices.isna().any(axis=None)


def test_splits_and_dividends_are_found_in_the_steps_of_adj_close(stocks):
    def of(ticker: str, kind: str) -> list[tuple[str, float]]:
        actions = stocks[ticker].actions
        return [
            (str(row.session.date()), row.value)
            for row in actions[actions["kind"] == kind].itertuples()
        ]

    assert {ticker: of(ticker, "split") for ticker in stocks} == {
        "AAPL": [("2000-06-21", 2.0), ("2005-02-28", 2.0)],
        "FB": [],
        "GOOG": [],
        "IBM": [],
        "MSFT": [("2003-02-18", 2.0)],
    }
    assert {ticker: len(of(ticker, "dividend")) for ticker in stocks} == {
        "AAPL": 3,
        "FB": 0,
        "GOOG": 0,
        "IBM": 52,
        "MSFT": 37,
    }
    assert [(date, round(value, 2)) for date, value in of("AAPL", "dividend")] == [
        ("2012-08-09", 2.64),
        ("2012-11-07", 2.75),
        ("2013-02-07", 2.57),
    ]
    assert ("2004-11-15", 3.03) in [
        (date, round(value, 2)) for date, value in of("MSFT", "dividend")
    ]


@pytest.mark.parametrize("ticker", ["AAPL", "IBM", "MSFT", "GOOG"])
def test_adj_close_is_the_shipped_one_up_to_its_level(stocks, ticker):
    from bokeh_sampledata import stocks as shipped

    history = adjust(stocks[ticker].prices, stocks[ticker].actions, EVER[1])
    level = history["adj_close"].to_numpy() / np.array(getattr(shipped, ticker)["adj_close"])
    np.testing.assert_allclose(level, level[-1], rtol=1e-8)


def test_a_split_is_seen_from_its_ex_date_on(stocks):
    apple = stocks["AAPL"]
    before, after = (adjust(apple.prices, apple.actions, dt.date(2005, 2, day)) for day in (25, 28))
    assert before["close"].iloc[-1] == 88.99
    assert after["close"].iloc[-2:].tolist() == [44.495, 44.86]
    np.testing.assert_array_equal(after["close"].iloc[:-1], before["close"] / 2)


def test_an_unknown_ticker_is_answered_with_the_known_ones(xnys):
    message = "NOPE is not among the tickers of the sample source: AAPL, FB, GOOG, IBM, MSFT"
    with pytest.raises(UnknownTicker, match=message):
        fetch(SampleSource(), "NOPE", *EVER, xnys, LATER)
    with pytest.raises(UnknownTicker, match=message):
        require_known(SampleSource(), ["IBM", "NOPE"])
    require_known(SampleSource(), ["IBM", "FB"])


def test_a_caller_cannot_spoil_the_sample_for_the_next_one(xnys):
    source = SampleSource()
    first = fetch(source, "IBM", *EVER, xnys, LATER)
    spoilt = first.prices
    spoilt["close"] = 0.0
    assert fetch(source, "IBM", *EVER, xnys, LATER).prices["close"].iloc[-1] == 202.91
    assert isinstance(first.actions, pd.DataFrame)
