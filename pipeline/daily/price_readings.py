"""Readings: requests of `ingest` to a source, and what they change of the stored bars.

A file is read as a whole: while its rows up to the last reading are the same, only those since then
are looked at. Of a source that is asked, the newest sessions are fetched. All of a ticker is asked
for where these say that older ones have changed too, and once in every `REREAD_DAYS` besides.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.errors import MalformedPrices
from pipeline.prices import (
    Fetched,
    FilesReadAhead,
    Restatement,
    Source,
    absent_bars,
    bars_in_words,
    fetch_renamed,
    is_behind,
    require_own_days,
    restatement,
)
from pipeline.run import Run
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, OHLCV, PRICE_READINGS, PRICES

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Days within which all of each ticker is asked for again: a quarter.
REREAD_DAYS = 90
#: Days without a run after which an evening's tickers are no longer made up for. (A stock that is
#: no longer listed would be asked for as a whole every evening.)
MADE_UP_DAYS = 30
_ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class PriceReading:
    """A source's report of one ticker, on its way to the store.

    Attributes:
        first: the session that it was asked from.
        count: how many bars it gave.
        prices, actions: PRICES and ACTIONS to store, bars that it no longer has among them.
        unused: `unused` and `left_out` of `prices.RawPrices`.
        kept: PRICE_READINGS that are true once they are stored.
        currency: of the prices; "": not known.
        restatement: what they change, where all was asked for; None: nothing.
        was_asked: False: the source counts its requests, and the session is stored already.
    """

    first: dt.date
    count: int
    prices: pd.DataFrame
    actions: pd.DataFrame
    unused: tuple[str, ...]
    kept: pd.DataFrame
    currency: str = ""
    restatement: Restatement | None = None
    was_asked: bool = True


@dataclass(frozen=True)
class PriceReader:
    """Reads of some tickers' prices from the source of a run.

    Attributes:
        newest: by ticker, the newest session up to the run's that is stored.
    """

    parts: Parts
    run: Run
    tickers: Sequence[str]
    newest: Mapping[str, dt.date]

    def read(self, ticker: str) -> PriceReading:
        """Ask for what may be new of a ticker up to the run's session, or for all of it.

        Raises:
            UnknownTicker, RateLimited, SourceUnavailable, MalformedPrices: see `Source.fetch_raw`.
        """
        return self._from_file(ticker) if self._source.reads_all else self._from_service(ticker)

    # Files

    def _from_file(self, ticker: str) -> PriceReading:
        row, start = self._rows.get(ticker), self.run.universe.start
        begin = start if row is None else min(start, row["first"].date())
        every = self._fetch(ticker, begin, self.run.session)
        if every.prices.empty and (bars := bars_in_words(self._source, ticker, self.run.known_at)):
            outside = f"{bars}, outside {begin} to {self.run.session}"
            every = replace(every, left_out=(*every.left_out, outside))
        newest = self.newest.get(ticker)
        if row is None or newest is None or not self._is_as_read(every, row, begin):
            return self._whole(ticker, begin, every, is_complete=True)
        last = row["last"].date()
        first = min(first_wanted(self.parts, self.run, newest), last + _ONE_DAY)
        newer = every.between(first, self.run.session)
        kept = row if last >= self.run.session else self._row(ticker, begin, every)
        return _reading(first, newer, _frame(kept))

    def _is_as_read(self, every: Fetched, row: pd.Series, begin: dt.date) -> bool:
        """Return whether a file's rows, as far as they were read last time, are still the same."""
        first, last = row["first"].date(), row["last"].date()
        if begin < first:
            return False
        if last > self.run.session:
            try:
                every = self._fetch(row["ticker"], first, last)
            except MalformedPrices:  # which is about later sessions than this run's
                return False
        return _digest(every.between(first, last)) == str(row["digest"])

    def _row(self, ticker: str, begin: dt.date, every: Fetched) -> pd.Series:
        """Return the row of PRICE_READINGS that says that all of this is stored.

        It reaches to the newest bar: one that is late is a new bar when it is there.
        """
        sessions = every.prices["session"]
        last = sessions.max().date() if len(sessions) else self.run.session
        return pd.Series(
            {
                "source_id": self.run.universe.source_id,
                "ticker": ticker,
                "first": pd.Timestamp(begin),
                "last": pd.Timestamp(last),
                "digest": _digest(every.between(begin, last)),
            }
        )

    @cached_property
    def _rows(self) -> dict[str, pd.Series]:
        """The rows of PRICE_READINGS by ticker."""
        source_id = self.run.universe.source_id
        rows = self.parts.store.load(PRICE_READINGS, source_id=source_id, ticker=self.tickers)
        return {row["ticker"]: row for _, row in rows.iterrows()}

    # Services

    def _from_service(self, ticker: str) -> PriceReading:
        start, newest = self.run.universe.start, self.newest.get(ticker)
        row = self._rows.get(ticker)
        # Another universe of the same source, which the stored bars are of, may begin later.
        reaches_back = row is not None and row["first"].date() <= start
        if self._source.is_metered and reaches_back and newest == self.run.session:
            nothing = _reading(newest, Fetched(PRICES.empty(), ACTIONS.empty()), _frame())
            return replace(nothing, was_asked=False)
        if newest is not None and reaches_back and not self._is_due(ticker, newest):
            first = first_wanted(self.parts, self.run, newest)
            fetched = self._fetch(ticker, first, self.run.session)
            if first == start or not self._tells_of_older(ticker, first, newest, fetched):
                return _reading(first, fetched, _frame())
        # Or earlier.
        stored = self._stored(ticker)["session"]
        begin = min(start, stored.min().date()) if len(stored) else start
        return self._whole(ticker, begin, self._fetch(ticker, begin, self.run.session))

    def _is_due(self, ticker: str, newest: dt.date) -> bool:
        """Return whether a ticker's day is among those since the last run's session.

        The days between two runs count, weekends too, so that no ticker waits for a session that
        is not run. A step that is repeated asks for the same.
        """
        session = self.run.session
        before = min(newest, self._calendar.last_session_until(session - _ONE_DAY))
        since = max(before, session - dt.timedelta(days=MADE_UP_DAYS))
        day = zlib.crc32(ticker.encode()) % REREAD_DAYS
        next_day = since.toordinal() + 1 + (day - since.toordinal() - 1) % REREAD_DAYS
        return next_day <= session.toordinal()

    def _tells_of_older(
        self, ticker: str, first: dt.date, newest: dt.date, fetched: Fetched
    ) -> bool:
        """Return whether what was fetched again says that older bars have changed, too.

        Its bars do where they differ by a factor, and corporate actions where they do from those
        that are stored. A dividend after the newest stored bar is an ordinary one.
        """
        if is_behind(self._stored(ticker, first), fetched.prices):
            return True
        source_id, session = self.run.universe.source_id, self.run.session
        stored = self.parts.store.prices.actions(source_id, ticker, session, None)
        return _standing(stored, first, newest) != _standing(fetched.actions, first, newest)

    # Both

    def _whole(
        self, ticker: str, begin: dt.date, fetched: Fetched, is_complete: bool = False
    ) -> PriceReading:
        """Return a report of all of a ticker.

        Args:
            is_complete: whether the source no longer has the bars that are not in it. (A service's
                answer may lack some that it has.)
        """
        prices = fetched.prices
        kept = _frame(self._row(ticker, begin, fetched))
        count, changes = len(prices), None
        if ticker in self.newest:
            stored = self._stored(ticker, begin)
            gone, others = absent_bars(stored, prices) if is_complete else (PRICES.empty(), 0)
            changes = restatement(stored, prices, len(gone), others)
            prices = PRICES.conform(pd.concat([prices, gone]))
        about = (*fetched.unused, *fetched.left_out), kept, fetched.currency
        return PriceReading(begin, count, prices, fetched.actions, *about, changes)

    def _stored(self, ticker: str, first: dt.date | None = None) -> pd.DataFrame:
        source_id, session = self.run.universe.source_id, self.run.session
        return self.parts.store.prices.bars(source_id, ticker, session, None, first)

    def _fetch(self, ticker: str, first: dt.date, last: dt.date) -> Fetched:
        run, ahead = self.run, self.parts.files_ahead
        asked = self._source, ticker, first, last, self._calendar, run.known_at
        if ahead is not None and ticker not in run.universe.aliases:
            fetched = ahead.fetch(*asked)
        else:
            fetched = fetch_renamed(*asked, run.universe.aliases)
        if self._source.reads_all:
            days = pd.DatetimeIndex(fetched.prices["session"])
            require_own_days(days, ticker, self._calendar, fetched.calendar)
        return fetched

    @cached_property
    def _source(self) -> Source:
        return self.parts.source(self.run.universe)

    @cached_property
    def _calendar(self) -> Calendar:
        return self.parts.calendar(self.run.universe)


def _reading(first: dt.date, fetched: Fetched, kept: pd.DataFrame) -> PriceReading:
    """Return a report of what was fetched, and nothing else."""
    prices, unused = fetched.prices, (*fetched.unused, *fetched.left_out)
    about = unused, kept, fetched.currency
    return PriceReading(first, len(prices), prices, fetched.actions, *about)


def read_files_ahead(parts: Parts, run: Run) -> None:
    """Let the sessions of a backfill read what files have up to the newest session once.

    Args:
        run: one of them.
    """
    newest = parts.calendar(run.universe).last_complete_session(run.known_at)
    parts.files_ahead = FilesReadAhead(newest)


def first_wanted(parts: Parts, run: Run, newest: dt.date) -> dt.date:
    """Return the first session to fetch: a few before the newest bar, which may be corrected."""
    count, start = parts.settings.refetch_sessions, run.universe.start
    begin = max(start, newest - dt.timedelta(days=3 * count + 10))
    earlier = parts.calendar(run.universe).sessions(begin, newest)
    return earlier[max(len(earlier) - 1 - count, 0)] if earlier else start


def _standing(actions: pd.DataFrame, first: dt.date, newest: dt.date) -> set[tuple[object, ...]]:
    """Return the splits from `first` on, and the dividends from there to `newest`."""
    sessions, is_split = actions["session"], actions["kind"] == "split"
    known = sessions <= pd.Timestamp(newest)
    rows = actions[(sessions >= pd.Timestamp(first)) & (is_split | known)]
    return set(zip(rows["session"], rows["kind"], rows["value"], strict=True))


def _digest(fetched: Fetched) -> str:
    prices, actions = fetched.prices, fetched.actions
    digest = hashlib.sha256(prices["session"].to_numpy().tobytes())
    digest.update(np.ascontiguousarray(prices[OHLCV].to_numpy("float64")).tobytes())
    if len(actions):
        digest.update(actions[[*ACTIONS.columns]].to_csv(index=False).encode())
    return digest.hexdigest()[:16]


def _frame(*rows: pd.Series) -> pd.DataFrame:
    """Return rows of PRICE_READINGS as a table."""
    return PRICE_READINGS.conform(pd.DataFrame(list(rows))) if rows else PRICE_READINGS.empty()
