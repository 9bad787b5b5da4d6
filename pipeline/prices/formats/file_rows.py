"""Rows of price files by ticker: dates and numbers read, and what is wrong with a row beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from pipeline.errors import MalformedPrices
from pipeline.money import currency_code
from pipeline.prices.formats.columns import TEXT_COLUMNS, stated_currency
from pipeline.prices.formats.date_cells import DateStyle, date_style, iso_days
from pipeline.prices.formats.file_actions import Basis, as_traded, stated_events
from pipeline.prices.formats.file_content import PriceFile
from pipeline.prices.formats.file_layout import Layout, layout_of, not_csv
from pipeline.prices.formats.file_names import ticker_of_name
from pipeline.prices.formats.number_cells import MISSING_CELLS, NumberStyle
from pipeline.prices.formats.row_parsing import (
    SURPLUS,
    numbers_in,
    parsed_rows,
    present,
    style_of,
)
from pipeline.tables import OHLCV
from pipeline.universes import TICKER_PATTERN, as_ticker

#: What files write as the volume of a series that has none.
UNKNOWN_VOLUME = -1


@dataclass(frozen=True, eq=False)
class TickerRows:
    """The rows of one ticker in one file.

    Attributes:
        bars: columns date, OHLCV, adj_close where the file has it, `line`, and where a cell of the
            file cannot be read, `fault` and `adj_fault` with the reason. As traded.
        actions: as `RawPrices.actions`.
        basis: what the file's prices were adjusted for.
        currency, exchange: as the file names them for this ticker; "": it does not.
    """

    bars: pd.DataFrame
    actions: pd.DataFrame
    basis: Basis
    currency: str = ""
    exchange: str = ""

    def require_readable(self, place: object, rows: pd.DataFrame, fault: str = "fault") -> None:
        """Raise `MalformedPrices` where one of these rows has a fault; it names the line."""
        if fault not in rows:
            return
        wrong = rows[rows[fault].notna()]
        if len(wrong):
            row = wrong.iloc[0]
            raise MalformedPrices(f"{place}, line {row['line']}: {row[fault]}")


@dataclass(frozen=True, eq=False)
class FileTable:
    """All that a price file has.

    Attributes:
        place: the file, for messages.
        dates: how it writes them.
        rows: by ticker, with dates and numbers read.
        names_tickers: whether its rows say whose they are, and not its name.
        left_out: how many lines have neither a date nor a number.
        unowned: which rows have a ticker that cannot be read, and are left out, in a sentence; "":
            none.
        currency: as a column, the header or a line of text names it for all rows; "": none does.
    """

    place: str
    layout: Layout
    dates: DateStyle
    numbers: NumberStyle
    rows: Mapping[str, pd.DataFrame]
    names_tickers: bool
    left_out: int
    unowned: str
    currency: str
    _of: dict[str, TickerRows] = field(default_factory=dict, init=False, repr=False)

    def of(self, ticker: str) -> TickerRows:
        """Return a ticker's bars as traded, with the actions that the file has.

        They are made when asked for: a file of a day has thousands of tickers.

        Raises:
            MalformedPrices: its splits, or its currencies, contradict each other.
        """
        if ticker not in self._of:
            rows = self.rows[ticker]
            _require_one_currency(rows, ticker, self.place)
            read = _of_ticker(rows, self.layout, ticker, self.place)
            # A column of several currencies may have one for each ticker.
            self._of[ticker] = replace(
                read,
                currency=_only_text(rows, "currency") or self.currency,
                exchange=_only_text(rows, "exchange"),
            )
        return self._of[ticker]


def tickers_of(file: PriceFile) -> list[str]:
    """Return a file's tickers; its rows are only read when their names may be in them."""
    if not _layout(file, file.version()).has_ticker_column:
        return [ticker_of_name(file.name, str(file))]
    return list(read_table(file).rows)


def names_tickers(file: PriceFile) -> bool:
    """Return whether the rows of a file say whose they are."""
    return _layout(file, file.version()).has_ticker_column and read_table(file).names_tickers


def exchange_of(file: PriceFile, ticker: str) -> str:
    """Return the exchange that a file names for a ticker; "": it names none."""
    if "exchange" not in _layout(file, file.version()).columns:
        return ""
    return _only_text(read_table(file).rows[ticker], "exchange")


def read_table(file: PriceFile) -> FileTable:
    """Read a file; once per process and version of the file.

    Raises:
        MalformedPrices, SettingsError, SourceUnavailable: it cannot be read.
    """
    return _table(file, file.version())


@lru_cache(maxsize=4096)
def _layout(file: PriceFile, version: object) -> Layout:
    return layout_of(file.text(), str(file))


@lru_cache(maxsize=512)
def _table(file: PriceFile, version: object) -> FileTable:
    place = str(file)
    return table_of(file.text(), place, lambda: ticker_of_name(file.name, place))


def table_of(text: str, place: str, owner: Callable[[], str]) -> FileTable:
    """Read the text of a price file.

    Args:
        place: where it is from, for messages.
        owner: returns the ticker of rows that do not name theirs.

    Raises:
        MalformedPrices: it cannot be read.
    """
    layout = layout_of(text, place)
    # Only numbers are parsed here: a bad cell must not stand in the way of the other tickers of a
    # long file.
    rows = _read_csv(text, layout, place)
    numbers = style_of(rows, layout)
    if numbers.decimal == "," or numbers.dots_group:
        rows = _read_csv(text, layout, place, as_text=True)
    stated = layout.currency or stated_currency(text, layout.offset)
    del text
    if layout.tickers:
        rows = _uncrossed(rows, layout)
    rows = rows[~rows[present(rows, ("date", *OHLCV, "adj_close"))].isna().all(axis=1)]
    days = iso_days(rows["date"])
    dates = DateStyle() if days is not None else date_style(rows["date"], place)
    events = stated_events(rows["open"]) if "open" in rows else None
    parsed = parsed_rows(rows, numbers, days, dates, events)
    says_nothing = parsed["date"].isna()
    if says_nothing.any():
        says_nothing &= parsed[numbers_in(parsed)].isna().all(axis=1)
        parsed = parsed[~says_nothing]
    _refuse_surplus(parsed, place)
    parsed = _one_series(parsed).drop(columns=[SURPLUS, "series"], errors="ignore")
    tickers = _ticker_column(parsed)
    if tickers is None:
        groups, unowned = {owner(): parsed}, ""
    else:
        groups = {str(name): rows for name, rows in parsed.groupby(tickers, sort=True)}
        unowned = _unowned(parsed[tickers.isna()], place)
        if unowned and not groups:
            raise MalformedPrices(f"{unowned} No row is left: mend the column, or remove it.")
    currency = _only_text(parsed, "currency") or ("" if "currency" in parsed else stated)
    found = groups, tickers is not None, int(says_nothing.sum()), unowned, currency
    return FileTable(place, layout, dates, numbers, *found)


def _read_csv(text: str, layout: Layout, place: str, as_text: bool = False) -> pd.DataFrame:
    """Return the cells that are read, by this program's names, and each row's `line`.

    Of a file that has several tickers in one line, columns are named by their place.
    """
    crossed = bool(layout.tickers)
    known = {
        f"c{position}": f"c{position}" if crossed and position else column
        for position, column in enumerate(layout.columns)
        if column
    }
    missing = {
        name: MISSING_CELLS for name, column in known.items() if column not in ("ticker", "name")
    }
    is_text = {name: "str" for name, column in known.items() if as_text or column in TEXT_COLUMNS}
    head = [*(f"c{position}" for position in range(len(layout.columns))), SURPLUS]
    try:
        rows = pd.read_csv(
            io.StringIO(f"{layout.separator.join(head)}\n{text[layout.offset :]}"),
            sep=layout.separator,
            dtype={**is_text, SURPLUS: "str"},
            na_values=missing,
            keep_default_na=False,
            skip_blank_lines=False,  # lines are counted for messages
            skipinitialspace=True,
            index_col=False,
            low_memory=False,
            usecols=[*known, SURPLUS],
        )
    except (ValueError, OSError, EOFError) as error:
        raise not_csv(place, error) from None
    rows = rows.rename(columns=known)
    for name in rows.columns[rows.dtypes == "object"]:  # true and false among missing cells
        rows[name] = rows[name].map(str, na_action="ignore").astype("str")
    rows["line"] = rows.index + layout.line
    return rows


def _uncrossed(rows: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Return the bars of a table with several tickers in one line, one below the other.

    A ticker has no bar where its cells are empty: another one's calendar made that line.
    """
    parts = []
    for ticker in dict.fromkeys(name for name in layout.tickers if name):
        names = {
            f"c{position}": column
            for position, column in enumerate(layout.columns)
            if column and layout.tickers[position] == ticker
        }
        own = rows[["date", *names, SURPLUS, "line"]].rename(columns=names)
        own = own[~own[list(names.values())].isna().all(axis=1)]
        parts.append(own.assign(ticker=ticker))
    return pd.concat(parts, ignore_index=True)


def _refuse_surplus(rows: pd.DataFrame, place: str) -> None:
    """Refuse rows that are longer than the header.

    A thousands separator makes two cells of one, which would pass for another, smaller number.
    """
    surplus = rows[SURPLUS].fillna("").str.strip() != ""
    if surplus.any():
        raise MalformedPrices(
            f"{place}, line {rows['line'][surplus].iloc[0]}: more cells than the first line has "
            "columns. Write 1234.5, not 1,234.5."
        )


def _one_series(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of NSE's series EQ where a file has several: the others are other papers."""
    if "series" not in rows:
        return rows
    series = rows["series"].fillna("").str.strip()
    return rows[series == "EQ"] if (series == "EQ").any() else rows


def _require_one_currency(rows: pd.DataFrame, ticker: str, place: str) -> None:
    """Require that the column of currencies names one of a ticker's prices at most."""
    if "currency" not in rows:
        return
    texts = rows["currency"].dropna()
    codes = texts.map({text: currency_code(text) for text in texts.unique()})
    firsts = codes[codes != ""].drop_duplicates()
    if len(firsts) > 1:
        one, two = (f"{firsts[row]} (line {rows['line'][row]})" for row in firsts.index[:2])
        raise MalformedPrices(
            f"{place}: the currency of {ticker} is {one} and {two}; one is expected. Convert the "
            "prices, or give each currency a ticker of its own."
        )


def _only_text(rows: pd.DataFrame, column: str) -> str:
    """Return what a column of texts says of all rows; "": nothing, or several things."""
    if column not in rows:
        return ""
    texts = rows[column].dropna().str.strip().unique()
    return str(texts[0]) if len(texts) == 1 else ""


def _unowned(rows: pd.DataFrame, place: str) -> str:
    """Return, in a sentence, which rows have a ticker that cannot be read; "": there is none."""
    if rows.empty:
        return ""
    count = "this row is" if len(rows) == 1 else f"{len(rows)} such rows are"
    return (
        f"{place}, line {rows['line'].iloc[0]}: ticker is {rows['ticker'].iloc[0]!r}, where one "
        f"such as BRK.B is expected; {count} left out."
    )


def _ticker_column(rows: pd.DataFrame) -> pd.Series | None:
    """Return the tickers of a long file's rows; None: it is a file of one ticker.

    A cell that is no ticker is missing. A column Name of other things (Apple Inc.) does not hold
    tickers.
    """
    if "ticker" in rows:
        texts = rows["ticker"].fillna("")
        return texts.map({text: as_ticker(text) for text in texts.unique()})
    if "name" in rows:
        owners = rows["name"].str.strip()
        return owners if all(map(_is_named_ticker, owners.unique())) else None
    return None


def _is_named_ticker(name: str) -> bool:
    """Return whether a Name is a ticker; CoinMarketCap's are numbers."""
    return TICKER_PATTERN.fullmatch(name) is not None and not name.isdigit()


def _of_ticker(rows: pd.DataFrame, layout: Layout, ticker: str, place: str) -> TickerRows:
    """Return a ticker's bars as traded, with the actions that its file has."""
    if "is_event" in rows:
        is_event = rows["is_event"].astype(bool)
        bars, events = rows[~is_event], rows[is_event]
    else:
        bars, events = rows, rows[:0]
    if "close" not in bars:
        bars = bars.assign(close=bars["adj_close"])
        if "adj_fault" in bars:
            own = bars["adj_fault"]
            bars = bars.assign(fault=bars["fault"].fillna(own) if "fault" in bars else own)
    bars = bars.assign(**{name: np.nan for name in OHLCV if name not in bars})
    volume = bars["volume"]
    if (volume.isna() | (volume == UNKNOWN_VOLUME)).all():
        # As Yahoo does for indices and exchange rates, which have none.
        bars = bars.assign(volume=0.0)
    return TickerRows(*as_traded(bars, events, layout, ticker, place))
