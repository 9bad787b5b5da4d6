"""Lone misprints of a high or low, in a bar of which open and close are right."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Bools, Floats, Ints
from pipeline.prices.usual import usual_before

#: A high or low is a misprint where it lies this far (in logs) beyond its bar's open and close and
#: beyond both neighbours' bars, ...
REACH = 0.1
#: ... this many times the stock's usual range beyond, ...
REACH_IN_USUAL_RANGES = 6.0
#: ... and this many times the wider range of the neighbours, ...
REACH_IN_NEIGHBOURS_RANGES = 2.0
#: ... in a session with no more than so many times the usual volume: where a price really goes that
#: far and returns, shares change hands.
QUIET_VOLUME = 1.25
#: So far (in logs: a factor of 2.7), neither ranges nor volume make it real. The lowest real lows
#: of the flash crashes of 2010-05-06 and 2015-08-24 are at half the price (HCA: 43.91 of 81.54).
REACH_BEYOND_DOUBT = 1.0


def misprints(values: Floats, tickers: Ints) -> Bools:
    """Return the highs and lows that nothing near them confirms, bool (rows, OHLCV).

    Of 679,665 real bars of 526 files (1950 to 2026), these limits condemn three: XL 2015-08-24 (low
    5.40, open 35.24), GE 2011-08-19 (high 20.00, open 15.10) and PFG 2015-09-08 (low 41.67, open
    47.60); and no low of 2010-05-06 and 2015-08-24 that was real. On the last session, the session
    before has to do for both neighbours.

    Args:
        values: OHLCV, sorted by ticker and session, positive; NaN where a cell is missing or
            masked.
        tickers: each row's ticker, as a number.
    """
    cells = np.zeros(values.shape, bool)
    rows = np.nonzero(~np.isnan(values[:, :4]).any(axis=1))[0]
    if not len(rows):
        return cells
    logs, volumes, owner = np.log(values[rows, :4]), values[rows, 4], tickers[rows]
    ranges = logs.max(axis=1) - logs.min(axis=1)
    near = _larger_neighbour(ranges, owner)
    # Lows are judged as the highs of the prices turned upside down.
    for column, bars in ((1, logs), (2, -logs)):
        others = np.maximum(bars[:, [0, 3]].max(axis=1), _larger_neighbour(bars.max(axis=1), owner))
        beyond = bars[:, column] - others
        far = (beyond > REACH) & (beyond > REACH_IN_NEIGHBOURS_RANGES * near)
        for at in map(int, np.nonzero(far | (beyond > REACH_BEYOND_DOUBT))[0]):
            cells[rows[at], column] = beyond[at] > REACH_BEYOND_DOUBT or (
                beyond[at] > REACH_IN_USUAL_RANGES * usual_before(ranges, owner, at)
                and 0 < volumes[at] <= QUIET_VOLUME * usual_before(volumes, owner, at)
            )
    return cells


def _larger_neighbour(numbers: Floats, owner: Ints) -> Floats:
    """Return per row the larger number of the rows before and after it.

    Infinite on a ticker's first row: nothing says what was before.
    """
    same = owner[1:] == owner[:-1]
    before = np.concatenate([[np.inf], np.where(same, numbers[:-1], np.inf)])
    after = np.concatenate([np.where(same, numbers[1:], -np.inf), [-np.inf]])
    larger: Floats = np.maximum(before, after)
    return larger
