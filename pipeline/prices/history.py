"""Histories, all that a model may see of prices.

They are adjusted as of a cutoff, known at a moment, and masked.

This is the one road from revisions to histories. Whoever needs prices takes it: the day, backtests,
searches, studies, audits, scores and pages.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd

from pipeline.arrays import Array
from pipeline.errors import StockcastError
from pipeline.outcomes import outcome_of_each
from pipeline.prices.adjustment import adjust
from pipeline.prices.masking import mask
from pipeline.prices.renamed_tickers import fetch_renamed
from pipeline.prices.repair import repaired
from pipeline.prices.source import NO_ALIASES, Source
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, HISTORY, OHLCV, PRICES


class Revisions(Protocol):
    """A keeper of prices as revisions, such as the store's `prices`."""

    def revisions(
        self,
        source_id: str,
        tickers: Sequence[str],
        cutoff: dt.date,
        known_at: dt.datetime | None,
        first: dt.date | None = None,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the newest PRICE_REVISIONS and ACTION_REVISIONS of each bar and action.

        Args:
            cutoff: the last session that is looked at.
            known_at: nothing that became known later counts; None: all that is known by now.
            first: the first session of the bars; None: the history's own. Actions are never cut.
        """
        ...


@dataclass(frozen=True, eq=False)
class Histories:
    """Prices and corporate actions of some tickers as known at one moment.

    Attributes:
        bars: PRICES as traded, or PRICE_REVISIONS with one revision of each bar.
        actions: ACTIONS, or ACTION_REVISIONS with one revision of each action. An action of
            value 0 was taken back.
        repair: whether bars on another basis are brought to that of the newest (see `repair`).
    """

    bars: pd.DataFrame
    actions: pd.DataFrame
    repair: bool = False
    _tables: dict[tuple[dt.date, bool], pd.DataFrame] = field(
        default_factory=dict, init=False, repr=False
    )
    _tables_by_ticker: dict[tuple[dt.date, bool], dict[str, pd.DataFrame]] = field(
        default_factory=dict, init=False, repr=False
    )
    _failures: dict[tuple[dt.date, bool], Mapping[str, StockcastError]] = field(
        default_factory=dict, init=False, repr=False
    )

    def of(self, ticker: str, cutoff: dt.date, masked: bool = True) -> pd.DataFrame:
        """Return the HISTORY of a ticker as it could be seen on the evening of `cutoff`.

        Args:
            masked: whether cells that no model may use are NaN (see `masking`).

        Returns:
            No rows where there is no bar up to the cutoff.

        Raises:
            MalformedPrices: its prices and actions cannot be.
        """
        key = cutoff, masked
        if key not in self._tables_by_ticker:
            self._tables_by_ticker[key] = _by_ticker(self.all_of(cutoff, masked))
        if ticker in self._failures[key]:
            raise self._failures[key][ticker]
        tables = self._tables_by_ticker[key]
        return tables[ticker] if ticker in tables else HISTORY.empty()

    def all_of(self, cutoff: dt.date, masked: bool = True) -> pd.DataFrame:
        """Return the HISTORY of all tickers as of `cutoff` but those of `failures`; see `of`."""
        key = cutoff, masked
        if key not in self._tables:
            self._tables[key], self._failures[key] = self._seen(cutoff, masked)
        return self._tables[key]

    def failures(self, cutoff: dt.date, masked: bool = True) -> Mapping[str, StockcastError]:
        """Return by ticker why a history cannot be adjusted as of `cutoff`."""
        self.all_of(cutoff, masked)
        return self._failures[cutoff, masked]

    def _seen(
        self, cutoff: dt.date, masked: bool
    ) -> tuple[pd.DataFrame, Mapping[str, StockcastError]]:
        """Return the HISTORY of all tickers that have one, and by ticker why the others do not."""

        def seen(bars: pd.DataFrame, actions: pd.DataFrame) -> pd.DataFrame:
            history = adjust(bars, actions, cutoff)
            return mask(history) if masked else history

        try:
            # All tickers at once: adjusting and masking one by one takes three times as long.
            return seen(self._on_one_basis, self.actions), {}
        except Exception:  # which ticker's it is shows one by one
            of = self._one_by_one
            each = outcome_of_each(of, lambda ticker: seen(of[ticker]._on_one_basis, self.actions))
        tables = [HISTORY.empty(), *each.results.values()]
        return HISTORY.conform(pd.concat(tables)), each.failures

    @cached_property
    def _on_one_basis(self) -> pd.DataFrame:
        """The bars that histories are made of; they are the same for every cutoff."""
        if not self.repair or self.bars.empty:
            return self.bars
        return repaired(self.bars, self.actions, self.bars["session"].max().date()).bars

    @cached_property
    def _one_by_one(self) -> dict[str, Histories]:
        """Those of each ticker with a bar."""
        return {
            ticker: Histories(bars, self.actions, self.repair)
            for ticker, bars in _by_ticker(self.bars).items()
        }

    def until(self, cutoff: dt.date) -> Histories:
        """Return what is of sessions up to a cutoff; nothing later decides on repairs."""
        bars, actions = (
            table[table["session"] <= pd.Timestamp(cutoff)] for table in (self.bars, self.actions)
        )
        return Histories(bars, actions, self.repair)

    def among(self, tickers: Iterable[str]) -> Histories:
        """Return those of some tickers."""
        own = set(tickers)
        bars, actions = (table[table["ticker"].isin(own)] for table in (self.bars, self.actions))
        return Histories(bars, actions, self.repair)

    def newest_revision(self, ticker: str, cutoff: dt.date) -> pd.Timestamp | None:
        """Return when the newest fact up to a cutoff became known (UTC, no zone); None: no fact.

        `bars` and `actions` have to be revisions.
        """
        newest = []
        for table in self._moments:
            if ticker not in table:
                continue
            sessions, moments = table[ticker]
            known_at = moments[sessions <= np.datetime64(cutoff)]
            if len(known_at):
                newest.append(pd.Timestamp(known_at.max()))
        return max(newest, default=None)

    def digest(self, ticker: str, cutoff: dt.date) -> str:
        """Return a digest of all that decides on `of`: equal ones mean equal histories."""
        content = hashlib.sha256(f"{ticker} {cutoff}".encode())
        for name, table in self._decisive.items():
            if ticker not in table:
                continue
            sessions, values = table[ticker]
            until = sessions <= np.datetime64(cutoff)
            if until.any():
                content.update(f"{name} {until.sum()}".encode())
                content.update(sessions[until].tobytes())
                content.update(values[until].tobytes())
        return content.hexdigest()

    @cached_property
    def _decisive(self) -> dict[str, dict[str, tuple[Array, Array]]]:
        """Sessions and values by ticker of the bars, the splits and the dividends."""
        try:
            tables = {"bars": self._on_one_basis}
        except Exception:  # whose fault it is shows one by one
            each = outcome_of_each(self._one_by_one, lambda t: self._one_by_one[t]._on_one_basis)
            unadjusted = self.bars[self.bars["ticker"].isin(each.failures)]
            tables = {
                "bars": pd.concat([self.bars.iloc[:0], *each.results.values()]),
                "bars that cannot be adjusted": unadjusted,
            }
        tables |= {str(kind): rows for kind, rows in self.actions.groupby("kind")}
        return {
            name: _with_sessions(table, table[OHLCV if name.startswith("bars") else ["value"]])
            for name, table in tables.items()
        }

    @cached_property
    def _moments(self) -> list[dict[str, tuple[Array, Array]]]:
        """Sessions and moments by ticker of the bars and of the actions."""
        return [_with_sessions(table, table["known_at"]) for table in (self.bars, self.actions)]


def _by_ticker(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(ticker): rows for ticker, rows in table.groupby("ticker")}


def _with_sessions(
    table: pd.DataFrame, columns: pd.DataFrame | pd.Series
) -> dict[str, tuple[Array, Array]]:
    """Return sessions and columns of a table by ticker, in the order of its rows."""
    sessions, values = table["session"].to_numpy(), columns.to_numpy()
    rows = table.groupby("ticker").indices
    return {str(ticker): (sessions[each], values[each]) for ticker, each in rows.items()}


def histories_as_of(
    prices: Revisions,
    source_id: str,
    tickers: Sequence[str],
    cutoff: dt.date,
    known_at: dt.datetime | None,
    first: dt.date | None = None,
    repair: bool = False,
) -> Histories:
    """Read all that was known of some tickers at a moment, up to a cutoff; see `Revisions`."""
    return Histories(*prices.revisions(source_id, tickers, cutoff, known_at, first), repair)


def fetch_histories(
    source: Source,
    tickers: Iterable[str],
    first: dt.date,
    last: dt.date,
    calendar: Calendar,
    now: dt.datetime,
    aliases: Mapping[str, str] = NO_ALIASES,
    repair: bool = False,
) -> Histories:
    """Fetch PRICES and ACTIONS of some tickers from a source, as it knows them now.

    Args:
        aliases: see `fetch_renamed`.
        repair: see `Histories`.

    Raises:
        UnknownTicker, SourceUnavailable, MalformedPrices: see `Source`.
    """
    days = first, last, calendar, now
    fetched = [fetch_renamed(source, ticker, *days, aliases) for ticker in tickers]
    bars = pd.concat([PRICES.empty(), *(rows.prices for rows in fetched)])
    actions = pd.concat([ACTIONS.empty(), *(rows.actions for rows in fetched)])
    return Histories(PRICES.conform(bars), ACTIONS.conform(actions), repair)


def on_calendar(
    history: pd.DataFrame, sessions: Sequence[dt.date] | pd.DatetimeIndex
) -> pd.DataFrame:
    """Return the history of one ticker with exactly one row per session from its first.

    Sessions without a bar are NaN; days that are no sessions are dropped.

    Args:
        history: HISTORY of one ticker, at least one row.
    """
    # numpy takes ten times as long to read dates, which pandas wants as a list or an index.
    dates = sessions if isinstance(sessions, pd.DatetimeIndex) else list(sessions)
    index = pd.DatetimeIndex(dates).as_unit("s")
    index = index[index >= history["session"].iloc[0]]
    if np.array_equal(index.to_numpy(), history["session"].to_numpy()):  # most histories
        return history.reset_index(drop=True)
    table = history.drop_duplicates("session").set_index("session").reindex(index)
    table["ticker"] = history["ticker"].iloc[0]
    return HISTORY.conform(table.rename_axis("session").reset_index())
