"""Masking of the cells that no model may use, judged from the price table alone.

The same judgement serves the quality gate, which reports it, and every dataset, which leaves the
cells out. It looks at nothing after the table's last row, so a dataset cut at a cutoff is masked as
it could have been masked that evening: a wrong price on the very last session stays, because only
the next session shows that it was wrong. (The gate's rule on unexplained jumps holds that ticker
back instead.) Only a lone high or low is judged that evening already, and once more the next.

A genuine move stays, however large: a price is a wrong print only where the market was back at its
old level at the next open.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.arrays import Bools, Floats, Ints
from pipeline.prices.misprints import misprints
from pipeline.tables import OHLCV, PRICE_COLUMNS

#: Prices are rounded, and adjusted ones twice: an open or close may lie this fraction outside the
#: bar's own low..high.
RANGE_TOLERANCE = 0.005
#: A whole bar that touches neither neighbour's, and is this far (in logs) from the close before and
#: the open after, on the same side, is a print of another day or stock: files have dozens of
#: tickers with one on the same day. Genuine islands are rare.
ISLAND_GAP = 0.03
#: ... provided that the next open is back: the market moved by less than this share of the gap.
ISLAND_DRIFT = 0.5
#: A close that jumps by this much (in logs) ...
SPIKE_JUMP = 0.25
#: ... and is back at the next open but for this share of the jump is a wrong print, even where the
#: rest of its bar is right.
SPIKE_DRIFT = 0.25

#: The rules in the order in which they judge.
MASKING_RULES = (
    "price_not_positive",
    "volume_negative",
    "copied_bar",
    "wrong_print",
    "wrong_range",
    "outside_range",
)


def mask(history: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with NaN in every cell that no model may use; `adj_close` goes with `close`.

    Args:
        history: HISTORY or PRICES, sorted.
    """
    untrusted = np.logical_or.reduce(list(_judge(history).values()))
    masked = history.copy()
    masked[OHLCV] = history[OHLCV].mask(untrusted)
    if "adj_close" in history:
        masked["adj_close"] = history["adj_close"].mask(untrusted[:, OHLCV.index("close")])
    return masked


def unusable(prices: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that `mask` blanks; missing cells are not among them.

    Args:
        prices: any number of tickers, adjusted for splits, sorted by ticker and session, no session
            twice.

    Returns:
        Columns ticker, session, column, rule; one row per cell.
    """
    cells = [
        pd.DataFrame(
            {
                "ticker": prices["ticker"].to_numpy()[rows],
                "session": prices["session"].to_numpy()[rows],
                "column": np.array(OHLCV)[columns],
                "rule": rule,
            }
        )
        for rule, condemned in _judge(prices).items()
        for rows, columns in [np.nonzero(condemned)]
    ]
    return pd.concat(cells).sort_values(["ticker", "session"], kind="stable").reset_index(drop=True)


def _judge(prices: pd.DataFrame) -> dict[str, Bools]:
    """Return the condemned cells by rule, bool (rows, OHLCV).

    A cell that one rule condemns is no evidence for the next.
    """
    values: Floats = prices[OHLCV].to_numpy("float64", copy=True)
    tickers = pd.factorize(prices["ticker"])[0]
    judges = (_not_positive, _negative_volume, _copied, _wrong_print, misprints, _outside_range)
    condemned = {}
    for rule, judge in zip(MASKING_RULES, judges, strict=True):
        condemned[rule] = judge(values, tickers)
        values[condemned[rule]] = np.nan
    return condemned


def _not_positive(values: Floats, tickers: Ints) -> Bools:
    cells: Bools = ~(values > 0) & ~np.isnan(values) | np.isinf(values)
    cells[:, len(PRICE_COLUMNS) :] = False
    return cells


def _negative_volume(values: Floats, tickers: Ints) -> Bools:
    cells: Bools = (values < 0) | np.isinf(values)
    cells[:, : len(PRICE_COLUMNS)] = False
    return cells


def _copied(values: Floats, tickers: Ints) -> Bools:
    """Return bars that repeat the session before to the last share traded.

    (Prices alone do repeat in quiet or old markets.)
    """
    cells = np.zeros(values.shape, bool)
    same = (
        (values[1:] == values[:-1]).all(axis=1)
        & (values[1:, -1] > 0)
        & (tickers[1:] == tickers[:-1])
    )
    cells[1:][same] = True
    return cells


def _wrong_print(values: Floats, tickers: Ints) -> Bools:
    """Return islands and spikes that the next open undoes.

    An island is a whole bar apart from both neighbours, a spike a close far from the one before.
    """
    cells = np.zeros(values.shape, bool)
    rows = np.nonzero(~np.isnan(values[:, :4]).any(axis=1))[0]
    if len(rows) < 3:
        return cells
    logs, owner = np.log(values[rows, :4]), tickers[rows]
    low, high = logs.min(axis=1), logs.max(axis=1)
    before, here, after = slice(None, -2), slice(1, -1), slice(2, None)
    known = (owner[before] == owner[here]) & (owner[here] == owner[after])
    left, entered = logs[before, 3], logs[after, 0]
    drift = np.abs(entered - left)

    touches_none = (low[here] > np.maximum(high[before], high[after])) | (
        high[here] < np.minimum(low[before], low[after])
    )
    gap = np.maximum(low[here] - np.maximum(left, entered), np.minimum(left, entered) - high[here])
    island = known & touches_none & (gap > ISLAND_GAP) & (drift < ISLAND_DRIFT * gap)
    jump = np.abs(logs[here, 3] - left)
    spike = known & (jump > SPIKE_JUMP) & (drift < SPIKE_DRIFT * jump)

    nearer_spike = np.abs(logs[here] - logs[here, 3:]) < np.abs(logs[here] - logs[before, 3:])
    cells[rows[here], :4] = island[:, None] | (spike[:, None] & nearer_spike)
    return cells


def _outside_range(values: Floats, tickers: Ints) -> Bools:
    """Return opens and closes outside low..high, with the bound that they break.

    The table does not show which of the two is wrong.
    """
    open_, high, low, close = values[:, :4].T
    cells = np.zeros(values.shape, bool)
    slack = 1 + RANGE_TOLERANCE
    for column, price in ((0, open_), (3, close)):
        above, below = price > high * slack, low > price * slack
        cells[:, column] |= above | below
        cells[:, 1] |= above
        cells[:, 2] |= below
    crossed = low > high * slack
    cells[:, 1] |= crossed
    cells[:, 2] |= crossed
    return cells
