"""The csv source: a folder of price files, `Date,Open,High,Low,Close,Volume` with variations.

Read are all price files of the folder itself, in either of two forms, also side by side:

- one file per ticker, named by it (`AAPL.csv`, `BRK.B.csv`,
  `aapl_2006-01-01_to_2018-01-01.csv.gz`);
- one long file with a column `Ticker`, `Symbol` or `Name` of tickers.

`formats` reads what their producers write; docs/price-files.md lists it. Nothing in a file is
filled in. Splits and dividends that it has become actions, and prices that are adjusted for its
splits are as traded again. A series without volume has a volume of 0, one of closes alone has no
other prices.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from pipeline.addresses import is_url, without_login
from pipeline.errors import LookAtTheData, MalformedPrices, RunError, SettingsError
from pipeline.prices.formats import (
    NO_ACTIONS,
    PriceFile,
    TickerRows,
    files_at,
    is_surely_prices,
    name_ticker,
    read_table,
    tickers_of,
)
from pipeline.prices.priced_tables import around
from pipeline.prices.source import RawPrices, unknown_ticker
from pipeline.tables import OHLCV


class CsvSource:
    """Prices from a folder of files; the folder is looked through once, at first use.

    Args:
        folder: its path, or a URL that fsspec reads.
    """

    name = "csv"
    reads_all = True
    is_metered = False

    def __init__(self, folder: str | Path) -> None:
        place = str(folder)
        self.folder = place if is_url(place) else str(Path(place).expanduser())
        self._files: dict[str, list[PriceFile]] | None = None

    def tickers(self) -> list[str]:
        return sorted(self._files_by_ticker())

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        bars, actions, unused, currency, exchange = [], [NO_ACTIONS], dict[str, None](), "", ""
        for file, rows in self._rows_of(ticker):
            wanted = around(rows.bars, first, last)
            rows.require_readable(file, wanted)
            bars.append(wanted[["date", *OHLCV]])
            actions.append(rows.actions)
            unused |= dict.fromkeys(rows.basis.unused)
            currency, exchange = rows.currency or currency, rows.exchange or exchange
        return RawPrices(_together(bars), _together(actions), tuple(unused), currency, exchange)

    def adjusted_close(self, ticker: str) -> pd.Series:
        """Return the file's column Adj Close by its dates.

        Of a repeated date it is the first: where dates are in the range that is asked for, `fetch`
        has refused them.

        Raises:
            LookAtTheData: the file has no such column.
        """
        columns = []
        for file, rows in self._rows_of(ticker):
            if "adj_close" not in rows.bars:
                raise LookAtTheData(
                    f"{ticker}: {file} has no column Adj Close, which the target adj_close is. "
                    "Add it, or ask for the close: --target close."
                )
            rows.require_readable(file, rows.bars, "adj_fault")
            columns.append(rows.bars[["date", "adj_close"]])
        values = _together(columns).set_index("date")["adj_close"].rename(None)
        return values[~values.index.duplicated()]

    def _rows_of(self, ticker: str) -> list[tuple[PriceFile, TickerRows]]:
        """Return the file of a ticker and its rows; files of many tickers may each have some.

        Raises:
            UnknownTicker: no file has it.
            MalformedPrices: several files of one ticker have it, or its own cannot be read.
        """
        files = self._files_by_ticker().get(ticker)
        if not files:
            raise unknown_ticker(ticker, f"csv ({without_login(self.folder)})", self.tickers())
        tables = [read_table(file) for file in files]
        if len(files) > 1 and not all(table.layout.has_ticker_column for table in tables):
            names = " and in ".join(file.name for file in files)
            raise MalformedPrices(
                f"{ticker} is in {names} of {without_login(self.folder)}; one file is expected. "
                "Remove the others."
            )
        found = [
            (file, table.of(ticker))
            for file, table in zip(files, tables, strict=True)
            if ticker in table.rows
        ]
        if not found:  # the file has changed since the folder was looked through
            raise unknown_ticker(ticker, f"csv ({files[0]})", list(tables[0].rows))
        return found

    def _files_by_ticker(self) -> dict[str, list[PriceFile]]:
        if self._files is None:
            self._files = {}
            for file, tickers in _tickers_by_file(files_at(self.folder)).items():
                for ticker in tickers:
                    self._files.setdefault(ticker, []).append(file)
        return self._files


def _together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of some tables, in their order."""
    with_rows = [table for table in tables if len(table)] or tables[:1]
    return with_rows[0] if len(with_rows) == 1 else pd.concat(with_rows, ignore_index=True)


def _tickers_by_file(files: list[PriceFile]) -> dict[PriceFile, list[str]]:
    """Return the tickers of each file; one that cannot be read has that of its name.

    Whoever fetches this ticker learns why it cannot be read; the others can be had. A file without
    even a name that is a ticker is left out, and so is one that could be anything (notes.txt).

    Raises:
        MalformedPrices, SettingsError: no file can be read.
    """
    tickers: dict[PriceFile, list[str]] = {}
    errors: list[RunError | SettingsError] = []
    for file in files:
        try:
            tickers[file] = tickers_of(file)
        except (RunError, SettingsError) as error:
            errors.append(error)
            name = name_ticker(file.name)
            if name is not None and is_surely_prices(file.name):
                tickers[file] = [name]
    if len(errors) == len(files):
        raise errors[0]
    return tickers
