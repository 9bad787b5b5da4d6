"""The seven quantiles that describe a forecast's distribution, and their measures.

Shapes: `actual` (n, H), `quantiles` (n, H, Q) in the order of `PROBABILITIES`, both in one unit,
mostly prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

PROBABILITIES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
QUANTILE_COUNT = len(PROBABILITIES)
#: The median's place among the quantiles.
MEDIAN = 3
#: Percent -> the places of the quantiles that bound the central interval.
INTERVALS = {50: (2, 4), 80: (1, 5), 95: (0, 6)}
#: Percent of the widest interval that is published, and the probabilities of its bounds, which
#: value at risk asks for. They follow from the seven quantiles; see `joint.margins`.
OUTER_LEVEL, OUTER_PROBABILITIES = 98, (0.01, 0.99)
#: Percents of all intervals that are published.
PUBLISHED_LEVELS = (*INTERVALS, OUTER_LEVEL)
#: The columns of published forecasts that are quantiles, with their probabilities, in order.
PUBLISHED_QUANTILES = {
    "lower_98": OUTER_PROBABILITIES[0],
    **{f"lower_{level}": PROBABILITIES[INTERVALS[level][0]] for level in (95, 80, 50)},
    "y_hat": PROBABILITIES[MEDIAN],
    **{f"upper_{level}": PROBABILITIES[INTERVALS[level][1]] for level in (50, 80, 95)},
    "upper_98": OUTER_PROBABILITIES[1],
}
#: The quantiles as columns of a table: "q025" is the 2.5% quantile.
QUANTILE_COLUMNS = tuple(f"q{round(1000 * probability):03d}" for probability in PROBABILITIES)
#: The shares of actual values in the cells between the true quantiles; see `cells`.
EXPECTED_CELLS = tuple(np.diff([0, *PROBABILITIES, 1]).round(6).tolist())


def pinball(actual: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Return the pinball loss of each quantile (Koenker & Bassett 1978).

    Its mean over the quantiles estimates half the continuous ranked probability score (Gneiting &
    Raftery 2007).

    Returns:
        (n, H, Q), in the unit of the values.
    """
    error = np.asarray(actual)[..., None] - quantiles
    probability = np.array(PROBABILITIES)
    loss: np.ndarray = np.maximum(probability * error, (probability - 1) * error)
    return loss


def losses(actual: np.ndarray, quantiles: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the mean pinball loss of the seven quantiles, (n, H), as a fraction of `last`.

    So a year of high prices does not outweigh one of low prices.

    Args:
        last: (n,), the last value that each window sees.
    """
    relative: np.ndarray = pinball(actual, quantiles).mean(axis=2) / np.asarray(last)[:, None]
    return relative


def inside(actual: np.ndarray, quantiles: np.ndarray, level: int) -> np.ndarray:
    """Return 1 where the central interval holds the actual value and 0 where not, (n, H).

    Args:
        level: percent of the interval, a key of `INTERVALS`.

    Returns:
        NaN where there is no actual value.
    """
    low, high = INTERVALS[level]
    hit = (actual >= quantiles[..., low]) & (actual <= quantiles[..., high])
    return np.where(np.isfinite(actual), hit, np.nan)


def coverage(actual: np.ndarray, quantiles: np.ndarray, level: int) -> np.ndarray:
    """Return the share of actual values inside the central interval, by horizon, (H,).

    Args:
        level: percent of the interval, a key of `INTERVALS`.

    Returns:
        NaN where a horizon has no actual value.
    """
    hits = inside(actual, quantiles, level)
    count = np.isfinite(hits).sum(axis=0)
    share: np.ndarray = np.divide(
        np.nansum(hits, axis=0), count, out=np.full(hits.shape[1], np.nan), where=count > 0
    )
    return share


def cells(actual: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Return the share of actual values in each cell between the quantiles, (Q + 1,).

    It is a histogram of the probability integral transform.
    """
    known = np.isfinite(actual)
    place = (actual[known][:, None] > quantiles[known]).sum(axis=1)
    share: np.ndarray = np.bincount(place, minlength=QUANTILE_COUNT + 1) / max(len(place), 1)
    return share


def around(point: np.ndarray, unit: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return the quantiles of an error distribution placed about points, (n, H, Q).

    Args:
        point: (n, H).
        unit: (n,), the values that `shape` is in multiples of.
        shape: (H, Q), quantiles of the error.
    """
    quantiles: np.ndarray = point[:, :, None] + unit[:, None, None] * shape[None]
    return quantiles


def shape_of(actual: np.ndarray, point: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the quantiles of the errors of points in multiples of a unit, (H, Q).

    Windows without an actual value are left out.

    Args:
        point: (n, H).
        unit: (n,).
    """
    scaled = (actual - point) / unit[:, None]
    shape: np.ndarray = np.nanquantile(scaled, PROBABILITIES, axis=0).T
    return shape


def in_order(quantiles: np.ndarray) -> np.ndarray:
    """Return the same quantiles, ascending in each row.

    Where quantiles have crossed, rearranging them is never worse (Chernozhukov et al. 2010).
    """
    return np.sort(quantiles, axis=-1)


def tidy_quantiles(forecasts: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    """Return published forecasts with one row per quantile: the key, `level` and `price`.

    Args:
        forecasts: with the columns `PUBLISHED_QUANTILES`.
        key: the columns that identify a row of it, which the rows are in the order of.

    Returns:
        `level` is the probability that the price is not above `price`.
    """
    tidy = forecasts.melt(
        id_vars=list(key),
        value_vars=list(PUBLISHED_QUANTILES),
        var_name="level",
        value_name="price",
    )
    tidy["level"] = tidy["level"].map(PUBLISHED_QUANTILES).astype("float64")
    return tidy.sort_values([*key, "level"], ignore_index=True)
