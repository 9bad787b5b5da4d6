"""Usual sizes of a stock's ranges and volumes: the median of the bars before one."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Floats, Ints

#: Bars before one that say what is usual, and the fewest that do.
USUAL_BARS = 20
FEWEST_USUAL_BARS = 5


def usual_before(numbers: Floats, tickers: Ints, at: int) -> float:
    """Return the median of the numbers above 0 of the bars before one; NaN: too few.

    Args:
        numbers: one per bar, sorted by ticker and session; NaN where there is none.
        tickers: each bar's ticker, as a number.
        at: the bar's position.
    """
    before = slice(max(at - USUAL_BARS, 0), at)
    known = numbers[before][(tickers[before] == tickers[at]) & (numbers[before] > 0)]
    return float(np.median(known)) if len(known) >= FEWEST_USUAL_BARS else float("nan")
