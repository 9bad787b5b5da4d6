"""The port of prices: the methods of a source, and the treatment that every source's rows get.

Adapters only fetch. `fetch` is the one door to them: it names the columns, turns dates into
sessions, trims the range and drops the bar of a session that is still going on, so that no source
can be trusted more than another.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from pipeline.errors import MalformedPrices, UnknownTicker
from pipeline.money import currency_code
from pipeline.outcomes import outcome_of_each, raise_together
from pipeline.prices.calendar_fit import require_fitting, require_own_calendar
from pipeline.prices.raw_rows import action_rows, named_columns, price_rows, to_sessions
from pipeline.prices.repeated_bars import without_repeated
from pipeline.sessions import Calendar, exchange_calendar
from pipeline.tables import ACTIONS, PRICE_COLUMNS, PRICES

BEFORE_ANY_PRICE, AFTER_ANY_PRICE = dt.date(1900, 1, 1), dt.date(9000, 1, 1)
#: So long after its close a source may not have a session's bar yet.
LATE = dt.timedelta(hours=4)
#: Tickers that an error message lists before it says how many more there are.
MOST_LISTED_TICKERS = 12
#: No ticker had another name.
NO_ALIASES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class RawPrices:
    """Rows as an adapter hands them over, as loosely typed as its source.

    Attributes:
        prices: columns date, open, high, low, close, volume in any case and order, others ignored.
            Prices and volume as they were traded that day. A date is anything that pandas reads as
            one; a moment with a zone counts as the exchange's day. Further columns say where a row
            stands, for messages: line, and file where there are several.
        actions: columns date (the ex-date), kind, value as in `tables.ACTIONS`. May have no rows.
        unused: what the source has of corporate actions and does not give, in words.
        currency: of the prices, as the source spells it; "": it names none.
        exchange: that they are of, as the source spells it; "": it names none.
        left_out: what of its rows or files is left out, in words.
    """

    prices: pd.DataFrame
    actions: pd.DataFrame
    unused: tuple[str, ...] = ()
    currency: str = ""
    exchange: str = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fetched:
    """Rows as `fetch` hands them over; without any, the source has nothing new.

    Attributes:
        prices: PRICES.
        actions: ACTIONS.
        unused, left_out: see `RawPrices`.
        currency: a code of `money`; "": not known.
        calendar: the name of that of the exchange that the source names; "": none is known.
    """

    prices: pd.DataFrame
    actions: pd.DataFrame
    unused: tuple[str, ...] = ()
    currency: str = ""
    calendar: str = ""
    left_out: tuple[str, ...] = ()

    def between(self, first: dt.date, last: dt.date) -> Fetched:
        """Return the rows from `first` to `last`, both included."""
        prices, actions = (_between(table, first, last) for table in (self.prices, self.actions))
        return replace(self, prices=prices, actions=actions)


def _between(table: pd.DataFrame, first: dt.date, last: dt.date) -> pd.DataFrame:
    """Return the rows of one ticker from `first` to `last`, which are in order."""
    sessions = table["session"].to_numpy()
    begin = np.searchsorted(sessions, np.datetime64(first), side="left")
    end = np.searchsorted(sessions, np.datetime64(last), side="right")
    return table.iloc[begin:end].reset_index(drop=True)


class Source(Protocol):
    """A place that prices come from.

    Attributes:
        name: as `--source` takes it.
        reads_all: whether a request for a few sessions costs as much as one for all, as where all
            of a file is read. What is stored is then compared with all that it has in every run.
        is_metered: whether its requests are counted against an allowance. A session whose bar is
            stored is then not asked for again; the runs of later sessions look back at it.
    """

    name: str
    reads_all: bool
    is_metered: bool

    def tickers(self) -> list[str] | None:
        """Return all tickers, sorted; None: the source cannot list them."""

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        """Return at least everything from `first` to `last`; `fetch` trims the rest.

        Raises:
            UnknownTicker: the source answered, and does not know the ticker.
            RateLimited, SourceUnavailable: there is no answer that can be trusted; an empty
                `RawPrices` never stands for that.
            MalformedPrices: the answer cannot be read.
        """
        ...


@runtime_checkable
class VersionedSource(Source, Protocol):
    """A source that can tell whether what it has of a ticker has changed."""

    def version_of(self, ticker: str) -> object:
        """Return what differs once it has.

        Raises:
            OSError, StockcastError: it cannot be told now.
        """
        ...


@runtime_checkable
class EventSource(Protocol):
    """A source that also knows events beforehand."""

    def fetch_events(self, ticker: str, calendar: Calendar) -> pd.DataFrame:
        """Return the EVENTS of a ticker that are still ahead.

        A dividend of which only the day is known has the value NaN.

        Raises:
            RateLimited, SourceUnavailable, LookAtTheData: there is no answer, or none to be read.
        """
        ...


def fetch(
    source: Source, ticker: str, first: dt.date, last: dt.date, calendar: Calendar, now: dt.datetime
) -> Fetched:
    """Return a ticker's finished bars and actions from `first` to `last`, both included, as traded.

    Bars on days that are no session stay in, for the quality gate to judge, and so do missing cells
    (NaN); only a row that is empty on a day without a session is left out, and one that repeats
    another. A bar is finished when
    its session's close is not after `now`.

    Raises:
        UnknownTicker, RateLimited, SourceUnavailable, MalformedPrices: see `Source.fetch_raw`.
    """
    wanted = _FinishedDays(first, last, calendar, now)
    if wanted.is_empty:
        return Fetched(PRICES.empty(), ACTIONS.empty())
    raw = source.fetch_raw(ticker, first, last, now)
    where = f"{ticker} from {source.name}"
    prices = wanted.of(price_rows(raw.prices, ticker, where, calendar))
    actions = wanted.of(action_rows(raw.actions, ticker, where, calendar))
    prices = _without_empty_off_days(prices, calendar)
    prices, repeated = without_repeated(prices, raw.prices, where)
    named = currency_code(raw.currency), exchange_calendar(raw.exchange)
    left_out = (*raw.left_out, *repeated)
    return Fetched(PRICES.conform(prices), ACTIONS.conform(actions), raw.unused, *named, left_out)


def newest_session(
    source: Source, tickers: list[str], calendar: Calendar, now: dt.datetime
) -> dt.date:
    """Return the newest session that there can be prices for.

    Where a source can list its tickers, it is the newest that any of these has; one that cannot be
    read has none.

    Raises:
        SettingsError: the tickers, or their dates, are of another calendar.
        MalformedPrices: the source has no bar of any of them that can be used.
        StockcastError: none of them can be read.
    """
    newest = calendar.last_complete_session(now)
    if source.tickers() is None:
        require_own_calendar(tickers, calendar, source.name)
        return newest

    def days_of(ticker: str) -> pd.Series:
        raw = source.fetch_raw(ticker, BEFORE_ANY_PRICE, newest, now).prices
        dates = named_columns(raw, ["date"], source.name)["date"]
        return to_sessions(dates, f"{ticker} from {source.name}", calendar)

    found = outcome_of_each(tickers, days_of)
    if not found.results:
        raise_together(found.failures)
    days = pd.DatetimeIndex(pd.concat(found.results.values()).unique())
    days = days[days <= pd.Timestamp(newest)]
    if days.empty or days.max().date() < calendar.first_known:
        raise _no_usable_bar(source, tickers, calendar, newest, now)
    require_fitting(days, tickers, calendar, source.name)
    return calendar.last_session_until(min(days.max().date(), newest))


def _no_usable_bar(
    source: Source, tickers: list[str], calendar: Calendar, newest: dt.date, now: dt.datetime
) -> MalformedPrices:
    words = {ticker: bars_in_words(source, ticker, now) for ticker in tickers[:3]}
    known = "; ".join(f"{ticker} has {text}" for ticker, text in words.items() if text)
    remedy = f"{known}: look at the dates." if known else "Look at its files."
    return MalformedPrices(
        f"The {source.name} source has no bar of {', '.join(words)}{' ...' * (len(tickers) > 3)} "
        f"from {calendar.first_known} to {newest}, the sessions of {calendar.name} until now; at "
        f"least one is expected. {remedy}"
    )


def bars_in_words(source: Source, ticker: str, now: dt.datetime) -> str:
    """Return in words how many bars a source has of a ticker at any time; "": none, or unknown."""
    try:
        raw = source.fetch_raw(ticker, BEFORE_ANY_PRICE, AFTER_ANY_PRICE, now).prices
    except MalformedPrices:
        return ""
    dates = named_columns(raw, ["date"], source.name)["date"]
    return days_in_words([day.date() for day in pd.to_datetime(dates).dropna()])


def days_in_words(days: Sequence[dt.date]) -> str:
    """Return in words how many bars there are on some days; "": none."""
    if not days:
        return ""
    if len(days) == 1:
        return f"1 bar of {days[0]}"
    return f"{len(days)} bars from {min(days)} to {max(days)}"


def may_be_late(calendar: Calendar, session: dt.date, now: dt.datetime) -> bool:
    """Return whether a source without a bar of a session may have it later this evening."""
    newest = calendar.last_complete_session(now)
    return session == newest and now - calendar.close_of(session) < LATE


def require_known(
    source: Source,
    tickers: Iterable[str],
    aliases: Mapping[str, str] = NO_ALIASES,
    all_of_them: bool = True,
) -> None:
    """Require that a source which can list its tickers has all of these.

    Args:
        aliases: by ticker, the name that it had before; one of both will do.
        all_of_them: False: one of them will do.

    Raises:
        UnknownTicker: it lacks one; the message names the first.
    """
    known, tickers = source.tickers(), list(tickers)
    if known is None:
        return
    unknown = [t for t in tickers if t not in known and aliases.get(t) not in known]
    if unknown and (all_of_them or len(unknown) == len(tickers)):
        raise unknown_ticker(unknown[0], source.name, known)


def unknown_ticker(ticker: str, source_name: str, known: list[str]) -> UnknownTicker:
    """Return the error for a ticker that a source lacks; it names those that there are."""
    listed = ", ".join(known[:MOST_LISTED_TICKERS])
    if len(known) > MOST_LISTED_TICKERS:
        listed += f" and {len(known) - MOST_LISTED_TICKERS} more"
    return UnknownTicker(
        f"{ticker} is not among the tickers of the {source_name} source: {listed}. Name one of "
        "these."
    )


@dataclass(frozen=True)
class _FinishedDays:
    """The days from `first` to `last` that are over at `now`."""

    first: dt.date
    last: dt.date
    calendar: Calendar
    now: dt.datetime

    @cached_property
    def newest(self) -> dt.date:
        """The newest complete session."""
        return self.calendar.last_complete_session(self.now)

    @property
    def is_empty(self) -> bool:
        """True where no session of the range can be complete."""
        return self.first > min(self.last, self.newest)

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of these days: up to the newest session, and days off since then."""
        if rows.empty:
            return rows
        sessions, newest = rows["session"], self.newest
        first, last = pd.Timestamp(self.first), pd.Timestamp(self.last)
        rows = rows[(sessions >= first) & (sessions <= last)]
        if self.last <= newest:
            return rows
        later = rows.loc[rows["session"] > pd.Timestamp(newest), "session"].unique()
        going_on = [day for day in later if self._goes_on(day.date())]
        return rows[~rows["session"].isin(going_on)]

    def _goes_on(self, day: dt.date) -> bool:
        """Return whether a day after the newest session is not over."""
        midnight = dt.datetime.combine(
            day + dt.timedelta(days=1), dt.time(), tzinfo=self.calendar.timezone
        )
        return self.calendar.is_session(day) or midnight > self.now


def _without_empty_off_days(prices: pd.DataFrame, calendar: Calendar) -> pd.DataFrame:
    empty = np.isnan(prices[PRICE_COLUMNS].to_numpy()).all(axis=1)
    if not empty.any():
        return prices
    off_days = [
        index
        for index, session in prices.loc[empty, "session"].items()
        if not calendar.is_session(session.date())
    ]
    return prices.drop(index=off_days)
