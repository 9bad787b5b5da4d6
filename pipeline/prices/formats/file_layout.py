"""Layouts of price files: separator, lines before the header, and the column of each cell."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field

from pipeline.errors import MalformedPrices
from pipeline.prices.formats.columns import (
    EXPECTED_COLUMNS,
    UNIT_RANK,
    column_of,
    columns_of,
    currency_of,
    letters_of,
    producer_of,
)
from pipeline.tables import OHLCV
from pipeline.universes import as_ticker

SEPARATORS = ",;\t|"
#: Lines that may stand before the header: titles, comments, `sep=;`.
MOST_LINES_BEFORE = 30
METATRADER_LINE = re.compile(r"\d{4}\.\d{2}\.\d{2}[,;\t]\d{2}:\d{2}(?:[,;\t][\d.]+){5}\s*")
#: Names of a header that a message lists.
MOST_NAMES = 12
NUMBER = re.compile(r"[-+]?[\d.,]+")
JSON_START = re.compile(r"\s*(\{\s*[\"}]|\[\s*[\[{\"\]])")
#: Characters of a text that is no table that a message shows: those of an answer are a reason.
MOST_JSON = 100
METATRADER_COLUMNS = ("date", "", "open", "high", "low", "close", "volume")
#: Columns that a table with a line of tickers may have.
CROSSED_COLUMNS = {*OHLCV, "adj_close", "split", "dividend", "capitalgains"}
RANGE = ("open", "high", "low")


@dataclass(frozen=True)
class Layout:
    """The places of all that a file has.

    Attributes:
        producer: who writes such files; "": many do.
        separator: between its cells.
        line: the number of its first line of data.
        offset: the character at which that line begins.
        columns: this program's name of each cell of a line, "" where it is not read.
        names: the file's own names of them.
        tickers: the ticker of each cell, where one line has the bars of several; "" of none.
        currency: as the header names it.
    """

    producer: str
    separator: str
    line: int
    offset: int
    columns: tuple[str, ...]
    names: tuple[str, ...]
    tickers: tuple[str, ...] = ()
    currency: str = ""

    def name_of(self, column: str) -> str:
        """Return the file's own name of a column; "": it has none."""
        return self.names[self.columns.index(column)] if column in self.columns else ""

    @property
    def has_ticker_column(self) -> bool:
        """True where the rows, or their columns, may say whose they are."""
        return bool(self.tickers) or not {"ticker", "name"}.isdisjoint(self.columns)


@dataclass
class _Lines:
    """The first lines of a text, with their places."""

    text: str
    separator: str = ""
    found: list[tuple[int, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        offset = 0
        for number in range(1, MOST_LINES_BEFORE + 4):
            if offset >= len(self.text):
                break
            end = self.text.find("\n", offset)
            end = len(self.text) if end < 0 else end + 1
            line = self.text[offset:end].rstrip("\r\n")
            if match := re.fullmatch(r'"?sep=(.)"?\s*', line, re.IGNORECASE):
                self.separator = match[1]
            elif line.strip():
                self.found.append((number, end, line))
            offset = end


def layout_of(text: str, place: str) -> Layout:
    """Find the header, and what each column is.

    Raises:
        MalformedPrices: there is none, or it lacks a column or has it twice.
    """
    lines = _Lines(text)
    if not lines.found:
        raise MalformedPrices(f"{place}: is empty. Download the file again, or remove it.")
    if JSON_START.match(text):
        raise MalformedPrices(
            f"{place}: is JSON, not a table of prices, and begins with "
            f"{lines.found[0][2][:MOST_JSON]} ... Write it as CSV, or remove it."
        )
    for at in range(min(len(lines.found), MOST_LINES_BEFORE)):
        if found := _header_at(lines, at, place):
            return found
    _, _, line = lines.found[0]
    if re.match(r"\s*<(!doctype|html|\?xml)", line, re.IGNORECASE):
        raise MalformedPrices(
            f"{place}: is a web page, not prices. Download the file again, or remove it."
        )
    names = _cells(line, lines.separator or _separator(line), place)
    columns = _known_columns(names, place)
    if not columns and any(map(NUMBER.fullmatch, names)):
        raise MalformedPrices(
            f"{place}: no line has the names of the columns; the first is {_listed(names)}. Put "
            f"such a line before it, as {EXPECTED_COLUMNS}."
        )
    if columns == {"date": 0} and len(names) > 1 and all(map(as_ticker, names[1:])):
        raise MalformedPrices(
            f"{place}: columns are {_listed(names)}; a column per ticker is not read. Write a line "
            "per ticker and day, with columns Date, Ticker, Close."
        )
    missing = [name for name in ("date", *RANGE, "close") if name not in columns]
    raise _no_columns(place, names, missing)


def _header_at(lines: _Lines, at: int, place: str) -> Layout | None:
    """Return the layout whose header begins with a line; None: none does."""
    number, end, line = lines.found[at]
    if METATRADER_LINE.fullmatch(line):
        start = end - len(lines.text[:end].splitlines(keepends=True)[-1])
        separator = _separator(line)
        return Layout(
            "MetaTrader 4", separator, number, start, METATRADER_COLUMNS, METATRADER_COLUMNS
        )
    separator = lines.separator or _separator(line)
    try:
        names = tuple(_cells(line, separator, place))
    except MalformedPrices:
        if at:
            return None
        raise
    if found := _crossed(lines, at, separator, names, place):
        return found
    columns = _known_columns(list(names), place) if _may_be_header(names) else {}
    if "date" not in columns and names and letters_of(names[0]) in ("", "unnamed"):
        columns["date"] = 0
    if "date" not in columns or not {"close", "adj_close"} & columns.keys():
        return None
    _require_range(columns, names, place)
    known = {position: column for column, position in columns.items()}
    return Layout(
        producer_of(list(names)),
        separator,
        number + 1,
        end,
        tuple(known.get(position, "") for position in range(len(names))),
        names,
        currency=currency_of(list(names)),
    )


def _may_be_header(names: tuple[str, ...]) -> bool:
    """Return whether cells are names: two of them are columns, none is a number."""
    known = {column[0] for column in columns_of(names) if column}
    numbers = [name for name in names if NUMBER.fullmatch(name)]
    return len(known) >= 2 and not numbers


def _require_range(columns: dict[str, int], names: tuple[str, ...], place: str) -> None:
    """Require open, high and low together, or none of them: then it is a series of closes."""
    missing = [name for name in RANGE if name not in columns]
    if missing and len(missing) < len(RANGE):
        raise _no_columns(place, list(names), missing)


def _no_columns(place: str, names: list[str], missing: list[str]) -> MalformedPrices:
    lacking = f"no column {', '.join(missing)}" if missing else "numbers among the columns"
    is_one_cell = len(names) == 1 and len(_column_words(names[0])) > 1
    remedy = " Separate the cells by commas, semicolons or tabs." if is_one_cell else ""
    return MalformedPrices(
        f"{place}: {lacking} in the first line; expected {EXPECTED_COLUMNS}, found "
        f"{_listed(names)}.{remedy}"
    )


def _column_words(text: str) -> list[str]:
    """Return the words of a text that are names of columns."""
    return [word for word in text.split() if column_of(word)]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _known_columns(names: list[str], place: str) -> dict[str, int]:
    """Return the place of each column that is read, by this program's name.

    Raises:
        MalformedPrices: two spell the same column in the same way.
    """
    best: dict[str, tuple[int, int]] = {}
    for position, (name, found) in enumerate(zip(names, columns_of(names), strict=True)):
        if found is None:
            continue
        column, rank = found
        if column in best and best[column][0] == rank < UNIT_RANK:
            raise MalformedPrices(
                f"{place}: two columns for {column}, {names[best[column][1]]!r} and {name!r}; one "
                "is expected."
            )
        if column not in best or rank < best[column][0]:
            best[column] = rank, position
    return {column: position for column, (_, position) in best.items()}


def _crossed(
    lines: _Lines, at: int, separator: str, names: tuple[str, ...], place: str
) -> Layout | None:
    """Return the layout of yfinance's tables: a line of columns, and one of tickers."""
    rows = [list(names)]
    for _, _, line in lines.found[at + 1 : at + 3]:
        try:
            rows.append(_cells(line, separator, place))
        except MalformedPrices:
            return None
    if len(rows) < 2 or len(rows[0]) != len(rows[1]) or len(rows[0]) < 2:
        return None
    fields, tickers = rows[0][1:], rows[1][1:]
    if not _are_fields(fields):
        fields, tickers = tickers, fields
    heads = {letters_of(rows[0][0]), letters_of(rows[1][0])}
    if not _are_fields(fields) or _are_fields(tickers) or not heads <= {"", "price", "ticker"}:
        return None
    if not all(map(as_ticker, tickers)) or all(map(NUMBER.fullmatch, tickers)):
        return None
    is_named = len(rows) > 2 and letters_of(rows[2][0]) in ("date", "datetime")
    last = lines.found[at + (2 if is_named and not any(rows[2][1:]) else 1)]
    columns = [found[0] if (found := column_of(name)) else "" for name in fields]
    cells = [cell for cell in zip(columns, tickers, strict=True) if cell[0]]
    if repeated := [cell for cell in cells if cells.count(cell) > 1]:
        raise MalformedPrices(
            f"{place}: two columns for {repeated[0][0]} of {repeated[0][1]}; one is expected."
        )
    return Layout(
        "yfinance, download",
        separator,
        last[0] + 1,
        last[1],
        ("date", *columns),
        ("Date", *fields),
        ("", *tickers),
    )


def _are_fields(names: list[str]) -> bool:
    columns = [(column_of(name) or (letters_of(name), 0))[0] for name in names]
    return {*columns} <= CROSSED_COLUMNS and not {"close", "adj_close"}.isdisjoint(columns)


def _separator(line: str) -> str:
    return max(SEPARATORS, key=line.count)


def _cells(line: str, separator: str, place: str) -> list[str]:
    """Return the cells of a line without the spaces around them."""
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True))
    except (csv.Error, StopIteration) as error:  # such as a quote that is never closed
        raise not_csv(place, error) from None
    return [cell.strip() for cell in cells]


def not_csv(place: str, error: Exception) -> MalformedPrices:
    """Return the error for a text that is no table."""
    reason = " ".join(str(error).split())
    return MalformedPrices(f"{place}: cannot be read as CSV ({reason}). Mend or remove it.")
