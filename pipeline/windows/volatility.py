"""Exponentially weighted volatility: the unit that every distribution here is measured in."""

from __future__ import annotations

import numpy as np

#: Weight of a session relative to the one after it (RiskMetrics technical document, 1996, for daily
#: data).
VOLATILITY_DECAY = 0.94
#: Changes that are looked back over; older ones would weigh 0.2% together. The number is fixed, so
#: that a history's beginning does not matter.
LONGEST_MEMORY = 100
#: Prices that stood still for months will not do so for ever: no forecast is narrower than this
#: volatility makes it.
LOWEST_VOLATILITY = 1e-4


def exponentially_weighted(prices: np.ndarray, steps: np.ndarray | float = 1.0) -> np.ndarray:
    """Return the volatility of a session's relative change, as known at each session.

    It is the root of the weighted mean of the last `LONGEST_MEMORY` squared log changes; the mean
    change counts as zero.

    Args:
        prices: (sessions,); NaN where one is missing.
        steps: (sessions,), what dividends have left of the price before (see `dividends`).

    Returns:
        (sessions,), fractions, never below `LOWEST_VOLATILITY`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        # The ratio first: a two-for-one split then changes not one bit.
        squares = np.log(prices / (np.concatenate([[np.nan], prices[:-1]]) * steps)) ** 2
    known = np.isfinite(squares)
    weights = VOLATILITY_DECAY ** np.arange(LONGEST_MEMORY)
    total = trailing_sums(np.where(known, squares, 0.0), weights)
    weight = trailing_sums(known.astype("float64"), weights)
    variance = np.divide(total, weight, out=np.zeros(len(prices)), where=weight > 0)
    volatility: np.ndarray = np.maximum(np.sqrt(variance), LOWEST_VOLATILITY)
    return volatility


def trailing_sums(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weighted sums over each value and those before it, (n,).

    Each sum is made of the same terms in the same order, wherever the series begins.

    Args:
        weights: of the value itself first.
    """
    padded = np.concatenate([np.zeros(len(weights) - 1), values])
    terms = np.lib.stride_tricks.sliding_window_view(padded, len(weights)) * weights[::-1]
    sums: np.ndarray = terms.sum(axis=1)
    return sums
