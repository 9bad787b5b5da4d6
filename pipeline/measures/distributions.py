"""Measures of whole distributions: CRPS, QLIKE of the implied variance, a test of the PIT. Pure.

Shapes are those of `quantiles`: `actual` (n, H), `quantiles` (n, H, Q), `last` (n,), in dollars.
"""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Array, Floats
from pipeline.measures.significance import long_run_covariance
from pipeline.quantiles import EXPECTED_CELLS, INTERVALS, pinball

_OUTER, _NEXT, _INNER = 0.0737217847, 0.0853805831, 0.2160422615
#: Weights of the seven pinball losses in their integral over all probabilities, which is half the
#: CRPS. They integrate the polynomial through the seven and through 0 at both ends, where a
#: quantile loses nothing, so levels that lie farther apart count for more. All are positive: no
#: forecaster gains by other quantiles than it believes in. Where quantiles are right, the mean is
#: exact for a uniform distribution, 0.1% too high for a normal one and 0.3% for Student's with 3
#: degrees of freedom; twice the plain mean of the losses would be 24% too low for a normal one.
CRPS_WEIGHTS = np.array([_OUTER, _NEXT, _INNER, 0.2667535066, _INNER, _NEXT, _OUTER])
#: Standard deviations between the 2.5% and the 97.5% quantile of a normal distribution.
DEVIATIONS_ACROSS_95 = 3.919928
#: The least variance that is implied, of a price that has not moved: a millionth of it.
LEAST_VARIANCE = 1e-12
#: Middles of the cells between the quantiles, from -0.5 to 0.5.
_CELL_MIDDLES = np.cumsum(EXPECTED_CELLS) - np.array(EXPECTED_CELLS) / 2 - 0.5


def crps(actual: Array, quantiles: Array, last: Array) -> Floats:
    """Return the continuous ranked probability score as a fraction of `last`, (n, H).

    It is twice the integral of the pinball loss over the probabilities (Gneiting & Raftery 2007),
    from the seven that are published; see `CRPS_WEIGHTS`. The CRPS of a single point is its
    absolute error.
    """
    score: Floats = 2 * pinball(actual, quantiles) @ CRPS_WEIGHTS / np.asarray(last)[:, None]
    return score


def implied_variance(quantiles: Array, last: Array) -> Floats:
    """Return the variance of the relative change up to each horizon that quantiles imply, (n, H).

    The standard deviation is the width of the 95% interval over 3.92. So it is of a normal
    distribution, and within some percent also of skew ones and of those with fat tails (Pearson &
    Tukey 1965).
    """
    low, high = INTERVALS[95]
    width = (quantiles[..., high] - quantiles[..., low]) / np.asarray(last)[:, None]
    variance: Floats = np.maximum((width / DEVIATIONS_ACROSS_95) ** 2, LEAST_VARIANCE)
    return variance


def realised_variance(actual: Array, last: Array) -> Floats:
    """Return the sums of squared one-session changes up to each horizon, (n, H).

    Changes are fractions of `last`.
    """
    path = np.concatenate([np.asarray(last)[:, None], actual], axis=1) / np.asarray(last)[:, None]
    variance: Floats = np.cumsum(np.diff(path, axis=1) ** 2, axis=1)
    return variance


def qlike(actual: Array, quantiles: Array, last: Array) -> Floats:
    """Return the QLIKE loss of the implied variance v of the realised r, log v + r / v, (n, H).

    It orders forecasts of the variance as if the true one were known, although the realised one is
    a noisy measure of it (Patton 2011). A variance that is wrong by a small share s everywhere
    costs about s squared / 2; one that is too small costs more than one too large.
    """
    variance = implied_variance(quantiles, last)
    loss: Floats = np.log(variance) + realised_variance(actual, last) / variance
    return loss


def pit_moments(actual: Array, quantiles: Array) -> Floats:
    """Return how far the PIT's mean and spread are from the uniform distribution's, (n, H, 2).

    The probability integral transform is known to the cell between two quantiles; its middle
    counts. Both moments are 0 in the mean where quantiles are right: the first is positive where
    actuals lie too high in the distribution, the second where they lie too far out.
    """
    place = (np.asarray(actual)[..., None] > quantiles).sum(axis=-1)
    spread = _CELL_MIDDLES**2 - np.dot(EXPECTED_CELLS, _CELL_MIDDLES**2)
    moments: Floats = np.stack([_CELL_MIDDLES[place], spread[place]], axis=-1)
    return moments


def pit_p_value(moments: Array, horizon: int) -> float:
    """Return the p-value of the test that quantiles have the right location and spread.

    A test of the first moments of the PIT that allows for forecasts of several sessions (Knüppel
    2015), with the long-run covariance of `significance` (Hotelling's statistic; Sun 2013).

    Args:
        moments: (n, 2) of `pit_moments`, a row per session, in order.
        horizon: sessions ahead that the longest of the forecasts is for.

    Returns:
        NaN where there are too few sessions, or where the moments do not move.
    """
    from scipy.special import fdtrc

    count, size = moments.shape
    if count < 2:
        return float("nan")
    covariance, freedom = long_run_covariance(moments, horizon)
    if freedom < size or np.linalg.matrix_rank(covariance, hermitian=True) < size:
        return float("nan")
    mean = moments.mean(axis=0)
    statistic = count * float(mean @ np.linalg.solve(covariance, mean))
    scale = (freedom - size + 1) / (freedom * size)
    return float(fdtrc(size, freedom - size + 1, scale * statistic))
