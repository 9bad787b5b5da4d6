"""The yahoo source: daily bars from Yahoo Finance through yfinance.

Yahoo restates its whole history after each split, so bars, volumes and dividends are adjusted for
every split up to today. The splits are undone here, which takes all of them: a request always runs
to the present, regardless of `last`.

Only the modules yahoo*.py know Yahoo or yfinance.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import UnknownTicker
from pipeline.prices.adjustment import undo_splits
from pipeline.prices.pacing import Pacing
from pipeline.prices.source import RawPrices
from pipeline.prices.yahoo_answers import currency_of_answer, diagnose
from pipeline.prices.yahoo_client import SUMMARY_PATH, RecordedSession, yfinance_client
from pipeline.prices.yahoo_events import announced_events, coming_events
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, PRICE_COLUMNS, SESSION_DTYPE

#: Yahoo's prices are 32-bit floats: 499.23 is sent as 499.2300109863281. Without the digits that
#: mean nothing, the same bar stays the same bar when a later split makes Yahoo compute it again.
SIGNIFICANT_DIGITS = 7
#: yfinance takes an ISIN for a ticker and looks another one up for it.
ISIN_PATTERN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}\d")


class YahooSource:
    """Yahoo Finance. Spell tickers as it does: BRK-B, BTC-USD, ^GSPC.

    Args:
        cache_folder: yfinance's time zones and cookies; each process has a folder of its own in it.
        attempts: tries per ticker before it counts as unavailable, at least 1.
        timeout: seconds for each single request.
        rate: tickers asked for in a second, at most.
        sleep: for tests: waits so many seconds.
        random: for tests: gives numbers from 0 to 1.
        clock: for tests: gives the present moment in UTC.
        transport: base class of the HTTP session; None: curl_cffi's.
    """

    name = "yahoo"
    reads_all = False
    is_metered = False

    def __init__(
        self,
        cache_folder: str | Path,
        attempts: int,
        timeout: float,
        rate: float,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        transport: type | None = None,
    ) -> None:
        self._cache_folder = Path(cache_folder)
        self._pacing = Pacing(attempts, rate, sleep, random)
        self._timeout = timeout
        self._clock = clock
        self._transport = transport
        self._http: RecordedSession | None = None

    def tickers(self) -> None:
        """Return None: Yahoo cannot list its tickers."""
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        if ISIN_PATTERN.fullmatch(ticker):
            raise UnknownTicker(
                f"{ticker} looks like an ISIN; Yahoo's own ticker is expected, such as AAPL or "
                "BRK-B."
            )
        # Two days on: a split is dated at the opening, but prices are adjusted for it from the
        # evening before; and a request that reaches into the future bypasses the answers that
        # yfinance keeps.
        end = (max(now, self._clock()) + dt.timedelta(days=2)).date()
        raw = _as_traded(self._pacing.repeat(lambda: self._history(ticker, first, end)))
        answer = self._http.last_answer() if self._http else None
        return replace(raw, currency=currency_of_answer(answer))

    def fetch_events(self, ticker: str, calendar: Calendar) -> pd.DataFrame:
        """Return the EVENTS ahead of a ticker, by one request; see `EventSource`."""
        announced = self._pacing.repeat(lambda: self._announced(ticker))
        return coming_events(ticker, announced, calendar)

    def _announced(self, ticker: str) -> dict[str, Any]:
        yfinance, http = yfinance_client(self._cache_folder), self._session()
        http.forget()
        with contextlib.suppress(Exception):  # it raises anything; the answer is read itself
            yfinance.Ticker(ticker, session=http.session).get_calendar()
        return announced_events(ticker, http.last_answer(SUMMARY_PATH))

    def _session(self) -> RecordedSession:
        if self._http is None:
            self._http = RecordedSession(self._transport, self._timeout)
        return self._http

    def _history(self, ticker: str, first: dt.date, end: dt.date) -> pd.DataFrame:
        """Return yfinance's table of one ticker.

        Empty when Yahoo says that there is nothing in the range, and only then.
        """
        yfinance, http = yfinance_client(self._cache_folder), self._session()
        # Failures are kept in the process too, so a second attempt would only repeat the first
        # one's answer.
        yfinance.data.YfData().cache_get.cache_clear()
        http.forget()
        cause = None
        history = pd.DataFrame()
        try:
            history = yfinance.Ticker(ticker, session=http.session).history(
                start=first,
                end=end,  # exclusive
                interval="1d",
                auto_adjust=False,  # the default is True
                actions=True,
                repair=False,
                keepna=True,  # a bar without prices is for the quality gate to see
                timeout=self._timeout,
            )
        except Exception as error:  # yfinance raises anything, from curl's errors to KeyError
            cause = error
        if history.empty:
            problem = diagnose(ticker, first, http.last_answer(), cause)
            if problem is not None:
                raise problem from cause
        return history


def _as_traded(history: pd.DataFrame) -> RawPrices:
    """Return yfinance's table as prices on their day, with the actions.

    yfinance makes volume 0 where it is missing; in a bar without prices, it is missing again here.

    Args:
        history: not adjusted for dividends, adjusted for all splits.
    """
    if history.empty:
        return RawPrices(
            pd.DataFrame(columns=["date", *PRICE_COLUMNS, "volume"]),
            pd.DataFrame(columns=["date", "kind", "value"]),
        )
    bars = history.rename(columns=str.lower)
    # The index is midnight at the exchange, so its date there is the session.
    session = pd.DatetimeIndex(bars.index).tz_localize(None).normalize().astype(SESSION_DTYPE)
    bars = bars.assign(ticker="", session=session).reset_index(drop=True)
    kinds = {"split": "stock splits", "dividend": "dividends"}
    actions_by_kind = [
        bars.loc[bars[column] > 0, ["ticker", "session", column]]
        .rename(columns={column: "value"})
        .assign(kind=kind)
        for kind, column in kinds.items()
    ]
    prices, actions = undo_splits(bars, ACTIONS.conform(pd.concat(actions_by_kind)))
    prices = prices.assign(
        **{column: _significant(prices[column]) for column in PRICE_COLUMNS},
        volume=prices["volume"].round().where(prices[PRICE_COLUMNS].notna().any(axis=1)),
    )
    actions = actions.assign(value=_significant(actions["value"]))
    return RawPrices(
        prices.rename(columns={"session": "date"}), actions.rename(columns={"session": "date"})
    )


def _significant(numbers: pd.Series) -> pd.Series:
    """Return numbers rounded to as many significant digits as Yahoo's floats carry."""
    values = numbers.to_numpy(dtype="float64")
    rounded = [float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in values]
    return pd.Series(rounded, index=numbers.index, dtype="float64")
