"""Forecasts that need no training: the standing opponents. Each maps windows to dollars (n, horizon)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipeline.windows import Windows

NAIVE = "naive"
#: Weight of the newest session in the exponential moving average.
DECAY = 0.5
#: Sessions that the linear model sees.
RECENT = 5


def naive(windows: Windows, horizon: int) -> np.ndarray:
    """The last price goes on."""
    return _constant(windows.last, horizon)


def window_average(windows: Windows, horizon: int) -> np.ndarray:
    """The mean of the target over the window."""
    return _constant(windows.target_past.mean(axis=1), horizon)


def exponential_moving_average(windows: Windows, horizon: int) -> np.ndarray:
    """The exponential moving average of the target over the window, decay .5 (T. Ganegedara)."""
    length = windows.target_past.shape[1]
    weights = DECAY ** np.arange(length - 1, -1, -1)
    return _constant(windows.target_past @ (weights / weights.sum()), horizon)


def linear(train: Windows, windows: Windows) -> np.ndarray:
    """Least squares on the last sessions as the default recipe's windows have them, relative to the last close; fitted on `train` alone."""
    weights = np.linalg.lstsq(_recent(train), train.future.astype("float64"))[0]
    return windows.to_prices(_recent(windows) @ weights)


def _recent(windows: Windows) -> np.ndarray:
    """(n, sessions times columns, and a constant)."""
    newest = windows.past[:, -RECENT:].astype("float64").reshape(len(windows), -1)
    return np.column_stack([newest, np.ones(len(windows))])


def _constant(prices: np.ndarray, horizon: int) -> np.ndarray:
    return np.repeat(prices[:, None], horizon, axis=1)


BASELINES: dict[str, Callable[[Windows, int], np.ndarray]] = {
    NAIVE: naive,
    "window_average": window_average,
    "ema": exponential_moving_average,
}
