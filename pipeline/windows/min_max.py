"""Normalisations by a range: least to greatest as 0 to 1, of all sessions or of a block of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from pipeline.windows.normalisation import Normalisation, Normalise


@dataclass(frozen=True)
class MinMax(Normalisation):
    """Each column from its least to its greatest value as 0 to 1.

    Attributes:
        fitted_on: "train": the sessions that training sees; "all": the whole history, test sessions
            included, which is a leak.
    """

    fitted_on: str = "train"

    is_fitted: ClassVar[bool] = True

    @property
    def peeks(self) -> bool:
        """True where it is fitted on the whole history."""
        return self.fitted_on == "all"

    def fit(
        self,
        values: np.ndarray,
        target: np.ndarray,
        volatility: np.ndarray,
        train_sessions: int,
        block: int,
    ) -> Normalise:
        seen = slice(None) if self.fitted_on == "all" else slice(train_sessions)
        return _by_ranges_of(values, target, [seen])

    def __str__(self) -> str:
        return f"MinMax fitted on {'train' if self.fitted_on == 'train' else 'the whole history'}"


@dataclass(frozen=True)
class BlockMinMax(Normalisation):
    """Each column from its least to its greatest value in a block of sessions as 0 to 1.

    T. Ganegedara's blocks have 2,500 sessions.

    Attributes:
        sessions: of a block.
        known: "own": by the block that the forecast session lies in. Its range is only known at its
            end, which is a leak. "previous": by the last block that was complete at the window's
            end; while none is, by as much of the first as training sees.
    """

    sessions: int
    known: str = "previous"

    is_fitted: ClassVar[bool] = True

    @property
    def peeks(self) -> bool:
        """True where a window is normalised by the block that it forecasts."""
        return self.known == "own"

    def fit(
        self,
        values: np.ndarray,
        target: np.ndarray,
        volatility: np.ndarray,
        train_sessions: int,
        block: int,
    ) -> Normalise:
        blocks = [slice(at, at + self.sessions) for at in range(0, len(values), self.sessions)]
        if self.known == "previous":
            blocks.insert(0, slice(min(self.sessions, train_sessions)))
        return _by_ranges_of(values, target, blocks, self.sessions)

    def __str__(self) -> str:
        block = "its own" if self.known == "own" else "the previous"
        return f"MinMax per block of {self.sessions:,} sessions, by {block} block"


def _by_ranges_of(
    values: np.ndarray, target: np.ndarray, blocks: list[slice], sessions: int = 0
) -> Normalise:
    """Return the function that normalises windows by the ranges of blocks of sessions."""
    ranges = [_range(values[block]) for block in blocks]
    target_ranges = [_range(target[block]) for block in blocks]
    return partial(
        _by_range,
        low=np.array([low for low, _ in ranges]),
        span=np.array([span for _, span in ranges]),
        target_low=np.array([low for low, _ in target_ranges]),
        target_span=np.array([span for _, span in target_ranges]),
        sessions=sessions,
    )


def _by_range(
    values: np.ndarray,
    target: np.ndarray,
    position: np.ndarray,
    low: np.ndarray,
    span: np.ndarray,
    target_low: np.ndarray,
    target_span: np.ndarray,
    sessions: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return windows normalised by the range of their block.

    It is the block of the session after the window's last, which is forecast first; where that has
    not begun yet, the last block there is.

    Args:
        sessions: of a block; 0: there is only one.
    """
    block = np.zeros(len(values), int)
    if sessions:
        block = np.minimum((position + 1) // sessions, len(low) - 1)
    past = (values - low[block][:, None, :]) / span[block][:, None, :]
    return past, target_low[block], target_span[block]


def _range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (least, greatest - least) per column; a span of 1 where nothing moves."""
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    return np.asarray(low), np.where(high > low, high - low, 1.0)
