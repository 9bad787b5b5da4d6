"""Currencies of listings: what a service's spelling of a ticker says, which names none itself.

Only what all listings of an ending are quoted in counts. London is not among them: it has pence,
pounds, dollars and euros (Alpha Vantage's search has BA.LON in GBX and BA05.LON in GBP).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pipeline.prices.source import RawPrices

#: Patterns of tickers, the first that fits, and their currencies; "": not known.
TickerCurrencies = Mapping[str, str]

#: Without an ending, a listing is of the United States.
UNITED_STATES = r"[A-Z][A-Z0-9-]*"
#: Its list of tickers has the six digits of Shanghai and Shenzhen in yuan, which not all shares
#: there are quoted in.
TIINGO_CURRENCIES = {UNITED_STATES: "USD"}
#: In Toronto, U is the class that is quoted in dollars of the United States. B shares, 900 in
#: Shanghai and 200 in Shenzhen, are quoted in dollars.
ALPHAVANTAGE_CURRENCIES = {
    UNITED_STATES: "USD",
    r".+[.-]U\.TR[TV]": "",
    r".+\.TR[TV]": "CAD",
    r".+\.DEX": "EUR",
    r".+\.BSE": "INR",
    r"(?!900)\d+\.SHH": "CNY",
    r"(?!200)\d+\.SHZ": "CNY",
}
#: Without an ending are Warsaw's stocks and exchange rates; with _ are ratios such as AAPL_PE.US.
STOOQ_CURRENCIES = {
    r"[A-Z0-9-]+\.US": "USD",
    r"[A-Z0-9-]+\.DE": "EUR",
    r"[A-Z0-9-]+\.JP": "JPY",
}


def in_listing_currency(raw: RawPrices, ticker: str, currencies: TickerCurrencies) -> RawPrices:
    """Return prices with the currency of their listing, where they name none and it is known."""
    fitting = (currencies[each] for each in currencies if re.fullmatch(each, ticker))
    return replace(raw, currency=raw.currency or next(fitting, ""))
