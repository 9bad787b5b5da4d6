"""Made histories, and specs that cut them, for tests of windows and of what is made from them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from pipeline.tables import HISTORY, OHLCV
from pipeline.windows import (
    BlockMinMax,
    ByVolatility,
    Dataset,
    FirstValue,
    LastClose,
    MinMax,
    Newest,
    Normalisation,
    PreviousWindow,
    Spec,
    Split,
    Unscaled,
    Windowing,
    Windows,
    cut_windows,
    encode,
    load_dataset,
)

FIRST = dt.date(2020, 1, 1)
ALL_COLUMNS = tuple(OHLCV)
#: Four sessions of all columns, as many ahead as the run asks for: the default recipe's shape.
WHOLE_BARS = Windowing(4, columns=ALL_COLUMNS, outputs=0)
#: Ten sessions of validation and eight of test.
HELD_OUT = Split(Newest(8), Newest(10), min_train_windows=5)
#: Those that take any columns.
NORMALISATIONS = [
    LastClose(),
    PreviousWindow(),
    FirstValue(),
    MinMax("train"),
    MinMax("all"),
    BlockMinMax(25),
    BlockMinMax(25, "own"),
    Unscaled(),
]
#: Sees open, high, low, close and volume, however the window's columns are named.
BY_VOLATILITY = ByVolatility()


def history_of(closes: list[float] | np.ndarray, **columns: object) -> pd.DataFrame:
    """Return a HISTORY table of one session a day from 2020-01-01.

    Bars have no height and a volume of 1 where `columns` do not give others.
    """
    close = np.asarray(closes, "float64")
    bars = dict.fromkeys(("open", "high", "low", "close"), close)
    made = {
        "ticker": "IBM",
        "session": pd.date_range(FIRST, periods=len(close)),
        **bars,
        "volume": 1.0,
        "adj_close": close,
    }
    return HISTORY.conform(pd.DataFrame(made | columns))


def walk(count: int, seed: int = 0, last: dt.date | None = None) -> pd.DataFrame:
    """Return the history of a random walk; no two cells are alike.

    Args:
        count: its sessions: days from 2020-01-01 on.
        last: the last session; the sessions are then weekdays up to it.
    """
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
        days = np.busday_offset(last, np.arange(1 - count, 1), roll="backward")
        table["session"] = days.astype("datetime64[s]")
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
    """Return a spec for the whole of a history.

    Args:
        normalisation: None: there is none.
        split: None: two windows of test after two of validation.
    """
    split = split or Split(Newest(2), Newest(2), min_train_windows=1)
    cutoff = history["session"].iloc[-1].date()
    return Spec(
        "IBM", cutoff, target, horizon, window, normalisation or Unscaled(), split, smoothing
    )


def default_spec(history: pd.DataFrame, **changes: object) -> Spec:
    """Return a spec like the default recipe's, small; `changes` are arguments of `spec_of`."""
    likeness = {"window": WHOLE_BARS, "normalisation": LastClose(), "horizon": 2, "split": HELD_OUT}
    return spec_of(history, **{**likeness, **changes})


def dataset_of(history: pd.DataFrame, spec: Spec) -> Dataset:
    """Return the dataset that a history's file holds."""
    return load_dataset(encode(history, spec))


def cut_closes(
    closes: list[float] | np.ndarray,
    window: Windowing,
    normalisation: Normalisation | None = None,
    split: Split | None = None,
    **columns: object,
) -> Windows:
    """Return all windows of `history_of` these closes and columns."""
    history = history_of(closes, **columns)
    return cut_windows(history, spec_of(history, window, normalisation, split=split))
