"""Scores of joint forecasts by the outcome; lower is better. Pure.

Shapes: `paths` (M, D) and `actual` (D,), in one unit, such as fractions of the last price.
"""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Floats

#: Shifts by which paths are paired with others: the expected distance of two is a mean over pairs.
PAIRED_SHIFTS = 4
#: Power of absolute differences in the variogram score; Scheuerer & Hamill 2015 find it sharpest.
VARIOGRAM_ORDER = 0.5


def energy_score(paths: Floats, actual: Floats) -> float:
    """Return E|X - y| - E|X - X'| / 2 (Gneiting & Raftery 2007), in the unit of the values.

    The second mean is over pairs of paths that are 1 to `PAIRED_SHIFTS` places apart; paths have to
    be in no order.
    """
    to_actual = np.linalg.norm(paths - actual, axis=1).mean()
    shifts = range(1, min(PAIRED_SHIFTS, len(paths) - 1) + 1)
    apart = [
        np.linalg.norm(paths - np.roll(paths, shift, axis=0), axis=1).mean() for shift in shifts
    ]
    return float(to_actual - np.mean(apart) / 2)


def variogram_score(paths: Floats, actual: Floats) -> float:
    """Return the mean over pairs of (|y_i - y_j|^p - E|X_i - X_j|^p)^2, with p = 0.5.

    It sees wrong dependence where the energy score hardly does (Scheuerer & Hamill 2015).

    Args:
        actual: at least two values.
    """
    total = 0.0
    for start in range(len(actual) - 1):  # a row of pairs at once: all are too many for 500 stocks
        later = slice(start + 1, None)
        expected = (np.abs(paths[:, [start]] - paths[:, later]) ** VARIOGRAM_ORDER).mean(axis=0)
        observed = np.abs(actual[start] - actual[later]) ** VARIOGRAM_ORDER
        total += float(((observed - expected) ** 2).sum())
    return total / (len(actual) * (len(actual) - 1) / 2)
