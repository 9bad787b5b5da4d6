"""Columns of price files: the spellings of each, and the producers that are known by theirs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from pipeline.money import currency_code

#: Spellings of a column once its case, accents and all but its letters are gone, the likeliest
#: first: a file that has several (unix and date, Stuecke and Volumen) means the first of them.
COLUMN_SPELLINGS: dict[str, tuple[str, ...]] = {
    "date": (
        *("date", "datum", "fecha", "data", "day", "datetime", "tradingday", "tradedate"),
        *("traddt", "timeopen", "opentime", "time", "timestamp", "unix", "unixtimestamp"),
        *("session", "dates", "tarih"),
    ),
    "open": (
        *("open", "openprice", "opnpric", "erster", "eroffn", "eroffnung", "eroffnungskurs"),
        *("ouv", "ouverture", "apertura", "abertura", "otwarcie", "openen", "acls", "pxopen"),
    ),
    "high": (
        *("high", "highprice", "hghpric", "hoch", "hochst", "tageshoch", "plushaut", "haut"),
        *("maximo", "maxima", "massimo", "najwyzszy", "hoogste", "yuksek", "pxhigh"),
    ),
    "low": (
        *("low", "lowprice", "lwpric", "tief", "tiefst", "tagestief", "plusbas", "bas"),
        *("minimo", "minima", "najnizszy", "laagste", "dusuk", "pxlow"),
    ),
    "close": (
        *("close", "closelast", "closeprice", "clspric", "closingprice", "schlusskurs"),
        *("schluss", "cierre", "chiusura", "fechamento", "cloture", "clot", "zuletzt"),
        *("dernier", "ultimo", "price", "zamkniecie", "sluiten", "kapans", "settle", "pxlast"),
        "last",
    ),
    "volume": (
        *("volume", "vol", "stuecke", "stucke", "tottrdqty", "ttltrdqnty", "ttltradgvol"),
        *("totaltradedquantity", "volumen", "tickvol", "tickvolume"),
        *("wolumen", "hacim", "pxvolume"),
    ),
    "adj_close": ("adjclose", "adjustedclose"),
    "ticker": ("ticker", "symbol", "tckrsymb"),
    "name": ("name",),
    "split": (
        *("stocksplits", "splitratio", "splitcoefficient", "splitfactor", "stocksplit"),
        *("splits", "split"),
    ),
    "dividend": ("dividends", "dividend", "exdividend", "divcash", "dividendamount"),
    "series": ("series", "sctysrs"),
    "currency": ("currency",),
    "exchange": ("exchange", "exchangecode", "primaryexchange", "mic", "calendar"),
}
#: Columns of a header that names at least open, high, low and close by a letter (Polygon): alone, a
#: letter may be a ticker.
LETTER_COLUMNS = {"t": "date", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
#: Rank of a spelling with a unit: of several (Volume BTC, Volume USD), the first is meant.
UNIT_RANK = 50
TEXT_COLUMNS = ("date", "ticker", "name", "series", "currency", "exchange")
EXPECTED_COLUMNS = "Date, Open, High, Low, Close, Volume"
CURRENCY_CODES = (
    *("usdt", "usd", "eur", "gbp", "gbx", "jpy", "inr", "krw", "chf", "cad", "aud", "btc"),
    *("zac", "ila", "hkd", "cny", "sgd", "sek", "nok", "dkk", "brl"),
)
#: A code among other words: capitals, so that no ordinary word is one.
CURRENCY_WORD = r"\b(GBp|ZAc|[A-Z]{3,4})\b"
#: Characters at the end of a file in which a footer is looked for.
MOST_FOOTER = 500
CURRENCY_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW"}

#: Producers by what no other one writes: all of these spellings are in the header. The first that
#: fits is taken.
PRODUCERS: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (name, frozenset(spellings.split()))
    for name, spellings in (
        ("yfinance, history", "date open high low close volume dividends stocksplits"),
        ("Quandl WIKI", "exdividend splitratio adjclose"),
        ("Alpha Vantage, adjusted", "timestamp adjustedclose dividendamount splitcoefficient"),
        ("Tiingo", "adjclose divcash splitfactor"),
        ("Alpaca", "timestamp close tradecount vwap"),
        ("CoinMarketCap", "timeopen timeclose timehigh marketcap"),
        ("CryptoDataDownload", "unix date symbol close volumeusd"),
        ("CryptoDataDownload", "unix date symbol close volumeusdt"),
        ("Investing.com", "date price open high low change"),
        ("Nasdaq", "date closelast volume open high low"),
        ("Stooq, bulk", "ticker per date time open high low close vol openint"),
        ("MetaTrader 5", "date open high low close tickvol vol spread"),
        ("NSE, Kaggle's NIFTY-50", "date symbol series prevclose vwap deliverablevolume"),
        ("NSE, bhavcopy", "symbol series open high low close tottrdqty timestamp"),
        ("NSE, bhavcopy", "symbol series date closeprice ttltrdqnty"),
        ("NSE, bhavcopy", "traddt tckrsymb opnpric hghpric lwpric clspric"),
        ("NSE, one stock", "date series open high low prevclose ltp close"),
        ("ariva.de", "datum erster hoch tief schlusskurs stuecke volumen"),
        ("Yahoo, web table", "date open high low close adjclose volume *"),
        ("Yahoo", "date open high low close adjclose volume"),
    )
)
#: A header that only its small letters tell from others.
ALPHA_VANTAGE = ["timestamp", "open", "high", "low", "close", "volume"]


def letters_of(name: str) -> str:
    """Return a column's name as its plain small letters: `Eröffn.` is eroffn."""
    plain = unicodedata.normalize("NFKD", name)
    return re.sub(r"[^a-z]", "", plain.lower().replace("ß", "ss"))


def column_of(name: str) -> tuple[str, int] | None:
    """Return the column that a name spells, and how likely (0 is best); None: another one.

    A unit may follow: `Close (USD)`, `Volume BTC`.
    """
    letters = letters_of(name)
    base = next(
        (letters.removesuffix(code) for code in CURRENCY_CODES if letters.endswith(code)), letters
    )
    for column, spellings in COLUMN_SPELLINGS.items():
        for spelling, rank in ((letters, 0), (base, UNIT_RANK)):
            if spelling in spellings:
                return column, rank + spellings.index(spelling)
    if re.fullmatch(r"[Vv]olume[ _(]+\w{2,6}\)?", name.strip()):
        return "volume", 2 * UNIT_RANK
    return None


def columns_of(names: Sequence[str]) -> list[tuple[str, int] | None]:
    """Return for each name of a header what `column_of` does; a header may be one of letters."""
    if set("ohlc") <= {letters_of(name) for name in names}:
        names = [LETTER_COLUMNS.get(letters_of(name), name) for name in names]
    return [column_of(name) for name in names]


def producer_of(names: list[str]) -> str:
    """Return who writes a header like this; "": many do."""
    spellings = {letters_of(name) for name in names}
    if any("**" in name for name in names):
        spellings.add("*")
    for producer, typical in PRODUCERS:
        if typical <= spellings:
            return producer
    return "Alpha Vantage" if names == ALPHA_VANTAGE else ""


def currency_of(names: list[str]) -> str:
    """Return the currency that a header names; "": it names none."""
    for name in names:
        for sign, code in CURRENCY_SIGNS.items():
            if sign in name:
                return code
        if (column_of(name) or ("", 0))[0] in ("open", "high", "low", "close"):
            for word in re.findall(CURRENCY_WORD, name):
                if currency_code(word):
                    return str(word)
    return ""


def stated_currency(text: str, offset: int) -> str:
    """Return the currency that a line above the header or at the end names; "": none does.

    Args:
        offset: the character at which the rows begin.
    """
    ends = f"{text[:offset]}\n{text[max(offset, len(text) - MOST_FOOTER) :]}"
    words: list[str] = re.findall(rf"\b(?:[Ii]n|[Cc]urrency:?) {CURRENCY_WORD}", ends)
    return next((word for word in words if currency_code(word)), "")
