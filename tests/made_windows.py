"""Made histories, and specs that cut them, for whoever tests what becomes of windows."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from pipeline.normalisation import Normalisation, Unscaled
from pipeline.spec import Spec, Windowing
from pipeline.splits import Newest, Split
from pipeline.tables import HISTORY

FIRST = dt.date(2020, 1, 1)


def history_of(closes: list[float] | np.ndarray, **columns: object) -> pd.DataFrame:
    """A HISTORY table of one session a day from 2020-01-01; bars without height and a volume of 1 where `columns` do not say otherwise."""
    close = np.asarray(closes, "float64")
    sessions = [FIRST + dt.timedelta(days=day) for day in range(len(close))]
    bars = dict.fromkeys(("open", "high", "low", "close", "adj_close"), close)
    return HISTORY.conform(pd.DataFrame({"ticker": "IBM", "session": sessions, **bars, "volume": 1.0, **columns}))


def walk(count: int, seed: int = 0, last: dt.date | None = None) -> pd.DataFrame:
    """A random walk on `count` days from 2020-01-01, or weekdays up to `last`; no two cells are alike."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.02, count)))
    table = history_of(
        close,
        open=close * (1 + random.normal(0, 0.005, count)),
        high=close * (1.01 + random.uniform(0, 0.01, count)),
        low=close * (0.99 - random.uniform(0, 0.01, count)),
        volume=random.permutation(count) + 1.0,
        adj_close=close * 0.9,
    )
    if last:
        table["session"] = np.busday_offset(last, np.arange(1 - count, 1), roll="backward").astype("datetime64[s]")
    return table


def spec_of(
    history: pd.DataFrame,
    window: Windowing,
    normalisation: Normalisation | None = None,
    horizon: int = 1,
    split: Split | None = None,
    target: str = "close",
    smoothing: float = 0.0,
) -> Spec:
    """A spec for the whole of `history`; as it is and 2 windows of test after 2 of validation, where nothing else is said."""
    split = split or Split(Newest(2), Newest(2), min_train_windows=1)
    cutoff = history["session"].iloc[-1].date()
    return Spec("IBM", cutoff, target, horizon, window, normalisation or Unscaled(), split, smoothing)
