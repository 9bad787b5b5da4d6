"""The seven quantiles that a forecast's distribution is told by, and how good they were.

Shapes: `actual` (n, H), `quantiles` (n, H, Q) in the order of `PROBABILITIES`, both in one unit, mostly dollars.
"""

from __future__ import annotations

import numpy as np

PROBABILITIES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
COUNT = len(PROBABILITIES)
MEDIAN = 3
#: Percent -> the quantiles that bound the central interval.
INTERVALS = {50: (2, 4), 80: (1, 5), 95: (0, 6)}
#: The quantiles as columns of a table: "q025" is the 2.5 % quantile.
COLUMNS = tuple(f"q{round(1000 * probability):03d}" for probability in PROBABILITIES)


def pinball(actual: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Pinball loss of each quantile, (n, H, Q), in the unit of the values (Koenker & Bassett 1978).

    Its mean over the quantiles estimates half the continuous ranked probability score (Gneiting & Raftery 2007).
    """
    error = np.asarray(actual)[..., None] - quantiles
    probability = np.array(PROBABILITIES)
    return np.maximum(probability * error, (probability - 1) * error)


def losses(actual: np.ndarray, quantiles: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Mean pinball loss of the seven, (n, H), as a fraction of `last` (n,), so that a dear year does not outweigh a cheap one."""
    return pinball(actual, quantiles).mean(axis=2) / np.asarray(last)[:, None]


def inside(actual: np.ndarray, quantiles: np.ndarray, level: int) -> np.ndarray:
    """Whether the central interval of `level` percent holds what came, (n, H); not a number where nothing has come."""
    low, high = INTERVALS[level]
    hit = (actual >= quantiles[..., low]) & (actual <= quantiles[..., high])
    return np.where(np.isfinite(actual), hit, np.nan)


def coverage(actual: np.ndarray, quantiles: np.ndarray, level: int) -> np.ndarray:
    """Share of what came that lay inside, per horizon (H,); NaN where nothing has come."""
    hits = inside(actual, quantiles, level)
    count = np.isfinite(hits).sum(axis=0)
    return np.divide(np.nansum(hits, axis=0), count, out=np.full(hits.shape[1], np.nan), where=count > 0)


def cells(actual: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Share of what came in each of the Q + 1 cells between the quantiles, (Q + 1,): a histogram of the probability integral transform."""
    known = np.isfinite(actual)
    place = (actual[known][:, None] > quantiles[known]).sum(axis=1)
    return np.bincount(place, minlength=COUNT + 1) / max(len(place), 1)


#: What `cells` should be.
CELLS = tuple(np.diff([0, *PROBABILITIES, 1]).round(6).tolist())


def around(point: np.ndarray, unit: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Quantiles (n, H, Q) of an error distribution `shape` (H, Q), in multiples of `unit` (n,), about points (n, H)."""
    return point[:, :, None] + unit[:, None, None] * shape[None]


def shape_of(actual: np.ndarray, point: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """The quantiles (H, Q) of the errors of `point` (n, H) in multiples of `unit` (n,); windows without an actual value are left out."""
    scaled = (actual - point) / unit[:, None]
    return np.nanquantile(scaled, PROBABILITIES, axis=0).T


def in_order(quantiles: np.ndarray) -> np.ndarray:
    """The same values, ascending in each row: where quantiles have crossed, rearranging them is never worse (Chernozhukov et al. 2010)."""
    return np.sort(quantiles, axis=-1)
