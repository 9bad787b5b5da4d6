"""Made prices: random walks on real sessions, with splits and dividends where a test wants them."""

from __future__ import annotations

import datetime as dt
from functools import cache

import numpy as np
import pandas as pd

from pipeline.prices.source import RawPrices
from pipeline.sessions import Calendar

LAST = dt.date(2013, 3, 1)


def random_walk(
    seed: int, count: int, last: dt.date = LAST, calendar: str = "XNYS"
) -> pd.DataFrame:
    """Return bars of `count` sessions up to `last`; each is possible, no two are alike.

    Returns:
        Columns date, open, high, low, close, volume.
    """
    return _random_walk(seed, count, last, calendar).copy()


@cache
def _random_walk(seed: int, count: int, last: dt.date, calendar: str) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    sessions = Calendar(calendar).sessions(dt.date(1990, 1, 1), last)[-count:]
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.015, len(sessions))))
    open_ = close * np.exp(random.normal(0, 0.004, len(sessions)))
    return pd.DataFrame(
        {
            "date": pd.to_datetime(sessions),
            "open": open_,
            "high": np.maximum(open_, close) * (1 + random.uniform(0.001, 0.01, len(sessions))),
            "low": np.minimum(open_, close) * (1 - random.uniform(0.001, 0.01, len(sessions))),
            "close": close,
            "volume": random.integers(100_000, 900_000, len(sessions)).astype("float64"),
        }
    )


class MadeSource:
    """A source in the sample's place.

    Attributes:
        bars: by ticker; tests change them as they please.
        actions: likewise.
    """

    name = "sample"
    reads_all = True
    is_metered = False

    def __init__(
        self, bars: dict[str, pd.DataFrame], actions: dict[str, pd.DataFrame] | None = None
    ) -> None:
        self.bars = bars
        self.actions = actions or {}

    def tickers(self) -> list[str]:
        return sorted(self.bars)

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        no_actions = pd.DataFrame({"date": pd.to_datetime([]), "kind": [], "value": []})
        return RawPrices(self.bars[ticker], self.actions.get(ticker, no_actions))
