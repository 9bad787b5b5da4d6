"""Ridge regressions (Hoerl & Kennard 1970) of all stocks together, from sums of products.

The observations of a stock are its sessions; those with a missing number are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from pipeline.arrays import Floats
from pipeline.errors import NotEnoughHistory

#: Penalties, in observations; the newest `CHOOSING_SESSIONS` of those that it may
#: learn from choose one.
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
CHOOSING_SESSIONS = 252
#: Observations of all stocks, a session of one each, without which nothing is fitted.
FEWEST_OBSERVATIONS = 250
#: Rows of one product of matrices: OpenBLAS uses threads from about 200 of them on.
BLOCK_ROWS = 128

#: What is known of a stock at each session, (T, inputs) each; put together only where they are
#: used, as those of all stocks are too many at once.
StockInputs: TypeAlias = tuple[Floats, ...]


class RidgeSums:
    """The sums that a ridge of the values some sessions ahead is fitted from, stock by stock.

    Args:
        end: the values from this row on are not looked at.
        ahead: the sessions from an input to its value.
    """

    def __init__(self, end: int, ahead: int) -> None:
        choosing = max(end - CHOOSING_SESSIONS, 0)
        # What is known of the sessions that choose must not be learnt before.
        bounds = (0, max(choosing - ahead, 0), choosing, max(end, 0))
        self._parts = [slice(first, last) for first, last in pairwise(bounds)]
        # Of products of 1, the inputs and the value, in each part.
        self._moments: list[Any] = [0.0] * len(self._parts)

    def add(self, inputs: Iterable[StockInputs], actual: Floats) -> None:
        """Add some stocks.

        Args:
            inputs: of each stock.
            actual: (T, S), the values ahead.
        """
        for each, values in zip(inputs, actual.T, strict=True):
            columns = np.column_stack([np.ones(len(values)), *each, values])
            known = np.isfinite(columns).all(axis=1)
            for at, part in enumerate(self._parts):
                self._moments[at] = self._moments[at] + _products(columns[part][known[part]])

    def coefficients(self) -> Floats:
        """Return the intercept and the coefficients of the penalty that loses least at the end.

        Raises:
            NotEnoughHistory: there are too few observations.
        """
        before, between, chosen = self._moments
        everything = before + between + chosen
        require_enough_observations(int(everything[0, 0]))
        penalty = PENALTIES[-1]  # nothing speaks for a weaker one where nothing can be held out
        if before[0, 0] >= FEWEST_OBSERVATIONS and chosen[0, 0] > 0:
            penalty = min(
                PENALTIES, key=lambda each: _squares(chosen, coefficients_of(before, each))
            )
        return coefficients_of(everything, penalty)


def _products(rows: Floats) -> Floats:
    """Return rows' @ rows in blocks that the linear algebra does not divide among threads.

    On a busy machine, its threads wait for each other 50 times as long as one of them works.
    """
    padded = np.pad(rows, ((0, -len(rows) % BLOCK_ROWS), (0, 0)))
    blocks = padded.reshape(-1, BLOCK_ROWS, rows.shape[1])
    products: Floats = (blocks.transpose(0, 2, 1) @ blocks).sum(axis=0)
    return products


def coefficients_of(moments: Floats, penalty: float) -> Floats:
    """Return intercept and coefficients of the ridge on standardised inputs."""
    number = moments[0, 0]
    mean = moments[0, 1:] / number
    covariance = moments[1:, 1:] / number - np.outer(mean, mean)
    spread = np.sqrt(np.diag(covariance)[:-1])
    constant = ~(spread > 1e-6)  # such as weekdays without a session
    spread[constant] = 1.0
    correlation = covariance[:-1, :-1] / np.outer(spread, spread)
    correlation[constant] = correlation[:, constant] = 0.0
    towards = np.where(constant, 0.0, covariance[:-1, -1] / spread)
    penalised = correlation + penalty / number * np.eye(len(spread))
    slopes = np.linalg.solve(penalised, towards) / spread
    return np.concatenate([[mean[-1] - slopes @ mean[:-1]], slopes])


def _squares(moments: Floats, coefficients: Floats) -> float:
    """Return the mean squared error of coefficients on the observations of moments."""
    weights = np.append(-coefficients, 1.0)
    return float(weights @ moments @ weights / moments[0, 0])


def require_enough_observations(observations: int) -> None:
    """Require observations to fit a regression on.

    Raises:
        NotEnoughHistory: there are fewer than `FEWEST_OBSERVATIONS`.
    """
    if observations < FEWEST_OBSERVATIONS:
        raise NotEnoughHistory(
            f"{observations} sessions of all stocks to fit a HAR regression on, "
            f"{FEWEST_OBSERVATIONS} needed. Give a later --from, or files that begin earlier."
        )
