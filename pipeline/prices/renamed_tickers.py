"""Renamed tickers: the prices of a stock under its name of today and the one before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace

import pandas as pd

from pipeline.errors import UnknownTicker
from pipeline.prices.source import Fetched, Source, fetch
from pipeline.sessions import Calendar

#: The share by which closes of the same sessions may differ under both names.
SAME_CLOSE = 0.005


def fetch_renamed(
    source: Source,
    ticker: str,
    first: dt.date,
    last: dt.date,
    calendar: Calendar,
    now: dt.datetime,
    aliases: Mapping[str, str],
) -> Fetched:
    """Fetch a ticker (see `fetch`), with its former name's prices from before it had its own.

    Args:
        aliases: by ticker, the name that it had before.
    """

    def fetch_named(name: str) -> Fetched:
        return fetch(source, name, first, last, calendar, now)

    if ticker not in aliases:
        return fetch_named(ticker)
    sessions = calendar.sessions(first, last)
    return _joined_history(fetch_named, ticker, aliases[ticker], sessions[0] if sessions else first)


def _joined_history(
    fetch_named: Callable[[str], Fetched], ticker: str, former: str, first: dt.date
) -> Fetched:
    """Return what a source has of a ticker, with what it has of its former name before that.

    Args:
        fetch_named: returns what the source has of a name from `first` on.
        first: the first session that is asked for.

    Raises:
        UnknownTicker: it knows the former name not, where that is needed.
    """
    try:
        own = fetch_named(ticker)
    except UnknownTicker:  # as before the stock had this name
        own = None
    if own is not None and len(own.prices) and own.prices["session"].min().date() <= first:
        return own
    try:
        earlier = fetch_named(former)
    except UnknownTicker as error:
        raise UnknownTicker(
            f"{ticker} was {former} before, as `aliases` of its universe say: {error}"
        ) from None
    if own is None:
        own = replace(earlier, prices=earlier.prices[:0], actions=earlier.actions[:0])
    begin = own.prices["session"].min()
    return replace(
        own,
        prices=_joined(earlier.prices, own.prices, begin, ticker),
        actions=_joined(earlier.actions, own.actions, begin, ticker),
        currency=own.currency or earlier.currency,
        calendar=own.calendar or earlier.calendar,
        unused=(*own.unused, *_disagreement(own.prices, earlier.prices, former)),
        left_out=(*own.left_out, *earlier.left_out),
    )


def _joined(
    earlier: pd.DataFrame, own: pd.DataFrame, begin: pd.Timestamp, ticker: str
) -> pd.DataFrame:
    """Return the former name's rows before a session (NaT: all) as the ticker's, then its own."""
    rows = (earlier if pd.isna(begin) else earlier[earlier["session"] < begin]).assign(
        ticker=ticker
    )
    filled = [table for table in (rows, own) if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else rows


def _disagreement(own: pd.DataFrame, earlier: pd.DataFrame, former: str) -> tuple[str, ...]:
    """Return in words by what the closes of both names differ on the same sessions."""
    both = own.merge(earlier, on="session", suffixes=("", "_former"))
    factor = float((both["close_former"] / both["close"]).median()) if len(both) else 1.0
    if abs(factor - 1) <= SAME_CLOSE:
        return ()
    return (f"bars of {former} on the same sessions, with {factor:.4g} times the close",)
