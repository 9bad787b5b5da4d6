"""The csv source: a folder of price files, `Date,Open,High,Low,Close,Volume` with variations.

Read are all files `*.csv` and `*.csv.gz` of the folder itself, in either of two forms, also side by
side:

- one file per ticker, named by it (`AAPL.csv`, `BRK.B.csv`,
  `aapl_2006-01-01_to_2018-01-01.csv.gz`);
- one long file with a column `Ticker`, `Symbol` or `Name` of tickers.

Columns may come in any order, case and decoration (` <OPEN> `, `vol`), separated by comma,
semicolon or tab. Dates may be written 2006-01-03, 20060103, 01/03/2006, 03.01.2006, 03-Jan-2006 or
Jan 3, 2006, with or without a time. Prices are taken as traded: other columns (Dividends, ...) are
ignored, Adj Close is read only where a study asks for it, there are no corporate actions, and
nothing in the file is changed or filled.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from pipeline.errors import LookAtTheData, MalformedPrices, SettingsError
from pipeline.prices.csv_reading import (
    EXPECTED_COLUMNS,
    PRICE_FILE_SUFFIX,
    READ_DATE_COLUMN,
    dates_of,
    numbers_of,
    read_header,
    read_rows,
    ticker_of_name,
    tickers_of,
)
from pipeline.prices.source import RawPrices, unknown_ticker
from pipeline.tables import OHLCV


class CsvSource:
    """Prices from a folder of files; the folder is looked through once, at first use."""

    name = "csv"

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self._files: dict[str, Path] | None = None

    def tickers(self) -> list[str]:
        return sorted(self._files_by_ticker())

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        files = self._files_by_ticker()
        if ticker not in files:
            raise unknown_ticker(ticker, f"csv ({self.folder})", self.tickers())
        path = files[ticker]
        rows = read_rows(path)[ticker]
        if READ_DATE_COLUMN in rows:
            end = pd.Timestamp(last) + pd.Timedelta(days=1)
            rows = rows[rows[READ_DATE_COLUMN].between(pd.Timestamp(first), end)]
        numbers = {column: numbers_of(rows, column, path) for column in OHLCV}
        prices = pd.DataFrame({"date": dates_of(rows, path), **numbers})
        return RawPrices(prices, pd.DataFrame(columns=["date", "kind", "value"]))

    def adjusted_close(self, ticker: str) -> pd.Series:
        """Return the file's column Adj Close by its dates.

        Of a repeated date it is the first: where dates are in the range that is asked for, `fetch`
        has refused them.

        Raises:
            LookAtTheData: the file has no such column.
        """
        path = self._files_by_ticker()[ticker]
        rows = read_rows(path)[ticker]
        if "adj_close" not in rows:
            raise LookAtTheData(
                f"{ticker}: {path} has no column Adj Close, which the target adj_close is. Add it, "
                "or ask for the close: --target close."
            )
        numbers = numbers_of(rows, "adj_close", path).to_numpy()
        values = pd.Series(numbers, index=dates_of(rows, path))
        return values[~values.index.duplicated()]

    def _files_by_ticker(self) -> dict[str, Path]:
        if self._files is None:
            files: dict[str, Path] = {}
            paths = _price_files(self.folder)
            broken = _broken_files(paths)
            for path in paths:
                # Whoever fetches the ticker of a broken file learns why it cannot be read; the
                # others can be had.
                for ticker in [ticker_of_name(path)] if path in broken else tickers_of(path):
                    if ticker in files:
                        raise SettingsError(
                            f"{ticker} is in {files[ticker].name} and in {path.name} of "
                            f"{self.folder}; one file is expected. Remove one."
                        )
                    files[ticker] = path
            self._files = files
        return self._files


def _price_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SettingsError(
            f"{folder} is no folder; the csv source needs one with price files (flag --data or "
            "STOCKCAST_DATA)."
        )
    files = (path for path in folder.iterdir() if PRICE_FILE_SUFFIX.search(path.name))
    paths = sorted(path for path in files if path.is_file())
    if not paths:
        raise SettingsError(
            f"{folder} has no .csv or .csv.gz files; put one per ticker there "
            f"({EXPECTED_COLUMNS}), or one long file with a ticker column."
        )
    return paths


def _broken_files(paths: list[Path]) -> set[Path]:
    """Return the files without a usable first line.

    Raises:
        MalformedPrices: no other file is left.
    """
    errors: dict[Path, MalformedPrices] = {}
    for path in paths:
        try:
            read_header(path)
        except MalformedPrices as error:
            errors[path] = error
    if len(errors) == len(paths):
        raise next(iter(errors.values()))
    return set(errors)
