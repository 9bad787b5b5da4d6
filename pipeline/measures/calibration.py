"""Calibration of intervals by replaying a forecaster session by session. Pure.

Each central interval (50%, 80%, 95%) has a factor that multiplies its quantiles' distances from the
median, in all horizons alike. After a session with known outcomes, the log of a factor rises where
they lay outside the interval and falls where they lay inside. In the long run each interval then
holds its share, however the prices move: adaptive conformal inference (Gibbs & Candès 2021) on the
scale of the intervals (Angelopoulos, Candès & Tibshirani 2023, quantile tracking).

A forecast made at a session is changed by outcomes that were known at that session's close, and by
no later ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.quantiles import INTERVALS, MEDIAN, QUANTILE_COUNT, in_order

#: How far a session's outcomes, all horizons together, move the log of a factor: 0.006 is about 170
#: sessions of memory. On 12 years of three sets of stocks (benchmarks/README.md), the coverage of
#: the 80% interval was 2.3 points off without calibration, 1.3 with 0.006, 1.0 with 0.01 and 0.75
#: with 0.02, at a pinball loss of 0.9876, 0.9873, 0.9877 and 0.9890. One offset per quantile and
#: horizon instead cost 0.003 at equal effect.
CALIBRATION_RATE = 0.006
#: Forecasters that `replay_all` holds in memory at once.
REPLAYED_TOGETHER = 128


@dataclass(frozen=True)
class Replay:
    """One forecaster over n windows, or F of them, calibrated as it would have been day by day.

    Attributes:
        quantiles: (n, H, Q) or (F, n, H, Q) in prices. Row i is calibrated by what was known at
            window i's last session.
        growth: (3,) or (F, 3): logs of the factors of `INTERVALS`, as of the last window.
    """

    quantiles: np.ndarray
    growth: np.ndarray


def replay(
    actual: np.ndarray,
    quantiles: np.ndarray,
    position: np.ndarray,
    rate: float = CALIBRATION_RATE,
) -> Replay:
    """Calibrate n windows in their order, beginning with factors of 1.

    F forecasters with windows at the same positions can be replayed at once.

    Args:
        actual: (n, H) or (F, n, H) prices; NaN where an outcome is missing or not known yet.
        quantiles: (n, H, Q) or (F, n, H, Q) prices, as they were forecast.
        position: (n,) ascending numbers of the windows' last sessions. The outcome at horizon h of
            the window at p is known at p + h.
        rate: how far a session's outcomes move the log of a factor.
    """
    if quantiles.ndim == 3:
        single = replay(actual[None], quantiles[None], position, rate)
        return Replay(single.quantiles[0], single.growth[0])
    raw = np.moveaxis(quantiles, 0, 2)  # (n, H, F, Q)
    outcomes = np.moveaxis(actual, 0, 2)  # (n, H, F)
    lows, highs = np.array(list(INTERVALS.values())).T
    shares, step = np.array(list(INTERVALS)) / 100, rate / actual.shape[2]
    growth = np.zeros((len(quantiles), len(INTERVALS)))
    calibrated = np.empty_like(raw, dtype="float64")
    for row, (windows, ahead) in enumerate(_newly_known(position, actual.shape[2])):
        if len(windows):
            outcome, forecast = outcomes[windows, ahead], calibrated[windows, ahead]
            above_low = forecast[..., lows] <= outcome[..., None]
            inside = above_low & (outcome[..., None] <= forecast[..., highs])
            known = np.isfinite(outcome)[..., None]
            for change in np.where(known, step * (shares - inside), 0.0):
                growth = growth + change
        calibrated[row] = widened(raw[row], growth)
    return Replay(np.moveaxis(calibrated, 2, 0), growth)


def replay_all(
    series: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], rate: float = CALIBRATION_RATE
) -> list[Replay]:
    """Replay each forecaster; those at sessions with the same gaps share one pass.

    Args:
        series: by forecaster, actual (n, H), quantiles (n, H, Q) and position (n,); see `replay`.

    Returns:
        One replay per forecaster, in their order.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    for number, (actual, _, position) in enumerate(series):
        alike.setdefault((actual.shape, (position - position[0]).tobytes()), []).append(number)
    replays: dict[int, Replay] = {}
    for numbers in alike.values():
        for start in range(0, len(numbers), REPLAYED_TOGETHER):
            batch = numbers[start : start + REPLAYED_TOGETHER]
            actual = np.stack([series[number][0] for number in batch])
            quantiles = np.stack([series[number][1] for number in batch])
            replayed = replay(actual, quantiles, series[batch[0]][2], rate)
            for number, *parts in zip(batch, replayed.quantiles, replayed.growth, strict=True):
                replays[number] = Replay(*parts)
    return [replays[number] for number in range(len(series))]


def _newly_known(position: np.ndarray, horizon: int) -> Iterator[tuple[list[int], list[int]]]:
    """Yield, window by window, the outcomes that became known since the window before.

    An outcome is a window's number and how far ahead it lies, from 0.
    """
    taken = [0] * horizon
    for row, now in enumerate(position):
        windows, aheads = [], []
        for ahead in range(horizon):
            while taken[ahead] < row and position[taken[ahead]] + ahead + 1 <= now:
                windows.append(taken[ahead])
                aheads.append(ahead)
                taken[ahead] += 1
        yield windows, aheads


def widened(quantiles: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """Return quantiles whose distances from the median are multiplied by exp(`growth`).

    Args:
        quantiles: (..., Q) prices.
        growth: (..., 3), the log of the factor of each of `INTERVALS`.

    Returns:
        (..., Q) prices, in order, never below zero.
    """
    factors = np.ones((*growth.shape[:-1], QUANTILE_COUNT))
    for number, (low, high) in enumerate(INTERVALS.values()):
        factors[..., low] = factors[..., high] = np.exp(growth[..., number])
    median = quantiles[..., MEDIAN : MEDIAN + 1]
    wide: np.ndarray = np.maximum(in_order(median + (quantiles - median) * factors), 0.0)
    return wide
