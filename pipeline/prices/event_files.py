"""Files of events: dates of reports and dividends, as somebody keeps them for himself.

Columns are ticker, date, kind, and where wanted amount, known_at and days_before:

    ticker,date,kind,amount,known_at
    IBM,2013-01-23,report,,2013-01-03
    IBM,2013-02-06,dividend,0.85,2013-01-29 21:30

`date` is the first session that trades on it: of a report after the close the next one, of a
dividend its ex-date. Without a `known_at` (UTC; a date alone counts from its end) an event is known
from when it was first read, so that no earlier forecast sees it. Who knows only that dates are
announced so many days ahead says so by `days_before`, a number of days.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import LookAtTheData, SettingsError, unreadable_reason
from pipeline.members import cell_rows
from pipeline.tables import EVENTS
from pipeline.universes import as_ticker

REPORT, DIVIDEND = "report", "dividend"
EVENT_KINDS = (REPORT, DIVIDEND)
NEEDED_COLUMNS = ("ticker", "date", "kind")
OTHER_COLUMNS = ("amount", "known_at", "days_before")
#: What the value of a report is; a dividend's is its amount.
REPORTED = 1.0
_ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, eq=False)
class EventFile:
    """Events of some tickers in a file, and what is wrong with it.

    Attributes:
        events: EVENTS.
        wrong: by ticker what is wrong with its first wrong row; none of its rows are taken.
        left_out: what of its rows is left out, in words.
    """

    events: pd.DataFrame
    wrong: dict[str, LookAtTheData]
    left_out: tuple[str, ...]


def read_event_file(path: Path, tickers: Collection[str]) -> EventFile:
    """Return what a file says of these tickers; those of others are left out.

    Raises:
        SettingsError: the file cannot be read, or lacks a column.
    """
    rows: dict[tuple[str, str, str], dict[str, object]] = {}
    wrong: dict[str, LookAtTheData] = {}
    unknown: dict[str, int] = {}
    for number, cells in _cells(path):
        where = f"{path}, line {number}"
        ticker = as_ticker(cells["ticker"])
        if ticker is None or ticker not in tickers:
            unknown[cells["ticker"]] = unknown.get(cells["ticker"], 0) + 1
            continue
        try:
            row = _event(where, ticker, cells)
            key = ticker, str(row["session"]), str(row["kind"])
            if rows.setdefault(key, row) != row:
                raise LookAtTheData(
                    f"{where}: {ticker} has another {key[2]} of {key[1]} above it, with other "
                    "cells. Let one of them stand."
                )
        except LookAtTheData as error:
            wrong.setdefault(ticker, error)
    taken = [row for key, row in rows.items() if key[0] not in wrong]
    events = EVENTS.conform(pd.DataFrame(taken)) if taken else EVENTS.empty()
    left_out = [
        f"{path}: {name!r} is no ticker of the universe, {count} of its rows left out"
        for name, count in unknown.items()
    ]
    return EventFile(events, wrong, tuple(left_out))


def _cells(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells by column of each row after the first, which names them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: this file of events cannot be read ({unreadable_reason(error)}). Name one "
            "that can (`events` in the universes file)."
        ) from None
    rows = cell_rows(text)
    _, header = next(rows, (0, []))
    header = [name.lower() for name in header]
    _require_columns(path, header)
    for number, cells in rows:
        cells += [""] * (len(header) - len(cells))
        yield number, dict.fromkeys(OTHER_COLUMNS, "") | dict(zip(header, cells, strict=False))


def _require_columns(path: Path, header: list[str]) -> None:
    possible = {*NEEDED_COLUMNS, *OTHER_COLUMNS}
    if not {*NEEDED_COLUMNS} <= {*header} <= possible or len({*header}) < len(header):
        raise SettingsError(
            f"{path}: this file of events has the columns {', '.join(header)}; "
            f"{', '.join(NEEDED_COLUMNS)} are expected, and possible are "
            f"{', '.join(OTHER_COLUMNS)}."
        )


def _event(where: str, ticker: str, cells: dict[str, str]) -> dict[str, object]:
    """Return the row of EVENTS of a line.

    Raises:
        LookAtTheData: a cell is wrong.
    """
    kind, day = cells["kind"].lower(), _day(where, "date", cells["date"])
    if kind not in EVENT_KINDS:
        raise LookAtTheData(
            f"{where}: {ticker} has the kind {cells['kind']!r}; {' or '.join(EVENT_KINDS)} is "
            "expected."
        )
    return {
        "ticker": ticker,
        "session": day,
        "kind": kind,
        "value": _amount(where, ticker, cells["amount"]) if kind == DIVIDEND else REPORTED,
        "announced_at": _announced_at(where, day, cells),
    }


def _amount(where: str, ticker: str, text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise LookAtTheData(
            f"{where}: the dividend of {ticker} has the amount {text!r}; money a share, more than "
            "0, is expected."
        )
    return amount


def _announced_at(where: str, day: dt.date, cells: dict[str, str]) -> dt.datetime | None:
    """Return since when an event was known, UTC without its zone; None: nobody says."""
    known_at, days_before = cells["known_at"], cells["days_before"]
    if known_at:
        return _moment(where, known_at)
    if not days_before:
        return None
    if not days_before.isdecimal():
        raise LookAtTheData(
            f"{where}: days_before is {days_before!r}; a number of days such as 14 is expected."
        )
    return _end_of(day - int(days_before) * _ONE_DAY)


def _moment(where: str, text: str) -> dt.datetime:
    if len(text) == len("2013-01-03"):
        return _end_of(_day(where, "known_at", text))
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise LookAtTheData(
            f"{where}: known_at is {text!r}; a date such as 2013-01-03, or a moment in UTC such as "
            "2013-01-03 21:30, is expected."
        ) from None
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _end_of(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day + _ONE_DAY, dt.time())


def _day(where: str, column: str, text: str) -> dt.date:
    try:
        if len(text) == len("2013-01-03"):  # 20130103 and 2013-W01-4 are read, too
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    raise LookAtTheData(
        f"{where}: {column} is {text!r}; year-month-day is expected, such as 2013-01-23."
    )
