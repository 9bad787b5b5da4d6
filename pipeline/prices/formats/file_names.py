"""Names of price files: which are read, and the ticker that a name begins with."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.errors import SettingsError
from pipeline.universes import as_ticker

#: Kinds of files that prices come in, packed or not; an archive may have any of them in it.
PRICE_FILE_SUFFIX = re.compile(r"(\.(csv|txt|tsv|parquet|xlsx?)(\.gz)?|(\.csv|\.txt)?\.zip)$", re.I)
#: Kinds that hold prices or nothing: what else is a .txt or an .xlsx, nobody has to know.
SURE_SUFFIX = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
#: Names that producers, browsers and workbooks give to the prices of any ticker. In capitals, a
#: short one is a ticker: DATA was one.
GENERIC_NAMES = (
    *("download", "downloads", "export", "output", "result", "results", "file", "untitled"),
    *("table", "data", "dataset", "sheet", "sheet1", "book1", "workbook", "tabelle1", "mappe1"),
    *("quote", "quotes", "price", "prices", "stock", "stocks", "stockdata", "kurse", "eod"),
    *("historical", "historicalquotes", "historicaldata", "historicalprices", "pricehistory"),
    *("history", "hist", "daily", "ohlc", "ohlcv", "bars", "candles"),
)
LONGEST_USUAL_TICKER = 5
#: What browsers and file managers add to the name of a second copy, and some sites to each.
COPY_ENDING = re.compile(
    r"( ?\(\d{1,3}\)|[ -]+(copy|kopie|copie|copia|kopia)( ?\(?\d{1,3}\)?)?|[_-]\d{13})+$",
    re.IGNORECASE,
)
#: Names that a message lists.
MOST_LISTED = 3
READ_KINDS = ".csv, .txt, .tsv, .parquet, .xlsx, .gz or .zip"


def is_price_file(name: str) -> bool:
    """Return whether a name is one of a price file.

    Hidden ones (`._IBM.csv`) are not, nor those of open workbooks (`~$IBM.xlsx`).
    """
    return not name.startswith((".", "~$")) and PRICE_FILE_SUFFIX.search(name) is not None


def is_surely_prices(name: str) -> bool:
    """Return whether a name is one that nobody gives to anything but prices."""
    return SURE_SUFFIX.search(name) is not None


def name_ticker(name: str) -> str | None:
    """Return the ticker that a file's name begins with; None: it begins with none."""
    return as_ticker(_beginning(name))


def is_generic(name: str) -> bool:
    """Return whether a file's name begins with a word that may stand for any ticker's prices."""
    word = _beginning(name)
    is_ticker = word.isupper() and len(word) <= LONGEST_USUAL_TICKER
    return not is_ticker and word.lower().replace("-", "") in GENERIC_NAMES


def name_of_original(name: str) -> str:
    """Return a file's name without its ending, and without what makes it one of a copy."""
    return COPY_ENDING.sub("", PRICE_FILE_SUFFIX.sub("", name)).lower()


def _beginning(name: str) -> str:
    return re.split(r"[_ (]", PRICE_FILE_SUFFIX.sub("", name))[0]


def ticker_of_name(name: str, place: str) -> str:
    """Return the ticker that a file's name begins with.

    Raises:
        SettingsError: it begins with none.
    """
    ticker = name_ticker(name)
    if ticker is None:
        raise SettingsError(
            f"{place}: the name does not begin with a ticker and there is no ticker column. Call "
            "it AAPL.csv, or add a column Ticker."
        )
    return ticker


def no_ticker(name: str, place: str) -> SettingsError:
    """Return the error for a file with a generic name and no tickers in it."""
    ticker = name_ticker(name)
    return SettingsError(
        f"{place}: {_beginning(name)} is a name that any download may have, and there is no column "
        f"of tickers. Name it after its ticker, such as IBM.csv, or add a column Ticker. (If "
        f"{ticker} is the ticker: --tickers {ticker}.)"
    )


def folders_of_prices(folder: Path) -> list[str]:
    """Return the names of a folder's own folders that price files are in; they are not read."""
    inside = (each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    return sorted(f"{each.name}/" for each in inside if _has_price_file(each))


def _has_price_file(folder: Path) -> bool:
    try:
        return any(is_price_file(each.name) for each in folder.iterdir())
    except OSError:  # nobody may look into it
        return False


def names_instead(folder: Path) -> str:
    """Return what a folder has instead of price files, in words; "": nothing, or it is a file."""
    if not folder.is_dir():
        return ""
    shown = (each.name for each in folder.iterdir() if not each.name.startswith("."))
    names = folders_of_prices(folder) or sorted(shown)
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f", but {', '.join(names[:MOST_LISTED])}{more}" if names else ""
