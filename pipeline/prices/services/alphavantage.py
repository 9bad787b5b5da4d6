"""The alphavantage source: daily bars of Alpha Vantage, for a key.

Prices are as traded, with splits and dividends in columns of their own. These come with the
function TIME_SERIES_DAILY_ADJUSTED, which Alpha Vantage answers for subscribers. Its errors are
JSON with the status of a good answer; only its words tell them apart.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

from pipeline.connections import Connections
from pipeline.errors import SettingsError, StockcastError, UnknownTicker
from pipeline.prices.pacing import Pacing
from pipeline.prices.priced_tables import prices_of_text
from pipeline.prices.services.listing_currencies import ALPHAVANTAGE_CURRENCIES, in_listing_currency
from pipeline.prices.services.service_client import REFUSED, Answer, Request, ServiceClient
from pipeline.prices.source import RawPrices

DAILY_FUNCTION = "TIME_SERIES_DAILY_ADJUSTED"
#: Calendar days that the newest 100 bars are sure to reach back, which `compact` has.
COMPACT_DAYS = 120
#: Words of its answers, in small letters, the first that fit.
SUBSCRIBERS_ONLY = ("premium endpoint", "premium feature")
LIMITS = ("rate limit", "call frequency", "sparingly", "requests per day", "calls per minute")
WRONG_KEYS = ("apikey is invalid", "demo** api key", "claim your free api key")
UNKNOWN = "invalid api call"


class AlphaVantageSource:
    """Alpha Vantage. Spell tickers as it does: IBM, BRK-B, TSCO.LON.

    Args:
        pacing: turns and attempts.
        timeout: seconds for each single request.
        connections: where the key is found.
        address: of the server; "": Alpha Vantage's.
        clock: for tests: gives the present moment in UTC.
    """

    name = "alphavantage"
    reads_all = False
    is_metered = True
    own_address = "https://www.alphavantage.co"
    most_per_second = 1.0

    def __init__(
        self,
        pacing: Pacing,
        timeout: float,
        connections: Connections,
        address: str = "",
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._clock = clock
        address = address or self.own_address
        self._client = ServiceClient(
            self.name, "Alpha Vantage", address, pacing, timeout, connections
        )

    def tickers(self) -> None:
        """Return None: there are too many to list."""
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        is_recent = max(now, self._clock()).date() - first <= dt.timedelta(days=COMPACT_DAYS)
        request = partial(_daily_bars, ticker, "compact" if is_recent else "full")
        answer = self._client.ask(ticker, request, partial(self._diagnose, ticker))
        raw = prices_of_text(answer.text, ticker, f"{ticker} from {self.name}", first, last)
        return in_listing_currency(raw, ticker, ALPHAVANTAGE_CURRENCIES)

    def _diagnose(self, ticker: str, answer: Answer) -> StockcastError | None:
        if answer.is_table("timestamp") and answer.has_rows():
            return None
        text = answer.text[:1000].lower()
        if any(words in text for words in SUBSCRIBERS_ONLY):
            return SettingsError(
                f"Alpha Vantage has {DAILY_FUNCTION}, which splits come with, for subscribers only "
                f"({answer.quote[:60]}...). Subscribe, or take another source, such as tiingo."
            )
        if answer.status in REFUSED or any(words in text for words in WRONG_KEYS):
            return self._client.refused_key(answer)
        if any(words in text for words in LIMITS):
            return self._client.limited(ticker, answer)
        if UNKNOWN in text:
            return UnknownTicker(
                f"Alpha Vantage does not know {ticker} ({answer.quote}). Spell it as its search "
                "does, such as BRK-B or TSCO.LON."
            )
        return self._client.no_prices(ticker, answer)


def _daily_bars(ticker: str, size: str, key: str) -> Request:
    parameters = {
        "function": DAILY_FUNCTION,
        "symbol": ticker,
        "outputsize": size,
        "datatype": "csv",
        "apikey": key,
    }
    return Request("/query", parameters)
