"""Files read ahead: what they have up to the newest session, for the sessions of a backfill.

At every session, the whole of a file is treated and compared with what is stored. While it does not
change, what a session sees is a part of what the newest one sees.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pipeline.errors import StockcastError
from pipeline.prices.source import Fetched, Source, VersionedSource, fetch
from pipeline.sessions import Calendar

#: Bars that are kept at most, of all tickers together: 70 MB.
MOST_BARS_AHEAD = 1_000_000


@dataclass(frozen=True)
class _Ahead:
    """The rows of a ticker from `first` on.

    Attributes:
        fetched: None: it is fetched for each session.
    """

    version: object
    first: dt.date
    fetched: Fetched | None


class FilesReadAhead:
    """The rows of files up to a session, fetched once for all sessions before.

    A ticker that cannot be read that far, or only with rows left out, is fetched for each session:
    it may be well until then.

    Args:
        until: a complete session.
    """

    def __init__(self, until: dt.date, most_bars: int = MOST_BARS_AHEAD) -> None:
        self._until, self._room = until, most_bars
        self._kept: dict[tuple[Source, str], _Ahead] = {}

    def fetch(
        self,
        source: Source,
        ticker: str,
        first: dt.date,
        last: dt.date,
        calendar: Calendar,
        now: dt.datetime,
    ) -> Fetched:
        """Return what `prices.fetch` does.

        Raises:
            UnknownTicker, SourceUnavailable, MalformedPrices: see `Source.fetch_raw`.
        """
        if not (isinstance(source, VersionedSource) and first <= last <= self._until):
            return fetch(source, ticker, first, last, calendar, now)
        every = self._every(source, ticker, first, calendar, now)
        if every is None:
            return fetch(source, ticker, first, last, calendar, now)
        return every.between(first, last)

    def _every(
        self,
        source: VersionedSource,
        ticker: str,
        first: dt.date,
        calendar: Calendar,
        now: dt.datetime,
    ) -> Fetched | None:
        """Return what there is from a session on; None: it is not kept."""
        try:
            version = source.version_of(ticker)
        except (OSError, StockcastError):  # which fetching tells in its own words
            return None
        key = source, ticker
        kept = self._kept.get(key)
        if kept is None or kept.version != version or first < kept.first:
            self._forget(key)
            try:
                fetched = fetch(source, ticker, first, self._until, calendar, now)
            except StockcastError:
                fetched = None
            if fetched is not None and (fetched.left_out or len(fetched.prices) > self._room):
                fetched = None
            self._room -= 0 if fetched is None else len(fetched.prices)
            kept = self._kept[key] = _Ahead(version, first, fetched)
        return kept.fetched

    def _forget(self, key: tuple[Source, str]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None and kept.fetched is not None:
            self._room += len(kept.fetched.prices)
