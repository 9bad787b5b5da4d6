"""Significance of a difference between two forecasters on the same sessions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from pipeline.arrays import Floats

#: The probability of an interval.
CONFIDENCE = 0.9
#: Cosines that a variance is the mean of, at most: losses are correlated from session to session
#: also where forecasts do not overlap, as calm and storm each last.
MOST_COSINES = 12
#: Sessions for each cosine, in horizons: forecasts of h sessions ahead overlap by h - 1, and a
#: cosine may not be so fast that it averages over less than that.
HORIZONS_A_COSINE = 4
#: Sessions over which gains are correlated, at least; those of longer forecasts are over twice the
#: horizon.
CORRELATED_SESSIONS = 20


@dataclass(frozen=True)
class Difference:
    """The relative difference of two forecasters' mean losses: -0.01 is 1% less.

    Attributes:
        low, high: its bounds at `CONFIDENCE`.
    """

    value: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        """True where the loss is surely lower."""
        return self.high < 0

    @property
    def worse(self) -> bool:
        """True where the loss is surely higher."""
        return self.low > 0

    @property
    def root(self) -> Difference:
        """The difference of the roots, where this is of mean squared errors."""
        bounds = (self.value, self.low, self.high)
        return Difference(*(float(np.sqrt(1 + bound) - 1) for bound in bounds))

    def __str__(self) -> str:
        return f"{self.value:+.2%} [{self.low:+.2%}, {self.high:+.2%}]"


@dataclass(frozen=True)
class Estimate:
    """A mean, or a ratio of means, over sessions.

    Attributes:
        low, high: its bounds at `CONFIDENCE`.
    """

    value: float
    low: float
    high: float


def mean_estimate(values: np.ndarray, horizon: int) -> Estimate:
    """Return the mean of a series with its interval.

    The interval is Student's, with the standard error of `_mean_error`.

    Args:
        values: (n,), by session, in order.
        horizon: sessions ahead that the longest of the forecasts is for.

    Returns:
        NaN where there is no session; of a single session, an interval without bounds.
    """
    if not len(values):
        return Estimate(float("nan"), float("nan"), float("nan"))
    mean = float(values.mean())
    if len(values) == 1:
        return Estimate(mean, -float("inf"), float("inf"))
    reach = _reach(values, horizon)
    return Estimate(mean, mean - reach, mean + reach)


def share_estimate(values: np.ndarray, horizon: int) -> Estimate:
    """Return the mean of shares by session, as `mean_estimate` does.

    Returns:
        Bounds between 0 and 1; NaN where all shares are the same, as where nothing has ever
        happened: how seldom it does is then unknown.
    """
    estimate = mean_estimate(values, horizon)
    if len(values) and (values == values[0]).all():
        return Estimate(estimate.value, float("nan"), float("nan"))
    return Estimate(estimate.value, max(estimate.low, 0.0), min(estimate.high, 1.0))


def ratio_estimate(values: np.ndarray, others: np.ndarray, horizon: int) -> Estimate:
    """Return the ratio of the means of two series with its interval (the delta method).

    Args:
        values, others: (n,), by session, in order.
        horizon: sessions ahead that the longest of the forecasts is for.

    Returns:
        NaN where the mean of the others is not above 0.
    """
    if not len(values) or not others.mean() > 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    ratio = float(values.mean() / others.mean())
    spread = mean_estimate((values - ratio * others) / others.mean(), horizon)
    return Estimate(ratio, ratio + spread.low, ratio + spread.high)


def difference(losses: np.ndarray, others: np.ndarray, horizon: int) -> Difference:
    """Return the relative difference of two mean losses, with its interval.

    The interval is Student's, of the log of the ratio, with the standard error of `_mean_error`.

    Args:
        losses: (n,), by session, in order.
        others: (n,), the losses that they are compared with, of the same sessions.
        horizon: sessions ahead that the longest of the forecasts is for.

    Returns:
        NaN where there is no session, or no other loss to compare with; of a single session, an
        interval without bounds.
    """
    if not len(losses) or not others.mean() > 0 or np.isnan(losses).any():
        return Difference(float("nan"), float("nan"), float("nan"))
    ratio = float(losses.mean() / others.mean())
    if len(losses) == 1:
        return Difference(ratio - 1, -1.0, float("inf"))
    if ratio == 0:
        return Difference(-1.0, -1.0, -1.0)
    # How much each session moves the log of the ratio (the delta method).
    influence = losses / losses.mean() - others / others.mean()
    reach = _reach(influence, horizon)
    low, high = (float(np.exp(np.log(ratio) + sign * reach) - 1) for sign in (-1, 1))
    return Difference(ratio - 1, low, high)


def t_statistic(gains: np.ndarray, lags: int) -> float:
    """Return the mean of `gains` (n,) over its standard error; 0 where nothing moves.

    Diebold & Mariano 1995, with the weights of Newey & West 1987.

    Args:
        lags: the autocorrelations that the standard error allows for.
    """
    count = len(gains)
    if count < 2:
        return 0.0
    centred = gains - gains.mean()
    variance = float(centred @ centred) / count
    for lag in range(1, min(lags, count - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) / count
    return float(gains.mean() / np.sqrt(variance / count)) if variance > 0 else 0.0


def kept_share(gains: np.ndarray, horizon: int) -> float:
    """Return how much of a change to keep on the evidence of its gains: 1 - 1 / t^2.

    It is 0 where t, the mean gain over its standard error, is below 1: the positive part of James &
    Stein's factor, for one number.

    Args:
        gains: (n,), of each session, in order.
        horizon: sessions ahead that were forecast.
    """
    t = t_statistic(gains, max(CORRELATED_SESSIONS, 2 * horizon))
    return max(0.0, 1 - 1 / t**2) if t > 0 else 0.0


def long_run_covariance(values: np.ndarray, horizon: int) -> tuple[Floats, int]:
    """Return the long-run covariance of a series, (q, q), and its degrees of freedom.

    That of the mean is this over n; see `_mean_error`.

    Args:
        values: (n, q), by session, in order.
    """
    freedom = _freedom(len(values), horizon)
    weights = _cosines(len(values), freedom) @ values
    covariance: Floats = weights.T @ weights / freedom
    return covariance, freedom


def _reach(values: np.ndarray, horizon: int) -> float:
    """Return how far the interval of a mean reaches to either side."""
    error, freedom = _mean_error(values, horizon)
    return error * _student_quantile((1 + CONFIDENCE) / 2, freedom)


def _mean_error(values: np.ndarray, horizon: int) -> tuple[float, int]:
    """Return the standard error of the mean of a series, and its degrees of freedom.

    The variance is the mean of the squared weights of the slowest cosines (Müller 2004; Lazarus,
    Lewis, Stock & Watson 2018). Each is one degree of freedom, so few of them, as of a long horizon
    and a short history, make a wide interval and not a wrong one.

    Args:
        values: (n,), by session, in order; their mean makes no difference.
    """
    count = len(values)
    freedom = _freedom(count, horizon)
    weights = _cosines(count, freedom) @ values
    return float(np.sqrt(np.mean(weights**2) / count)), freedom


def _freedom(count: int, horizon: int) -> int:
    return min(MOST_COSINES, count - 1, max(1, count // (HORIZONS_A_COSINE * horizon)))


@lru_cache(maxsize=64)
def _cosines(count: int, freedom: int) -> Floats:
    """Return the slowest cosines over so many sessions, of length 1, (freedom, count)."""
    waves = np.arange(1, freedom + 1)[:, None] * (np.arange(count) + 0.5) / count
    cosines: Floats = np.sqrt(2 / count) * np.cos(np.pi * waves)
    return cosines


@cache
def _student_quantile(probability: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))
