"""Price rows as a person has them, and what was published of the session that they end at."""

from __future__ import annotations

import pandas as pd

from pipeline.daily.window_cuts import histories_of
from pipeline.parts import Parts
from pipeline.quantiles import tidy_quantiles
from pipeline.run import Run
from pipeline.tables import FORECASTS, OHLCV

KEY = ["ticker", "cutoff", "session", "horizon"]


def rows_of(parts: Parts, run: Run, ticker: str) -> pd.DataFrame:
    """Return all rows of a ticker up to the session, as traded, adjusted for splits."""
    history = histories_of(parts, run, [ticker]).of(ticker, run.session, masked=False)
    return history[["session", *OHLCV]].reset_index(drop=True)


def published(parts: Parts, run: Run, ticker: str) -> pd.DataFrame:
    """Return what was published, a row per session ahead and level."""
    return tidy_quantiles(parts.rows(FORECASTS, run, [ticker]), KEY)
