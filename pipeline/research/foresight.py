"""Perfect foresight: the EWMA random walk's forecasts, were the coming volatility known.

It is no forecast but a bound: nobody can know more of the width of a distribution than how much the
price is about to move. The unit of a forecast is the volatility of the sessions that it is for,
from the first to the last horizon: the root of their mean variance by range (Parkinson 1980), which
does not depend on where they close. The shape is that of all stocks' errors in this unit, by
horizon; each half of the cutoffs has the shape of the other half's errors, so that no error is
measured by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.arrays import Bools, Floats
from pipeline.quantiles import around, shape_of
from pipeline.research.leaderboard import ForecasterRecord
from pipeline.tables import column

#: The variance of a session is the squared log of its high over its low, over this.
_PARKINSON = 4 * np.log(2)


def with_foresight(
    record: ForecasterRecord, histories: Mapping[str, pd.DataFrame]
) -> ForecasterRecord:
    """Return the record with the quantiles that knowing the volatility would have given.

    Where none of the sessions ahead has a range, the quantiles stay as they are.

    Args:
        record: the EWMA random walk's.
        histories: masked HISTORY by ticker with a row per session, up to the last that is forecast.
    """
    volatility = volatility_ahead(record, histories)
    known = np.isfinite(volatility) & (volatility > 0)
    unit = np.where(known, volatility, np.nan) * record.last
    point = np.repeat(record.last[:, None], record.actual.shape[1], axis=1)
    days = np.unique(record.cutoff)
    early: Bools = record.cutoff < days[len(days) // 2]
    quantiles = record.quantiles.copy()
    for own, other in ((early & known, ~early & known), (~early & known, early & known)):
        if own.any() and other.any():
            shape = shape_of(record.actual[other], point[other], unit[other])
            quantiles[own] = np.maximum(around(point[own], unit[own], shape), 0.0)
    return replace(record, quantiles=quantiles)


def volatility_ahead(record: ForecasterRecord, histories: Mapping[str, pd.DataFrame]) -> Floats:
    """Return the root of the mean variance by range of the sessions that are forecast, (n,).

    Returns:
        NaN where none of them has a range.
    """
    horizon = record.actual.shape[1]
    volatility = np.full(len(record.ticker), np.nan)
    for ticker, history in histories.items():
        high, low = (column(history, side).to_numpy("float64") for side in ("high", "low"))
        with np.errstate(divide="ignore", invalid="ignore"):
            variances = pd.Series(np.log(high / low) ** 2 / _PARKINSON)
        mean = variances.rolling(horizon, min_periods=1).mean().to_numpy()
        sessions = history["session"].to_numpy("datetime64[D]")
        rows = record.ticker == ticker
        cutoffs = record.cutoff[rows].astype("datetime64[D]")
        last_ahead = np.searchsorted(sessions, cutoffs, side="right") - 1 + horizon
        volatility[rows] = np.sqrt(mean[np.minimum(last_ahead, len(mean) - 1)])
    return volatility
