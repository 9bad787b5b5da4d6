"""Levels of prices: how those that a forecast was made from compare with the same prices today.

Where a source has restated a history since, such as a file after a split, a forecast and its
outcome are in different units.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.measures import scores
from pipeline.prices import basis_factor
from pipeline.run import Run
from pipeline.tables import column

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Sessions up to a cutoff whose prices then and now are compared, and the days that hold them.
LEVEL_SESSIONS = 60
LEVEL_DAYS = 2 * LEVEL_SESSIONS
#: A last price that differs by less from the one that is stored is the same price.
SAME_PRICE = 1e-5


def bases_of(parts: Parts, run: Run, forecasts: pd.DataFrame, tape: pd.DataFrame) -> pd.Series:
    """Return for each forecast the level of its prices over today's; see `prices.basis_factor`.

    Args:
        forecasts: see `measures.scores.counted`.
        tape: PRICES from the first of their cutoffs on, as they are known now.

    Returns:
        1 where the price of the cutoff is what it was.
    """
    target = scores.traded_column(run.universe.target)
    known = column(tape.set_index(["ticker", "session"]), target)
    now = known.reindex(pd.MultiIndex.from_frame(forecasts[["ticker", "cutoff"]])).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        has_moved = np.abs(forecasts["last_value"].to_numpy() / now - 1) > SAME_PRICE
    moved = forecasts[has_moved & forecasts["known_at"].notna().to_numpy()]
    bases = pd.Series(1.0, index=forecasts.index)
    if moved.empty:
        return bases
    first = moved["cutoff"].min().date() - dt.timedelta(days=LEVEL_DAYS)
    today = _prices(parts, run, moved, first, None, target)
    for known_at, rows in moved.groupby("known_at"):
        then = _prices(parts, run, rows, first, known_at.to_pydatetime(), target)
        both = pd.DataFrame({"then": then, "now": today}).dropna(subset="then")
        tickers, sessions = (both.index.get_level_values(level) for level in (0, 1))
        for (ticker, cutoff), some in rows.groupby(["ticker", "cutoff"]):
            # None where it was made from another source, such as a folder that has moved.
            recent = both[(tickers == ticker) & (sessions <= cutoff)].tail(LEVEL_SESSIONS)
            factor = basis_factor(recent["then"].to_numpy(), recent["now"].to_numpy())
            bases[some.index] = factor
    return bases


def _prices(
    parts: Parts,
    run: Run,
    forecasts: pd.DataFrame,
    first: dt.date,
    known_at: dt.datetime | None,
    target: str,
) -> pd.Series:
    """Return a column of prices as traded by ticker and session, as known at a moment."""
    tickers, last = sorted(forecasts["ticker"].unique()), forecasts["cutoff"].max().date()
    bars = parts.store.prices.bars(run.universe.source_id, tickers, last, known_at, first)
    return column(bars.set_index(["ticker", "session"]), target)
