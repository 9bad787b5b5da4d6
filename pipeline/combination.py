"""Never worse: how much of a network goes into what is published, and how much of the strong baseline. Pure.

The two are mixed quantile by quantile (Vincent 1912; Lichtendahl, Grushka-Cockayne & Winkler 2013). The weight is the one that loses least on
validation: on the stock's own sessions, and on those of all stocks together, which say more than one stock's year can. It is then shrunk
by the evidence that it is better than the baseline alone: to 1 - 1 / t² of it, t being the gain over its standard error, and to nothing where
t is below 1 (the positive part of James & Stein's factor, for one number).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evidence import t_statistic
from pipeline.quantiles import losses

if TYPE_CHECKING:
    from pipeline.windows import Windows

#: The weights that are tried.
GRID = np.linspace(0, 1, 21)
#: What the mean of all stocks counts for, in stocks. With the own sessions alone, half of what networks gained was shrunk away; on the evidence of
#: all alone, the worst stock-year lost 1.5 % instead of 1.3 %.
TOGETHER = 2.0
#: Sessions over which losses hang together.
LAGS = 20


@dataclass(frozen=True, eq=False)
class Curve:
    """What each weight of `GRID` loses: losses (21, n) relative to the mean of the baseline alone, at the sessions (n,)."""

    losses: np.ndarray
    sessions: np.ndarray


def curve(validation: Windows, network: np.ndarray, baseline: np.ndarray) -> Curve:
    """Of one stock; network, baseline: dollars (n, H, Q), what they said about the validation windows."""
    tried = np.array([losses(validation.actual, mixed(network, baseline, share), validation.last).mean(axis=1) for share in GRID])
    return Curve(tried / max(tried[0].mean(), np.finfo(float).tiny), validation.origins)


def weights(curves: Mapping[str, Curve]) -> dict[str, float]:
    """The network's share for each stock, 0 to 1, by what `curve` gave of each.

    Of the others count the sessions up to a stock's own last: a stock with little history leans on theirs before its own begin, and they do
    not learn from its sessions, which are those that they are tested on.
    """
    if not curves:
        return {}
    sessions = np.unique(np.concatenate([each.sessions for each in curves.values()]))
    places = {ticker: np.searchsorted(sessions, each.sessions) for ticker, each in curves.items()}
    total, count = np.zeros((len(GRID), len(sessions))), np.zeros(len(sessions))
    for ticker in sorted(curves):  # whichever comes first, the sums are the same to the last bit
        total[:, places[ticker]] += curves[ticker].losses
        count[places[ticker]] += 1
    together = total / count
    return {ticker: _weight(_evidence(each.losses, places[ticker], together)) for ticker, each in curves.items()}


def _evidence(own: np.ndarray, places: np.ndarray, together: np.ndarray) -> np.ndarray:
    """What each weight loses for one stock (21, sessions), whose mean is that of its own losses and, for `TOGETHER` as much, that of all stocks'.

    The fewer its own sessions are, the more each counts: the mean is as uncertain as they make it.
    """
    evidence = TOGETHER * together[:, : places[-1] + 1]
    evidence[:, places] += own * (evidence.shape[1] / len(places))
    return evidence / (1 + TOGETHER)


def _weight(tried: np.ndarray) -> float:
    best = int(tried.mean(axis=1).argmin())  # the first of equals: the least of the network
    t = t_statistic(tried[0] - tried[best], LAGS) if best else 0.0
    return round(float(GRID[best] * max(0.0, 1 - 1 / t**2)), 4) if t > 0 else 0.0


def mixed(network: np.ndarray, baseline: np.ndarray, share: float) -> np.ndarray:
    """`share` of the network's quantiles and the rest of the baseline's, (n, H, Q)."""
    return share * network + (1 - share) * baseline
