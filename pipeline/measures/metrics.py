"""Error measures of a forecaster over n windows and H horizons. Pure.

Shapes: `actual` and `forecast` (n, H) in prices, `last` (n,) the target at each window's last
session. error = actual - forecast. A measure has one value per horizon, (H,).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.quantiles import INTERVALS, MEDIAN, coverage, losses


def root_mean_squared_error(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Return the root mean squared error by horizon, in money (H,)."""
    error: np.ndarray = np.sqrt(np.mean((actual - forecast) ** 2, axis=0))
    return error


def mean_absolute_error(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Return the mean absolute error by horizon, in money (H,)."""
    error: np.ndarray = np.mean(np.abs(actual - forecast), axis=0)
    return error


def mean_absolute_scaled_error(actual: np.ndarray, forecast: np.ndarray, step: float) -> np.ndarray:
    """Return the mean absolute error over `step` by horizon, (H,) (Hyndman & Koehler 2006).

    Args:
        step: the mean absolute one-session change before the windows, in money.

    Returns:
        NaN where `step` is 0.
    """
    if step > 0:
        return mean_absolute_error(actual, forecast) / step
    return np.full(actual.shape[1], np.nan)


def directional_accuracy(actual: np.ndarray, forecast: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the share of windows that move from `last` as forecast, by horizon, (H,).

    Windows without a direction, forecast or actual, are left out.

    Returns:
        NaN where no window is left: the naive forecast has no direction.
    """
    forecast_sign = np.sign(forecast - last[:, None])
    actual_sign = np.sign(actual - last[:, None])
    directed = (forecast_sign != 0) & (actual_sign != 0)
    hits, count = ((forecast_sign == actual_sign) & directed).sum(axis=0), directed.sum(axis=0)
    unknown = np.full(actual.shape[1], np.nan)
    accuracy: np.ndarray = np.divide(hits, count, out=unknown, where=count > 0)
    return accuracy


def measures(
    actual: np.ndarray, quantiles: np.ndarray, last: np.ndarray, step: float
) -> dict[str, np.ndarray]:
    """Return all measures of quantiles by name, each (H,).

    Args:
        quantiles: prices (n, H, Q); the points that are measured are their medians.
        step: see `mean_absolute_scaled_error`.
    """
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


def realised(sums: pd.DataFrame) -> pd.DataFrame:
    """Return the errors of summed-up SCORES, next to the naive forecast on the same sessions.

    Args:
        sums: as `Store.score_sums` adds them up; its groups are any of SCORES' columns. Forecasts
            published in time, and those made when their outcome could be known, are apart there.

    Returns:
        The groups, forecasts, first, last, then by forecast: `rmse` and `naive_rmse` are fractions
        of the last price, so that errors before and after a split count alike. `skill` is 1 - rmse
        / naive_rmse: positive means the published forecasts beat the naive one. `pinball_skill`
        likewise compares the distributions with the EWMA random walk's, over the forecasts that
        have both; `har_pinball` and `pinball_skill_over_har` are over those that `har`, too, has
        forecast.
    """
    table = sums[list(sums)[: list(sums).index("last") + 1]].copy()
    for name in ("", "naive_"):
        table[f"{name}rmse"] = np.sqrt(sums[f"{name}squared"] / sums["forecasts"])
    table["skill"] = skill(table["rmse"], table["naive_rmse"])
    compared = sums["compared"].where(sums["compared"] > 0)
    for name in ("pinball", "ewma_pinball"):
        table[name] = sums[name] / compared
    table["pinball_skill"] = skill(table["pinball"], table["ewma_pinball"])
    beside_har = sums["compared_with_har"].where(sums["compared_with_har"] > 0)
    table["har_pinball"] = sums["har_pinball"] / beside_har
    published = sums["pinball_beside_har"] / beside_har
    table["pinball_skill_over_har"] = skill(published, table["har_pinball"])
    for name in ("inside_80", "inside_95"):
        table[name] = sums[name] / sums["forecasts"]
    return table


def skill(errors: pd.Series, baseline: pd.Series) -> pd.Series:
    """Return 1 - error / the baseline's error: positive is better.

    Returns:
        NaN where the baseline made no error, as a single naive forecast that was exact: the ratio
        then means nothing.
    """
    return 1 - errors / baseline.where(baseline > 0)
