"""Dividends: the fall of a price on an ex-date is paid out, so it is no move.

Inputs, volatilities and the errors that distributions are made from count it as none: they take a
change with the dividend added back, as `adj_close` of a history does. The level stays that of
traded prices: a window is seen in the prices of its own last session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pipeline.windows.spec import Spec

if TYPE_CHECKING:
    import pandas as pd

#: Share of the price from which the price has to show a dividend, and the part of it that it shows:
#: one in another unit of money (pence for pounds) was not paid.
LARGE_DIVIDEND = 0.1
LEAST_SHOWN = 1 / 3
#: Columns that no dividend makes fall.
WITHOUT_STEPS = ("adj_close", "volume")
#: Decimal places of a step. Adjusted and traded closes are rounded to 16 digits, so a step differs
#: in the last ones with the cutoff that prices are adjusted as of, and between ex-dates from 1.
STEP_DIGITS = 12

#: `dividend_steps` of a column, (sessions,); 1.0: it has none.
Steps: TypeAlias = np.ndarray | float


def dividend_steps(history: pd.DataFrame) -> np.ndarray:
    """Return the share of the close before that each session's dividend has left, (sessions,).

    It is 1 but on ex-dates. A large dividend that the close does not show counts as none.

    Args:
        history: HISTORY of one ticker. A close that is missing has the step of its session on the
            next one that is known.
    """
    close = history["close"].ffill()
    left = (history["adj_close"] / history["close"]).ffill().bfill().fillna(1.0).to_numpy("float64")
    steps = np.ones(len(history))
    steps[1:] = (left[:-1] / left[1:]).round(STEP_DIGITS)
    paid, fall = 1 - steps, 1 - (close / close.shift()).to_numpy("float64")
    believed = (paid < LARGE_DIVIDEND) | (fall >= LEAST_SHOWN * paid)
    return np.where(believed, steps, 1.0)


def sees_dividends(history: pd.DataFrame, spec: Spec) -> bool:
    """Return whether a dividend is a fall in what a spec's windows see or forecast."""
    falling = {*spec.columns, spec.target}.difference(WITHOUT_STEPS)
    return bool(falling) and bool((dividend_steps(history) != 1).any())


def steps_of(history: pd.DataFrame, spec: Spec) -> dict[str, Steps]:
    """Return the steps of each column that a dataset file's windows see, and of its target."""
    steps = dividend_steps(history) if spec.adds_dividends else 1.0
    return {name: 1.0 if name in WITHOUT_STEPS else steps for name in (*spec.columns, spec.target)}


def seen_from_last(prices: np.ndarray, steps: Steps) -> np.ndarray:
    """Return prices with the dividends up to the last one of each row taken off, (..., n).

    The last price stays as it is.

    Args:
        prices: (..., n).
        steps: of the same sessions.
    """
    if not isinstance(steps, np.ndarray):
        return prices
    later = np.concatenate([steps[..., 1:], np.ones_like(steps[..., :1])], axis=-1)
    seen: np.ndarray = prices * np.cumprod(later[..., ::-1], axis=-1)[..., ::-1]
    return seen


def with_dividends(prices: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return prices ahead with the dividends since the session before added back, (..., n).

    A dividend is put into the stock again at the close before its ex-date.

    Args:
        prices: (..., n).
        steps: `dividend_steps` of the same sessions.
    """
    added: np.ndarray = prices / np.cumprod(steps, axis=-1)
    return added
