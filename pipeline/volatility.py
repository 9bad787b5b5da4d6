"""How wide the days are: exponentially weighted volatility, what every distribution here is measured in."""

from __future__ import annotations

import numpy as np

#: Weight of a session relative to the one after it (RiskMetrics technical document, 1996, for daily data).
DECAY = 0.94
#: Changes that are looked back over; older ones would weigh .2 % together. A fixed number, so that a history's beginning does not matter.
SESSIONS = 100
#: Prices that stood still for months will not do so for ever: no forecast is narrower than this volatility makes it.
LOWEST = 1e-4


def exponentially_weighted(prices: np.ndarray) -> np.ndarray:
    """Volatility of a session's relative change as known at each of `prices` (sessions,), a fraction, never below `LOWEST`.

    The root of the weighted mean of the last `SESSIONS` squared log changes; the mean change counts as zero.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        # The ratio first: a two-for-one split then changes not one bit.
        squares = np.log(prices / np.concatenate([[np.nan], prices[:-1]])) ** 2
    known = np.isfinite(squares)
    weights = DECAY ** np.arange(SESSIONS)
    total = _weighted(np.where(known, squares, 0.0), weights)
    weight = _weighted(known.astype("float64"), weights)
    variance = np.divide(total, weight, out=np.zeros(len(prices)), where=weight > 0)
    return np.maximum(np.sqrt(variance), LOWEST)


def _weighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums over each value and those before it, (n,); each sum is made of the same terms in the same order wherever the series begins."""
    padded = np.concatenate([np.zeros(len(weights) - 1), values])
    return (np.lib.stride_tricks.sliding_window_view(padded, len(weights)) * weights[::-1]).sum(axis=1)
