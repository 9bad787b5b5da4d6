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
    read_rows,
    ticker_of_name,
    tickers_of,
)
from pipeline.prices.source import RawPrices, unknown_ticker
from pipeline.tables import OHLCV


class CsvSource:
    """Prices from a folder of files; the folder is looked through once, at first use."""

    name = "csv"
    reads_all = True

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self._files: dict[str, list[Path]] | None = None

    def tickers(self) -> list[str]:
        return sorted(self._files_by_ticker())

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        path = self._file_of(ticker)
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
        path = self._file_of(ticker)
        rows = read_rows(path)[ticker]
        if "adj_close" not in rows:
            raise LookAtTheData(
                f"{ticker}: {path} has no column Adj Close, which the target adj_close is. Add it, "
                "or ask for the close: --target close."
            )
        numbers = numbers_of(rows, "adj_close", path).to_numpy()
        values = pd.Series(numbers, index=dates_of(rows, path))
        return values[~values.index.duplicated()]

    def _file_of(self, ticker: str) -> Path:
        """Return the one file of a ticker.

        Raises:
            UnknownTicker: no file has it.
            MalformedPrices: several files have it.
        """
        files = self._files_by_ticker().get(ticker)
        if not files:
            raise unknown_ticker(ticker, f"csv ({self.folder})", self.tickers())
        if len(files) > 1:
            names = " and in ".join(path.name for path in files)
            raise MalformedPrices(
                f"{ticker} is in {names} of {self.folder}; one file is expected. Remove the others."
            )
        return files[0]

    def _files_by_ticker(self) -> dict[str, list[Path]]:
        if self._files is None:
            self._files = {}
            for path, tickers in _tickers_by_file(_price_files(self.folder)).items():
                for ticker in tickers:
                    self._files.setdefault(ticker, []).append(path)
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


def _tickers_by_file(paths: list[Path]) -> dict[Path, list[str]]:
    """Return the tickers of each file; one that cannot be read has that of its name.

    Whoever fetches this ticker learns why it cannot be read; the others can be had.

    Raises:
        MalformedPrices: no file can be read.
    """
    tickers: dict[Path, list[str]] = {}
    errors: list[MalformedPrices] = []
    for path in paths:
        try:
            tickers[path] = tickers_of(path)
        except MalformedPrices as error:
            errors.append(error)
            tickers[path] = [ticker_of_name(path)]
    if len(errors) == len(paths):
        raise errors[0]
    return tickers
