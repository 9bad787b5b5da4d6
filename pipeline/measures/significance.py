"""Significance of a difference between two forecasters on the same sessions. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Sessions that are drawn together: errors of neighbouring sessions belong to the same calm or
#: storm.
BLOCK_SESSIONS = 20
#: Of few sessions the blocks are shorter: a single block would be the whole series each time, and
#: the interval would have no width.
FEWEST_BLOCKS = 4
BOOTSTRAP_DRAWS = 1000
#: The probability of an interval.
CONFIDENCE = 0.9


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


def difference(losses: np.ndarray, others: np.ndarray, seed: int = 0) -> Difference:
    """Return the relative difference of two mean losses, with its bootstrap interval.

    The bootstrap draws circular blocks of sessions (Politis & Romano 1992). It draws by `seed`, so
    the same losses give the same interval.

    Args:
        losses: (n,), by session, in order.
        others: (n,), the losses that they are compared with, of the same sessions.

    Returns:
        NaN where there is no session, or no other loss to compare with.
    """
    count = len(losses)
    if not count or not others.mean() > 0:
        return Difference(float("nan"), float("nan"), float("nan"))
    length = min(BLOCK_SESSIONS, max(count // FEWEST_BLOCKS, 1))
    starts = np.random.default_rng(seed).integers(0, count, (BOOTSTRAP_DRAWS, -(-count // length)))
    blocks = (starts[:, :, None] + np.arange(length)) % count
    rows = blocks.reshape(BOOTSTRAP_DRAWS, -1)[:, :count]
    ratios = losses[rows].mean(axis=1) / others[rows].mean(axis=1) - 1
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Difference(float(losses.mean() / others.mean() - 1), float(low), float(high))


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
