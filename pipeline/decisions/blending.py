"""Blending: the network's share of what is published; a baseline has the rest. Pure.

Both are blended quantile by quantile (Vincent 1912; Lichtendahl, Grushka-Cockayne & Winkler 2013).
The network's weight is the one that loses least on validation: on the stock's own sessions, and on
those of all stocks together, which say more than one stock's year can. It is then shrunk by the
evidence that it is better than the baseline alone (see `measures.kept_share`). So what is published
is made to be never worse than the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.measures import kept_share
from pipeline.quantiles import losses

#: The weights that are tried.
TRIED_WEIGHTS = np.linspace(0, 1, 21)
#: What the mean of all stocks counts for, in stocks. With a stock's own sessions alone, half of
#: what networks gained was shrunk away; on the evidence of all alone, the worst stock-year lost
#: 1.5% instead of 1.3%.
WEIGHT_OF_ALL = 2.0
#: A smaller share, of the network or of the baseline, is none: it would be shown as 0%.
LEAST_WEIGHT = 0.005


class MeasuredWindows(Protocol):
    """Windows as far as losses are concerned; see `Windows`."""

    @property
    def actual_with_dividends(self) -> np.ndarray:
        """Values that were forecast, with the dividends on the way, prices (n, H)."""

    @property
    def last(self) -> np.ndarray:
        """The last value that each window sees, prices (n,)."""

    @property
    def origins(self) -> np.ndarray:
        """The last session that each window sees, (n,)."""


@dataclass(frozen=True, eq=False)
class LossCurve:
    """The losses of each of `TRIED_WEIGHTS` for one stock.

    Attributes:
        losses: (21, n), relative to the mean of the baseline alone.
        sessions: (n,).
        horizon: sessions ahead that are forecast.
    """

    losses: np.ndarray
    sessions: np.ndarray
    horizon: int


def loss_curve(validation: MeasuredWindows, network: np.ndarray, baseline: np.ndarray) -> LossCurve:
    """Return the loss of each weight on a stock's validation windows.

    Args:
        network, baseline: their quantiles, prices (n, H, Q).
    """
    actual = validation.actual_with_dividends
    tried = np.array(
        [
            losses(actual, blend(network, baseline, share), validation.last).mean(axis=1)
            for share in TRIED_WEIGHTS
        ]
    )
    relative = tried / max(tried[0].mean(), np.finfo(float).tiny)
    return LossCurve(relative, validation.origins, actual.shape[1])


def network_weights(curves: Mapping[str, LossCurve]) -> dict[str, float]:
    """Return the network's weight for each stock, 0 to 1.

    Of the other stocks count the sessions up to a stock's own last: a stock with little history
    leans on theirs before its own begin, and they do not learn from its sessions, which are those
    that they are tested on.
    """
    if not curves:
        return {}
    sessions = np.unique(np.concatenate([curve.sessions for curve in curves.values()]))
    places = {t: np.searchsorted(sessions, curve.sessions) for t, curve in curves.items()}
    total, count = np.zeros((len(TRIED_WEIGHTS), len(sessions))), np.zeros(len(sessions))
    for ticker in sorted(curves):  # in one order, so that the sums are the same to the last bit
        total[:, places[ticker]] += curves[ticker].losses
        count[places[ticker]] += 1
    of_all = total / count
    return {
        ticker: _shrunk_weight(
            _combined_losses(curve.losses, places[ticker], of_all), curve.horizon
        )
        for ticker, curve in curves.items()
    }


def _combined_losses(own: np.ndarray, places: np.ndarray, of_all: np.ndarray) -> np.ndarray:
    """Return the losses of a stock and of `WEIGHT_OF_ALL` stocks together, (21, sessions).

    The fewer its own sessions are, the more each counts: the mean is as uncertain as they make it.
    """
    combined: np.ndarray = WEIGHT_OF_ALL * of_all[:, : places[-1] + 1]
    combined[:, places] += own * (combined.shape[1] / len(places))
    return combined / (1 + WEIGHT_OF_ALL)


def _shrunk_weight(tried: np.ndarray, horizon: int) -> float:
    best = int(tried.mean(axis=1).argmin())  # the first of equals: the least of the network
    share = kept_share(tried[0] - tried[best], horizon) if best else 0.0
    weight = round(float(TRIED_WEIGHTS[best] * share), 4)
    if weight < LEAST_WEIGHT:
        return 0.0
    return weight if 1 - weight >= LEAST_WEIGHT else 1.0


def blend(network: np.ndarray, baseline: np.ndarray, share: float) -> np.ndarray:
    """Return `share` of the network's quantiles and the rest of the baseline's, (n, H, Q)."""
    return share * network + (1 - share) * baseline
