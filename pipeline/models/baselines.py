"""Forecasts that need no network: the standing opponents, as points and as distributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from pipeline.arrays import Floats
from pipeline.quantiles import around, shape_of
from pipeline.windows import Windows

NAIVE = "naive"
EWMA = "ewma"
#: What all others are measured against: figures of these themselves would say nothing.
YARDSTICKS = (NAIVE, EWMA)
#: The standard normal distribution's quantiles at `quantiles.PROBABILITIES`.
NORMAL_QUANTILES = (-1.959964, -1.281552, -0.674490, 0.0, 0.674490, 1.281552, 1.959964)
#: Windows without which the shape of a distribution cannot be learnt.
FEWEST_SHAPED_WINDOWS = 60
#: Weight of each session in the exponential moving average, relative to the session after it.
EMA_DECAY = 0.5
#: Sessions that the linear model sees.
LINEAR_SESSIONS = 5


class LastAndUnit(Protocol):
    """Windows, or the part of them that naive and ewma look at."""

    @property
    def last(self) -> Floats:
        """Prices (n,): the target at each window's last session."""

    @property
    def unit(self) -> Floats:
        """Money (n,): one recent volatility."""


#: (`Windows` or what is kept of them, horizon) -> prices (n, horizon).
PointForecast: TypeAlias = Callable[[Any, int], Floats]
#: `Windows` or what is kept of them -> prices (n,).
WidthUnit: TypeAlias = Callable[[Any], Floats]


def naive(windows: LastAndUnit, horizon: int) -> Floats:
    """Forecast that the last price goes on."""
    return _constant(windows.last, horizon)


def window_average(windows: Windows, horizon: int) -> Floats:
    """Forecast the mean of the target over the window."""
    return _constant(windows.target_past.mean(axis=1), horizon)


def exponential_moving_average(windows: Windows, horizon: int) -> Floats:
    """Forecast the exponential moving average of the target over the window (T. Ganegedara)."""
    length = windows.target_past.shape[1]
    weights = EMA_DECAY ** np.arange(length - 1, -1, -1)
    return _constant(windows.target_past @ (weights / weights.sum()), horizon)


def linear(train: Windows, windows: Windows) -> Floats:
    """Forecast by least squares on the newest sessions, fitted on `train` alone.

    Args:
        train, windows: normalised by their last close.

    Returns:
        Prices (n, outputs).
    """
    weights = np.linalg.lstsq(_newest_sessions(train), train.future.astype("float64"))[0]
    return windows.to_prices(_newest_sessions(windows) @ weights)


def _newest_sessions(windows: Windows) -> Floats:
    """Return the newest sessions' columns and a constant, (n, sessions * columns + 1)."""
    newest = windows.past[:, -LINEAR_SESSIONS:].astype("float64").reshape(len(windows), -1)
    return np.column_stack([newest, np.ones(len(windows))])


def _constant(prices: Floats, horizon: int) -> Floats:
    return np.repeat(prices[:, None], horizon, axis=1)


@dataclass(frozen=True)
class Baseline:
    """A point forecast and the unit that its errors are measured in.

    Together with the errors' shape, they are a distribution.
    """

    point: PointForecast
    width: WidthUnit

    def fit(self, train: Windows, horizon: int) -> FittedBaseline:
        """Return the forecaster with the shape of this baseline's errors on `train`.

        This is filtered historical simulation (Barone-Adesi, Giannopoulos & Vosper 1999). Fewer
        than `FEWEST_SHAPED_WINDOWS` windows have no shape of their own: then it is the normal one.
        """
        if len(train) >= FEWEST_SHAPED_WINDOWS:
            return self.shaped(
                shape_of(train.actual_with_dividends, self.point(train, horizon), self.width(train))
            )
        roots = np.sqrt(np.arange(1, horizon + 1))
        return self.shaped(roots[:, None] * np.array(NORMAL_QUANTILES), normal=True)

    def shaped(self, shape: Floats, normal: bool = False) -> FittedBaseline:
        """Return the forecaster of a shape (H, Q).

        Args:
            normal: the shape is in units of the volatility, also where the baseline's unit is
                another.
        """
        width = _recent_volatility if normal and self.width is _last_price else self.width
        return FittedBaseline(self.point, width, shape)


@dataclass(frozen=True, eq=False)
class FittedBaseline:
    """A forecaster: windows -> prices (n, H, Q)."""

    point: PointForecast
    width: WidthUnit
    shape: Floats

    def __call__(self, windows: LastAndUnit) -> Floats:
        points = self.point(windows, len(self.shape))
        prices: Floats = np.maximum(around(points, self.width(windows), self.shape), 0.0)
        return prices


def _last_price(windows: LastAndUnit) -> Floats:
    return windows.last


def _recent_volatility(windows: LastAndUnit) -> Floats:
    return windows.unit


#: By name. naive: the last price with the spread of all the changes that training saw, in calm and
#: in storm; ewma: the random walk with exponentially weighted volatility, which is hard to beat.
BASELINES: dict[str, Baseline] = {
    NAIVE: Baseline(naive, _last_price),
    EWMA: Baseline(naive, _recent_volatility),
    "window_average": Baseline(window_average, _recent_volatility),
    "ema": Baseline(exponential_moving_average, _recent_volatility),
}
