"""Forecasts that need no network: the standing opponents, as points and as distributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.quantiles import around, shape_of

if TYPE_CHECKING:
    from pipeline.windows import Windows

NAIVE = "naive"
EWMA = "ewma"
#: The standard normal distribution's quantiles at `quantiles.PROBABILITIES`.
NORMAL = (-1.959964, -1.281552, -0.674490, 0.0, 0.674490, 1.281552, 1.959964)
#: Windows that the shape of a distribution can be learnt from.
FEWEST = 60
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
    """Least squares on the newest sessions of windows that are normalised by their last close; fitted on `train` alone."""
    weights = np.linalg.lstsq(_recent(train), train.future.astype("float64"))[0]
    return windows.to_prices(_recent(windows) @ weights)


def _recent(windows: Windows) -> np.ndarray:
    """(n, sessions times columns, and a constant)."""
    newest = windows.past[:, -RECENT:].astype("float64").reshape(len(windows), -1)
    return np.column_stack([newest, np.ones(len(windows))])


def _constant(prices: np.ndarray, horizon: int) -> np.ndarray:
    return np.repeat(prices[:, None], horizon, axis=1)


@dataclass(frozen=True)
class Baseline:
    """A point forecast and the unit that its errors are measured in; together with the errors' shape, a distribution.

    Attributes:
        point: windows, horizon -> dollars (n, H).
        width: windows -> dollars (n,).
    """

    point: Callable[[Windows, int], np.ndarray]
    width: Callable[[Windows], np.ndarray]

    def fit(self, train: Windows, horizon: int) -> Fitted:
        """The forecaster whose shape is that of its errors on `train`: filtered historical simulation.

        (Barone-Adesi, Giannopoulos & Vosper 1999.) Fewer than `FEWEST` windows have no shape of their own: then it is the normal one.
        """
        if len(train) >= FEWEST:
            return self.shaped(shape_of(train.actual, self.point(train, horizon), self.width(train)))
        return self.shaped(np.sqrt(np.arange(1, horizon + 1))[:, None] * np.array(NORMAL), normal=True)

    def shaped(self, shape: np.ndarray, normal: bool = False) -> Fitted:
        """The forecaster of a shape (H, Q); the `normal` one is in units of the volatility, whatever the baseline's own are."""
        return Fitted(self.point, _recent_volatility if normal and self.width is _last else self.width, shape)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Windows -> dollars (n, H, Q). Of windows, naive and ewma look at `last` and `unit` alone."""

    point: Callable[[Windows, int], np.ndarray]
    width: Callable[[Windows], np.ndarray]
    shape: np.ndarray

    def __call__(self, windows: Windows) -> np.ndarray:
        return np.maximum(around(self.point(windows, len(self.shape)), self.width(windows), self.shape), 0.0)


def _last(windows: Windows) -> np.ndarray:
    return windows.last


def _recent_volatility(windows: Windows) -> np.ndarray:
    return windows.unit


#: By name. naive: the last price with the spread of all the changes that training saw, in calm and in storm; ewma: the random walk with
#: exponentially weighted volatility, which is hard to beat.
BASELINES: dict[str, Baseline] = {
    NAIVE: Baseline(naive, _last),
    EWMA: Baseline(naive, _recent_volatility),
    "window_average": Baseline(window_average, _recent_volatility),
    "ema": Baseline(exponential_moving_average, _recent_volatility),
}
