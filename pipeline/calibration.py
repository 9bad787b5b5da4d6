"""Intervals that keep their promise: factors that follow what came, by replaying a forecaster session by session.

Each central interval (50, 80, 95 %) has a factor by which its quantiles' distances from the median grow, in all horizons alike. After a
session whose outcomes have come, the log of a factor rises where they lay outside and falls where they lay inside, so that in the long
run each interval holds its share, whatever the prices do: adaptive conformal inference (Gibbs & Candès 2021) on the scale of the
intervals (Angelopoulos, Candès & Tibshirani 2023, quantile tracking).

A forecast made at a session is changed by outcomes that were known at that session's close, and by no later ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.quantiles import COUNT, INTERVALS, MEDIAN, in_order

#: How far a session's outcomes, all horizons together, move the log of a factor: .006 is about 170 sessions of memory. On 12 years of three
#: sets of stocks (benchmarks/README.md), the coverage of the 80 % interval was 2.3 points off without calibration, 1.3 with .006, 1.0 with
#: .01 and .75 with .02, at a pinball loss of .9876, .9873, .9877 and .9890. One offset per quantile and horizon instead cost .003 at equal effect.
RATE = 0.006


@dataclass(frozen=True)
class Replay:
    """A forecaster over n windows, calibrated as it would have been day by day.

    Attributes:
        quantiles: (n, H, Q) in dollars; row i as what was known at window i's last session makes it.
        growth: (3,) logs of the factors of `INTERVALS`, as the last of the windows has them.
    """

    quantiles: np.ndarray
    growth: np.ndarray


def replay(actual: np.ndarray, quantiles: np.ndarray, position: np.ndarray, rate: float = RATE) -> Replay:
    """Calibrates n windows in their order, beginning with no change.

    Args:
        actual: (n, H) dollars; NaN where nothing has come, or not yet.
        quantiles: (n, H, Q) dollars, as the forecaster said them.
        position: (n,) ascending numbers of the windows' last sessions: the outcome at horizon h of the window at p is known at p + h.
    """
    count, horizon = actual.shape
    growth, calibrated = np.zeros(len(INTERVALS)), np.empty_like(quantiles)
    bounds, wanted = list(INTERVALS.values()), np.array(list(INTERVALS)) / 100
    taken = [0] * horizon  # windows whose outcome at each horizon has been taken in
    for row in range(count):
        for ahead in range(horizon):
            while taken[ahead] < row and position[taken[ahead]] + ahead + 1 <= position[row]:
                came, said = actual[taken[ahead], ahead], calibrated[taken[ahead], ahead]
                if np.isfinite(came):
                    growth = growth + rate / horizon * (wanted - [said[low] <= came <= said[high] for low, high in bounds])
                taken[ahead] += 1
        calibrated[row] = grown(quantiles[row], growth)
    return Replay(calibrated, growth)


def grown(quantiles: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """Quantiles (..., Q) in dollars whose distances from the median are multiplied by exp(`growth`) (3,); in order, never below zero."""
    factors = np.ones(COUNT)
    for (low, high), log in zip(INTERVALS.values(), growth, strict=True):
        factors[[low, high]] = np.exp(log)
    median = quantiles[..., MEDIAN : MEDIAN + 1]
    return np.maximum(in_order(median + (quantiles - median) * factors), 0.0)
