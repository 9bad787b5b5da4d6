"""Never worse: how much of a network goes into what is published, and how much of the strong baseline. Pure.

The two are mixed quantile by quantile (Vincent 1912; Lichtendahl, Grushka-Cockayne & Winkler 2013). The weight is the one that loses least on
validation: on the stock's own sessions, and on those of all stocks together, which say more than one stock's year can. It is then shrunk
by the evidence that it is better than the baseline alone: to 1 - 1 / t² of it, t being the gain over its standard error, and to nothing where
t is below 1 (the positive part of James & Stein's factor, for one number).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.evidence import t_statistic
from pipeline.quantiles import losses

#: The weights that are tried.
GRID = np.linspace(0, 1, 21)
#: What the mean of all stocks counts for, in stocks. With the own sessions alone, half of what networks gained was shrunk away; on the evidence of
#: all alone, the worst stock-year lost 1.5 % instead of 1.3 %.
TOGETHER = 2.0
#: Sessions over which losses hang together.
LAGS = 20


def curve(actual: np.ndarray, network: np.ndarray, baseline: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Losses of each weight of `GRID` (21, n) over the validation sessions, relative to the mean of the baseline alone.

    Args:
        actual: (n, H) dollars; network, baseline: (n, H, Q); last: (n,) dollars.
    """
    tried = np.array([losses(actual, mixed(network, baseline, share), last).mean(axis=1) for share in GRID])
    return tried / max(tried[0].mean(), np.finfo(float).tiny)


def weights(curves: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The network's share for each stock, 0 to 1.

    Args:
        curves: by ticker, what `curve` gave; their sessions end together, and some stocks may have fewer.
    """
    if not curves:
        return {}
    longest = max(series.shape[1] for series in curves.values())
    padded = [
        np.pad(curves[ticker], ((0, 0), (longest - curves[ticker].shape[1], 0)), constant_values=np.nan)
        for ticker in sorted(curves)
    ]
    together = np.nanmean(padded, axis=0)
    return {
        ticker: _weight((series + TOGETHER * together[:, longest - series.shape[1] :]) / (1 + TOGETHER))
        for ticker, series in curves.items()
    }


def _weight(tried: np.ndarray) -> float:
    best = int(tried.mean(axis=1).argmin())  # the first of equals: the least of the network
    t = t_statistic(tried[0] - tried[best], LAGS) if best else 0.0
    return round(float(GRID[best] * max(0.0, 1 - 1 / t**2)), 4) if t > 0 else 0.0


def mixed(network: np.ndarray, baseline: np.ndarray, share: float) -> np.ndarray:
    """`share` of the network's quantiles and the rest of the baseline's, (n, H, Q)."""
    return share * network + (1 - share) * baseline
