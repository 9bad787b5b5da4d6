"""The sample source: daily prices of five stocks, 2000-03-01 to 2013-03-01.

They are real and come with `bokeh_sampledata`. Prices and volume are as traded. The package has no
list of splits and dividends, but its `adj_close` was computed from one: wherever adj_close / close
takes a step, an action went ex. Only the steps count: the level of AAPL's adj_close also undoes a
split of 2014.
"""

from __future__ import annotations

import datetime as dt
from functools import cache

import numpy as np
import pandas as pd

from pipeline.prices.source import RawPrices, unknown_ticker

SAMPLE_TICKERS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
#: adj_close has a dozen digits: between actions the ratio is constant to 1e-9, and the smallest
#: dividend moves it by 1e-3.
SMALLEST_STEP = 1e-6
#: The smallest split here is 2:1, the largest dividend (MSFT, 2004-11-15: 3 dollars of 30) a step
#: of 1.11.
SMALLEST_SPLIT = 1.4


class SampleSource:
    """Five stocks that need no network."""

    name = "sample"
    reads_all = True
    is_metered = False

    def tickers(self) -> list[str]:
        return list(SAMPLE_TICKERS)

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        if ticker not in SAMPLE_TICKERS:
            raise unknown_ticker(ticker, self.name, SAMPLE_TICKERS)
        return _stock(ticker)


@cache
def _stock(ticker: str) -> RawPrices:
    from bokeh_sampledata import stocks

    frame = pd.DataFrame(getattr(stocks, ticker))
    frame["date"] = pd.to_datetime(frame["date"], format="%Y-%m-%d")
    return RawPrices(frame.drop(columns="adj_close"), _actions_in(frame), currency="USD")


def _actions_in(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the splits and dividends that explain the steps of adj_close / close.

    A step up by the factor f on an ex-date is a split f:1, or a dividend of
    previous close * (1 - 1/f). Dividends are within a few cents of the paid ones, because adj_close
    was computed with rounded factors.

    Args:
        frame: one ticker's date, close and adj_close, in the order of dates.

    Returns:
        Columns date, kind, value.
    """
    ratio = (frame["adj_close"] / frame["close"]).to_numpy()
    step = ratio[1:] / ratio[:-1]
    at = np.flatnonzero(np.abs(step - 1) > SMALLEST_STEP)
    is_split = step[at] > SMALLEST_SPLIT
    dividends = frame["close"].to_numpy()[at] * (1 - 1 / step[at])
    return pd.DataFrame(
        {
            "date": frame["date"].to_numpy()[at + 1],
            "kind": np.where(is_split, "split", "dividend"),
            "value": np.where(is_split, np.round(step[at], 6), dividends),
        }
    )
