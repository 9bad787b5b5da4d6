"""The tiingo source: daily bars of Tiingo's end-of-day service, for a key.

Prices are as traded, with splits and dividends in columns of their own. An account without a
subscription may ask 50 times an hour.
"""

from __future__ import annotations

import datetime as dt
import json
from functools import partial
from urllib.parse import quote

from pipeline.connections import Connections
from pipeline.errors import SourceUnavailable, StockcastError, UnknownTicker
from pipeline.prices.pacing import Pacing
from pipeline.prices.priced_tables import no_prices, prices_of_text
from pipeline.prices.services.listing_currencies import TIINGO_CURRENCIES, in_listing_currency
from pipeline.prices.services.service_client import MARGIN, REFUSED, Answer, Request, ServiceClient
from pipeline.prices.source import RawPrices

#: In the answers of an account that has used up what an hour, a day or a month has.
USED_UP = "run over your"


class TiingoSource:
    """Tiingo. Spell tickers as it does: AAPL, BRK-B.

    Args:
        pacing: turns and attempts.
        timeout: seconds for each single request.
        connections: where the key is found.
        address: of the server; "": Tiingo's.
    """

    name = "tiingo"
    reads_all = False
    is_metered = True
    own_address = "https://api.tiingo.com"
    most_per_second = 5.0

    def __init__(
        self, pacing: Pacing, timeout: float, connections: Connections, address: str = ""
    ) -> None:
        self._client = ServiceClient(
            self.name, "Tiingo", address or self.own_address, pacing, timeout, connections
        )

    def tickers(self) -> None:
        """Return None: there are too many to list."""
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        request = partial(_prices, ticker, first, last)
        answer = self._client.ask(ticker, request, partial(self._diagnose, ticker, "date"))
        if answer.has_rows():
            where = f"{ticker} from {self.name}"
            raw = prices_of_text(answer.text, ticker, where, first, last)
            return in_listing_currency(raw, ticker, TIINGO_CURRENCIES)
        request = partial(_request, f"/tiingo/daily/{_symbol(ticker)}", {})
        about = self._client.ask(ticker, request, partial(self._diagnose, ticker, ""))
        if problem := _no_bars(ticker, first, last, about):
            raise problem
        return no_prices()

    def _diagnose(self, ticker: str, column: str, answer: Answer) -> StockcastError | None:
        """Return the error of an answer without prices, or of one that is no table.

        Args:
            column: that the table has; "": JSON is expected.
        """
        if USED_UP in answer.text[:500]:
            return self._client.limited(ticker, answer)
        if answer.status in REFUSED:
            return self._client.refused_key(answer)
        if answer.status == 404:
            return UnknownTicker(
                f"Tiingo does not know {ticker} ({answer.quote}). Spell it as tiingo.com does, "
                "such as BRK-B."
            )
        nothing = answer.status == 200 and answer.text.strip() in ("", "[]")
        if answer.is_table(column) or (column and nothing):
            return None
        if not column and answer.status == 200 and answer.text.lstrip().startswith("{"):
            return None
        return self._client.no_prices(ticker, answer)


def _request(path: str, parameters: dict[str, str], key: str) -> Request:
    return Request(path, parameters, {"Authorization": f"Token {key}"})


def _prices(ticker: str, first: dt.date, last: dt.date, key: str) -> Request:
    begin = first - MARGIN
    parameters = {"startDate": begin.isoformat(), "endDate": last.isoformat(), "format": "csv"}
    return _request(f"/tiingo/daily/{_symbol(ticker)}/prices", parameters, key)


def _symbol(ticker: str) -> str:
    return quote(ticker.lower(), safe="")


def _no_bars(ticker: str, first: dt.date, last: dt.date, about: Answer) -> SourceUnavailable | None:
    """Return the error for an answer without bars, by what Tiingo says about the ticker.

    Returns:
        None where by its own account it has none in the range.
    """
    try:
        details = json.loads(about.text)
        begin, end = (dt.date.fromisoformat(details[name]) for name in ("startDate", "endDate"))
    except (ValueError, TypeError, KeyError):
        return SourceUnavailable(
            f"Tiingo sent no bars of {ticker} since {first} and does not say when it traded. Try "
            "again later."
        )
    if end < first or last < begin:
        return None
    return SourceUnavailable(
        f"Tiingo sent no bars of {ticker} since {first}, though it has them from {begin} to {end}. "
        "Try again later."
    )
