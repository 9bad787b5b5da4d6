"""Portfolios: the distribution of their gain, value at risk and expected shortfall. Pure.

Gains are fractions of what all holdings are worth together, short ones without their sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Floats


@dataclass(frozen=True)
class Portfolio:
    """Holdings by ticker.

    Attributes:
        amounts: shares, or parts of the whole; below 0 where it is sold short.
        are_shares: False where the amounts are parts, of which no sum is asked for.
    """

    amounts: Mapping[str, float]
    are_shares: bool

    def worth(self, prices: Floats) -> Floats:
        """Return each holding's value at prices (S,) in the order of `amounts`; parts: as given."""
        amounts = np.array(list(self.amounts.values()), dtype="float64")
        worth: Floats = amounts * prices if self.are_shares else amounts
        return worth

    def weights(self, prices: Floats) -> Floats:
        """Return each holding's part of the whole, (S,); their absolute values sum to 1."""
        worth = self.worth(prices)
        weights: Floats = worth / np.abs(worth).sum()
        return weights


def gains_of(values: Floats, last: Floats, weights: Floats) -> Floats:
    """Return the gain of a portfolio that is not traded meanwhile.

    Args:
        values: (..., S, H) prices to come.
        last: (S,) last prices.
        weights: (S,), see `Portfolio.weights`.

    Returns:
        (..., H), fractions.
    """
    gains: Floats = np.einsum("...sh,s->...h", values / last[:, None] - 1, weights)
    return gains


def value_at_risk(gains: Floats, level: float) -> Floats:
    """Return the loss that is exceeded with a probability of 1 - level, (H,); above 0 is a loss.

    Args:
        gains: (M, H), by path.
        level: such as 0.95.
    """
    bound: Floats = -np.quantile(gains, 1 - level, axis=0)
    return bound


def expected_shortfall(gains: Floats, level: float) -> Floats:
    """Return the mean loss of the paths that lose at least the value at risk, (H,).

    It is the coherent measure beside it (Artzner et al. 1999; Acerbi & Tasche 2002).
    """
    beyond = gains <= -value_at_risk(gains, level)
    mean: Floats = -np.where(beyond, gains, 0.0).sum(axis=0) / beyond.sum(axis=0)
    return mean
