"""The csv source: a folder of price files, `Date,Open,High,Low,Close,Volume` with the usual variations.

Read are all files `*.csv` and `*.csv.gz` of the folder itself, in either of two forms, also side by side:

- one file per ticker, named by it (`AAPL.csv`, `BRK.B.csv`, `aapl_2006-01-01_to_2018-01-01.csv.gz`);
- one long file with a column `Ticker`, `Symbol` or `Name` of tickers.

Columns may come in any order, case and decoration (` <OPEN> `, `vol`), separated by comma, semicolon or tab. Dates may be written
2006-01-03, 20060103, 01/03/2006, 03.01.2006, 03-Jan-2006 or Jan 3, 2006, with or without a time. Prices are taken as traded: other columns
(Dividends, ...) are ignored, Adj Close is read only where a study asks for it, there are no corporate actions, and nothing in the
file is changed or filled.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from pipeline.errors import LookAtTheData, MalformedPrices, SettingsError
from pipeline.prices.source import Raw, unknown_ticker
from pipeline.tables import OHLCV
from pipeline.universes import TICKER

SUFFIX = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
#: Spellings of a column once its case and all but its letters are gone.
SPELLINGS = {
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
#: Our name for a cell beyond the last column.
SURPLUS = "surplus cell"
#: Our name for the column of dates that have been read already.
READ_DATE = "read date"
EXPECTED = "Date, Open, High, Low, Close, Volume"
MISSING = ["", "NaN", "nan", "NAN", "NA", "N/A", "n/a", "#N/A", "null", "NULL", "Null", "None", "none", "-", "."]

YEAR_FIRST = re.compile(r"(?P<year>\d{4})(?P<between>[-/.])(?P<month>\d{1,2})(?P=between)(?P<day>\d{1,2})")
DIGITS = re.compile(r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})")
YEAR_LAST = re.compile(r"(?P<one>\d{1,2})(?P<between>[-/.])(?P<two>\d{1,2})(?P=between)(?P<year>\d{4})")
DAY_MONTH_NAME = re.compile(r"(?P<day>\d{1,2})[- ](?P<name>[A-Za-z]{3})[a-z]*\.?[- ,]+(?P<year>\d{4})")
MONTH_NAME_DAY = re.compile(r"(?P<name>[A-Za-z]{3})[a-z]*\.? (?P<day>\d{1,2}),? (?P<year>\d{4})")
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
#: What may follow a date: a time of day, perhaps with fractions, perhaps with a zone.
TIME = re.compile(r"[T ]+(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?) ?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?")


@dataclass(frozen=True)
class Header:
    """How a file's columns are called: `columns` maps our names to the file's own; `line` is the first line itself."""

    columns: dict[str, str]
    line: str
    separator: str


class CsvSource:
    """Prices from a folder of files; the folder is looked through once, at first use."""

    name = "csv"

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self._files: dict[str, Path] | None = None

    def tickers(self) -> list[str]:
        return sorted(self._index())

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> Raw:
        files = self._index()
        if ticker not in files:
            raise unknown_ticker(ticker, f"csv ({self.folder})", self.tickers())
        path = files[ticker]
        rows = _load(path)[ticker]
        if READ_DATE in rows:
            rows = rows[rows[READ_DATE].between(pd.Timestamp(first), pd.Timestamp(last) + pd.Timedelta(days=1))]
        prices = pd.DataFrame({"date": _dates(rows, path), **{column: _numbers(rows, column, path) for column in OHLCV}})
        return Raw(prices, pd.DataFrame(columns=["date", "kind", "value"]))

    def adjusted_close(self, ticker: str) -> pd.Series:
        """The file's column Adj Close by its dates; `LookAtTheData` where the file has none.

        Of a repeated date it is the first: where dates are in the range that is asked for, `fetch` has refused them.
        """
        path = self._index()[ticker]
        rows = _load(path)[ticker]
        if "adj_close" not in rows:
            raise LookAtTheData(
                f"{ticker}: {path} has no column Adj Close, which the target adj_close is. Add it, or ask for the close: --target close."
            )
        values = pd.Series(_numbers(rows, "adj_close", path).to_numpy(), index=_dates(rows, path))
        return values[~values.index.duplicated()]

    def _index(self) -> dict[str, Path]:
        """Which file holds which ticker."""
        if self._files is None:
            files: dict[str, Path] = {}
            paths = _price_files(self.folder)
            broken = _broken(paths)
            for path in paths:
                # Whoever fetches the ticker of a broken file is told why it cannot be read; the others can be had.
                for ticker in [_ticker_of(path)] if path in broken else _tickers_of(path):
                    if ticker in files:
                        raise SettingsError(
                            f"{ticker} is in {files[ticker].name} and in {path.name} of {self.folder}; one file is expected. Remove one."
                        )
                    files[ticker] = path
            self._files = files
        return self._files


def _price_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SettingsError(f"{folder} is no folder; the csv source needs one with price files (flag --data or STOCKCAST_DATA).")
    paths = sorted(path for path in folder.iterdir() if SUFFIX.search(path.name) and path.is_file())
    if not paths:
        raise SettingsError(
            f"{folder} has no .csv or .csv.gz files; put one per ticker there ({EXPECTED}), or one long file with a ticker column."
        )
    return paths


def _broken(paths: list[Path]) -> set[Path]:
    """The files without a usable first line; `MalformedPrices` when no other is left."""
    errors: dict[Path, MalformedPrices] = {}
    for path in paths:
        try:
            _header(path)
        except MalformedPrices as error:
            errors[path] = error
    if len(errors) == len(paths):
        raise next(iter(errors.values()))
    return set(errors)


def _tickers_of(path: Path) -> list[str]:
    """A file's tickers; its rows are only read when their names may be in them."""
    return [_ticker_of(path)] if _header(path).columns.keys().isdisjoint({"ticker", "name"}) else list(_load(path))


def _ticker_of(path: Path) -> str:
    """The ticker that a file's name begins with."""
    leading = re.split(r"[_ (]", SUFFIX.sub("", path.name))[0].upper()
    if not TICKER.fullmatch(leading):
        raise SettingsError(
            f"{path}: the name does not begin with a ticker and there is no ticker column. Call it AAPL.csv, or add a column Ticker."
        )
    return leading


def _load(path: Path) -> dict[str, pd.DataFrame]:
    """A file's rows by ticker; read once per process and version of the file."""
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _read(path: Path, modified: int, size: int) -> dict[str, pd.DataFrame]:
    header = _header(path)
    names = {own: ours for ours, own in header.columns.items()}
    # Only numbers are parsed here: a bad cell must not stand in the way of the other tickers of a long file.
    rows = _read_csv(path, header).rename(columns=names)
    rows["line"] = rows.index + 2
    _refuse_surplus(rows, path)
    rows = rows[~rows[["date", *OHLCV]].isna().all(axis=1)]
    rows["day_first"] = _day_first(rows["date"], path)
    tickers = _ticker_column(rows, path)
    rows = _converted(rows)
    if tickers is None:
        return {_ticker_of(path): rows}
    return dict(iter(rows.groupby(tickers, sort=True)))


def _converted(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with their numbers and dates read, all tickers at once, but for a column in which one cell cannot be: whose ticker is told why."""
    changes = {}
    for column in {"adj_close", *OHLCV} & {*rows.columns}:
        numbers = pd.to_numeric(rows[column], errors="coerce").astype("float64")
        if not (numbers.isna() & rows[column].notna()).any():
            changes[column] = numbers
    texts = rows["date"].fillna("").str.strip()
    days = {text: _date(text, rows["day_first"].iloc[0]) for text in texts.unique()}
    if all(day is not None and day.tzinfo is None for day in days.values()):
        changes[READ_DATE] = pd.to_datetime(texts.map(days))
    return rows.assign(**changes)


def _refuse_surplus(rows: pd.DataFrame, path: Path) -> None:
    """A thousands separator makes two cells of one, and would pass for another, smaller number."""
    surplus = rows[SURPLUS].fillna("").str.strip() != ""
    if surplus.any():
        raise MalformedPrices(
            f"{path}, line {rows['line'][surplus].iloc[0]}: more cells than the first line has columns. Write 1234.5, not 1,234.5."
        )


def _ticker_column(rows: pd.DataFrame, path: Path) -> pd.Series | None:
    """The tickers of a long file's rows. A column Name of other things (Apple Inc.) is not one."""
    if "ticker" in rows:
        tickers = rows["ticker"].str.strip().str.upper()
        wrong = ~tickers.isin([ticker for ticker in tickers.unique() if TICKER.fullmatch(ticker)])
        if wrong.any():
            row = rows[wrong].iloc[0]
            raise MalformedPrices(f"{path}, line {row['line']}: ticker is {row['ticker']!r}, where one such as BRK.B is expected.")
        return tickers
    if "name" in rows:
        names = rows["name"].str.strip()
        return names if all(TICKER.fullmatch(name) for name in names.unique()) else None
    return None


def _read_csv(path: Path, header: Header) -> pd.DataFrame:
    missing = {own: MISSING for ours, own in header.columns.items() if ours not in ("ticker", "name")}
    text = {own: "str" for ours, own in header.columns.items() if ours in ("date", "ticker", "name")}
    try:
        with _opened(path) as file:
            file.readline()
            content = io.StringIO(f"{header.line}{header.separator}{SURPLUS}\n{file.read()}")
        return pd.read_csv(
            content,
            sep=header.separator,
            dtype={**text, SURPLUS: "str"},
            na_values=missing,
            keep_default_na=False,
            skip_blank_lines=False,  # lines are counted for messages
            skipinitialspace=True,
            index_col=False,
            low_memory=False,
            usecols=[*header.columns.values(), SURPLUS],
        )
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, EOFError) as error:
        raise MalformedPrices(f"{path}: cannot be read as CSV ({' '.join(str(error).split())}). Mend or remove it.") from None


def _opened(path: Path) -> TextIO:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _header(path: Path) -> Header:
    """The columns by their names, whatever their case, order and decoration."""
    try:
        with _opened(path) as file:
            first_line = file.readline().rstrip()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise MalformedPrices(f"{path}: cannot be read ({error}). Mend or remove it.") from None
    separator = max(",;\t", key=first_line.count)
    found = (
        list(pd.read_csv(io.StringIO(first_line), sep=separator, nrows=0, skipinitialspace=True).columns)
        if first_line.strip()
        else []
    )
    columns: dict[str, str] = {}
    for own in found:
        plain = re.sub(r"[^a-z]", "", own.lower())
        for ours, spellings in SPELLINGS.items():
            if plain in spellings:
                if ours in columns:
                    raise MalformedPrices(f"{path}: two columns for {ours}, {columns[ours]!r} and {own!r}; one is expected.")
                columns[ours] = own
    missing = [column for column in ("date", *OHLCV) if column not in columns]
    if missing:
        raise MalformedPrices(
            f"{path}: no column {', '.join(missing)} in the first line; expected {EXPECTED}, found {', '.join(found) or 'nothing'}."
        )
    return Header(columns, first_line, separator)


def _numbers(rows: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """A column as floats, NaN where the cell is empty; `MalformedPrices` points at text."""
    if rows[column].dtype == "float64" and not np.isinf(rows[column].to_numpy()).any():
        return rows[column]
    numbers = pd.to_numeric(rows[column], errors="coerce").astype("float64")
    wrong = (numbers.isna() & rows[column].notna()) | (numbers.abs() == float("inf"))
    if wrong.any():
        row = rows[wrong].iloc[0]
        raise MalformedPrices(
            f"{path}, line {row['line']}: {column} is '{row[column]}', where a number such as 1234.5 or nothing is expected."
        )
    return numbers


def _dates(rows: pd.DataFrame, path: Path) -> pd.Series:
    """Dates without a zone; moments in UTC when the file gives times of day with a zone."""
    if READ_DATE in rows:
        return rows[READ_DATE]
    texts = rows["date"].fillna("").str.strip()
    days = {text: _date(text, day_first) for text, day_first in zip(texts, rows["day_first"], strict=True)}
    dates = texts.map(days)
    if dates.isna().any():
        row = rows[dates.isna()].iloc[0]
        value = "" if pd.isna(row["date"]) else row["date"]
        raise MalformedPrices(f"{path}, line {row['line']}: date is {value!r}, where one such as 2006-01-03 is expected.")
    return pd.to_datetime(dates, utc=bool(dates.map(lambda date: date.tzinfo is not None).any()))


@lru_cache(maxsize=65536)
def _date(text: str, day_first: bool | None) -> pd.Timestamp | None:
    """One cell as a day, or as a moment where it has both a time of day and a zone; None when it is neither."""
    for pattern in (YEAR_FIRST, DIGITS, YEAR_LAST, DAY_MONTH_NAME, MONTH_NAME_DAY):
        match = pattern.match(text)
        rest = TIME.fullmatch(text, match.end()) if match and match.end() < len(text) else None
        if match and (rest or match.end() == len(text)):
            return _moment(_day(match.groupdict(), day_first), rest)
    return None


def _day(parts: dict[str, str], day_first: bool | None) -> pd.Timestamp | None:
    if "one" in parts:
        day, month = (parts["one"], parts["two"]) if day_first else (parts["two"], parts["one"])
    elif "name" in parts:
        day, month = parts["day"], MONTHS.index(parts["name"].lower()) + 1 if parts["name"].lower() in MONTHS else 0
    else:
        day, month = parts["day"], parts["month"]
    try:
        return pd.Timestamp(dt.date(int(parts["year"]), int(month), int(day)))
    except ValueError:
        return None


def _moment(day: pd.Timestamp | None, rest: re.Match[str] | None) -> pd.Timestamp | None:
    """The day itself unless it goes on with a time of day in a zone; midnight is how files write a day, in whatever zone."""
    if day is None or rest is None or rest["zone"] is None or not rest["clock"].strip("0:."):
        return day
    zone = "+00:00" if rest["zone"] in ("Z", "UTC") else rest["zone"]
    return pd.Timestamp(f"{day.date()}T{rest['clock'].zfill(5)}{zone}")


def _day_first(texts: pd.Series, path: Path) -> bool | None:
    """Whether 03/01/2006 is in January, decided from the whole column; None when no date is written like that.

    Dots are only used where the day comes first; for slashes and dashes, a number above 12 has to tell.
    """
    parts = texts.dropna().str.strip().drop_duplicates().str.extract(YEAR_LAST).dropna()
    if parts.empty:
        return None
    one, two = parts["one"].astype(int).max() > 12, parts["two"].astype(int).max() > 12
    if one and two:
        raise MalformedPrices(f"{path}: dates are written both day first and month first; one way is expected, best 2006-01-31.")
    if not one and not two and not (parts["between"] == ".").all():
        example = texts[parts.index[0]]
        raise MalformedPrices(
            f"{path}: {example!r} could be day or month first, and no date of the file tells. Write dates as 2006-01-31."
        )
    return not two
