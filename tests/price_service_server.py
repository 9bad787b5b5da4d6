"""A server on loopback that speaks the protocols of Tiingo, Stooq and Alpha Vantage.

It has the sample's stocks, with their splits and dividends. Failures are ordered in advance:
`server.fail(429, "...")`; the words are those that the services were seen to use.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import deque
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

import pandas as pd
from bokeh_sampledata import stocks

from pipeline.prices.sample import SAMPLE_TICKERS, SampleSource
from pipeline.tables import OHLCV, PRICE_COLUMNS

#: The key that the server takes.
KEY = "s3cret-key_of.tests"
HTML = "<!DOCTYPE html><html><body>Back soon</body></html>"
#: What the services say when nothing is wrong but the request.
TIINGO_LIMIT = json.dumps(
    {
        "detail": "Error: You have run over your hourly request allocation. Please upgrade at "
        "https://api.tiingo.com/pricing to have your limits increased."
    }
)
STOOQ_LIMIT = "Exceeded the daily hits limit"
STOOQ_KEY = "Get your apikey:\n\n1. Open https://stooq.com/q/d/?s=ibm.us&get_apikey\n"
ALPHAVANTAGE_LIMIT = json.dumps(
    {
        "Information": f"We have detected your API key as {KEY} and our standard API rate limit is "
        "25 requests per day. Please subscribe to any of the premium plans at "
        "https://www.alphavantage.co/premium/ to instantly remove all daily rate limits."
    }
)
ALPHAVANTAGE_PREMIUM = json.dumps(
    {
        "Information": "Thank you for using Alpha Vantage! This is a premium endpoint. You may "
        "subscribe to any of the premium plans at https://www.alphavantage.co/premium/"
    }
)
ALPHAVANTAGE_UNKNOWN = json.dumps(
    {
        "Error Message": "Invalid API call. Please retry or visit the documentation "
        "(https://www.alphavantage.co/documentation/) for TIME_SERIES_DAILY_ADJUSTED."
    }
)
ALPHAVANTAGE_KEY = json.dumps(
    {
        "Error Message": "the parameter apikey is invalid or missing. Please claim your free API "
        "key on (https://www.alphavantage.co/support/#api-key). It should take less than 20 "
        "seconds."
    }
)

Reply = tuple[int, str]


class PriceServiceServer:
    """The server; a context manager.

    Attributes:
        requests: path, parameters and the header Authorization of each request.
        today: the newest day that it has bars of.
        wants_stooq_key: whether Stooq asks for a key.
    """

    def __init__(self) -> None:
        self.recover()
        handler = type("Handler", (_Handler,), {"service": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> PriceServiceServer:
        serve = {"poll_interval": 0.05}
        threading.Thread(target=self._http.serve_forever, kwargs=serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def recover(self) -> None:
        """Forget requests and failures that are still ordered."""
        self.requests: list[tuple[str, dict[str, str], str]] = []
        self.today = dt.date(2013, 3, 1)
        self.wants_stooq_key = False
        self._failures: deque[Reply | None] = deque()

    def fail(self, status: int, body: str, times: int = 1) -> None:
        """Answer the next requests so; status 0: end the connection in the middle."""
        self._failures.extend([(status, body) if status else None] * times)

    def answer(self, path: str, query: dict[str, str], authorization: str) -> Reply | None:
        """Return status and body; None: end the connection in the middle."""
        self.requests.append((path, query, authorization))
        if self._failures:
            return self._failures.popleft()
        if path.startswith("/tiingo/daily/"):
            return self._tiingo(path.split("/")[3].upper(), path.endswith("/prices"), query)
        if path == "/q/d/l/":
            return self._stooq(query)
        return self._alphavantage(query)

    def _tiingo(self, ticker: str, is_prices: bool, query: dict[str, str]) -> Reply:
        authorization = self.requests[-1][2]
        if authorization != f"Token {KEY}":
            return 401, json.dumps({"detail": "Invalid token."})
        if ticker not in SAMPLE_TICKERS:
            return 404, json.dumps({"detail": f"Error: Ticker '{ticker}' not found"})
        bars = _bars(ticker)
        if not is_prices:
            begin, end = bars["date"].min().date(), min(bars["date"].max().date(), self.today)
            return 200, json.dumps({"ticker": ticker, "startDate": f"{begin}", "endDate": f"{end}"})
        first, last = (dt.date.fromisoformat(query[name]) for name in ("startDate", "endDate"))
        rows = self._between(bars, first, last)
        names = {"split": "splitFactor", "dividend": "divCash", "adj_close": "adjClose"}
        rows = rows.rename(columns=names)
        columns = ["date", "close", "high", "low", "open", "volume", "adjClose"]
        return 200, _csv(rows[[*columns, "divCash", "splitFactor"]]) if len(rows) else "[]"

    def _stooq(self, query: dict[str, str]) -> Reply:
        if self.wants_stooq_key and query.get("apikey") != KEY:
            return 200, STOOQ_KEY
        ticker = query["s"].upper().removesuffix(".US")
        if ticker not in SAMPLE_TICKERS or not query["s"].endswith(".us"):
            return 200, "No data"
        bars = _bars(ticker)
        factors = bars["adj_close"] / bars["close"]
        factors /= factors.iloc[-1]
        bars = bars.assign(
            **{name: (bars[name] * factors).round(4) for name in PRICE_COLUMNS},
            volume=(bars["volume"] / factors).round(),
        )
        span = (dt.datetime.strptime(query.get(n, d), "%Y%m%d").date() for n, d in STOOQ_SPAN)
        rows = self._between(bars, *span)[["date", *OHLCV]].rename(columns=str.title)
        return 200, _csv(rows) if len(rows) else "No data"

    def _alphavantage(self, query: dict[str, str]) -> Reply:
        if query["apikey"] != KEY:
            return 200, ALPHAVANTAGE_KEY
        if query["symbol"] not in SAMPLE_TICKERS:
            return 200, ALPHAVANTAGE_UNKNOWN
        rows = self._between(_bars(query["symbol"]), dt.date.min, self.today)
        names = {"date": "timestamp", "adj_close": "adjusted_close"}
        names |= {"dividend": "dividend_amount", "split": "split_coefficient"}
        rows = rows.rename(columns=names)
        order = ["timestamp", *PRICE_COLUMNS, "adjusted_close", "volume"]
        rows = rows[[*order, "dividend_amount", "split_coefficient"]].iloc[::-1]
        return 200, _csv(rows.head(100) if query["outputsize"] == "compact" else rows)

    def _between(self, bars: pd.DataFrame, first: dt.date, last: dt.date) -> pd.DataFrame:
        days = bars["date"].dt.date
        return bars[(days >= first) & (days <= min(last, self.today))]


STOOQ_SPAN = (("d1", "19000101"), ("d2", "21000101"))


class _Handler(BaseHTTPRequestHandler):
    service: PriceServiceServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        authorization = self.headers.get("Authorization", "")
        reply = self.service.answer(
            unquote(parts.path), dict(parse_qsl(parts.query)), authorization
        )
        if reply is None:
            return
        body = reply[1].encode()
        self.send_response(reply[0])
        self.send_header("Content-Type", "text/csv; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@cache
def _bars(ticker: str) -> pd.DataFrame:
    """Return a stock's bars as traded, with columns adj_close, split and dividend."""
    raw = SampleSource().fetch_raw(ticker, dt.date.min, dt.date.max, dt.datetime.min)
    bars = raw.prices.assign(adj_close=getattr(stocks, ticker)["adj_close"])
    for kind, nothing in (("split", 1.0), ("dividend", 0.0)):
        own = raw.actions[raw.actions["kind"] == kind].set_index("date")["value"]
        bars[kind] = bars["date"].map(own).fillna(nothing)
    return bars


def _csv(rows: pd.DataFrame) -> str:
    return str(rows.to_csv(index=False, lineterminator="\r\n"))
