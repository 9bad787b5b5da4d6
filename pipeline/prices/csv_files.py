"""The csv source: a folder of price files, `Date,Open,High,Low,Close,Volume` with variations.

Read are all price files of the folder itself, in either of two forms, also side by side:

- one file per ticker, named by it (`AAPL.csv`, `BRK.B.csv`,
  `aapl_2006-01-01_to_2018-01-01.csv.gz`);
- one long file with a column `Ticker`, `Symbol` or `Name` of tickers.

Of copies of a file (`AAPL (1).csv`), the newest download is read. A name that any download may have
(`download.csv`) is a ticker where it is asked for, only.

`formats` reads what their producers write; docs/reference/price-files.md lists it. Nothing in a
file is filled in. Splits and dividends that it has become actions, and prices that are adjusted for
its splits are as traded again. A series without volume has a volume of 0, one of closes alone has
no other prices.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from pipeline.addresses import is_url, without_login
from pipeline.errors import LookAtTheData, MalformedPrices, RunError, SettingsError
from pipeline.prices.file_copies import are_copies, newest_copy
from pipeline.prices.formats import (
    NO_ACTIONS,
    PriceFile,
    TickerRows,
    exchange_of,
    files_at,
    is_generic,
    is_surely_prices,
    name_ticker,
    names_tickers,
    no_ticker,
    read_table,
    tickers_of,
)
from pipeline.prices.priced_tables import around
from pipeline.prices.source import RawPrices, unknown_ticker
from pipeline.sessions import exchange_calendar
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

    def tickers(self) -> list[str]:
        """Return all tickers that may be asked for, sorted."""
        return sorted(self._found.files)

    def named_tickers(self) -> list[str]:
        """Return the tickers that the files name, sorted; a generic name names none.

        Raises:
            SettingsError: there are none.
        """
        found = self._found
        if names := sorted(found.files.keys() - found.generic):
            return names
        file = found.files[min(found.generic)][0]
        raise no_ticker(file.name, str(file))

    def named_calendar(self, tickers: Collection[str]) -> str:
        """Return the calendar of the exchange that the files of all these tickers name.

        Returns:
            "": one names none, they name several, or one cannot be read.
        """
        files = [(file, each) for each in tickers for file in self._found.files.get(each, [])]
        try:
            named = {exchange_calendar(exchange_of(file, ticker)) for file, ticker in files}
        except (RunError, SettingsError, KeyError):
            return ""
        return named.pop() if len(named) == 1 else ""

    def remarks(self, tickers: Collection[str]) -> tuple[list[str], list[str]]:
        """Return, in sentences, which files and which rows are of no ticker.

        Args:
            tickers: those that are asked for, whatever their files are called.
        """
        found = self._found
        files = [
            str(no_ticker(file.name, str(file)))
            for ticker in sorted(found.generic - {*tickers})
            for file in found.files[ticker]
        ]
        read = dict.fromkeys(file for own in found.files.values() for file in own)
        rows = [read_table(file).unowned for file in read if names_tickers(file)]
        return [*map(str, found.unread), *files], [row for row in rows if row]

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        bars, actions, unused, currency, exchange = [], [NO_ACTIONS], dict[str, None](), "", ""
        rows_by_file, left_out = self._rows_of(ticker)
        for file, rows in rows_by_file:
            wanted = around(rows.bars, first, last)
            rows.require_readable(file, wanted)
            columns = ["date", *OHLCV, *(["adj_close"] if "adj_close" in wanted else []), "line"]
            bars.append(wanted[columns].assign(**_named(file, rows_by_file)))
            actions.append(rows.actions)
            unused |= dict.fromkeys(rows.basis.unused)
            currency, exchange = rows.currency or currency, rows.exchange or exchange
        about = tuple(unused), currency, exchange, left_out
        return RawPrices(_together(bars), _together(actions), *about)

    def version_of(self, ticker: str) -> object:
        """Return what differs once a file of a ticker has changed."""
        return [(file, file.version()) for file in self._found.files.get(ticker, [])]

    def adjusted_close(self, ticker: str) -> pd.Series:
        """Return the file's column Adj Close by its dates.

        Of a repeated date it is the first: where dates are in the range that is asked for, `fetch`
        has refused them.

        Raises:
            LookAtTheData: the file has no such column.
        """
        columns = []
        for file, rows in self._rows_of(ticker)[0]:
            if "adj_close" not in rows.bars:
                raise LookAtTheData(
                    f"{ticker}: {file} has no column Adj Close, which the target adj_close is. "
                    "Add it, or ask for the close: --target close."
                )
            rows.require_readable(file, rows.bars, "adj_fault")
            columns.append(rows.bars[["date", "adj_close"]])
        values = _together(columns).set_index("date")["adj_close"].rename(None)
        return values[~values.index.duplicated()]

    def _rows_of(
        self, ticker: str
    ) -> tuple[Sequence[tuple[PriceFile, TickerRows]], tuple[str, ...]]:
        """Return the file of a ticker and its rows, and in words which files are left out.

        Files of many tickers may each have some of its rows.

        Raises:
            UnknownTicker: no file has it.
            MalformedPrices: several files of one ticker have it, or its own cannot be read.
        """
        files = self._found.files.get(ticker)
        if not files:
            raise unknown_ticker(ticker, f"csv ({without_login(self.folder)})", self.tickers())
        tables = [read_table(file) for file in files]
        found = [
            (file, table.of(ticker))
            for file, table in zip(files, tables, strict=True)
            if ticker in table.rows
        ]
        if not found:  # the file has changed since the folder was looked through
            raise unknown_ticker(ticker, f"csv ({files[0]})", list(tables[0].rows))
        if len(found) == 1 or all(table.names_tickers for table in tables):
            return found, ()
        if are_copies(files):
            at, left_out = newest_copy(found, ticker)
            return [found[at]], left_out
        names = " and in ".join(file.name for file in files)
        raise MalformedPrices(
            f"{ticker} is in {names} of {without_login(self.folder)}; one file is expected. "
            "Remove the others."
        )

    @cached_property
    def _found(self) -> _Found:
        return _tickers_by_file(files_at(self.folder))


@dataclass(frozen=True)
class _Found:
    """The tickers of a folder.

    Attributes:
        files: those of each ticker.
        generic: the tickers that only a generic name would be.
        unread: the errors of files that cannot be read and have no ticker.
    """

    files: dict[str, list[PriceFile]]
    generic: Set[str]
    unread: Sequence[Exception]


def _named(file: PriceFile, files: Sequence[object]) -> dict[str, str]:
    """Return the column that tells rows of several files apart."""
    return {"file": file.name} if len(files) > 1 else {}


def _together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of some tables, in their order."""
    with_rows = [table for table in tables if len(table)] or tables[:1]
    return with_rows[0] if len(with_rows) == 1 else pd.concat(with_rows, ignore_index=True)


def _tickers_by_file(files: list[PriceFile]) -> _Found:
    """Return the tickers of files; one that cannot be read has that of its name.

    Whoever fetches this ticker learns why it cannot be read; the others can be had. A file without
    even a name that is a ticker is left out, and so is one that could be anything (notes.txt).

    Raises:
        MalformedPrices, SettingsError: no file can be read.
    """
    files_of: dict[str, list[PriceFile]] = {}
    generic: dict[str, list[PriceFile]] = {}
    errors: list[RunError | SettingsError] = []
    unread: list[RunError | SettingsError] = []
    for file in files:
        own = name_ticker(file.name)
        try:
            tickers = tickers_of(file)
        except (RunError, SettingsError) as error:
            errors.append(error)
            is_known = own and is_surely_prices(file.name) and not is_generic(file.name)
            tickers = [own] if own and is_known else []
            unread += [error] * (not tickers)
        else:
            if is_generic(file.name) and not names_tickers(file):
                generic.setdefault(tickers[0], []).append(file)
                continue
        for ticker in tickers:
            files_of.setdefault(ticker, []).append(file)
    if len(errors) == len(files):
        raise errors[0]
    return _Found({**generic, **files_of}, generic.keys() - files_of.keys(), unread)
