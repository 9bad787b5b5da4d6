"""Made BACKTESTS rows for tests of leaderboards."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pipeline.quantiles import PROBABILITIES
from pipeline.tables import BACKTESTS

FIRST_DAY = dt.date(2020, 1, 1)
#: Dollars between neighbouring quantiles, by forecaster.
SPREADS = {"naive": 2.5, "ewma": 1.2, "wide": 4.0}


def forecasts_of(
    spreads: Mapping[str, float] = SPREADS,
    count: int = 50,
    horizon: int = 2,
    tickers: Sequence[str] = ("AAA", "BBB"),
    shift: float = 0.0,
) -> pd.DataFrame:
    """Return forecasts at `count` cutoffs with quantiles around the last price.

    Args:
        spreads: see `SPREADS`.
        shift: dollars that are added to the forecasts of "high".
    """
    random = np.random.default_rng(3)
    rows = []
    for number in range(count):
        for ticker in tickers:
            last = 100.0 + number
            actual = last + random.normal(0, 2, horizon)
            rows += [
                {
                    "recipe": name,
                    "ticker": ticker,
                    "cutoff": FIRST_DAY + dt.timedelta(days=number),
                    "horizon": ahead + 1,
                    "session": FIRST_DAY + dt.timedelta(days=number + ahead + 1),
                    "quantile": probability,
                    "forecast": last + (place - 3) * spread + (shift if name == "high" else 0),
                    "actual": actual[ahead],
                    "last": last,
                }
                for name, spread in spreads.items()
                for ahead in range(horizon)
                for place, probability in enumerate(PROBABILITIES)
            ]
    return BACKTESTS.conform(pd.DataFrame(rows))
