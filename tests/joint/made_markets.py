"""Made markets: stocks that share a part of every change, and forecasts that know the rest."""

from __future__ import annotations

import numpy as np

from pipeline.joint import PastForecast, dependence_of, past_changes
from pipeline.quantiles import PROBABILITIES

#: Standard deviation of a session's change.
DEVIATION = 0.01
HORIZON = 2


def market(seed: int, sessions: int, stocks: int, shared: float = 0.6) -> np.ndarray:
    """Return prices (sessions, stocks); the correlation of two stocks' changes is `shared`."""
    random = np.random.default_rng(seed)
    common, own = random.standard_normal((sessions, 1)), random.standard_normal((sessions, stocks))
    changes = DEVIATION * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
    prices: np.ndarray = 50 * np.exp(changes.cumsum(axis=0))
    return prices


def normal_quantiles(last: np.ndarray, horizon: int = HORIZON) -> np.ndarray:
    """Return the true quantiles (S, H, Q) of such a market from last prices (S,) on."""
    from scipy.special import ndtri

    spread = DEVIATION * np.sqrt(np.arange(1, horizon + 1))[:, None] * ndtri(PROBABILITIES)
    quantiles: np.ndarray = last[:, None, None] * np.exp(spread)
    return quantiles


def past_forecasts(prices: np.ndarray, first: int) -> list[PastForecast]:
    """Return true margins at each session from `first` on, with outcomes and dependence."""
    changes = past_changes(prices, HORIZON)
    return [
        PastForecast(
            normal_quantiles(prices[row]),
            prices[row],
            prices[row + 1 : row + 1 + HORIZON].T.copy(),
            dependence_of(changes, row, np.random.default_rng([row, 0])),
            [row, 1],
        )
        for row in range(first, len(prices) - HORIZON)
    ]
