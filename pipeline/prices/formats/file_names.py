"""Names of price files: which are read, and the ticker that a name begins with."""

from __future__ import annotations

import re

from pipeline.errors import SettingsError
from pipeline.universes import as_ticker

#: Kinds of files that prices come in, packed or not; an archive may have any of them in it.
PRICE_FILE_SUFFIX = re.compile(r"(\.(csv|txt|tsv|parquet|xlsx?)(\.gz)?|(\.csv|\.txt)?\.zip)$", re.I)
#: Kinds that hold prices or nothing: what else is a .txt or an .xlsx, nobody has to know.
SURE_SUFFIX = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
READ_KINDS = ".csv, .txt, .tsv, .parquet, .xlsx, .gz or .zip"


def is_price_file(name: str) -> bool:
    """Return whether a name is one of a price file; hidden ones (`._IBM.csv`) are not."""
    return not name.startswith(".") and PRICE_FILE_SUFFIX.search(name) is not None


def is_surely_prices(name: str) -> bool:
    """Return whether a name is one that nobody gives to anything but prices."""
    return SURE_SUFFIX.search(name) is not None


def name_ticker(name: str) -> str | None:
    """Return the ticker that a file's name begins with; None: it begins with none."""
    return as_ticker(re.split(r"[_ (]", PRICE_FILE_SUFFIX.sub("", name))[0])


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
