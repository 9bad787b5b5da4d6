"""Folders of price files, and what `fetch` makes of them."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

from pipeline.prices.csv_files import CsvSource
from pipeline.prices.source import Fetched, fetch
from pipeline.sessions import Calendar

HEADER = "Date,Open,High,Low,Close,Volume\n"
#: A moment after every session of these files.
LATER = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
TWO_LINES = "2012-01-05,10,12,9,11,500\n2012-01-17,11,13,10,12,600\n"
TWO_BARS = [
    ["2012-01-05", 10.0, 12.0, 9.0, 11.0, 500.0],
    ["2012-01-17", 11.0, 13.0, 10.0, 12.0, 600.0],
]


def folder_of(folder: Path, **files: str) -> Path:
    """Write files into a folder; `__` in a name stands for a dot."""
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return folder


def fetch_all(folder: Path | str, ticker: str = "AAPL") -> Fetched:
    first, last = dt.date(1990, 1, 1), dt.date(2023, 12, 31)
    return fetch(CsvSource(folder), ticker, first, last, Calendar("XNYS"), LATER)


def rows_of(folder: Path | str, ticker: str = "AAPL") -> list[list[object]]:
    """Return a ticker's bars: session, open, high, low, close, volume."""
    prices = fetch_all(folder, ticker).prices
    return prices.assign(session=prices["session"].astype("str")).iloc[:, 1:].values.tolist()
