"""The stooq source: daily bars of stooq.com.

Stooq adjusts its history for splits and dividends, and lists neither: each one restates the bars
before it, which the next run finds. It allows some requests a day from each address, and asks some
addresses for a key, which its web page gives.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import partial

from pipeline.connections import Connections
from pipeline.errors import StockcastError, UnknownTicker
from pipeline.prices.pacing import Pacing
from pipeline.prices.priced_tables import no_prices, prices_of_text
from pipeline.prices.services.listing_currencies import STOOQ_CURRENCIES, in_listing_currency
from pipeline.prices.services.service_client import MARGIN, REFUSED, Answer, Request, ServiceClient
from pipeline.prices.source import RawPrices

NO_DATA = "no data"
LIMIT_WORDS = "daily hits limit"
KEY_WORDS = "apikey"
NOT_LISTED = "Stooq's splits and dividends (its prices are adjusted for them, it lists none)"


class StooqSource:
    """Stooq. Spell tickers as it does, with the market's ending: IBM.US, BRK-B.US, ^SPX.

    Args:
        pacing: turns and attempts.
        timeout: seconds for each single request.
        connections: where the key is found.
        address: of the server; "": Stooq's.
    """

    name = "stooq"
    reads_all = False
    is_metered = True
    own_address = "https://stooq.com"
    most_per_second = 2.0

    def __init__(
        self, pacing: Pacing, timeout: float, connections: Connections, address: str = ""
    ) -> None:
        address = address or self.own_address
        self._client = ServiceClient(
            self.name, "Stooq", address, pacing, timeout, connections, needs_key=False
        )

    def tickers(self) -> None:
        """Return None: there are too many to list."""
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        asked = {"d1": f"{first - MARGIN:%Y%m%d}", "d2": f"{last:%Y%m%d}"}
        answer = self._ask(ticker, asked)
        if not _has_bars(answer):
            # Of a ticker that it does not know, Stooq says the same as of a range without bars.
            if not _has_bars(self._ask(ticker, {})):
                raise UnknownTicker(
                    f"Stooq has no data of {ticker}. Spell it as stooq.com does, with the market's "
                    "ending, such as IBM.US."
                )
            return no_prices()
        where = f"{ticker} from {self.name}"
        raw = prices_of_text(answer.text, ticker, where, first, last)
        return in_listing_currency(replace(raw, unused=(NOT_LISTED,)), ticker, STOOQ_CURRENCIES)

    def _ask(self, ticker: str, span: dict[str, str]) -> Answer:
        request = partial(_daily_bars, ticker, span)
        return self._client.ask(ticker, request, partial(self._diagnose, ticker))

    def _diagnose(self, ticker: str, answer: Answer) -> StockcastError | None:
        text = answer.text[:500].lower()
        if LIMIT_WORDS in text:
            return self._client.limited(ticker, answer)
        if answer.status in REFUSED or (KEY_WORDS in text and not answer.is_table("date")):
            return self._client.refused_key(answer)
        if answer.is_table("date") or (answer.status == 200 and text.strip() == NO_DATA):
            return None
        return self._client.no_prices(ticker, answer)


def _daily_bars(ticker: str, span: dict[str, str], key: str) -> Request:
    parameters = {"s": ticker.lower(), **span, "i": "d"}
    return Request("/q/d/l/", parameters | ({"apikey": key} if key else {}))


def _has_bars(answer: Answer) -> bool:
    return answer.is_table("date") and answer.has_rows()
