"""Prices that an audit looks at: all that a source has of some tickers, or the newest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.models import PriceRecipe
from pipeline.prices import fetch_renamed, newest_session, require_known

if TYPE_CHECKING:
    from pipeline.parts import Parts
    from pipeline.universes import Universe

#: Sessions beyond the fewest that a recipe needs: exchanges have holidays.
SPARE_SESSIONS = 30
#: Tickers that are audited where none is named: where stocks share a network, and where they do
#: not; and the tickers among which the longest histories are looked for.
TICKERS_SHARING, TICKERS_ALONE, CANDIDATE_TICKERS = 2, 1, 6


@dataclass(frozen=True, eq=False)
class TradedPrices:
    """A ticker's prices as traded and its corporate actions.

    Attributes:
        prices: PRICES.
        actions: ACTIONS.
    """

    prices: pd.DataFrame
    actions: pd.DataFrame

    def newest(self, count: int) -> TradedPrices:
        """Return the newest `count` sessions, with the actions since their first."""
        prices = self.prices.sort_values("session").tail(count)
        since = self.actions["session"] >= prices["session"].min()
        return TradedPrices(prices, self.actions[since])


def bars_of(
    parts: Parts, universe: Universe, recipe: PriceRecipe, asked: Sequence[str], now: dt.datetime
) -> dict[str, TradedPrices]:
    """Fetch all that the universe's source has of some tickers; nothing is kept in the store.

    Args:
        asked: the tickers; empty: of the first of the universe the one with the longest history, or
            the two where the recipe's stocks share a network.
    """
    source, calendar = parts.source(universe), parts.calendar(universe)
    tickers = list(asked) or list(universe.tickers[:CANDIDATE_TICKERS])
    aliases = {ticker: universe.aliases[ticker] for ticker in tickers if ticker in universe.aliases}
    require_known(source, tickers, aliases)
    newest = newest_session(source, [*tickers, *aliases.values()], calendar, now)
    bars = {}
    for ticker in tickers:
        fetched = fetch_renamed(source, ticker, universe.start, newest, calendar, now, aliases)
        bars[ticker] = TradedPrices(fetched.prices, fetched.actions)
    if asked:
        return bars
    # Of equally long histories, the first of the universe.
    longest = sorted(tickers, key=lambda ticker: -len(bars[ticker].prices))
    count = TICKERS_SHARING if recipe.knows_symbols else TICKERS_ALONE
    return {ticker: bars[ticker] for ticker in longest[:count]}


def shared_sessions(bars: Mapping[str, TradedPrices]) -> list[dt.date]:
    """Return the sessions that all tickers have, in the order of time."""
    shared = set.intersection(*(set(each.prices["session"]) for each in bars.values()))
    return [session.date() for session in sorted(shared)]
