"""Dollars -> what a network sees, and back: the ways in which the recipes normalise their windows.

Every way is affine per window, so `offset + scale * prediction` turns a prediction back into dollars, whichever it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.volatility import exponentially_weighted

#: A session without trading has log volume relative to the window's mean of at least this.
LOWEST_VOLUME_RATIO = 1e-3
#: A session's log range is at least this part of the volatility.
LOWEST_RANGE = 0.05

#: (values (n, lead + context, features), target (n, lead + context), position (n,)) -> (past (n, context, features), offset (n,), scale (n,)).
#: Values in dollars and shares; `position` numbers the session of a window's last row in the history.
Normalise = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class LastClose:
    """Open, high, low, close over the window's last close, minus 1; log of volume over the window's mean volume.

    The target is its change over the last close: 0 is the naive forecast.
    """

    lead = 0
    #: Columns that must be known, not carried, at a window's last session.
    anchors = ("close",)
    #: Whether it depends on the sessions that training sees.
    is_fitted = False

    def fit(self, values: np.ndarray, target: np.ndarray, train_sessions: int, block: int) -> Normalise:
        return _by_last_close

    def __str__(self) -> str:
        return "by the window's last close"


def _by_last_close(values: np.ndarray, target: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    last_close = values[:, -1, 3]
    prices = values[:, :, :4] / last_close[:, None, None] - 1
    return np.concatenate([prices, _log_volume(values[:, :, 4])[:, :, None]], axis=2), target[:, -1], last_close


def _log_volume(volume: np.ndarray) -> np.ndarray:
    """Log of volume (n, sessions) over the window's mean."""
    mean = volume.mean(axis=1, keepdims=True)
    ratio = np.divide(volume, mean, out=np.ones_like(volume), where=mean > 0)
    return np.log(np.maximum(ratio, LOWEST_VOLUME_RATIO))


@dataclass(frozen=True)
class ByVolatility:
    """Every session's change in multiples of the volatility known at the window's end; 0 is a random walk, 1 one standard deviation.

    Seen of a session: open, high, low and close over the close before, minus 1; the log of its range; the log of its volume over the
    window's mean volume. The target is its change, in the same multiples of its own volatility.

    Attributes:
        limit: changes beyond so many standard deviations are seen as this many: one wild day does not steer a whole window.
    """

    limit: float = 10.0
    lead = 1
    anchors = ("close",)
    is_fitted = False
    #: What is seen of open, high, low, close and volume.
    features = 6

    def fit(self, values: np.ndarray, target: np.ndarray, train_sessions: int, block: int) -> Normalise:
        return partial(_by_volatility, volatility=exponentially_weighted(target), limit=self.limit)

    def __str__(self) -> str:
        return "changes by the recent volatility"


def _by_volatility(
    values: np.ndarray, target: np.ndarray, position: np.ndarray, volatility: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    unit = volatility[position]
    before, own = values[:, :-1, 3:4], values[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        changes = (own[:, :, :4] / before - 1) / unit[:, None, None]
        span = np.log(own[:, :, 1] / own[:, :, 2])
    # A day without a range says less than one of a tenth of the volatility's: how much less does not matter.
    width = np.log(np.maximum(span / unit[:, None], LOWEST_RANGE))
    past = np.concatenate([np.clip(changes, -limit, limit), width[:, :, None], _log_volume(own[:, :, 4])[:, :, None]], axis=2)
    return past, target[:, -1], target[:, -1] * unit


@dataclass(frozen=True)
class PreviousWindow:
    """Each block of sessions over the last price of the block before it, minus 1; a history's first block over its own first price.

    So L. Weng, whose first version took the last price of the same block: there a block's last value is always 0, and its others
    know what came after them.
    """

    lead = 1
    anchors = ()
    is_fitted = False

    def fit(self, values: np.ndarray, target: np.ndarray, train_sessions: int, block: int) -> Normalise:
        return partial(_by_previous_window, block=block)

    def __str__(self) -> str:
        return "by the last price of the previous window"


def _by_previous_window(
    values: np.ndarray, target: np.ndarray, position: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    before, own = values[:, 0:-1:block], values[:, 1:]  # the lead stands before the first block
    with np.errstate(divide="ignore", invalid="ignore"):
        past = own / np.repeat(before, block, axis=1) - 1
    return past, target[:, -1], target[:, -1]


@dataclass(frozen=True)
class FirstValue:
    """Each column over its first value in the window, minus 1 (J. Aungiers). A window that begins with 0 cannot be used."""

    lead = 0
    anchors = ()
    is_fitted = False

    def fit(self, values: np.ndarray, target: np.ndarray, train_sessions: int, block: int) -> Normalise:
        return _by_first_value

    def __str__(self) -> str:
        return "by the window's first value"


def _by_first_value(values: np.ndarray, target: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        past = values / values[:, :1] - 1
    return past, target[:, 0], target[:, 0]


@dataclass(frozen=True)
class MinMax:
    """Each column from its least to its greatest value as 0 to 1.

    Attributes:
        fitted_on: "train": the sessions that training sees; "all": the whole history, test sessions included, which is a leak.
    """

    fitted_on: str = "train"
    lead = 0
    anchors = ()
    is_fitted = True

    def fit(self, values: np.ndarray, target: np.ndarray, train_sessions: int, block: int) -> Normalise:
        seen = slice(None) if self.fitted_on == "all" else slice(train_sessions)
        low, span = _range(values[seen])
        target_low, target_span = _range(target[seen])
        return partial(_by_range, low=low[None], span=span[None], target_low=target_low[None], target_span=target_span[None])

    def __str__(self) -> str:
        return f"MinMax fitted on {'train' if self.fitted_on == 'train' else 'the whole history'}"


@dataclass(frozen=True)
class BlockMinMax:
    """Each column from its least to its greatest value in a block of sessions as 0 to 1 (T. Ganegedara: 2,500).

    Attributes:
        sessions: of a block.
        known: "own": by the block that the forecast session lies in, whose range is only known at its end, which is a leak;
            "previous": by the last block that was complete at the window's end; while none is, by as much of the first as training sees.
    """

    sessions: int
    known: str = "previous"
    lead = 0
    anchors = ()
    is_fitted = True

    def fit(self, values: np.ndarray, target: np.ndarray, train_sessions: int, block: int) -> Normalise:
        blocks = [slice(at, at + self.sessions) for at in range(0, len(values), self.sessions)]
        if self.known == "previous":
            blocks.insert(0, slice(min(self.sessions, train_sessions)))
        ranges, targets = [_range(values[block]) for block in blocks], [_range(target[block]) for block in blocks]
        return partial(
            _by_range,
            low=np.array([low for low, _ in ranges]),
            span=np.array([span for _, span in ranges]),
            target_low=np.array([low for low, _ in targets]),
            target_span=np.array([span for _, span in targets]),
            sessions=self.sessions,
        )

    def __str__(self) -> str:
        return f"MinMax per block of {self.sessions:,} sessions, by {'its own' if self.known == 'own' else 'the previous'} block"


def _by_range(
    values: np.ndarray,
    target: np.ndarray,
    position: np.ndarray,
    low: np.ndarray,
    span: np.ndarray,
    target_low: np.ndarray,
    target_span: np.ndarray,
    sessions: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # The block of the session after the window's last, which is forecast first; where that is not there yet, the last there is.
    block = np.minimum((position + 1) // sessions, len(low) - 1) if sessions else np.zeros(len(values), int)
    past = (values - low[block][:, None, :]) / span[block][:, None, :]
    return past, target_low[block], target_span[block]


def _range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(least, greatest - least) per column; a span of 1 where nothing moves."""
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    return np.asarray(low), np.where(high > low, high - low, 1.0)


@dataclass(frozen=True)
class Unscaled:
    """As it is: for series that lie between -1 and 1 by themselves."""

    lead = 0
    anchors = ()
    is_fitted = False

    def fit(self, values: np.ndarray, target: np.ndarray, train_sessions: int, block: int) -> Normalise:
        return _as_it_is

    def __str__(self) -> str:
        return "none"


def _as_it_is(values: np.ndarray, target: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return values, np.zeros(len(values)), np.ones(len(values))


Normalisation = LastClose | ByVolatility | PreviousWindow | FirstValue | MinMax | BlockMinMax | Unscaled


def exponentially_smoothed(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average from the first value on: `weight` of the newest value, the rest of the average before.

    (T. Ganegedara: .1, from 0 on, but of values that MinMax had brought to the neighbourhood of 0; these are dollars.)
    """
    smoothed, average = np.empty_like(values), values[0]
    for index, value in enumerate(values):
        average = weight * value + (1 - weight) * average
        smoothed[index] = average
    return smoothed


def views(values: np.ndarray, length: int) -> np.ndarray:
    """All stretches of `length` sessions: (sessions, features) -> (n, length, features), without copying."""
    return np.moveaxis(sliding_window_view(values, length, axis=0), -1, 1)
