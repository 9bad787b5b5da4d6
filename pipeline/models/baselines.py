"""Forecasts that need no training: the standing opponents. Each maps windows to relative predictions (n, horizon)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.windows import Windows

NAIVE = "naive"
#: Weight of the newest session in the exponential moving average.
DECAY = 0.5


def naive(windows: Windows, horizon: int) -> np.ndarray:
    """The last price goes on."""
    return np.zeros((len(windows), horizon))


def window_average(windows: Windows, horizon: int) -> np.ndarray:
    """The mean of the target over the window."""
    return _constant(windows, windows.target_past.mean(axis=1), horizon)


def exponential_moving_average(windows: Windows, horizon: int) -> np.ndarray:
    """The exponential moving average of the target over the window, decay .5 (T. Ganegedara)."""
    length = windows.target_past.shape[1]
    weights = DECAY ** np.arange(length - 1, -1, -1)
    return _constant(windows, windows.target_past @ (weights / weights.sum()), horizon)


def _constant(windows: Windows, prices: np.ndarray, horizon: int) -> np.ndarray:
    return np.repeat(((prices - windows.base) / windows.scale)[:, None], horizon, axis=1)


BASELINES: dict[str, Callable[[Windows, int], np.ndarray]] = {
    NAIVE: naive,
    "window_average": window_average,
    "ema": exponential_moving_average,
}
