"""Rows for tests of the store."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from pipeline.quantiles import QUANTILE_COLUMNS
from pipeline.storage import PriceRevisions
from pipeline.tables import ACTIONS, PREDICTIONS, PRICES, Table

MONDAY, TUESDAY, WEDNESDAY = dt.date(2020, 8, 24), dt.date(2020, 8, 25), dt.date(2020, 8, 26)
EVENING = dt.datetime(2020, 8, 26, 22, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)

#: By dtype: missing and tiny numbers, quotes, other scripts, single microseconds.
AWKWARD_VALUES = {
    "str": ["o'é\"%s:1", "日本", ""],
    "float64": [np.nan, 0.1 + 0.2, 5e-324],
    "int64": [2, 1, 0],
    "bool": [True, False, True],
    "datetime64[s]": pd.to_datetime(["1990-01-02", "2024-02-29", "2100-12-31"]),
    "datetime64[us]": pd.to_datetime(
        ["1990-01-02 03:04:05.000006", "2024-02-29 00:00:00.0", "2100-12-31 23:59:59.999999"]
    ),
}


def save_at(moment: dt.datetime, prices: PriceRevisions, *report: Any) -> Counter[str]:
    """Store what a source reports while the clock stands still; see `PriceRevisions.save`."""
    prices.clock = lambda: moment
    return prices.save(*report)


def any_rows(table: Table, count: int = 3) -> pd.DataFrame:
    """Return up to three rows of a table, with every dtype's awkward values."""
    columns = {name: AWKWARD_VALUES[dtype] for name, dtype in table.columns.items()}
    return table.conform(pd.DataFrame(columns).head(count))


def bars(*rows: tuple[str, dt.date, float]) -> pd.DataFrame:
    """Return PRICES of (ticker, session, close); the other columns follow from the close."""
    tickers, sessions, closes = zip(*rows, strict=True)
    prices = dict.fromkeys(["open", "high", "low", "close"], closes)
    named = {"ticker": tickers, "session": pd.to_datetime(sessions), **prices, "volume": 1000.0}
    return PRICES.conform(pd.DataFrame(named))


def actions(*rows: tuple[str, dt.date, str, float]) -> pd.DataFrame:
    """Return ACTIONS of (ticker, session, kind, value)."""
    frame = pd.DataFrame(rows, columns=list(ACTIONS.columns))
    return ACTIONS.conform(frame.astype({"session": "datetime64[s]"}))


def predictions(count: int, median: float = 1.0, model: str = "naive") -> pd.DataFrame:
    """Return PREDICTIONS of so many datasets, all alike."""
    names = [f"dataset-{number:05d}" for number in range(count)]
    quantiles = dict.fromkeys(QUANTILE_COLUMNS, median)
    return PREDICTIONS.conform(
        pd.DataFrame({"dataset": names, "model": model, "horizon": 1, **quantiles})
    )
