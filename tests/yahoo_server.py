"""A server on loopback that speaks Yahoo Finance's protocol.

It is for the real yfinance client with nothing in it patched. It answers as an HTTPS proxy that
ends TLS with a certificate authority of its own, made at start:

    python -m tests.yahoo_server --tickers AAPL,MSFT --now 2024-07-01T22:00+00:00

prints the variables to export (HTTPS_PROXY and the CA bundle's) and serves until it is interrupted.
Every host but *.yahoo.com is refused. Prices are made (see `yahoo_market`).

Failures are ordered in advance: `server.fail("429", times=2)`, or from another process with
`curl "http://127.0.0.1:PORT/_control?fail=429&times=2&ticker=AAPL"`; `&now=...` moves the clock.
Note that yfinance itself asks twice before it gives up on an HTTP error.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import ssl
import tempfile
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.yahoo_certificates import make_certificates
from tests.yahoo_market import MARKET_TICKERS, Market

FAILURES = (
    "429",
    "500",
    "500-json",
    "hang",
    "empty",
    "no-result",
    "html",
    "ragged",
    "text",
    "cut",
    "nan-bar",
    "no-bars",
    "wrong-bar",
    "restated-bar",
)
JSON = "application/json"
SUMMARY_PATH = "/v10/finance/quoteSummary/"
NO_QUOTE = json.dumps(
    {
        "quoteSummary": {
            "result": None,
            "error": {"code": "Not Found", "description": "Quote not found"},
        }
    }
)


class YahooServer:
    """The server; a context manager.

    Attributes:
        requests: the requests for prices, each a ticker and the parameters by name.
        summaries: the tickers of the requests for what is ahead.
        summary_reply: status, content type and body of all answers to these; None: they are good.
        bundle: the file of the CA that signed the server's certificate.
        reply: status, content type and body of all answers to requests for prices; None: they are
            good, unless a failure is ordered.
    """

    def __init__(
        self, market: Market, folder: Path, port: int = 0, hang_seconds: float = 60.0
    ) -> None:
        self.market = market
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.reply: tuple[int, str, str] | None = None
        self.summaries: list[str] = []
        self.summary_reply: tuple[int, str, str] | None = None
        self._failures: deque[tuple[str, str]] = deque()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._hang_seconds = hang_seconds
        self.bundle, leaf = make_certificates(folder)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(leaf)
        self._http = ThreadingHTTPServer(
            ("127.0.0.1", port), type("Handler", (_Handler,), {"yahoo": self})
        )
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]

    def __enter__(self) -> YahooServer:
        threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._http.shutdown()
        self._http.server_close()

    def environment(self) -> dict[str, str]:
        """Return the variables that send a process's HTTPS here.

        Set them before it starts: libraries read the CA at import.
        """
        bundles = dict.fromkeys(
            ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), str(self.bundle)
        )
        proxy = f"http://127.0.0.1:{self.port}"
        return {
            "HTTPS_PROXY": proxy,
            "https_proxy": proxy,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **bundles,
        }

    def fail(self, how: str, times: int = 1, ticker: str = "") -> None:
        """Answer the next `times` requests for prices (of `ticker`, or any) as FAILURES says."""
        if how not in FAILURES:
            raise ValueError(f"{how!r}: one of {', '.join(FAILURES)} is expected.")
        with self._lock:
            self._failures.extend([(how, ticker)] * times)

    def recover(self) -> None:
        """Forget the failures that are still ordered."""
        with self._lock:
            self._failures.clear()

    def answer(self, host: str, path: str, query: dict[str, str]) -> tuple[int, str, str] | None:
        """Return status, content type and body; None: end the connection in the middle."""
        if path == "/_control":
            return self._control(query)
        if path.startswith("/v8/finance/chart/"):
            return self._chart(unquote(path.removeprefix("/v8/finance/chart/")), query)
        if path.startswith(SUMMARY_PATH):
            return self._summary(unquote(path.removeprefix(SUMMARY_PATH)), query)
        if path == "/v1/test/getcrumb":
            return 200, "text/plain", "crumb"
        if host.startswith(("fc.", "guce.", "consent.")):
            return 404, "text/html", "<html></html>"
        return 404, JSON, NO_QUOTE

    def _summary(self, ticker: str, query: dict[str, str]) -> tuple[int, str, str]:
        """Return what is ahead, to who has the crumb and asks for it as it is known."""
        if query["modules"] != "calendarEvents":  # such as what yfinance asks about a price error
            return 404, JSON, NO_QUOTE
        with self._lock:
            self.summaries.append(ticker)
        if self.summary_reply:
            return self.summary_reply
        if query.get("crumb") != "crumb":
            error = {"code": "Unauthorized", "description": "Invalid Crumb"}
            return 401, JSON, json.dumps({"quoteSummary": {"result": None, "error": error}})
        if ticker.endswith("-USD") or ticker not in self.market.tickers:
            return 404, JSON, NO_QUOTE
        result = [self.market.summary(ticker)]
        return 200, JSON, json.dumps({"quoteSummary": {"result": result, "error": None}})

    def _control(self, query: dict[str, str]) -> tuple[int, str, str]:
        if "now" in query:
            self.market.now = moment(query["now"])
        if "fail" in query:
            self.fail(query["fail"], int(query.get("times", 1)), query.get("ticker", ""))
        return (
            200,
            JSON,
            json.dumps({"now": self.market.now.isoformat(), "requests": self.requests}),
        )

    def _chart(self, ticker: str, query: dict[str, str]) -> tuple[int, str, str] | None:
        with self._lock:
            self.requests.append((ticker, query))
            ordered = next(
                (failure for failure in self._failures if failure[1] in ("", ticker)), None
            )
            if ordered:
                self._failures.remove(ordered)
        if self.reply:
            return self.reply
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
            first, end = (
                dt.datetime.fromtimestamp(int(query[name]), dt.UTC)
                for name in ("period1", "period2")
            )
        else:
            day = dt.timedelta(days=1)
            first, end = self.market.now - day, self.market.now + day
        return self.market.chart(ticker, first, end)


#: Answers that say nothing about the ticker. None: the connection ends in the middle.
BROKEN: dict[str, tuple[int, str, str] | None] = {
    "429": (429, "text/html", "Too Many Requests\r\n"),
    "500": (500, "text/html", "<html><body>Internal Server Error</body></html>"),
    "500-json": (
        500,
        JSON,
        '{"chart": {"result": null, "error": '
        '{"code": "Internal Server Error", "description": "internal"}}}',
    ),
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
    elif how in ("wrong-bar", "restated-bar"):  # the last one, or the third from the end
        at = 1 if how == "wrong-bar" else 3  # some answers have a single bar
        for name in ("close", "high"):
            if len(quote[name]) >= at:
                quote[name][-at] *= 1.5


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
        payload = body.encode("utf-8", "surrogatepass")
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
        # Clients give up on purpose here.
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, ValueError):
            super().finish()
        # The tunnel replaced the socket that the server closes.
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Print nothing: tests read `requests`."""


def moment(text: str) -> dt.datetime:
    value = dt.datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak Yahoo Finance's protocol on loopback.")
    parser.add_argument(
        "--tickers",
        default=",".join(MARKET_TICKERS),
        help="the tickers that it knows (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument(
        "--now",
        type=moment,
        default=dt.datetime.now(dt.UTC),
        help="its clock, such as 2024-07-01T22:00+00:00 (default: the real one)",
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--folder",
        type=Path,
        default=None,
        help="where the certificates go (default: a temporary folder)",
    )
    options = parser.parse_args()
    market = Market(now=options.now, tickers=tuple(options.tickers.split(",")), seed=options.seed)
    with (
        tempfile.TemporaryDirectory() as temporary,
        YahooServer(market, options.folder or Path(temporary), options.port) as server,
    ):
        for name, value in server.environment().items():
            print(f"export {name}={value}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
