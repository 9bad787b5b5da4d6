"""Tables of one ticker's prices that are no files, read as files are: answers and data frames."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from pipeline.errors import MalformedPrices
from pipeline.prices.formats import table_of
from pipeline.prices.source import RawPrices
from pipeline.tables import OHLCV


def prices_of_text(text: str, ticker: str, where: str, first: dt.date, last: dt.date) -> RawPrices:
    """Return a ticker's bars of a range, and all actions, from a table in a file's format.

    Args:
        where: the ticker and its source, for messages.

    Raises:
        MalformedPrices: it is no such table, or a row of the range cannot be read.
    """
    table = table_of(text, where, lambda: ticker)
    if ticker not in table.rows:
        others = ", ".join(list(table.rows)[:3])
        raise MalformedPrices(f"{where}: the rows are of {others}; rows of {ticker} are expected.")
    rows = table.of(ticker)
    bars = around(rows.bars, first, last)
    rows.require_readable(where, bars)
    return RawPrices(bars[["date", *OHLCV, "line"]], rows.actions, rows.basis.unused, rows.currency)


def prices_of_frame(
    frame: pd.DataFrame, ticker: str, where: str, first: dt.date, last: dt.date
) -> RawPrices:
    """Return a ticker's bars of a range, and all actions, from a data frame.

    Args:
        frame: columns as a file's, under any name that one may have there; dates may be its index.
        where: the ticker and its source, for messages.

    Raises:
        MalformedPrices: see `prices_of_text`.
    """
    if frame.empty:
        return no_prices()
    text = frame.to_csv(index=not isinstance(frame.index, pd.RangeIndex))
    return prices_of_text(text, ticker, where, first, last)


def no_prices() -> RawPrices:
    """Return what a source hands over that has nothing in a range."""
    return RawPrices(
        pd.DataFrame(columns=["date", *OHLCV]), pd.DataFrame(columns=["date", "kind", "value"])
    )


def around(bars: pd.DataFrame, first: dt.date, last: dt.date) -> pd.DataFrame:
    """Return the bars of a range and of the days beside it, and those without a date."""
    dates = bars["date"]
    if dates.dt.tz is not None:
        dates = dates.dt.tz_localize(None)
    margin = pd.Timedelta(days=1)
    is_within = dates.between(pd.Timestamp(first) - margin, pd.Timestamp(last) + margin)
    return bars[is_within | dates.isna()]
