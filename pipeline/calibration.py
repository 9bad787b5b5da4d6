"""Intervals that keep their promise: factors that follow what came, by replaying a forecaster session by session.

Each central interval (50, 80, 95 %) has a factor by which its quantiles' distances from the median grow, in all horizons alike. After a
session whose outcomes have come, the log of a factor rises where they lay outside and falls where they lay inside, so that in the long
run each interval holds its share, whatever the prices do: adaptive conformal inference (Gibbs & Candès 2021) on the scale of the
intervals (Angelopoulos, Candès & Tibshirani 2023, quantile tracking).

A forecast made at a session is changed by outcomes that were known at that session's close, and by no later ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.quantiles import COUNT, INTERVALS, MEDIAN, in_order

#: How far a session's outcomes, all horizons together, move the log of a factor: .006 is about 170 sessions of memory. On 12 years of three
#: sets of stocks (benchmarks/README.md), the coverage of the 80 % interval was 2.3 points off without calibration, 1.3 with .006, 1.0 with
#: .01 and .75 with .02, at a pinball loss of .9876, .9873, .9877 and .9890. One offset per quantile and horizon instead cost .003 at equal effect.
RATE = 0.006
#: Forecasters that `replay_all` has in memory together.
TOGETHER = 128


@dataclass(frozen=True)
class Replay:
    """A forecaster over n windows, or several of them, calibrated as it would have been day by day.

    Attributes:
        quantiles: (n, H, Q) or (F, n, H, Q) in dollars; row i as what was known at window i's last session makes it.
        growth: (3,) or (F, 3): logs of the factors of `INTERVALS`, as the last of the windows has them.
    """

    quantiles: np.ndarray
    growth: np.ndarray


def replay(actual: np.ndarray, quantiles: np.ndarray, position: np.ndarray, rate: float = RATE) -> Replay:
    """Calibrates n windows in their order, beginning with no change; F forecasters with windows at the same positions side by side.

    Args:
        actual: (n, H) or (F, n, H) dollars; NaN where nothing has come, or not yet.
        quantiles: (n, H, Q) or (F, n, H, Q) dollars, as the forecasters said them.
        position: (n,) ascending numbers of the windows' last sessions: the outcome at horizon h of the window at p is known at p + h.
    """
    if quantiles.ndim == 3:
        alone = replay(actual[None], quantiles[None], position, rate)
        return Replay(alone.quantiles[0], alone.growth[0])
    said, came = np.moveaxis(quantiles, 0, 2), np.moveaxis(actual, 0, 2)  # (n, H, F, Q), (n, H, F)
    lows, highs = np.array(list(INTERVALS.values())).T
    wanted, step = np.array(list(INTERVALS)) / 100, rate / actual.shape[2]
    growth, calibrated = np.zeros((len(quantiles), len(INTERVALS))), np.empty_like(said, dtype="float64")
    for row, (windows, ahead) in enumerate(_newly_known(position, actual.shape[2])):
        if len(windows):
            outcome, then = came[windows, ahead], calibrated[windows, ahead]
            inside = (then[..., lows] <= outcome[..., None]) & (outcome[..., None] <= then[..., highs])
            for change in np.where(np.isfinite(outcome)[..., None], step * (wanted - inside), 0.0):
                growth = growth + change
        calibrated[row] = grown(said[row], growth)
    return Replay(np.moveaxis(calibrated, 2, 0), growth)


def replay_all(series: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], rate: float = RATE) -> list[Replay]:
    """`replay` of each (actual (n, H), quantiles (n, H, Q), position (n,)); those whose sessions follow alike take one pass."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for number, (actual, _, position) in enumerate(series):
        alike.setdefault((actual.shape, (position - position[0]).tobytes()), []).append(number)
    found: dict[int, Replay] = {}
    for numbers in alike.values():
        for start in range(0, len(numbers), TOGETHER):
            some = numbers[start : start + TOGETHER]
            actual, quantiles = (np.stack([series[number][part] for number in some]) for part in (0, 1))
            replayed = replay(actual, quantiles, series[some[0]][2], rate)
            for number, *outcome in zip(some, replayed.quantiles, replayed.growth, strict=True):
                found[number] = Replay(*outcome)
    return [found[number] for number in range(len(series))]


def _newly_known(position: np.ndarray, horizon: int) -> Iterator[tuple[list[int], list[int]]]:
    """For each window, in their order: whose outcomes at which horizon (from 0) are known at its last session, and were not before."""
    taken = [0] * horizon
    for row, now in enumerate(position):
        windows, aheads = [], []
        for ahead in range(horizon):
            while taken[ahead] < row and position[taken[ahead]] + ahead + 1 <= now:
                windows.append(taken[ahead])
                aheads.append(ahead)
                taken[ahead] += 1
        yield windows, aheads


def grown(quantiles: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """Quantiles (..., Q) in dollars whose distances from the median are multiplied by exp(`growth`) (..., 3); in order, never below zero."""
    factors = np.ones((*growth.shape[:-1], COUNT))
    for number, (low, high) in enumerate(INTERVALS.values()):
        factors[..., low] = factors[..., high] = np.exp(growth[..., number])
    median = quantiles[..., MEDIAN : MEDIAN + 1]
    return np.maximum(in_order(median + (quantiles - median) * factors), 0.0)
