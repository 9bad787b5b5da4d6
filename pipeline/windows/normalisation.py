"""Normalisations: from prices to what a network sees, and back.

Every normalisation is affine per window, so `offset + scale * prediction` turns a prediction back
into prices. Those by a fitted range are in `min_max`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.arrays import Floats
from pipeline.windows.anchors import Anchors
from pipeline.windows.volatility import trailing_sums

#: A session without trading has log volume relative to the window's mean of at least this.
LOWEST_VOLUME_RATIO = 1e-3
#: A session's log range is at least this part of the volatility.
LOWEST_RANGE = 0.05

#: (values (n, lead + context, features), target (n, lead + context), position (n,)) -> (past
#: (n, context, features), offset (n,), scale (n,)). Values are in prices and shares; `position`
#: numbers the session of a window's last row in the history. Where a normalisation is of shocks,
#: offset and scale are (n, horizon), those of log changes.
Normalise = Callable[
    [np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]
]


@dataclass(frozen=True)
class Normalisation:
    """A way to normalise windows, which a recipe names.

    Attributes:
        lead: sessions before a window that it looks at.
        anchors: columns that must be known, not filled, at a window's last session.
        is_fitted: it depends on the sessions that training sees.
        of_shocks: targets are log changes about what a baseline forecasts, in multiples of how far
            it expects them to go (see `anchors`), and not prices on a scale.
    """

    lead: ClassVar[int] = 0
    anchors: ClassVar[tuple[str, ...]] = ()
    is_fitted: ClassVar[bool] = False
    of_shocks: ClassVar[bool] = False

    @property
    def peeks(self) -> bool:
        """True where it looks at sessions that training must not see."""
        return False

    @property
    def memory(self) -> int:
        """Sessions up to each of a window's that what is seen of it depends on; 0: none."""
        return 0

    def fit(
        self,
        values: np.ndarray,
        target: np.ndarray,
        volatility: np.ndarray,
        train_sessions: int,
        block: int,
    ) -> Normalise:
        """Return the function that normalises windows of a history.

        Args:
            values: (sessions, features) of the whole history.
            target: (sessions,).
            volatility: (sessions,), of the target's changes, as known at each session.
            train_sessions: how many of the sessions training sees.
            block: sessions that make one step of the network's input.
        """
        raise NotImplementedError

    def about(self, anchors: Anchors) -> Normalisation:
        """Return this normalisation about what a baseline forecasts of a history's sessions."""
        return self


@dataclass(frozen=True)
class LastClose(Normalisation):
    """Open, high, low, close over the window's last close, minus 1; log of volume over its mean.

    The volume's mean is the window's. The target is its change over the last close: 0 is the naive
    forecast.
    """

    anchors: ClassVar[tuple[str, ...]] = ("close",)

    def fit(
        self,
        values: np.ndarray,
        target: np.ndarray,
        volatility: np.ndarray,
        train_sessions: int,
        block: int,
    ) -> Normalise:
        return _by_last_close

    def __str__(self) -> str:
        return "by the window's last close"


def _by_last_close(
    values: np.ndarray, target: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    last_close = values[:, -1, 3]
    prices = values[:, :, :4] / last_close[:, None, None] - 1
    past = np.concatenate([prices, _log_volume(values[:, :, 4])[:, :, None]], axis=2)
    return past, target[:, -1], last_close


def _log_volume(volume: np.ndarray) -> np.ndarray:
    """Return the log of volume (n, sessions) over the window's mean."""
    return _log_ratio(volume, volume.mean(axis=1, keepdims=True))


def _log_ratio(volume: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the log of volume over its mean; where nothing was traded for so long, 0."""
    ratio = np.divide(volume, mean, out=np.ones_like(volume), where=mean > 0)
    logs: np.ndarray = np.log(np.maximum(ratio, LOWEST_VOLUME_RATIO))
    return logs


@dataclass(frozen=True)
class ByVolatility(Normalisation):
    """Every session's change in multiples of the volatility known at the window's end.

    0 is a random walk, 1 one standard deviation. A network sees of a session: open, high, low and
    close over the close before, minus 1; the log of its range; the log of its volume over the
    window's mean volume. The target is its change, in the same multiples of its own volatility.

    Attributes:
        limit: changes beyond this many standard deviations are cut off: one wild day does not steer
            a whole window.
        features: values that a network sees, of open, high, low, close and volume.
    """

    limit: float = 10.0

    lead: ClassVar[int] = 1
    anchors: ClassVar[tuple[str, ...]] = ("close",)
    features: ClassVar[int] = 6

    def fit(
        self,
        values: np.ndarray,
        target: np.ndarray,
        volatility: np.ndarray,
        train_sessions: int,
        block: int,
    ) -> Normalise:
        return partial(_by_volatility, volatility=volatility, limit=self.limit)

    def __str__(self) -> str:
        return "changes by the recent volatility"


def _by_volatility(
    values: np.ndarray,
    target: np.ndarray,
    position: np.ndarray,
    volatility: np.ndarray,
    limit: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    unit = volatility[position]
    log_volume = _log_volume(values[:, 1:, 4])[:, :, None]
    past = np.concatenate([_changes_by(values, unit[:, None], limit), log_volume], axis=2)
    return past, target[:, -1], target[:, -1] * unit


def _changes_by(values: np.ndarray, unit: np.ndarray, limit: float) -> np.ndarray:
    """Return changes and log ranges in multiples of `unit`, (n, context, 5).

    Args:
        values: (n, 1 + context, 5).
        unit: (n, context), or (n, 1) for all sessions of a window.
    """
    close_before, bars = values[:, :-1, 3:4], values[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        changes = (bars[:, :, :4] / close_before - 1) / unit[:, :, None]
        span = np.log(bars[:, :, 1] / bars[:, :, 2])
    # A day without a range tells less than one of a tenth of the volatility's: how much less does
    # not matter.
    width = np.log(np.maximum(span / unit, LOWEST_RANGE))
    clipped = np.clip(changes, -limit, limit)
    return np.concatenate([clipped, width[:, :, None]], axis=2)


@dataclass(frozen=True)
class ByHar(Normalisation):
    """Every session's change in multiples of what `har` expected of it the session before.

    The target is its log change about the centre that `har` forecasts, in multiples of the
    deviation that it forecasts: 0 is what `har` expects, whatever the session. Where `har` does
    not, EWMA volatility stands in (see `anchors`).

    A network sees of a session what it sees by `ByVolatility`, and two logs: the deviation of the
    next session relative to the usual one, and that of the whole horizon relative to the next
    session's. What is usual are means over the sessions up to this one: what is seen of a session
    is the same in every window, so one pass over a history serves all windows that end in it.

    Attributes:
        limit: changes beyond this many deviations are cut off.
        usual: sessions whose mean volume and log deviation are usual.
    """

    limit: float = 10.0
    usual: int = 60

    lead: ClassVar[int] = 1
    anchors: ClassVar[tuple[str, ...]] = ("close",)
    of_shocks: ClassVar[bool] = True
    features: ClassVar[int] = 8

    @property
    def memory(self) -> int:
        return self.usual

    def about(self, anchors: Anchors) -> Normalisation:
        return _AboutHar(self.limit, self.usual, anchors)

    def __str__(self) -> str:
        return "changes by what har expected of them"


@dataclass(frozen=True, eq=False)
class _AboutHar(Normalisation):
    """`ByHar` of one history."""

    limit: float
    usual: int
    of: Anchors

    def fit(
        self,
        values: np.ndarray,
        target: np.ndarray,
        volatility: np.ndarray,
        train_sessions: int,
        block: int,
    ) -> Normalise:
        next_session, whole = self.of.deviations[:, 0], self.of.deviations[:, -1]
        level = np.log(next_session)
        volume = values[:, 4]
        relative = np.column_stack(
            [
                _log_ratio(volume, _trailing_mean(volume, self.usual)),
                level - _trailing_mean(level, self.usual),
                np.log(whole / next_session),
            ]
        )
        return partial(_by_har, relative=relative, of=self.of, limit=self.limit)


def _by_har(
    values: np.ndarray,
    target: np.ndarray,
    position: np.ndarray,
    relative: np.ndarray,
    of: Anchors,
    limit: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = position[:, None] + np.arange(2 - values.shape[1], 1)
    before = of.deviations[np.maximum(rows - 1, 0), 0]
    past = np.concatenate([_changes_by(values, before, limit), relative[rows]], axis=2)
    return past, of.centres[position], of.deviations[position]


def _trailing_mean(values: Floats, count: int) -> Floats:
    """Return means over the last `count` sessions, or over fewer at the beginning, (sessions,)."""
    number = np.minimum(np.arange(1, len(values) + 1), count)
    mean: Floats = trailing_sums(values, np.ones(count)) / number
    return mean


@dataclass(frozen=True)
class PreviousWindow(Normalisation):
    """Each block of sessions over the last price of the block before it, minus 1 (L. Weng).

    A history's first block is taken over its own first price. The source's first version took the
    last price of the same block: there a block's last value is always 0, and its others know what
    comes after them.
    """

    lead: ClassVar[int] = 1

    def fit(
        self,
        values: np.ndarray,
        target: np.ndarray,
        volatility: np.ndarray,
        train_sessions: int,
        block: int,
    ) -> Normalise:
        return partial(_by_previous_window, block=block)

    def __str__(self) -> str:
        return "by the last price of the previous window"


def _by_previous_window(
    values: np.ndarray, target: np.ndarray, position: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # The lead stands before the first block.
    last_before, prices = values[:, 0:-1:block], values[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        past = prices / np.repeat(last_before, block, axis=1) - 1
    return past, target[:, -1], target[:, -1]


@dataclass(frozen=True)
class FirstValue(Normalisation):
    """Each column over its first value in the window, minus 1 (J. Aungiers).

    A window that begins with 0 cannot be used.
    """

    def fit(
        self,
        values: np.ndarray,
        target: np.ndarray,
        volatility: np.ndarray,
        train_sessions: int,
        block: int,
    ) -> Normalise:
        return _by_first_value

    def __str__(self) -> str:
        return "by the window's first value"


def _by_first_value(
    values: np.ndarray, target: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        past = values / values[:, :1] - 1
    return past, target[:, 0], target[:, 0]


@dataclass(frozen=True)
class Unscaled(Normalisation):
    """Values as they are: for series that lie between -1 and 1 by themselves."""

    def fit(
        self,
        values: np.ndarray,
        target: np.ndarray,
        volatility: np.ndarray,
        train_sessions: int,
        block: int,
    ) -> Normalise:
        return _as_it_is

    def __str__(self) -> str:
        return "none"


def _as_it_is(
    values: np.ndarray, target: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return values, np.zeros(len(values)), np.ones(len(values))


def exponentially_smoothed(
    values: np.ndarray, weight: float, steps: np.ndarray | float = 1.0
) -> np.ndarray:
    """Return the exponential moving average of a series, from its first value on.

    T. Ganegedara: 0.1, from 0 on, but of values that MinMax had brought to the neighbourhood of 0;
    these are prices.

    Args:
        weight: of the newest value; the average before has the rest.
        steps: what dividends have left of the value before (see `dividends`).
    """
    smoothed, average = np.empty_like(values), values[0]
    lefts = np.broadcast_to(steps, len(values))
    for index, (value, left) in enumerate(zip(values, lefts, strict=True)):
        average = weight * value + (1 - weight) * (average * left)
        smoothed[index] = average
    return smoothed


def views(values: np.ndarray, length: int) -> np.ndarray:
    """Return all stretches of `length` sessions, (n, length, features), without copying.

    Args:
        values: (sessions, features).
    """
    return np.moveaxis(sliding_window_view(values, length, axis=0), -1, 1)
