"""Histories of all stocks up to the cutoffs of a run, read a few stocks at a time.

The facts of each history are noted at all cutoffs; the histories are kept only where something is
fitted or asked: of most sessions, that is at their own end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily.known_events import reports_of
from pipeline.daily.shards import chunks
from pipeline.daily.window_cuts import (
    BUILT_TOGETHER,
    CutFacts,
    cut_facts,
    seen_history,
    shared_histories_of,
)
from pipeline.models import Panel, PriceRecipe, panel_of
from pipeline.outcomes import outcome_of_each, raise_together, worth_trying
from pipeline.prices import Histories
from pipeline.run import Run

if TYPE_CHECKING:
    from pipeline.parts import Parts


class SeenHistories:
    """The histories of all tickers of a run up to some cutoffs.

    Where a column up to a cutoff has the values that it has up to the last one, it is kept once: of
    5,000 stocks with 5,000 sessions, each copy of it is 200 MB. So are the sessions, as all stocks
    have the same, and no ticker is kept in each row.

    Args:
        kept: the cutoffs whose histories are surely asked for.
        noted: those whose facts are.
    """

    def __init__(
        self,
        parts: Parts,
        run: Run,
        recipe: PriceRecipe,
        kept: Iterable[dt.date],
        noted: Iterable[dt.date],
    ) -> None:
        self._parts, self._run = parts, run
        # The last one first: the others' columns are mostly parts of its own.
        ordered = sorted(kept, reverse=True)
        self._of: dict[dt.date, dict[str, pd.DataFrame]] = {cutoff: {} for cutoff in ordered}
        self._facts: dict[dt.date, dict[str, CutFacts]] = {cutoff: {} for cutoff in noted}
        for tickers in chunks(run.universe.tickers, BUILT_TOGETHER):
            histories = shared_histories_of(parts, run, tickers)
            for cutoff, facts in self._facts.items():
                for ticker in tickers:
                    facts[ticker] = cut_facts(parts, run, recipe, histories, ticker, cutoff)
            self._keep(histories, tickers, ordered)

    def facts(self, cutoff: dt.date) -> Mapping[str, CutFacts]:
        """Return by ticker the facts of a cutoff that are noted."""
        return self._facts[cutoff]

    def panel(self, cutoff: dt.date, tickers: Sequence[str]) -> tuple[Panel | None, list[str]]:
        """Return those of these tickers that are there side by side, and their names."""
        if cutoff not in self._of:
            self._of[cutoff] = {}
            for batch in chunks(self._run.universe.tickers, BUILT_TOGETHER):
                histories = shared_histories_of(self._parts, self._run, batch)
                self._keep(histories, batch, [cutoff])
        kept = {t: self._of[cutoff][t] for t in tickers if t in self._of[cutoff]}
        universe = self._run.universe
        calendar = self._parts.calendar(universe)
        if not kept:
            return None, []
        about = universe.target, universe.horizon, calendar
        reports = reports_of(self._parts, self._run, list(kept))
        return panel_of(kept, *about, reports if len(reports) else None), list(kept)

    def _keep(
        self, histories: Histories, tickers: Sequence[str], cutoffs: Iterable[dt.date]
    ) -> None:
        """Keep what is seen of these tickers; one whose prices cannot be adjusted is left out."""
        for cutoff in cutoffs:

            def seen(ticker: str, cutoff: dt.date = cutoff) -> pd.DataFrame:
                return seen_history(self._parts, self._run, histories, ticker, cutoff)

            found = outcome_of_each(tickers, seen)
            if worth_trying(found.failures):
                raise_together(found.failures)
            last = next(iter(self._of.values()))
            for ticker, each in found.results.items():
                if len(each):
                    self._of[cutoff][ticker] = _sharing_with_all(ticker, each, last)


def _sharing_with_all(
    ticker: str, history: pd.DataFrame, last: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Return a history without its ticker, its columns parts of those that are kept already."""
    history = history.drop(columns="ticker")
    if ticker in last:
        return _sharing(history, last[ticker], list(history.columns))
    others = next(iter(last.values()), None)
    return history if others is None else _sharing(history, others, ["session"])


def _sharing(history: pd.DataFrame, longer: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return a history, some columns parts of a longer one where these have the same values."""
    first = longer["session"].searchsorted(history["session"].iloc[0])
    part = longer.iloc[first : first + len(history)].reset_index(drop=True)
    columns = {
        name: part[name] if name in names and part[name].equals(values) else values
        for name, values in history.items()
    }
    return pd.DataFrame(columns, copy=False)
