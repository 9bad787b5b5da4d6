"""Changes of the basis that prices are on: another unit of money, or a split left out.

A source gives a block of bars in rand instead of cents, or a file all bars before a split as they
were traded then. Such a change lasts, so the sessions after it confirm it as they confirm a move;
what tells it from a move is that its ratio is a round one and that nobody traded on it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.arrays import Floats, Ints
from pipeline.prices.usual import usual_before
from pipeline.tables import OHLCV

#: New shares for an old one, or old ones for a new one, as companies split.
SPLIT_RATIOS = (1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 50)
#: Subunits of currencies, and slips of the decimal point.
UNIT_RATIOS = (10, 100, 1000, 10_000, 100_000, 1_000_000)
#: The smallest and the largest value of a split that is looked at.
SPLITS = (1e-6, 1e6)
#: The least change of a close that is looked at, as a ratio.
LEAST_CHANGE = 1.3
#: How far (in logs) the open may be from the close before times the ratio, and the close: a stock
#: goes on moving on the day of a split.
OPEN_TOLERANCE = 0.05
CLOSE_TOLERANCE = 0.15
#: On real news of this size, more than so many times the usual money, or number of shares, changes
#: hands. Of the 29 changes by more than a third in 672,214 real bars of 519 stocks and an index
#: (1950 to 2018), two are taken for a change of the basis, and are one (DISCA and DISCK 2014-08-07,
#: halved by a dividend in shares that the file does not have: 1.3 and 3.7 times the usual), and no
#: real move is: those near a ratio had 12.9 (BBY 2014-01-16) to 18.5 times the usual (VRTX).
BUSY_TURNOVER = 5.0
#: Without volumes, the range of the day tells: real news have one of more than so many times the
#: usual, and this wide (in logs) at the least.
WIDE_RANGE = 4.0
LEAST_WIDE_RANGE = 0.05


def basis_changes(
    history: pd.DataFrame, dividend_shares: pd.Series, splits: pd.DataFrame
) -> pd.DataFrame:
    """Return the sessions on which prices change their basis.

    Args:
        history: HISTORY of any number of tickers, sorted, adjusted for splits and masked.
        dividend_shares: per row the dividend over the close before; NaN: none.
        splits: ACTIONS; their ratios count as well, on any session of their ticker.

    Returns:
        Columns ticker, session, `basis` in words, and the `ratio` to the bars before.
    """
    values = history[OHLCV].to_numpy("float64")
    tickers, names = pd.factorize(history["ticker"])
    rows = np.nonzero(~np.isnan(values[:, 3]))[0]
    bars, owner = values[rows], tickers[rows]
    before = _close_before(bars, owner)
    opened = np.where(np.isnan(bars[:, 0]), bars[:, 3], bars[:, 0])
    shares = dividend_shares.fillna(0).to_numpy("float64")[rows]
    changes = np.log([bars[:, 3] / before, bars[:, 3] / before + shares, opened / before + shares])
    found = []
    for at in map(int, np.nonzero((np.abs(changes[:2]) > np.log(LEAST_CHANGE)).all(axis=0))[0]):
        own = splits[(splits["ticker"] == names[owner[at]]) & splits["value"].between(*SPLITS)]
        ratio = _nearest(changes[2, at], own["value"].tolist())
        away = np.abs(changes[1:, at] - np.log(ratio))
        if (away <= [CLOSE_TOLERANCE, OPEN_TOLERANCE]).all() and _is_ordinary(bars, owner, at):
            found.append((rows[at], _in_words(ratio, own), ratio))
    changed = history.iloc[[row for row, *_ in found]][["ticker", "session"]]
    return changed.assign(
        basis=pd.Series([words for _, words, _ in found], changed.index, "str"),
        ratio=pd.Series([ratio for *_, ratio in found], changed.index, "float64"),
    )


def _close_before(bars: Floats, owner: Ints) -> Floats:
    """Return per bar the close of its ticker's bar before; NaN on the first."""
    same = np.concatenate([[False], owner[1:] == owner[:-1]])
    return np.where(same, np.roll(bars[:, 3], 1), np.nan)


def _nearest(change: float, announced: list[float]) -> float:
    """Return the ratio, or its inverse, that is nearest to a change in logs."""
    usual = np.array([*SPLIT_RATIOS, *UNIT_RATIOS, *announced], dtype="float64")
    ratios = np.concatenate([usual, 1 / usual])
    return float(ratios[np.abs(np.log(ratios) - change).argmin()])


def _is_ordinary(bars: Floats, owner: Ints, at: int) -> bool:
    """Return whether a bar was traded as its stock usually is, though its price is another."""
    volumes, ranges = bars[:, 4], np.log(bars[:, 1] / bars[:, 2])
    usual = usual_before(volumes, owner, at)
    if volumes[at] > 0 and usual > 0:
        # Counted in old shares or in new ones, whichever the source does.
        turnover = volumes[at] * min(1.0, bars[at, 3] / bars[at - 1, 3])
        return bool(turnover <= BUSY_TURNOVER * usual)
    widest = np.nanmax([WIDE_RANGE * usual_before(ranges, owner, at), LEAST_WIDE_RANGE])
    return not ranges[at] > widest


def _in_words(ratio: float, splits: pd.DataFrame) -> str:
    """Return what a ratio is the ratio of.

    Args:
        splits: those of the ticker.
    """
    times = f"{ratio:g} times" if ratio > 1 else f"1/{1 / ratio:g} of"
    size = round(max(ratio, 1 / ratio), 9)
    sizes = np.maximum(splits["value"], 1 / splits["value"])
    for session in splits.loc[np.isclose(sizes, size), "session"]:
        return f"{times} the bars before, the ratio of its split of {session:%Y-%m-%d}"
    split = f"a split of {size:g}:1" if ratio < 1 else f"a split of 1:{size:g}"
    kinds = [split] * (size in SPLIT_RATIOS) + ["another unit of money"] * (size in UNIT_RATIOS)
    return f"{times} the bars before, the ratio of {' or '.join(kinds)}"
