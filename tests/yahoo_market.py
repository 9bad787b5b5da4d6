"""A made market, shown as Yahoo Finance shows its own.

Prices are a seeded random walk per ticker on New York's sessions, or on every day for pairs such as
BTC-USD, with quarterly dividends and, for some, a split. As Yahoo does, the market shows them
adjusted for every split up to `now`.
"""

from __future__ import annotations

import datetime as dt
import itertools
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from pipeline.sessions import Calendar
from pipeline.tables import PRICE_COLUMNS

FIRST_DAY = dt.date(2010, 1, 4)
#: Far enough for any clock; prices are drawn in order, so a later `now` only adds to them.
LAST_DAY = dt.date(2035, 12, 31)
#: By ticker: the ex-date, and new shares for one old.
SPLITS = {
    "AAPL": (dt.date(2020, 8, 31), 4.0),
    "NVDA": (dt.date(2024, 6, 10), 10.0),
    "TSLA": (dt.date(2022, 8, 25), 3.0),
}
MARKET_TICKERS = (
    "AAPL",
    "AMZN",
    "AVGO",
    "BRK-B",
    "GOOGL",
    "JPM",
    "META",
    "MSFT",
    "NVDA",
    "TSLA",
    "BTC-USD",
)

#: What Yahoo does to the bars that it shows: their sessions and rows, to other rows.
Fault = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass
class Market:
    """Made prices as traded, and as Yahoo would show them at `now`.

    Attributes:
        now: the server's clock; bars of sessions that have opened by then exist, the last one
            perhaps unfinished.
        splits: ticker -> [(ex-date, ratio)].
        dividends: ticker -> [(ex-date, dollars as paid)].
        announced: ticker -> [(the moment since when Yahoo has it, its `calendarEvents`)].
        faults: ticker -> what Yahoo does to the bars that it shows, given their sessions, and open,
            high, low, close, volume in rows.
    """

    now: dt.datetime
    tickers: tuple[str, ...] = MARKET_TICKERS
    seed: int = 7
    first_day: dt.date = FIRST_DAY
    splits: dict[str, list[tuple[dt.date, float]]] = field(
        default_factory=lambda: {ticker: [split] for ticker, split in SPLITS.items()}
    )
    dividends: dict[str, list[tuple[dt.date, float]]] | None = None
    announced: dict[str, list[tuple[dt.datetime, dict]]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)

    def calendar(self, ticker: str) -> Calendar:
        return _calendar("24/7" if ticker.endswith("-USD") else "XNYS")

    def opened(self, ticker: str) -> list[dt.date]:
        """Return the sessions that have opened by `now`."""
        calendar = self.calendar(ticker)
        days = calendar.sessions(self.first_day, self.now.astimezone(calendar.timezone).date())
        return days[:-1] + [day for day in days[-1:] if self.opening(ticker, day) <= self.now]

    def opening(self, ticker: str, session: dt.date) -> dt.datetime:
        """Return the moment by which Yahoo dates a bar: 9:30 in New York; pairs: midnight UTC."""
        time = dt.time() if ticker.endswith("-USD") else dt.time(9, 30)
        return dt.datetime.combine(session, time, tzinfo=self.calendar(ticker).timezone)

    def traded(self, ticker: str) -> np.ndarray:
        """Return open, high, low, close, volume as traded, one row per opened session.

        Splits show as jumps.
        """
        sessions = self.opened(ticker)
        random = np.random.default_rng([self.seed, zlib.crc32(ticker.encode())])
        draws = random.standard_normal((len(self._all_sessions(ticker)), 5))[: len(sessions)]
        close = 100 * np.exp(np.cumsum(0.0003 + 0.012 * draws[:, 0]))
        open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(0.004 * draws[:, 1])
        high = np.maximum(open_, close) * np.exp(0.004 * np.abs(draws[:, 2]))
        low = np.minimum(open_, close) * np.exp(-0.004 * np.abs(draws[:, 3]))
        shares = np.ones(len(sessions))
        for ex_date, ratio in self.splits.get(ticker, []):
            shares[[session >= ex_date for session in sessions]] *= ratio
        prices = np.round(np.column_stack([open_, high, low, close]) / shares[:, None], 2)
        volume = np.round(1e6 * np.exp(0.3 * draws[:, 4]) * shares)
        return np.column_stack([prices, volume])

    def paid(self, ticker: str) -> list[tuple[dt.date, float]]:
        """Return dividends as paid.

        They are the given ones, or a quarter dollar on the first session of every quarter's second
        month.
        """
        if self.dividends is not None:
            return self.dividends.get(ticker, [])
        if ticker.endswith("-USD") or ticker in ("AMZN", "BRK-B", "TSLA"):
            return []
        sessions = self.opened(ticker)
        firsts = [
            day
            for before, day in itertools.pairwise(sessions)
            if day.month != before.month and day.month % 3 == 2
        ]
        return [(day, 0.25) for day in firsts]

    def summary(self, ticker: str) -> dict:
        """Return the result of a request for what is ahead, as Yahoo has it at `now`."""
        known = [events for since, events in self.announced.get(ticker, []) if since <= self.now]
        nothing = {"earnings": {"earningsDate": [], "isEarningsDateEstimate": False}}
        return {"calendarEvents": {"maxAge": 1, **nothing, **(known[-1] if known else {})}}

    def chart(self, ticker: str, first: dt.datetime, end: dt.datetime) -> dict:
        """Return the result of a chart request for bars dated from `first` until before `end`."""
        sessions = self.opened(ticker)
        splits = [
            (day, ratio)
            for day, ratio in self.splits.get(ticker, [])
            if sessions and day <= sessions[-1]
        ]
        after = np.ones(len(sessions))
        for day, ratio in splits:
            after[np.array(sessions) < day] *= ratio
        bars = self.traded(ticker)
        bars = np.column_stack([bars[:, :4] / after[:, None], np.round(bars[:, 4] * after)])
        bars = self.faults.get(ticker, _as_it_is)(np.array(sessions), bars)
        rows = [
            i for i, session in enumerate(sessions) if first <= self.opening(ticker, session) < end
        ]
        result: dict = {
            "meta": self._meta(ticker, sessions),
            "indicators": {"quote": [{}], "adjclose": [{}]},
        }
        if not rows:
            return result
        prices = np.float32(bars[rows, :4]).astype(float).T.tolist()
        columns = dict(zip(PRICE_COLUMNS, prices, strict=True))
        result["timestamp"] = [int(self.opening(ticker, sessions[i]).timestamp()) for i in rows]
        if self._going_on(ticker, sessions[-1]) and rows[-1] == len(sessions) - 1:
            result["timestamp"][-1] = int(self.now.timestamp())
        result["indicators"] = {
            "quote": [{**columns, "volume": bars[rows, 4].astype(int).tolist()}],
            "adjclose": [{"adjclose": columns["close"]}],
        }
        result["events"] = self._events(ticker, splits, first, end)
        return result

    def _events(
        self, ticker: str, splits: list[tuple[dt.date, float]], first: dt.datetime, end: dt.datetime
    ) -> dict:
        def within(day: dt.date) -> bool:
            return first <= self.opening(ticker, day) < end

        dividends = {}
        for day, amount in self.paid(ticker):
            if within(day) and self.opening(ticker, day) <= self.now:
                stamp = int(self.opening(ticker, day).timestamp())
                later = np.prod([ratio for ex_date, ratio in splits if ex_date > day], initial=1.0)
                dividends[str(stamp)] = {"amount": amount / later, "date": stamp}
        moments = [
            (int(self.opening(ticker, day).timestamp()), ratio)
            for day, ratio in splits
            if within(day)
        ]
        ratios = {
            str(at): {
                "date": at,
                "numerator": ratio,
                "denominator": 1.0,
                "splitRatio": f"{ratio:g}:1",
            }
            for at, ratio in moments
        }
        return {
            name: events
            for name, events in (("dividends", dividends), ("splits", ratios))
            if events
        }

    def _going_on(self, ticker: str, session: dt.date) -> bool:
        return self.calendar(ticker).close_of(session) > self.now

    def _meta(self, ticker: str, sessions: list[dt.date]) -> dict:
        calendar = self.calendar(ticker)
        last = min(self.now, calendar.close_of(sessions[-1])) if sessions else self.now
        offset = int(last.astimezone(calendar.timezone).utcoffset().total_seconds())
        period = {
            "timezone": "UTC",
            "start": int(last.timestamp()) - 23400,
            "end": int(last.timestamp()),
            "gmtoffset": offset,
        }
        return {
            "currency": "USD",
            "symbol": ticker,
            "instrumentType": "CRYPTOCURRENCY" if ticker.endswith("-USD") else "EQUITY",
            "firstTradeDate": int(self.opening(ticker, self.first_day).timestamp()),
            "regularMarketTime": int(last.timestamp()),
            "gmtoffset": offset,
            "timezone": "UTC",
            "exchangeTimezoneName": str(calendar.timezone),
            "priceHint": 2,
            "currentTradingPeriod": {"pre": period, "regular": period, "post": period},
            "dataGranularity": "1d",
            "range": "",
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }

    def _all_sessions(self, ticker: str) -> list[dt.date]:
        return _all_sessions(self.calendar(ticker).name, self.first_day)


def _as_it_is(sessions: np.ndarray, bars: np.ndarray) -> np.ndarray:
    return bars


@cache
def _all_sessions(calendar: str, first: dt.date) -> list[dt.date]:
    """Return all sessions that there can be, worked out once: they take long."""
    return _calendar(calendar).sessions(first, LAST_DAY)


@cache
def _calendar(name: str) -> Calendar:
    """Return a calendar, made once: an answer asks for it at every bar."""
    return Calendar(name)
