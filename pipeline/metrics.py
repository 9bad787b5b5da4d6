"""Error measures of a forecaster over n windows and H horizons; arrays in dollars in, one row per horizon out.

Shapes: `actual` and `forecast` (n, H), `last` (n,) the target at each window's last session. error = actual - forecast.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.quantiles import INTERVALS, MEDIAN, coverage, losses


def root_mean_squared_error(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Per horizon, (H,), in dollars."""
    return np.sqrt(np.mean((actual - forecast) ** 2, axis=0))


def mean_absolute_error(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Per horizon, (H,), in dollars."""
    return np.mean(np.abs(actual - forecast), axis=0)


def mean_absolute_scaled_error(actual: np.ndarray, forecast: np.ndarray, step: float) -> np.ndarray:
    """MAE over `step`, the mean absolute one-session change before the windows (Hyndman & Koehler 2006). NaN when `step` is 0."""
    return mean_absolute_error(actual, forecast) / step if step > 0 else np.full(actual.shape[1], np.nan)


def directional_accuracy(actual: np.ndarray, forecast: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Share of windows whose direction from `last` was forecast, (H,).

    Windows without a direction, forecast or actual, are left out; NaN when none is left (the naive forecast has none).
    """
    expected, came = np.sign(forecast - last[:, None]), np.sign(actual - last[:, None])
    directed = (expected != 0) & (came != 0)
    hits, count = ((expected == came) & directed).sum(axis=0), directed.sum(axis=0)
    return np.divide(hits, count, out=np.full(actual.shape[1], np.nan), where=count > 0)


def measures(actual: np.ndarray, quantiles: np.ndarray, last: np.ndarray, step: float) -> dict[str, np.ndarray]:
    """All measures of quantiles (n, H, Q) by name, each (H,); the points are their medians."""
    median, horizons = quantiles[:, :, MEDIAN], actual.shape[1]
    return {
        "horizon": np.arange(1, horizons + 1),
        "sessions": np.full(horizons, len(actual)),
        "rmse": root_mean_squared_error(actual, median),
        "mae": mean_absolute_error(actual, median),
        "mase": mean_absolute_scaled_error(actual, median, step),
        "directional_accuracy": directional_accuracy(actual, median, last),
        "pinball": losses(actual, quantiles, last).mean(axis=0),
        **{f"coverage_{level}": coverage(actual, quantiles, level) for level in INTERVALS},
    }


def realised(scores: pd.DataFrame) -> pd.DataFrame:
    """SCORES summed up per universe, recipe, target, ticker and horizon, beside the naive forecast on the same sessions.

    rmse in dollars; `skill` = 1 - rmse / naive_rmse: positive means the published forecasts beat the naive one; `pinball_skill` likewise, of
    the distributions beside the EWMA random walk's, over the forecasts that have both.
    """
    groups = scores.groupby(["universe", "recipe", "target", "ticker", "horizon"])
    table = groups.agg(
        forecasts=("error", "size"),
        first=("session", "min"),
        last=("session", "max"),
        rmse=("error", _root_mean_square),
        naive_rmse=("naive_error", _root_mean_square),
        pinball=("pinball", "mean"),
        ewma_pinball=("ewma_pinball", "mean"),
        inside_80=("inside_80", "mean"),
        inside_95=("inside_95", "mean"),
    ).reset_index()
    for name, ours, theirs in (("skill", "rmse", "naive_rmse"), ("pinball_skill", "pinball", "ewma_pinball")):
        table.insert(table.columns.get_loc(theirs) + 1, name, skill(table[ours], table[theirs]))
    return table


def skill(errors: pd.Series, baseline: pd.Series) -> pd.Series:
    """1 - error / the baseline's: positive is better. NaN where the baseline made none (a single naive forecast that came true): it says nothing."""
    return 1 - errors / baseline.where(baseline > 0)


def _root_mean_square(errors: pd.Series) -> float:
    return float(np.sqrt(np.mean(errors.to_numpy() ** 2)))
