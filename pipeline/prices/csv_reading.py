"""Reading of price files: the header, the rows of each ticker, and their numbers and dates."""

from __future__ import annotations

import gzip
import io
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from pipeline.errors import MalformedPrices, SettingsError
from pipeline.prices.csv_dates import is_day_first, parse_date
from pipeline.prices.raw_rows import to_numbers
from pipeline.tables import OHLCV
from pipeline.universes import TICKER_PATTERN

PRICE_FILE_SUFFIX = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
#: Spellings of a column once its case and all but its letters are gone.
COLUMN_SPELLINGS = {
    "date": {"date", "day", "datetime", "timestamp", "time"},
    "open": {"open"},
    "high": {"high"},
    "low": {"low"},
    "close": {"close"},
    "volume": {"volume", "vol"},
    "adj_close": {"adjclose", "adjustedclose"},
    "ticker": {"ticker", "symbol"},
    "name": {"name"},
}
TEXT_COLUMNS = ("date", "ticker", "name")
#: A column of this program for cells beyond a file's last column.
SURPLUS_COLUMN = "surplus cell"
#: A column of this program for dates that have been read already.
READ_DATE_COLUMN = "read date"
EXPECTED_COLUMNS = "Date, Open, High, Low, Close, Volume"
#: Spellings of a cell without a value; the first is the empty cell.
MISSING_CELLS = [
    "",
    "NaN",
    "nan",
    "NAN",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "null",
    "NULL",
    "Null",
    "None",
    "none",
    "-",
    ".",
]


@dataclass(frozen=True)
class CsvHeader:
    """The first line of a file.

    Attributes:
        columns: the file's name of each column by this program's.
        line: the line itself.
        separator: comma, semicolon or tab.
    """

    columns: dict[str, str]
    line: str
    separator: str


def read_header(path: Path) -> CsvHeader:
    """Read the columns by their names, in any case, order and decoration.

    Raises:
        MalformedPrices: the file cannot be read, or lacks a column or has it twice.
    """
    try:
        with _open_text(path) as file:
            line = file.readline().rstrip()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise MalformedPrices(f"{path}: cannot be read ({error}). Mend or remove it.") from None
    separator = max(",;\t", key=line.count)
    names = _names_in(line, separator, path)
    columns = _known_columns(names, path)
    missing = [column for column in ("date", *OHLCV) if column not in columns]
    if missing:
        raise MalformedPrices(
            f"{path}: no column {', '.join(missing)} in the first line; expected "
            f"{EXPECTED_COLUMNS}, found {', '.join(names) or 'nothing'}."
        )
    return CsvHeader(columns, line, separator)


def _names_in(line: str, separator: str, path: Path) -> list[str]:
    if not line.strip():
        return []
    try:
        head = pd.read_csv(io.StringIO(line), sep=separator, nrows=0, skipinitialspace=True)
    except ValueError as error:  # such as a quote that is never closed
        raise _not_csv(path, error) from None
    return list(head.columns)


def _not_csv(path: Path, error: Exception) -> MalformedPrices:
    reason = " ".join(str(error).split())
    return MalformedPrices(f"{path}: cannot be read as CSV ({reason}). Mend or remove it.")


def _known_columns(names: list[str], path: Path) -> dict[str, str]:
    """Return the file's names of the columns that are read, by this program's."""
    columns: dict[str, str] = {}
    for name in names:
        letters = re.sub(r"[^a-z]", "", name.lower())
        for column, spellings in COLUMN_SPELLINGS.items():
            if letters not in spellings:
                continue
            if column in columns:
                raise MalformedPrices(
                    f"{path}: two columns for {column}, {columns[column]!r} and {name!r}; one is "
                    "expected."
                )
            columns[column] = name
    return columns


def tickers_of(path: Path) -> list[str]:
    """Return a file's tickers; its rows are only read when their names may be in them."""
    if read_header(path).columns.keys().isdisjoint({"ticker", "name"}):
        return [ticker_of_name(path)]
    return list(read_rows(path))


def ticker_of_name(path: Path) -> str:
    """Return the ticker that a file's name begins with.

    Raises:
        SettingsError: it begins with none.
    """
    leading = re.split(r"[_ (]", PRICE_FILE_SUFFIX.sub("", path.name))[0].upper()
    if not TICKER_PATTERN.fullmatch(leading):
        raise SettingsError(
            f"{path}: the name does not begin with a ticker and there is no ticker column. Call it "
            "AAPL.csv, or add a column Ticker."
        )
    return leading


def read_rows(path: Path) -> dict[str, pd.DataFrame]:
    """Read a file's rows by ticker; once per process and version of the file.

    Returns:
        The columns of `COLUMN_SPELLINGS` that the file has, `line` and `day_first`; numbers as the
        file has them where one cell of the column is none. With `READ_DATE_COLUMN` where every
        date of the file could be read.
    """
    stat = path.stat()
    return _rows_by_ticker(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _rows_by_ticker(path: Path, modified: int, size: int) -> dict[str, pd.DataFrame]:
    header = read_header(path)
    names = {name: column for column, name in header.columns.items()}
    # Only numbers are parsed here: a bad cell must not stand in the way of the other tickers of a
    # long file.
    rows = _read_csv(path, header).rename(columns=names)
    rows["line"] = rows.index + 2
    _refuse_surplus(rows, path)
    rows = rows[~rows[["date", *OHLCV]].isna().all(axis=1)]
    rows["day_first"] = is_day_first(rows["date"], path)
    tickers = _ticker_column(rows, path)
    rows = _converted(rows)
    if tickers is None:
        return {ticker_of_name(path): rows}
    return {str(ticker): group for ticker, group in rows.groupby(tickers, sort=True)}


def _read_csv(path: Path, header: CsvHeader) -> pd.DataFrame:
    columns = header.columns
    missing = {
        name: MISSING_CELLS for column, name in columns.items() if column not in ("ticker", "name")
    }
    text = {name: "str" for column, name in columns.items() if column in TEXT_COLUMNS}
    try:
        with _open_text(path) as file:
            file.readline()
            head = f"{header.line}{header.separator}{SURPLUS_COLUMN}"
            content = io.StringIO(f"{head}\n{file.read()}")
        return pd.read_csv(
            content,
            sep=header.separator,
            dtype={**text, SURPLUS_COLUMN: "str"},
            na_values=missing,
            keep_default_na=False,
            skip_blank_lines=False,  # lines are counted for messages
            skipinitialspace=True,
            index_col=False,
            low_memory=False,
            usecols=[*columns.values(), SURPLUS_COLUMN],
        )
    except (ValueError, OSError, EOFError) as error:
        raise _not_csv(path, error) from None


def _open_text(path: Path) -> TextIO:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _refuse_surplus(rows: pd.DataFrame, path: Path) -> None:
    """Refuse rows that are longer than the header.

    A thousands separator makes two cells of one, which would pass for another, smaller number.
    """
    surplus = rows[SURPLUS_COLUMN].fillna("").str.strip() != ""
    if surplus.any():
        raise MalformedPrices(
            f"{path}, line {rows['line'][surplus].iloc[0]}: more cells than the first line has "
            "columns. Write 1234.5, not 1,234.5."
        )


def _ticker_column(rows: pd.DataFrame, path: Path) -> pd.Series | None:
    """Return the tickers of a long file's rows; None: it is a file of one ticker.

    A column Name of other things (Apple Inc.) does not hold tickers.
    """
    if "ticker" in rows:
        tickers = rows["ticker"].str.strip().str.upper()
        valid = [ticker for ticker in tickers.unique() if TICKER_PATTERN.fullmatch(ticker)]
        wrong = ~tickers.isin(valid)
        if wrong.any():
            row = rows[wrong].iloc[0]
            raise MalformedPrices(
                f"{path}, line {row['line']}: ticker is {row['ticker']!r}, where one such as BRK.B "
                "is expected."
            )
        return tickers
    if "name" in rows:
        names = rows["name"].str.strip()
        return names if all(TICKER_PATTERN.fullmatch(name) for name in names.unique()) else None
    return None


def _converted(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with their numbers and dates read, all tickers at once.

    A column with a cell that cannot be read stays as it is: `numbers_of` and `dates_of` raise the
    error for the ticker of that cell.
    """
    changes: dict[str, pd.Series] = {}
    for column in {"adj_close", *OHLCV} & {*rows.columns}:
        numbers = to_numbers(rows[column])
        if not (numbers.isna() & rows[column].notna()).any():
            changes[column] = numbers
    texts = rows["date"].fillna("").str.strip()
    day_first = rows["day_first"].iloc[0] if len(rows) else None  # the same for all rows
    days = {text: parse_date(text, day_first) for text in texts.unique()}
    if all(day is not None and day.tzinfo is None for day in days.values()):
        changes[READ_DATE_COLUMN] = pd.to_datetime(texts.map(days))
    return rows.assign(**changes)


def numbers_of(rows: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """Return a column as floats, NaN where the cell is empty.

    Raises:
        MalformedPrices: a cell is text or infinite; the message names its line.
    """
    cells = rows[column]
    if cells.dtype == "float64" and not np.isinf(cells.to_numpy()).any():
        return cells
    numbers = to_numbers(cells)
    wrong = (numbers.isna() & cells.notna()) | (numbers.abs() == float("inf"))
    if wrong.any():
        row = rows[wrong].iloc[0]
        raise MalformedPrices(
            f"{path}, line {row['line']}: {column} is '{row[column]}', where a number such as "
            "1234.5 or nothing is expected."
        )
    return numbers


def dates_of(rows: pd.DataFrame, path: Path) -> pd.Series:
    """Return dates without a zone; moments in UTC when the file has times of day with a zone.

    Raises:
        MalformedPrices: a cell is no date; the message names its line.
    """
    if READ_DATE_COLUMN in rows:
        return rows[READ_DATE_COLUMN]
    texts = rows["date"].fillna("").str.strip()
    days = {
        text: parse_date(text, day_first)
        for text, day_first in zip(texts, rows["day_first"], strict=True)
    }
    dates = texts.map(days)
    if dates.isna().any():
        row = rows[dates.isna()].iloc[0]
        value = "" if pd.isna(row["date"]) else row["date"]
        raise MalformedPrices(
            f"{path}, line {row['line']}: date is {value!r}, where one such as 2006-01-03 is "
            "expected."
        )
    return pd.to_datetime(dates, utc=bool(dates.map(lambda date: date.tzinfo is not None).any()))
