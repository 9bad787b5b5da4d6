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
