"""A server on loopback that speaks Yahoo Finance's protocol, for the real yfinance client with nothing in it patched.

It answers as an HTTPS proxy that ends TLS with a certificate authority of its own, made at start:

    python -m tests.yahoo_server --tickers AAPL,MSFT --now 2024-07-01T22:00+00:00

prints the variables to export (HTTPS_PROXY and the CA bundle's) and serves until it is interrupted. Every host but *.yahoo.com is
refused. Prices are made: a seeded random walk per ticker on New York's sessions, or on every day for pairs such as BTC-USD,
with quarterly dividends and, for some, a split; as Yahoo does, they are sent adjusted for every split up to `now`.

Failures are ordered in advance: `server.fail("429", times=2)`, or from another process with
`curl "http://127.0.0.1:PORT/_control?fail=429&times=2&ticker=AAPL"`; `&now=...` moves the clock. Note that yfinance itself asks twice before
it gives up on an HTTP error.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import itertools
import json
import ssl
import tempfile
import threading
import zlib
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from pipeline.sessions import Calendar

FIRST_DAY = dt.date(2010, 1, 4)
#: Far enough for any clock; prices are drawn in order, so a later `now` only adds to them.
LAST_DAY = dt.date(2035, 12, 31)
#: Splits: ticker -> (ex-date, new shares for one old).
SPLITS = {"AAPL": (dt.date(2020, 8, 31), 4.0), "NVDA": (dt.date(2024, 6, 10), 10.0), "TSLA": (dt.date(2022, 8, 25), 3.0)}
TICKERS = ("AAPL", "AMZN", "AVGO", "BRK-B", "GOOGL", "JPM", "META", "MSFT", "NVDA", "TSLA", "BTC-USD")
FAILURES = ("429", "500", "500-json", "hang", "empty", "no-result", "html", "ragged", "text", "cut", "nan-bar", "no-bars")
JSON = "application/json"


@dataclass
class Market:
    """Made prices as traded, and how Yahoo would show them at `now`.

    Attributes:
        now: the server's clock; bars of sessions that have opened by then exist, the last one perhaps unfinished.
        splits: ticker -> [(ex-date, ratio)].
        dividends: ticker -> [(ex-date, dollars as paid)].
    """

    now: dt.datetime
    tickers: tuple[str, ...] = TICKERS
    seed: int = 7
    first_day: dt.date = FIRST_DAY
    splits: dict[str, list[tuple[dt.date, float]]] = field(
        default_factory=lambda: {ticker: [split] for ticker, split in SPLITS.items()}
    )
    dividends: dict[str, list[tuple[dt.date, float]]] | None = None

    def calendar(self, ticker: str) -> Calendar:
        return Calendar("24/7" if ticker.endswith("-USD") else "XNYS")

    def opened(self, ticker: str) -> list[dt.date]:
        """Sessions that have opened by `now`."""
        calendar = self.calendar(ticker)
        days = calendar.sessions(self.first_day, self.now.astimezone(calendar.timezone).date())
        return days[:-1] + [day for day in days[-1:] if self.opening(ticker, day) <= self.now]

    def opening(self, ticker: str, session: dt.date) -> dt.datetime:
        """The moment by which Yahoo dates a bar: 9:30 in New York, midnight UTC for pairs."""
        time = dt.time() if ticker.endswith("-USD") else dt.time(9, 30)
        return dt.datetime.combine(session, time, tzinfo=self.calendar(ticker).timezone)

    def traded(self, ticker: str) -> np.ndarray:
        """Open, high, low, close, volume on the tape, one row per opened session; splits show as jumps."""
        sessions = self.opened(ticker)
        draws = np.random.default_rng([self.seed, zlib.crc32(ticker.encode())]).standard_normal(
            (len(self._all_sessions(ticker)), 5)
        )[: len(sessions)]
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
        """Dividends as paid: the given ones, or a quarter dollar on the first session of every quarter's second month."""
        if self.dividends is not None:
            return self.dividends.get(ticker, [])
        if ticker.endswith("-USD") or ticker in ("AMZN", "BRK-B", "TSLA"):
            return []
        sessions = self.opened(ticker)
        firsts = [day for before, day in itertools.pairwise(sessions) if day.month != before.month and day.month % 3 == 2]
        return [(day, 0.25) for day in firsts]

    def chart(self, ticker: str, first: dt.datetime, end: dt.datetime) -> dict:
        """The result of a chart request for bars dated from `first` until before `end`."""
        sessions = self.opened(ticker)
        splits = [(day, ratio) for day, ratio in self.splits.get(ticker, []) if sessions and day <= sessions[-1]]
        after = np.array([np.prod([ratio for day, ratio in splits if day > session], initial=1.0) for session in sessions])
        bars = self.traded(ticker)
        bars = np.column_stack([bars[:, :4] / after[:, None], np.round(bars[:, 4] * after)])
        rows = [i for i, session in enumerate(sessions) if first <= self.opening(ticker, session) < end]
        result: dict = {"meta": self._meta(ticker, sessions), "indicators": {"quote": [{}], "adjclose": [{}]}}
        if not rows:
            return result
        columns = dict(zip(("open", "high", "low", "close"), np.float32(bars[rows, :4]).astype(float).T.tolist(), strict=True))
        result["timestamp"] = [int(self.opening(ticker, sessions[i]).timestamp()) for i in rows]
        if self._going_on(ticker, sessions[-1]) and rows[-1] == len(sessions) - 1:
            result["timestamp"][-1] = int(self.now.timestamp())
        result["indicators"] = {
            "quote": [{**columns, "volume": bars[rows, 4].astype(int).tolist()}],
            "adjclose": [{"adjclose": columns["close"]}],
        }
        result["events"] = self._events(ticker, splits, first, end)
        return result

    def _events(self, ticker: str, splits: list[tuple[dt.date, float]], first: dt.datetime, end: dt.datetime) -> dict:
        def within(day: dt.date) -> bool:
            return first <= self.opening(ticker, day) < end

        dividends = {}
        for day, amount in self.paid(ticker):
            if within(day) and self.opening(ticker, day) <= self.now:
                stamp = int(self.opening(ticker, day).timestamp())
                later = np.prod([ratio for ex_date, ratio in splits if ex_date > day], initial=1.0)
                dividends[str(stamp)] = {"amount": amount / later, "date": stamp}
        moments = [(int(self.opening(ticker, day).timestamp()), ratio) for day, ratio in splits if within(day)]
        ratios = {
            str(at): {"date": at, "numerator": ratio, "denominator": 1.0, "splitRatio": f"{ratio:g}:1"} for at, ratio in moments
        }
        return {name: events for name, events in (("dividends", dividends), ("splits", ratios)) if events}

    def _going_on(self, ticker: str, session: dt.date) -> bool:
        return self.calendar(ticker).close_of(session) > self.now

    def _meta(self, ticker: str, sessions: list[dt.date]) -> dict:
        calendar = self.calendar(ticker)
        last = min(self.now, calendar.close_of(sessions[-1])) if sessions else self.now
        offset = int(last.astimezone(calendar.timezone).utcoffset().total_seconds())
        period = {"timezone": "UTC", "start": int(last.timestamp()) - 23400, "end": int(last.timestamp()), "gmtoffset": offset}
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
        return self.calendar(ticker).sessions(self.first_day, LAST_DAY)


class YahooServer:
    """The server; a context manager. `requests` lists what was asked for prices: (ticker, {parameter: value})."""

    def __init__(self, market: Market, folder: Path, port: int = 0, hang_seconds: float = 60.0) -> None:
        self.market = market
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._failures: deque[tuple[str, str]] = deque()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._hang_seconds = hang_seconds
        self.bundle, leaf = make_certificates(folder)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(leaf)
        self._http = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"yahoo": self}))
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]

    def __enter__(self) -> YahooServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._http.shutdown()
        self._http.server_close()

    def environment(self) -> dict[str, str]:
        """Variables that send a process's HTTPS here. Set them before it starts: libraries read the CA at import."""
        bundles = dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), str(self.bundle))
        proxy = f"http://127.0.0.1:{self.port}"
        return {
            "HTTPS_PROXY": proxy,
            "https_proxy": proxy,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **bundles,
        }

    def fail(self, how: str, times: int = 1, ticker: str = "") -> None:
        """Answer the next `times` requests for prices (of `ticker`, or any) in one of the ways of FAILURES."""
        if how not in FAILURES:
            raise ValueError(f"{how!r}: one of {', '.join(FAILURES)} is expected.")
        with self._lock:
            self._failures.extend([(how, ticker)] * times)

    def recover(self) -> None:
        """Forget the failures that are still ordered."""
        with self._lock:
            self._failures.clear()

    def answer(self, host: str, path: str, query: dict[str, str]) -> tuple[int, str, str] | None:
        """Status, content type and body; None: end the connection in the middle."""
        if path == "/_control":
            return self._control(query)
        if path.startswith("/v8/finance/chart/"):
            return self._chart(unquote(path.removeprefix("/v8/finance/chart/")), query)
        if path == "/v1/test/getcrumb":
            return 200, "text/plain", "crumb"
        if host.startswith(("fc.", "guce.", "consent.")):
            return 404, "text/html", "<html></html>"
        error = {"code": "Not Found", "description": "Quote not found"}
        return 404, JSON, json.dumps({"quoteSummary": {"result": None, "error": error}})

    def _control(self, query: dict[str, str]) -> tuple[int, str, str]:
        if "now" in query:
            self.market.now = moment(query["now"])
        if "fail" in query:
            self.fail(query["fail"], int(query.get("times", 1)), query.get("ticker", ""))
        return 200, JSON, json.dumps({"now": self.market.now.isoformat(), "requests": self.requests})

    def _chart(self, ticker: str, query: dict[str, str]) -> tuple[int, str, str] | None:
        with self._lock:
            self.requests.append((ticker, query))
            ordered = next((failure for failure in self._failures if failure[1] in ("", ticker)), None)
            if ordered:
                self._failures.remove(ordered)
        if ordered and ordered[0] == "hang":
            self._stopped.wait(self._hang_seconds)
            return None
        if ordered and ordered[0] in BROKEN:
            return BROKEN[ordered[0]]
        if ticker not in self.market.tickers:
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return 404, JSON, json.dumps({"chart": {"result": None, "error": error}})
        result = self._result(ticker, query)
        if ordered:
            _spoil(result, ordered[0])
        return 200, JSON, json.dumps({"chart": {"result": [result], "error": None}})

    def _result(self, ticker: str, query: dict[str, str]) -> dict:
        if "period1" in query:
            first, end = (dt.datetime.fromtimestamp(int(query[name]), dt.UTC) for name in ("period1", "period2"))
        else:
            first, end = self.market.now - dt.timedelta(days=1), self.market.now + dt.timedelta(days=1)
        return self.market.chart(ticker, first, end)


#: Answers that say nothing about the ticker. None ends in the middle.
BROKEN: dict[str, tuple[int, str, str] | None] = {
    "429": (429, "text/html", "Too Many Requests\r\n"),
    "500": (500, "text/html", "<html><body>Internal Server Error</body></html>"),
    "500-json": (500, JSON, '{"chart": {"result": null, "error": {"code": "Internal Server Error", "description": "internal"}}}'),
    "empty": (200, JSON, ""),
    "no-result": (200, JSON, '{"chart": {"result": [], "error": null}}'),
    "html": (200, "text/html", "<!DOCTYPE html><html><body>Yahoo will be right back</body></html>"),
    "cut": None,
}


def _spoil(result: dict, how: str) -> None:
    """Damage a good answer in place."""
    quote = result["indicators"]["quote"][0]
    if how == "no-bars":  # although the market traded
        result.pop("timestamp", None)
        result["indicators"] = {"quote": [{}], "adjclose": [{}]}
    elif how == "ragged":
        quote["open"] = quote["open"][:-1]
    elif how == "text":
        quote["close"] = ["n/a"] * len(quote["close"])
    elif how == "nan-bar":  # the third bar from the end
        for values in quote.values():
            values[-3] = None


class _Handler(BaseHTTPRequestHandler):
    """One connection: plain HTTP, or a tunnel to what believes itself to be Yahoo."""

    yahoo: YahooServer
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        host = self.path.partition(":")[0]
        if not host.endswith("yahoo.com"):
            self.send_error(403, f"{host} is not served here")
            return
        self.send_response(200, "Connection established")
        self.end_headers()
        try:
            tunnel = self.yahoo.tls.wrap_socket(self.connection, server_side=True)
        except (ssl.SSLError, OSError):
            self.close_connection = True
            return
        self.connection = tunnel
        self.rfile, self.wfile = tunnel.makefile("rb"), tunnel.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        answer = self.yahoo.answer(self.headers.get("Host", ""), url.path, query)
        status, kind, body = answer or (200, JSON, "{")
        payload = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload) if answer else 1000))
        self.end_headers()
        self.wfile.write(payload)
        self.close_connection = self.close_connection or answer is None

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):  # clients give up on purpose here
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, ValueError):
            super().finish()
        # The tunnel replaced the socket that the server closes.
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Silence: tests read `requests`."""


def make_certificates(folder: Path) -> tuple[Path, Path]:
    """A CA and a leaf for Yahoo's hosts signed by it (a self-signed leaf is refused): (CA bundle, leaf with its key)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        today = dt.datetime.now(dt.UTC)
        certificate = x509.CertificateBuilder().subject_name(named(subject)).issuer_name(named("Yahoo test CA"))
        certificate = certificate.not_valid_before(today - dt.timedelta(days=1)).not_valid_after(today + dt.timedelta(days=30))
        return certificate.public_key(key.public_key()).serial_number(x509.random_serial_number())

    ca_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = (
        builder("Yahoo test CA", ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    hosts = [x509.DNSName(host) for host in ("yahoo.com", "*.yahoo.com", "*.finance.yahoo.com")]
    leaf = (
        builder("Yahoo test leaf", leaf_key)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(ca_key, hashes.SHA256())
    )

    pem = serialization.Encoding.PEM
    folder.mkdir(parents=True, exist_ok=True)
    bundle, leaf_path = folder / "yahoo-test-ca.pem", folder / "yahoo-test-leaf.pem"
    bundle.write_bytes(ca.public_bytes(pem))
    key = leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    leaf_path.write_bytes(key + leaf.public_bytes(pem))
    return bundle, leaf_path


def moment(text: str) -> dt.datetime:
    value = dt.datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak Yahoo Finance's protocol on loopback.")
    parser.add_argument("--tickers", default=",".join(TICKERS), help="what it knows (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument(
        "--now",
        type=moment,
        default=dt.datetime.now(dt.UTC),
        help="its clock, such as 2024-07-01T22:00+00:00 (default: the real one)",
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=None, help="where the certificates go (default: a temporary folder)")
    options = parser.parse_args()
    market = Market(now=options.now, tickers=tuple(options.tickers.split(",")), seed=options.seed)
    with tempfile.TemporaryDirectory() as temporary, YahooServer(market, options.folder or Path(temporary), options.port) as server:
        for name, value in server.environment().items():
            print(f"export {name}={value}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
