"""Money: currencies with their units, and how prices and differences of prices are written."""

from __future__ import annotations

import math
from decimal import Decimal

#: Codes of ISO 4217, and of the coins that others are traded for.
CURRENCIES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP "
    "BYN BZD CAD CDF CHF CLF CLP CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD "
    "FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY "
    "KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR "
    "MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB "
    "RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD "
    "TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XDR XOF XPF YER ZAR ZMW ZWL "
    "BTC ETH USDC USDT"
)

#: Parts of a currency that prices are quoted in, by their codes as Yahoo has them; a letter's case
#: tells GBp (pence) from GBP (pounds).
SUBUNITS = {"GBp": "pence", "ZAc": "cents", "ILA": "agorot", "KWF": "fils", "USX": "cents"}
#: Other spellings of these, in capitals.
SUBUNIT_SPELLINGS = {"GBX": "GBp", "GBPENCE": "GBp", "PENCE": "GBp", "ZAC": "ZAc"}
#: Digits after the point of the currencies that have not two (ISO 4217).
WITHOUT_CENTS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
WITH_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
#: Digits of a price that mean something: Yahoo's are 32-bit floats.
MEANT_DIGITS = 7


def currency_code(text: str) -> str:
    """Return the code that a text spells, such as USD or GBp; "": it spells none."""
    word = text.strip()
    if word in SUBUNITS:
        return word
    capitals = word.upper()
    if capitals in SUBUNIT_SPELLINGS:
        return SUBUNIT_SPELLINGS[capitals]
    return capitals if capitals in CURRENCIES.split() else ""


def currency_words(currency: str) -> str:
    """Return a code with its unit where that is not the currency itself: GBp (pence)."""
    return f"{currency} ({SUBUNITS[currency]})" if currency in SUBUNITS else currency


def price_decimals(price: float, currency: str = "") -> int:
    """Return the digits after the point that a price, and those near it, are written with.

    They are those of the currency, from 1000 on always. Below, a price that has more is written
    with up to five significant digits, as exchange rates are; below 1, with four at least.

    Args:
        currency: its code; "": not known.
    """
    usual = 2
    if currency in WITHOUT_CENTS.split():
        usual = 0
    elif currency in WITH_THOUSANDTHS.split():
        usual = 3
    size = abs(price)
    if not 0 < size < 1000:  # NaN, too
        return usual
    five = 4 - math.floor(math.log10(size))
    fewest = usual if size >= 1 else five - 1
    digits = Decimal(f"{size:.{MEANT_DIGITS}g}").normalize().as_tuple().exponent
    return min(max(-int(digits), fewest), max(five, fewest))


def price_text(value: float, currency: str = "", like: float | None = None) -> str:
    """Return a price as text; a dash for NaN.

    Args:
        currency: its code; "": not known.
        like: the price that it is a forecast of, whose digits it has; None: its own.
    """
    if math.isnan(value):
        return "–"
    return f"{value:,.{price_decimals(value if like is None else like, currency)}f}"


def with_code(text: str, currency: str) -> str:
    """Return a price's text with its code behind; without one where it is not known."""
    return f"{text} {currency}" if currency else text


def difference_text(value: float) -> str:
    """Return a difference of prices, such as an error, as text; a dash for NaN.

    It has two digits after the point from 100 on, below that four, and below 1 four significant
    ones at least.
    """
    if math.isnan(value):
        return "–"
    size = abs(value)
    if size >= 100:
        return f"{value:,.2f}"
    small = max(4, 3 - math.floor(math.log10(size))) if 0 < size < 1 else 4
    return f"{value:,.{small}f}"
