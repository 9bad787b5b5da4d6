"""The yahoo source: daily bars from Yahoo Finance through yfinance; the only module that knows either.

Yahoo restates its whole history after each split, so bars, volumes and dividends come adjusted for every split up to today.
The splits are undone here, which takes all of them: a request always runs to the present, whatever `last` is.

What went wrong is read off Yahoo's own last answer, not off yfinance's exceptions: those are the same for an outage, an unknown
ticker and a range without bars. (Read against yfinance 1.7.)
"""

from __future__ import annotations

import atexit
import datetime as dt
import json
import logging
import random
import re
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from pipeline.errors import MalformedPrices, RateLimited, SourceUnavailable, StockcastError, UnknownTicker
from pipeline.prices.adjustment import undo_splits
from pipeline.prices.source import Raw
from pipeline.tables import ACTIONS, PRICE_COLUMNS, SESSION_DTYPE

CHART = "/v8/finance/chart/"
#: Seconds before the second attempt, doubled for each one after; longer when Yahoo asks for fewer requests.
PAUSE = 1.0
PAUSE_WHEN_LIMITED = 5.0
#: Yahoo's prices are 32-bit floats: 499.23 comes as 499.2300109863281. Without the digits that mean nothing, the same bar
#: stays the same bar when a later split makes Yahoo compute it anew.
SIGNIFICANT_DIGITS = 7
#: What yfinance raises when an answer is JSON but not prices.
UNREADABLE = (KeyError, IndexError, ValueError, TypeError, AttributeError)
#: yfinance takes an ISIN for a ticker and looks another one up for it.
ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}\d")
#: What curl puts around the reason.
AROUND_A_REASON = re.compile(r"Failed to perform, curl: \(\d+\) |\. See https://curl\.se/\S+ first for more details\.?")


class YahooSource:
    """Yahoo Finance. Spell tickers as it does: BRK-B, BTC-USD, ^GSPC.

    Args:
        cache_folder: where yfinance may keep time zones and cookies; each process has a folder of its own in it.
        attempts: tries per ticker before it counts as unavailable.
        timeout: seconds for each single request.
        rate: tickers asked for in a second, at most.
        sleep, random, clock: for tests; `random` gives numbers from 0 to 1, `clock` the present moment in UTC.
        transport: base class of the HTTP session; the default is curl_cffi's.
    """

    name = "yahoo"

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
        self._attempts = attempts
        self._timeout = timeout
        self._sleep = sleep
        self._random = random
        self._clock = clock
        self._transport = transport
        self._session: Any = None
        self._pace = 1 / rate
        self._next = 0.0

    def tickers(self) -> None:
        """Yahoo cannot list its tickers."""
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> Raw:
        if ISIN.fullmatch(ticker):
            raise UnknownTicker(f"{ticker} looks like an ISIN; Yahoo's own ticker is expected, such as AAPL or BRK-B.")
        # Two days on: a split is dated at the opening, but prices are adjusted for it from the evening before; and a request
        # that reaches into the future bypasses the answers that yfinance keeps.
        end = (max(now, self._clock()) + dt.timedelta(days=2)).date()
        for attempt in range(self._attempts):
            self._wait_for_its_turn()
            try:
                return as_traded(self._history(ticker, first, end))
            except SourceUnavailable as error:
                if attempt + 1 == self._attempts:
                    raise type(error)(f"{error} Tried {self._attempts} times.") from error
                pause = PAUSE_WHEN_LIMITED if isinstance(error, RateLimited) else PAUSE
                self._sleep(pause * 2**attempt * (0.5 + self._random()))
        raise AssertionError("unreachable: attempts is at least 1")

    def _wait_for_its_turn(self) -> None:
        now = time.monotonic()
        if self._next > now:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._pace

    def _history(self, ticker: str, first: dt.date, end: dt.date) -> pd.DataFrame:
        """yfinance's table of one ticker; empty when Yahoo says that there is nothing in the range, and only then."""
        yfinance = _client(self._cache_folder)
        if self._session is None:
            self._session = _recording_session(self._transport, self._timeout)
        # Failures are kept in the process too, so a second attempt would only repeat the first one's answer.
        yfinance.data.YfData().cache_get.cache_clear()
        self._session.forget()
        try:
            history = yfinance.Ticker(ticker, session=self._session).history(
                start=first,
                end=end,  # exclusive
                interval="1d",
                auto_adjust=False,  # the default is True
                actions=True,
                repair=False,
                keepna=True,  # a bar without prices is for the quality gate to see
                timeout=self._timeout,
            )
        except Exception as error:  # yfinance lets everything through, from curl's errors to KeyError
            problem = diagnose(ticker, first, self._session.last_answer(), error)
            if problem is not None:
                raise problem from error
            return pd.DataFrame()
        if history.empty:
            problem = diagnose(ticker, first, self._session.last_answer(), None)
            if problem is not None:
                raise problem
        return history


def diagnose(ticker: str, first: dt.date, answer: tuple[int, str] | None, error: Exception | None) -> StockcastError | None:
    """What an attempt without prices means; None: Yahoo answered, and has no bars since `first`.

    Args:
        answer: HTTP status and body of the last request for prices, None when none came back.
        error: what yfinance made of it.
    """
    if answer is None:
        return SourceUnavailable(f"Yahoo gave no answer for {ticker} ({_one_line(error)}). Try again later.")
    status, body = answer
    if status == 429 or "Too Many Requests" in body[:200]:
        return RateLimited(f"Yahoo asks for fewer requests (at {ticker}). Wait some minutes, or run fewer tickers at a time.")
    chart = _chart(body)
    if chart is None:
        return SourceUnavailable(
            f"Yahoo answered {ticker} with HTTP {status} and no price data ({_one_line(body)[:60]!r}). Try again later."
        )
    complaint = chart.get("error")
    if complaint:
        return _complaint(ticker, first, status, complaint)
    result = (chart.get("result") or [None])[0]
    if status != 200 or not isinstance(result, dict):
        return SourceUnavailable(f"Yahoo answered {ticker} with HTTP {status} and an empty result. Try again later.")
    if not result.get("timestamp"):
        return _nothing_new(ticker, first, result.get("meta") or {})
    if isinstance(error, UNREADABLE) or type(error).__module__.startswith("yfinance"):
        return MalformedPrices(
            f"{ticker}: Yahoo's answer cannot be read as prices ({_one_line(error)}). Compare it with an older version's."
        )
    return SourceUnavailable(f"{ticker}: Yahoo's answer was lost on the way ({_one_line(error)}). Try again.")


def _complaint(ticker: str, first: dt.date, status: int, complaint: object) -> StockcastError | None:
    """An error that Yahoo explains itself."""
    code, text = (
        (str(complaint.get(key, "")) for key in ("code", "description")) if isinstance(complaint, dict) else ("", str(complaint))
    )
    if status == 404 and code == "Not Found":
        return UnknownTicker(
            f"Yahoo does not know {ticker} ({_one_line(text)}). Spell it as finance.yahoo.com does, such as BRK-B or BTC-USD."
        )
    if status == 400 and text.startswith("Data doesn't exist for startDate"):
        return None
    return SourceUnavailable(f"Yahoo answered {ticker} with HTTP {status}: {_one_line(text or code)[:120]}. Try again later.")


def _nothing_new(ticker: str, first: dt.date, meta: dict) -> SourceUnavailable | None:
    """None when the last trade that Yahoo itself reports is before `first`; else the empty answer contradicts it."""
    traded, offset = meta.get("regularMarketTime"), meta.get("gmtoffset", 0)
    if not isinstance(traded, int | float):
        return SourceUnavailable(
            f"Yahoo sent no bars for {ticker} since {first} and does not say when it last traded. Try again later."
        )
    newest = dt.datetime.fromtimestamp(traded + offset, dt.UTC).date()
    if newest >= first:
        return SourceUnavailable(f"Yahoo sent no bars for {ticker} since {first}, though it traded on {newest}. Try again later.")
    return None


def as_traded(history: pd.DataFrame) -> Raw:
    """yfinance's table (unadjusted for dividends, adjusted for all splits) as prices on their day, with the actions.

    yfinance makes volume 0 where it is missing; in a bar without prices, it is missing again here.
    """
    if history.empty:
        return Raw(pd.DataFrame(columns=["date", *PRICE_COLUMNS, "volume"]), pd.DataFrame(columns=["date", "kind", "value"]))
    bars = history.rename(columns=str.lower)
    # The index is midnight at the exchange; what it is called there is the session.
    session = bars.index.tz_localize(None).normalize().astype(SESSION_DTYPE)
    bars = bars.assign(ticker="", session=session).reset_index(drop=True)
    kinds = {"split": "stock splits", "dividend": "dividends"}
    parts = [
        bars.loc[bars[column] > 0, ["ticker", "session", column]].rename(columns={column: "value"}).assign(kind=kind)
        for kind, column in kinds.items()
    ]
    prices, actions = undo_splits(bars, ACTIONS.conform(pd.concat(parts)))
    prices = prices.assign(
        **{column: _significant(prices[column]) for column in PRICE_COLUMNS},
        volume=prices["volume"].round().where(prices[PRICE_COLUMNS].notna().any(axis=1)),
    )
    actions = actions.assign(value=_significant(actions["value"]))
    return Raw(prices.rename(columns={"session": "date"}), actions.rename(columns={"session": "date"}))


def _significant(numbers: pd.Series) -> pd.Series:
    """Rounded to as many significant digits as Yahoo's floats carry."""
    values = numbers.to_numpy(dtype="float64")
    return pd.Series([float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in values], index=numbers.index, dtype="float64")


def _chart(body: str) -> dict | None:
    """The chart object of an answer; None when it is something else, such as a page of HTML."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    chart = answer.get("chart") if isinstance(answer, dict) else None
    return chart if isinstance(chart, dict) else None


def _one_line(value: object) -> str:
    text = AROUND_A_REASON.sub("", " ".join(str(value).split()))
    return text or ("" if isinstance(value, str) else type(value).__name__)


@cache
def _client(cache_folder: Path) -> ModuleType:
    """yfinance, set up for this process: failures raise, and its SQLite caches, which workers would lock, are in a folder of its own."""
    import yfinance

    cache_folder.mkdir(parents=True, exist_ok=True)
    own = tempfile.mkdtemp(prefix="yfinance-", dir=cache_folder)
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    yfinance.set_tz_cache_location(own)
    yfinance.config.debug.hide_exceptions = False
    # It also prints that a cookie could not be fetched, for every try; what matters of an outage, our own error says once.
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)
    # yfinance 1.7 calls pandas in ways that pandas 4 will drop, on every fetch; nothing a reader of our log can mend.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="yfinance")
    return yfinance


def _recording_session(transport: type | None, timeout: float) -> Any:
    """An HTTP session that remembers, per thread, the last answer to a request for prices and lets no request take long.

    yfinance gives some requests a timeout of its own, three times 30 seconds in the worst case.
    """
    if transport is None:
        from curl_cffi.requests import Session as transport  # yfinance's own choice

    class RecordingSession(transport):
        _answers = threading.local()

        def request(self, method: str, url: str, **options: Any) -> Any:
            options["timeout"] = min(options.get("timeout") or timeout, timeout)
            if CHART not in url:
                return super().request(method, url, **options)
            self.forget()
            response = super().request(method, url, **options)
            self._answers.last = (response.status_code, response.text)
            return response

        def forget(self) -> None:
            self._answers.last = None

        def last_answer(self) -> tuple[int, str] | None:
            return getattr(self._answers, "last", None)

    return RecordingSession(impersonate="chrome")
