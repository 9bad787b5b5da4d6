"""The port of `prices/`: what a source must offer, and the treatment that every source's rows get.

Adapters only fetch. `fetch` is the one door to them: it names the columns, turns dates into sessions, trims the range and drops
the bar of a session that is still going on, so that no source can be trusted more than another.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from pipeline.errors import MalformedPrices, UnknownTicker
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, OHLCV, PRICE_COLUMNS, PRICES, SESSION_DTYPE

ACTION_KINDS = ("split", "dividend")
#: Before any price.
LONG_AGO = dt.date(1900, 1, 1)
#: Tickers that an error message lists before it says how many more there are.
LISTED = 12


@dataclass(frozen=True)
class Raw:
    """What an adapter hands over, as loosely typed as its source.

    Attributes:
        prices: columns date, open, high, low, close, volume in any case and order, others ignored. Prices and volume as they were
            traded that day. A date is anything pandas reads as one; a moment with a zone counts as the exchange's day.
        actions: columns date (the ex-date), kind, value as in `tables.ACTIONS`. May have no rows.
    """

    prices: pd.DataFrame
    actions: pd.DataFrame


@dataclass(frozen=True)
class Fetched:
    """What `fetch` hands over: `prices` conform to `tables.PRICES`, `actions` to `tables.ACTIONS`.

    `outcome` is "ok", or "nothing_new" when the source answered and has no finished session in the range. Whatever else can
    happen is an error of `pipeline.errors`.
    """

    outcome: str
    prices: pd.DataFrame
    actions: pd.DataFrame


class Source(Protocol):
    """Somewhere prices come from.

    Attributes:
        name: as `--source` takes it.
    """

    name: str

    def tickers(self) -> list[str] | None:
        """All tickers there are, sorted; None when the source cannot list them."""

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> Raw:
        """At least everything from `first` to `last`; more does no harm, `fetch` trims it.

        Raises:
            UnknownTicker: the source answered, and does not know the ticker.
            RateLimited, SourceUnavailable: no answer that can be trusted; never an empty `Raw` in its place.
            MalformedPrices: an answer that cannot be read.
        """


def fetch(source: Source, ticker: str, first: dt.date, last: dt.date, calendar: Calendar, now: dt.datetime) -> Fetched:
    """One ticker's finished bars and corporate actions from `first` to `last`, both included, as traded.

    Bars on days that are no session stay in, for the quality gate to judge, and so do missing cells (NaN); only a row that is
    empty on a day without a session is left out. A bar is finished when its session's close is not after `now`.
    """
    newest = calendar.last_complete_session(now)
    if first > min(last, newest):
        return Fetched("nothing_new", PRICES.empty(), ACTIONS.empty())
    raw = source.fetch_raw(ticker, first, last, now)
    where = f"{ticker} from {source.name}"
    prices = _trimmed(_prices(raw.prices, ticker, where, calendar), first, last, calendar, newest, now)
    actions = _trimmed(_actions(raw.actions, ticker, where, calendar), first, last, calendar, newest, now)
    prices = _without_empty_off_days(prices, calendar)
    _refuse_repeated(prices, where)
    return Fetched("nothing_new" if prices.empty and actions.empty else "ok", PRICES.conform(prices), ACTIONS.conform(actions))


def fetch_all(
    source: Source, tickers: Iterable[str], first: dt.date, last: dt.date, calendar: Calendar, now: dt.datetime
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """PRICES and ACTIONS of all tickers together, as `fetch` has those of one."""
    found = [fetch(source, ticker, first, last, calendar, now) for ticker in tickers]
    return PRICES.conform(pd.concat([each.prices for each in found])), ACTIONS.conform(pd.concat([each.actions for each in found]))


def newest_session(source: Source, tickers: list[str], calendar: Calendar, now: dt.datetime) -> dt.date:
    """The newest session there can be prices for: where a source can list its tickers, the newest that any of these has."""
    newest = calendar.last_complete_session(now)
    if source.tickers() is None:
        return newest
    ends = []
    for ticker in tickers:
        raw = _named(source.fetch_raw(ticker, LONG_AGO, newest, now).prices, ["date"], source.name)
        ends.append(_sessions(raw["date"], f"{ticker} from {source.name}", calendar).max())
    ends = [end for end in ends if not pd.isna(end)]
    if not ends:
        raise MalformedPrices(
            f"The {source.name} source has no bar of {', '.join(tickers)}; at least one is expected. Look at its files."
        )
    return calendar.last_session_until(min(max(ends).date(), newest))


def require_known(source: Source, tickers: Iterable[str]) -> None:
    """Raise `UnknownTicker` for the first of `tickers` that a source which can list its tickers does not have."""
    known = source.tickers()
    if known is None:
        return
    for ticker in tickers:
        if ticker not in known:
            raise unknown_ticker(ticker, source.name, known)


def unknown_ticker(ticker: str, source_name: str, known: list[str]) -> UnknownTicker:
    """The error that names what there is instead."""
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return UnknownTicker(
        f"{ticker} is not among the tickers of the {source_name} source: {', '.join(known[:LISTED])}{more}. Name one of these."
    )


def _prices(raw: pd.DataFrame, ticker: str, where: str, calendar: Calendar) -> pd.DataFrame:
    raw = _named(raw, ["date", *OHLCV], where)
    numbers = {column: _numbers(raw[column], f"{where}: {column}") for column in OHLCV}
    return pd.DataFrame({"ticker": ticker, "session": _sessions(raw["date"], where, calendar), **numbers})


def _actions(raw: pd.DataFrame, ticker: str, where: str, calendar: Calendar) -> pd.DataFrame:
    if raw.empty:
        return ACTIONS.empty()
    raw = _named(raw, ["date", "kind", "value"], where)
    values = _numbers(raw["value"], f"{where}: a corporate action")
    wrong = ~(values > 0) | ~raw["kind"].isin(ACTION_KINDS)
    if wrong.any():
        row = raw.loc[wrong].iloc[0]
        raise MalformedPrices(
            f"{where}: {row['kind']} of {row['value']} on {row['date']} is no corporate action; a positive split or dividend is."
        )
    frame = pd.DataFrame(
        {"ticker": ticker, "session": _sessions(raw["date"], where, calendar), "kind": raw["kind"].astype("str"), "value": values}
    )
    return _one_a_day(frame)


def _one_a_day(actions: pd.DataFrame) -> pd.DataFrame:
    """Two dividends on one day are one of their sum; two splits one of their product."""
    if not actions.duplicated(list(ACTIONS.key)).any():
        return actions
    groups = actions.groupby(list(ACTIONS.key), sort=True)["value"]
    combined = pd.DataFrame({"split": groups.prod(), "dividend": groups.sum()}).reset_index()
    combined["value"] = np.where(combined["kind"] == "split", combined["split"], combined["dividend"])
    return combined


def _named(raw: pd.DataFrame, expected: list[str], where: str) -> pd.DataFrame:
    named = raw.rename(columns=lambda column: str(column).strip().lower())
    missing = [column for column in expected if column not in named.columns]
    if missing:
        raise MalformedPrices(
            f"{where}: {', '.join(missing)} missing; expected {', '.join(expected)}, found {', '.join(map(str, raw.columns))}."
        )
    return named[expected].reset_index(drop=True)


def _numbers(cells: pd.Series, where: str) -> pd.Series:
    """Cells as float64; NaN where the source had nothing. Text and infinities are refused."""
    if cells.dtype == "float64" and not np.isinf(cells.to_numpy()).any():
        return cells
    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    wrong = (numbers.isna() & cells.notna()) | np.isinf(numbers)
    if wrong.any():
        raise MalformedPrices(f"{where} holds {cells[wrong].iloc[0]!r}, where a number or nothing is expected.")
    return numbers


def _sessions(dates: pd.Series, where: str, calendar: Calendar) -> pd.Series:
    """Dates as sessions: the calendar's own day for moments with a zone, the plain date for all others.

    Midnight in whatever zone is how sources write a date, not a moment: it stays on its day.
    """
    try:
        moments = pd.to_datetime(dates)
    except (ValueError, TypeError) as error:
        raise MalformedPrices(f"{where}: a date that cannot be read ({error}).") from None
    if moments.isna().any():
        raise MalformedPrices(f"{where}: row {int(moments.isna().argmax()) + 1} has no date.")
    if moments.dt.tz is not None:
        own = moments.dt.tz_localize(None)
        local = moments.dt.tz_convert(calendar.timezone).dt.tz_localize(None)
        moments = own.where(own == own.dt.normalize(), local)
    return moments.dt.normalize().astype(SESSION_DTYPE)


def _trimmed(
    rows: pd.DataFrame, first: dt.date, last: dt.date, calendar: Calendar, newest: dt.date, now: dt.datetime
) -> pd.DataFrame:
    """Rows from `first` to `last` whose day is over: up to the `newest` complete session, and days off since then."""
    if rows.empty:
        return rows
    sessions = rows["session"]
    rows = rows[(sessions >= pd.Timestamp(first)) & (sessions <= pd.Timestamp(last))]
    if last <= newest:
        return rows
    later = rows.loc[rows["session"] > pd.Timestamp(newest), "session"].unique()
    going_on = [day for day in later if calendar.is_session(day.date()) or _end_of_day(day.date(), calendar) > now]
    return rows[~rows["session"].isin(going_on)]


def _end_of_day(day: dt.date, calendar: Calendar) -> dt.datetime:
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=calendar.timezone)


def _without_empty_off_days(prices: pd.DataFrame, calendar: Calendar) -> pd.DataFrame:
    empty = np.isnan(prices[PRICE_COLUMNS].to_numpy()).all(axis=1)
    if not empty.any():
        return prices
    off_days = [index for index, session in prices.loc[empty, "session"].items() if not calendar.is_session(session.date())]
    return prices.drop(index=off_days)


def _refuse_repeated(prices: pd.DataFrame, where: str) -> None:
    repeated = prices[prices.duplicated("session", keep=False)]
    if repeated.empty:
        return
    session = repeated["session"].min()
    rows = repeated[repeated["session"] == session]
    likeness = "identical ones" if len(rows.drop_duplicates()) == 1 else "with different prices"
    raise MalformedPrices(f"{where}: {len(rows)} bars for {session.date()}, {likeness}; one is expected. Remove what is not true.")
