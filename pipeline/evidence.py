"""Is one forecaster better than another, or was it luck? Intervals for the difference of losses on the same sessions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Sessions that are drawn together: errors of neighbouring sessions belong to the same calm or storm.
BLOCK = 20
#: Of few sessions the blocks are shorter: a single block would be the whole series each time, and the interval nothing.
FEWEST_BLOCKS = 4
DRAWS = 1000
#: How sure an interval is.
CONFIDENCE = 0.9


@dataclass(frozen=True)
class Difference:
    """How much less one forecaster lost than another, relative to the other: -.01 is 1 % less. `low`, `high`: bounds at `CONFIDENCE`."""

    value: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        return self.high < 0

    @property
    def worse(self) -> bool:
        return self.low > 0

    @property
    def root(self) -> Difference:
        """Of mean squared errors, that of their roots."""
        return Difference(*(float(np.sqrt(1 + bound) - 1) for bound in (self.value, self.low, self.high)))

    def __str__(self) -> str:
        return f"{self.value:+.2%} [{self.low:+.2%}, {self.high:+.2%}]"


def difference(losses: np.ndarray, others: np.ndarray, seed: int = 0) -> Difference:
    """`losses` (n,) against `others` (n,) of the same sessions, in order: mean ratio less one, with its circular block bootstrap interval.

    Politis & Romano 1992. The draws are those of `seed`, so the same losses give the same interval.
    """
    count = len(losses)
    if not count or not others.mean() > 0:
        return Difference(float("nan"), float("nan"), float("nan"))
    length = min(BLOCK, max(count // FEWEST_BLOCKS, 1))
    starts = np.random.default_rng(seed).integers(0, count, (DRAWS, -(-count // length)))
    rows = ((starts[:, :, None] + np.arange(length)) % count).reshape(DRAWS, -1)[:, :count]
    ratios = losses[rows].mean(axis=1) / others[rows].mean(axis=1) - 1
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Difference(float(losses.mean() / others.mean() - 1), float(low), float(high))


def t_statistic(gains: np.ndarray, lags: int) -> float:
    """Mean of `gains` (n,) over its standard error with `lags` of autocorrelation; 0 where nothing moves.

    Diebold & Mariano 1995, with the weights of Newey & West 1987.
    """
    count = len(gains)
    if count < 2:
        return 0.0
    centred = gains - gains.mean()
    variance = float(centred @ centred) / count
    for lag in range(1, min(lags, count - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) / count
    return float(gains.mean() / np.sqrt(variance / count)) if variance > 0 else 0.0
