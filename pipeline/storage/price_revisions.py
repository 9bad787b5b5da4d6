"""Prices and corporate actions as revisions: what a source reported, and since when it is known.

Reads are as of a moment, `known_at`; None: all that is known by now.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import sqlalchemy as sa

from pipeline.prices import without_taken_back
from pipeline.storage.database import Database
from pipeline.storage.filters import Span, conditions_of
from pipeline.storage.frames import (
    append_frame,
    are_many,
    fetch_frame,
    rows_of,
    utc_moment,
)
from pipeline.storage.moments import next_moment, now
from pipeline.storage.revision_queries import known_by, newest_revisions
from pipeline.storage.schema import SQL_TABLES
from pipeline.storage.statements import insert_all, insert_into, upsert
from pipeline.tables import (
    ACTION_REVISIONS,
    ACTIONS,
    PRICE_CURRENCIES,
    PRICE_READINGS,
    PRICE_REVISIONS,
    PRICE_SOURCES,
    PRICES,
    Table,
)

#: Tickers that a read of currencies names; of more, all of their source are read: there are few
#: rows, and a statement with thousands of names takes longer.
NAMED_TICKERS = 1000


class PriceRevisions:
    """Reads and writes of PRICE_REVISIONS and ACTION_REVISIONS; each call is one transaction.

    Attributes:
        clock: read at the write, while nothing else of the source is written; its revisions are
            dated in their order even where it is set back.
    """

    def __init__(self, database: Database, clock: Callable[[], dt.datetime] = now) -> None:
        self._database = database
        self.clock = clock

    def save(
        self,
        source_id: str,
        prices: pd.DataFrame,
        actions: pd.DataFrame,
        first: dt.date,
        last: dt.date,
        readings: pd.DataFrame | None = None,
        currencies: Mapping[str, str] | None = None,
    ) -> Counter[str]:
        """Append what a source reports about `first` to `last` where it differs from the newest.

        An action in that range that the source no longer reports, of a ticker that it gave prices
        for, is taken back. The revisions are dated after all others of the source: what a read as
        of a moment gives does not change once anything later is stored.

        Args:
            readings: PRICE_READINGS that are true once this is stored; None: none.
            currencies: by ticker, that of its prices; "": not known, and what is stored stays.

        Returns:
            How many new price revisions each ticker has.
        """
        prices, actions = PRICES.conform(prices), ACTIONS.conform(actions)
        tickers = sorted({*prices["ticker"], *actions["ticker"]})
        if not tickers:
            return Counter()
        begin = min([pd.Timestamp(first), *prices["session"], *actions["session"]]).date()
        with self._database.writer(locks=[f"prices of {source_id}"]) as connection:
            known_at = self._next_moment(connection, source_id)
            report = _Report(connection, source_id, tickers, begin, known_at)
            added = report.append_bars(prices)
            acted = report.append_actions(actions, first, last)
            named = report.append_currencies(currencies or {})
            if added + acted + named:
                upsert(connection, PRICE_SOURCES, [{"source_id": source_id, "known_at": known_at}])
            if readings is not None:
                upsert(connection, PRICE_READINGS, rows_of(PRICE_READINGS, readings))
        return added

    def _next_moment(self, connection: sa.Connection, source_id: str) -> dt.datetime:
        sources = SQL_TABLES[PRICE_SOURCES.name].c
        query = sa.select(sources.known_at).where(sources.source_id == source_id)
        return next_moment(self.clock, connection.scalar(query))

    def bars(
        self,
        source_id: str,
        ticker: str | Sequence[str],
        cutoff: dt.date,
        known_at: dt.datetime | None,
        first: dt.date | None = None,
    ) -> pd.DataFrame:
        """Return bars as traded, from `first` (None: the beginning) to the cutoff; PRICES.

        Without those that the source has taken back.
        """
        query = newest_revisions(
            PRICE_REVISIONS, PRICES, source_id, ticker, known_at, cutoff, first
        )
        with self._database.reader() as connection:
            bars = fetch_frame(connection, query, PRICES, many=are_many(ticker))
        return without_taken_back(bars).reset_index(drop=True)

    def actions(
        self,
        source_id: str,
        ticker: str | Sequence[str],
        cutoff: dt.date,
        known_at: dt.datetime | None,
    ) -> pd.DataFrame:
        """Return corporate actions up to the cutoff without those taken back; ACTIONS."""
        query = newest_revisions(ACTION_REVISIONS, ACTIONS, source_id, ticker, known_at, cutoff)
        with self._database.reader() as connection:
            actions = fetch_frame(connection, query, ACTIONS, many=are_many(ticker))
        return actions[actions["value"] != 0].reset_index(drop=True)

    def revisions(
        self,
        source_id: str,
        tickers: Sequence[str],
        cutoff: dt.date,
        known_at: dt.datetime | None,
        first: dt.date | None = None,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the newest revision of each bar and action up to the cutoff.

        Args:
            first: the first session whose bar is wanted; None: the history's own.

        Returns:
            PRICE_REVISIONS and ACTION_REVISIONS of one moment.
        """
        asked = source_id, tickers, known_at, cutoff
        bars = newest_revisions(PRICE_REVISIONS, PRICES, *asked, first, PRICE_REVISIONS)
        actions = newest_revisions(ACTION_REVISIONS, ACTIONS, *asked, columns=ACTION_REVISIONS)
        many = are_many(tickers)
        with self._database.reader() as connection:
            return (
                fetch_frame(connection, bars, PRICE_REVISIONS, many),
                fetch_frame(connection, actions, ACTION_REVISIONS, many),
            )

    def newest_revision(
        self,
        source_id: str,
        ticker: str | Sequence[str],
        cutoff: dt.date,
        known_at: dt.datetime | None,
    ) -> dt.datetime | None:
        """Return when the newest of their revisions up to the cutoff became known (UTC, no zone).

        Reading as of then gives the same rows. None: there is no revision.
        """
        moments = []
        with self._database.reader() as connection:
            for table in (PRICE_REVISIONS, ACTION_REVISIONS):
                revisions = SQL_TABLES[table.name].c
                query = sa.select(sa.func.max(revisions.known_at)).where(
                    *conditions_of(table, {"source_id": source_id, "ticker": ticker}),
                    revisions.session <= cutoff,
                    known_by(revisions.known_at, known_at),
                )
                moments.append(connection.scalar(query))
        return max((moment for moment in moments if moment is not None), default=None)

    def currencies(
        self, source_id: str, tickers: Sequence[str], known_at: dt.datetime | None = None
    ) -> dict[str, str]:
        """Return by ticker the currency that its prices had at a moment (UTC).

        Before the first that was stored it was the first: earlier versions stored none. Tickers of
        which none is stored are left out.
        """
        return self.currencies_at(source_id, tickers, [known_at])[0]

    def currencies_at(
        self, source_id: str, tickers: Sequence[str], moments: Sequence[dt.datetime | None]
    ) -> list[dict[str, str]]:
        """Return the `currencies` of several moments, read at once."""
        with self._database.reader() as connection:
            rows = _currency_rows(connection, source_id, tickers)
        return [_currencies(rows, known_at) for known_at in moments]

    def bar_counts(self, source_id: str, cutoff: dt.date) -> dict[str, int]:
        """Return how many revisions of bars up to the cutoff each ticker has."""
        revisions = SQL_TABLES[PRICE_REVISIONS.name].c
        conditions = [
            *conditions_of(PRICE_REVISIONS, {"source_id": source_id}),
            revisions.session <= cutoff,
        ]
        query = sa.select(revisions.ticker, sa.func.count()).where(*conditions)
        with self._database.reader() as connection:
            rows = connection.execute(query.group_by(revisions.ticker))
            return {row.ticker: row[1] for row in rows}

    def sources(self) -> list[str]:
        """Return every `source_id` that there are prices or actions of."""
        query = sa.select(SQL_TABLES[PRICE_SOURCES.name].c.source_id)
        with self._database.reader() as connection:
            return sorted(connection.scalars(query))

    def last_sessions(
        self,
        source_id: str,
        tickers: Iterable[str],
        until: dt.date,
        known_at: dt.datetime | None,
    ) -> dict[str, dt.date]:
        """Return the newest session not after `until` of each ticker that has a bar."""
        revisions = SQL_TABLES[PRICE_REVISIONS.name].c
        # One look at the end of the primary key for each: grouping all tickers reads every bar.
        query = sa.select(sa.func.max(revisions.session)).where(
            revisions.source_id == source_id,
            revisions.ticker == sa.bindparam("ticker"),
            revisions.session <= until,
            known_by(revisions.known_at, known_at),
        )
        with self._database.reader() as connection:
            newest = {t: connection.scalar(query, {"ticker": t}) for t in tickers}
        return {ticker: session for ticker, session in newest.items() if session is not None}

    def corrected(
        self, source_id: str, tickers: Iterable[str], first: dt.date, last: dt.date
    ) -> set[str]:
        """Return the tickers with a corrected bar, or any corporate action, from first to last."""
        filters = {"source_id": source_id, "ticker": tickers, "session": Span(first, last)}
        bars = SQL_TABLES[PRICE_REVISIONS.name].c
        actions = SQL_TABLES[ACTION_REVISIONS.name].c
        repeated = (
            sa.select(bars.ticker)
            .where(*conditions_of(PRICE_REVISIONS, filters))
            .group_by(bars.ticker, bars.session)
            .having(sa.func.count() > 1)
        )
        acted = sa.select(actions.ticker).where(*conditions_of(ACTION_REVISIONS, filters))
        with self._database.reader() as connection:
            return {*connection.scalars(repeated), *connection.scalars(acted.distinct())}


@dataclass(frozen=True)
class _Report:
    """Source's report of some tickers, on its way into the tables.

    Attributes:
        connection: an open transaction that writes.
        begin: the first session that known facts are compared from.
        known_at: the moment (UTC, no zone) that its revisions are dated with.
    """

    connection: sa.Connection
    source_id: str
    tickers: list[str]
    begin: dt.date
    known_at: dt.datetime

    def append_bars(self, bars: pd.DataFrame) -> Counter[str]:
        """Append bars that differ from the newest; return how many of each ticker."""
        known = self._known(PRICE_REVISIONS, PRICES, are_many(self.tickers))
        return self._append(PRICE_REVISIONS, _differing_rows(PRICES, bars, known))

    def append_actions(self, actions: pd.DataFrame, first: dt.date, last: dt.date) -> Counter[str]:
        """Append actions that differ from the newest, and take back those no longer reported.

        Returns:
            How many of each ticker are appended.
        """
        known = self._known(ACTION_REVISIONS, ACTIONS)
        in_range = known["session"].between(pd.Timestamp(first), pd.Timestamp(last))
        withdrawn = _rows_without(ACTIONS, known[in_range], actions).assign(value=0.0)
        reported = pd.concat([actions, withdrawn])
        return self._append(ACTION_REVISIONS, _differing_rows(ACTIONS, reported, known))

    def append_currencies(self, currencies: Mapping[str, str]) -> Counter[str]:
        """Append currencies that differ from the newest; return how many of each ticker."""
        known = _currencies(_currency_rows(self.connection, self.source_id, [*currencies]), None)
        changed = [
            {"ticker": ticker, "currency": currency}
            for ticker, currency in currencies.items()
            if currency and currency != known.get(ticker)
        ]
        if not changed:
            return Counter()
        return self._append(PRICE_CURRENCIES, pd.DataFrame(changed))

    def _known(self, revisions: Table, facts: Table, many: bool = False) -> pd.DataFrame:
        query = newest_revisions(
            revisions, facts, self.source_id, self.tickers, None, first=self.begin
        )
        return fetch_frame(self.connection, query, facts, many)

    def _append(self, revisions: Table, facts: pd.DataFrame) -> Counter[str]:
        stamped = facts.assign(source_id=self.source_id, known_at=self.known_at)
        if append_frame(self.connection, revisions, stamped):
            return Counter(facts["ticker"])
        rows = rows_of(revisions, stamped)
        insert = insert_into(self.connection.dialect.name, revisions.name)
        return Counter(insert_all(self.connection, revisions, insert, rows, "ticker"))


def _currency_rows(
    connection: sa.Connection, source_id: str, tickers: Sequence[str]
) -> Sequence[tuple[str, dt.datetime, str]]:
    """Return tickers, moments and currencies as they are stored, in this order."""
    stored, wanted = SQL_TABLES[PRICE_CURRENCIES.name].c, set(tickers)
    filters: dict[str, object] = {"source_id": source_id}
    if len(wanted) <= NAMED_TICKERS:
        filters["ticker"] = list(tickers)
    query = sa.select(stored.ticker, stored.known_at, stored.currency)
    query = query.where(*conditions_of(PRICE_CURRENCIES, filters))
    rows = connection.execute(query.order_by(stored.ticker, stored.known_at))
    return [(ticker, known_at, name) for ticker, known_at, name in rows if ticker in wanted]


def _currencies(
    rows: Sequence[tuple[str, dt.datetime, str]], known_at: dt.datetime | None
) -> dict[str, str]:
    """Return the currencies of a moment; see `PriceRevisions.currencies`."""
    until = None if known_at is None else utc_moment(known_at)
    currencies: dict[str, str] = {}
    for ticker, since, currency in rows:
        if ticker not in currencies or until is None or since <= until:
            currencies[ticker] = currency
    return currencies


def _differing_rows(table: Table, reported: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are not known with the same values; NaN equals NaN."""
    return _rows_without(table, reported, known, on=list(table.columns))


def _rows_without(
    table: Table, rows: pd.DataFrame, others: pd.DataFrame, on: list[str] | None = None
) -> pd.DataFrame:
    """Return the rows whose key (or columns `on`) the others do not have."""
    if rows.empty or others.empty:  # on most days there is no action at all
        return rows
    on = on or list(table.key)
    side = rows.merge(others[on], on=on, how="left", indicator=True)["_merge"]
    return rows[(side == "left_only").to_numpy()]
