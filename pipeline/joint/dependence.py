"""Dependence: how stocks and sessions ahead have moved together up to a cutoff. Pure.

It is that of past changes over 1 to H sessions in units of the volatility known when they began:
these are the errors of a random walk, from which published medians hardly differ, and they are the
same whichever sessions have been forecast before, and in which order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Bools, Floats, Ints
from pipeline.windows import exponentially_weighted

#: The newest sessions that dependence is learnt from: about a year, as stocks fall together more in
#: some years than in others. On eight stocks from 2009 to 2017, 4.5% of the losses were beyond the
#: value at risk that promises 5%; with 500 sessions 4.3%, with 1000 4.2% (benchmarks/README.md).
MOST_PAST_SESSIONS = 250
#: Past sessions without which no dependence is learnt.
FEWEST_PAST_SESSIONS = 60
#: Prices of a stock before its changes count: its volatility is hardly known yet.
UNSETTLED_SESSIONS = 22


@dataclass(frozen=True, eq=False)
class Dependence:
    """Past changes that paths take their order from.

    Attributes:
        changes: (T, S, H), in units of volatility, no NaN.
        own: (S,), how many of the T sessions each stock has changes of its own of.
        is_learnt: False where there are too few sessions: `changes` are then random walks that
            know nothing of each other.
    """

    changes: Floats
    own: Ints
    is_learnt: bool

    @property
    def flat(self) -> Floats:
        """The changes as (T, S * H)."""
        return self.changes.reshape(len(self.changes), -1)


def past_changes(prices: Floats, horizon: int) -> Floats:
    """Return changes over 1 to `horizon` sessions from each session on, in units of volatility.

    Args:
        prices: (T, S), NaN where one is missing.

    Returns:
        (T, S, H): log change over h sessions / (volatility of one as known then * sqrt(h)). NaN
        where a price is missing, later than the last row, or among a stock's first ones.
    """
    changes = np.full((*prices.shape, horizon), np.nan)
    logs = np.log(prices)
    unit = np.column_stack([exponentially_weighted(column) for column in prices.T])
    for ahead in range(1, min(horizon, len(prices) - 1) + 1):
        changes[:-ahead, :, ahead - 1] = (logs[ahead:] - logs[:-ahead]) / np.sqrt(ahead)
    unit[np.cumsum(np.isfinite(prices), axis=0) <= UNSETTLED_SESSIONS] = np.nan
    in_units: Floats = changes / unit[:, :, None]
    return in_units


def dependence_of(changes: Floats, row: int, random: np.random.Generator) -> Dependence:
    """Return the dependence known at a session: of the newest sessions whose outcomes were known.

    Where a stock lacks a change, as it was not listed yet or its price is masked, it takes all
    changes of that session of another stock, drawn among those that have them: it then depends on
    the others as any stock does. Sessions that no stock has changes of are left out.

    Args:
        changes: see `past_changes`; no later row than `row` has a part in it.
        row: the session's.
    """
    horizon = changes.shape[2]
    known = changes[max(row + 1 - horizon - MOST_PAST_SESSIONS, 0) : max(row + 1 - horizon, 0)]
    has: Bools = np.all(np.isfinite(known), axis=2)
    some: Bools = np.any(has, axis=1)
    known, has = known[some], has[some]
    if len(known) < FEWEST_PAST_SESSIONS:
        return Dependence(_random_walks(changes.shape[1], horizon, random), has.sum(axis=0), False)
    return Dependence(_filled(known, has, random), has.sum(axis=0), True)


def _filled(changes: Floats, has: Bools, random: np.random.Generator) -> Floats:
    """Return the changes with those of another stock, of the same session, where they lack."""
    filled = changes.copy()
    rows, stocks = np.nonzero(~has)
    draws = random.random(len(rows))
    order = np.argsort(~has, axis=1, kind="stable")  # the stocks that have changes come first
    chosen = (draws * has.sum(axis=1)[rows]).astype("int64")
    filled[rows, stocks] = changes[rows, order[rows, chosen]]
    return filled


def _random_walks(stocks: int, horizon: int, random: np.random.Generator) -> Floats:
    steps = random.standard_normal((MOST_PAST_SESSIONS, stocks, horizon))
    walks: Floats = steps.cumsum(axis=2) / np.sqrt(np.arange(1, horizon + 1))
    return walks
