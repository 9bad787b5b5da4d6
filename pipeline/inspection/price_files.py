"""Inspection of price files before anything of them is stored: `stockcast inspect`."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.addresses import is_url
from pipeline.daily import chunks
from pipeline.errors import MalformedPrices
from pipeline.inspection.files_report import FilesReport, TickerReport
from pipeline.outcomes import Outcomes, outcome_of_each
from pipeline.prices import (
    AFTER_ANY_PRICE,
    BEFORE_ANY_PRICE,
    CsvSource,
    Fetched,
    FolderSurvey,
    ForeignDays,
    days_in_words,
    ending_calendar,
    fetch,
    foreign_days,
    survey,
)
from pipeline.reporting import counted
from pipeline.sessions import Calendar
from pipeline.shipped_files import shipped_folder
from pipeline.tables import ACTIONS, PRICES
from pipeline.universes import Universe

if TYPE_CHECKING:
    import pandas as pd

#: Tickers that are judged at once.
JUDGED_TOGETHER = 100


@dataclass(frozen=True)
class _Reading:
    """The reading of the tickers of one calendar.

    Attributes:
        foreign: by ticker, how its days are not those of the calendar.
    """

    calendar: Calendar
    tickers: tuple[str, ...]
    fetched: Outcomes[Fetched]
    foreign: Mapping[str, ForeignDays]


def inspect_files(place: str, calendar_name: str, now: dt.datetime) -> FilesReport:
    """Read price files as ingestion would, and judge them as the gate would.

    Args:
        calendar_name: "": for each ticker, the one that its ending or its dates name.

    Raises:
        SettingsError: there are no price files, or there is no such calendar.
    """
    if not is_url(place):
        place = str(Path(place).expanduser().absolute())
    surveyed, source = survey(place), CsvSource(place)
    is_readable = any(not file.problem for file in surveyed.files)
    tickers = source.named_tickers() if is_readable else []
    if calendar_name or not tickers:
        name = calendar_name or Universe.calendar
        readings = [_reading(source, tickers, Calendar(name), now)]
    else:
        readings = _readings(source, tickers, now)
    reports = {
        report.ticker: report
        for reading in readings
        for report in _reports(source, reading, surveyed, now)
    }
    calendars = tuple(reading.calendar.name for reading in readings)
    return FilesReport(place, calendars, surveyed, tuple(reports[name] for name in tickers))


def _readings(source: CsvSource, tickers: Sequence[str], now: dt.datetime) -> list[_Reading]:
    """Return tickers by the calendars that their endings or else their dates name, most first."""
    named: dict[str, list[str]] = {}
    for ticker in tickers:
        named.setdefault(ending_calendar([ticker]) or Universe.calendar, []).append(ticker)
    own: dict[str, list[str]] = {}
    known: dict[tuple[str, ...], _Reading] = {}
    for name, group in named.items():
        reading = _reading(source, group, Calendar(name), now)
        known[name, *group] = reading
        for ticker, calendar in _own_calendars(reading).items():
            own.setdefault(calendar, []).append(ticker)
    readings = [
        known.get((name, *group)) or _reading(source, group, Calendar(name), now)
        for name, group in own.items()
    ]
    return sorted(readings, key=lambda reading: -len(reading.tickers))


def _own_calendars(reading: _Reading) -> dict[str, str]:
    """Return by ticker the calendar that its dates are nearest to.

    A ticker with too few bars to show its own has that of most tickers, where it fits as well.
    """
    name = reading.calendar.name
    found = {ticker: each.calendar for ticker, each in reading.foreign.items() if each.calendar}
    counts = Counter(found.get(ticker, name) for ticker in reading.tickers)
    most = max(counts, key=lambda each: (counts[each], each == name))
    candidates = [Calendar(most), reading.calendar]
    own = {}
    for ticker in reading.tickers:
        fetched = reading.fetched.results.get(ticker)
        if ticker in found or fetched is None or fetched.prices.empty:
            own[ticker] = found.get(ticker, most)
            continue
        days = _days_of(fetched)
        own[ticker] = min(candidates, key=lambda each: _departures(days, each)).name
    return own


def _departures(days: pd.DatetimeIndex, calendar: Calendar) -> int:
    """Return how many days are a session or have a bar, and not both."""
    import pandas as pd

    first, last = max(days.min().date(), calendar.first_known), days.max().date()
    sessions = pd.DatetimeIndex(calendar.sessions(first, last)) if first <= last else days[:0]
    return len(sessions.symmetric_difference(days))


def _reading(
    source: CsvSource, tickers: Sequence[str], calendar: Calendar, now: dt.datetime
) -> _Reading:
    last = calendar.last_complete_session(now)
    fetched = outcome_of_each(
        tickers, lambda ticker: fetch(source, ticker, BEFORE_ANY_PRICE, last, calendar, now)
    )
    foreign = {
        ticker: found
        for ticker, each in fetched.results.items()
        if (found := foreign_days(_days_of(each), ticker, calendar, each.calendar))
    }
    return _Reading(calendar, tuple(tickers), fetched, foreign)


def _days_of(fetched: Fetched) -> pd.DatetimeIndex:
    import pandas as pd

    return pd.DatetimeIndex(fetched.prices["session"])


def _reports(
    source: CsvSource, reading: _Reading, surveyed: FolderSurvey, now: dt.datetime
) -> Iterator[TickerReport]:
    """Yield the reports on the tickers of one calendar."""
    adjustments: dict[str, str] = {}
    for file in surveyed.files:
        adjustments |= file.adjustments or {}
    calendar, newest = reading.calendar, reading.calendar.last_complete_session(now)
    quarantined = _quarantined(reading.fetched.results, calendar)
    for ticker in reading.tickers:
        if ticker in reading.fetched.failures:
            yield TickerReport(ticker, problem=str(reading.fetched.failures[ticker]))
            continue
        days = _days_of(reading.fetched.results[ticker])
        later = _later_bars(source, ticker, newest, now)
        if days.empty:
            problem = f"no bars up to {newest}" if later else "no bars"
            yield TickerReport(ticker, calendar.name, problem=problem, remarks=later)
            continue
        yield TickerReport(
            ticker,
            calendar.name,
            len(days),
            days[0].date(),
            days[-1].date(),
            adjustments.get(ticker, ""),
            _problem(ticker, days, reading, quarantined),
            (
                *(f"left out: {what}." for what in reading.fetched.results[ticker].left_out),
                *later,
                *_holes(days, calendar),
            ),
        )


def _problem(
    ticker: str, days: pd.DatetimeIndex, reading: _Reading, quarantined: Mapping[str, str]
) -> str:
    """Return why a ticker cannot be forecast; "": it can."""
    first = reading.calendar.first_known
    if days[-1].date() < first:
        return f"no bars from {first} on, where the calendar {reading.calendar.name} begins"
    if ticker in reading.foreign:
        return str(reading.foreign[ticker])
    return f"quarantined: {quarantined[ticker]}" if ticker in quarantined else ""


def _later_bars(
    source: CsvSource, ticker: str, newest: dt.date, now: dt.datetime
) -> tuple[str, ...]:
    """Return, in words, which bars are of days after the newest complete session."""
    try:
        dates = source.fetch_raw(ticker, newest, AFTER_ANY_PRICE, now).prices["date"]
    except MalformedPrices as error:
        return (str(error),)
    days = sorted(day.date() for day in dates if day.date() > newest)
    if not days:
        return ()
    return (f"{days_in_words(days)} not read: the newest complete session is {newest}.",)


def _holes(days: pd.DatetimeIndex, calendar: Calendar) -> tuple[str, ...]:
    """Return, in words, how many sessions between the first and the last bar have none."""
    import pandas as pd

    sessions = pd.DatetimeIndex(calendar.sessions(days[0].date(), days[-1].date()))
    lacking = sessions.difference(days)
    if lacking.empty:
        return ()
    first, last = lacking[0].date(), lacking[-1].date()
    which = f"{first}" if len(lacking) == 1 else f"from {first} to {last}"
    return (f"no bar on {len(lacking)} of {counted(len(sessions), 'session')}, {which}.",)


def _quarantined(fetched: Mapping[str, Fetched], calendar: Calendar) -> dict[str, str]:
    """Return by ticker why the gate would hold it back on the newest session of the files."""
    import pandas as pd

    from pipeline.quality import Gate

    with_bars = {ticker: each for ticker, each in fetched.items() if len(each.prices)}
    if not with_bars:
        return {}
    ends = [each.prices["session"].iloc[-1].date() for each in with_bars.values()]
    cutoff = calendar.last_session_until(max(ends))
    begin = min(each.prices["session"].iloc[0].date() for each in with_bars.values())
    sessions, gate = calendar.sessions(begin, cutoff), Gate(shipped_folder("expectations"))
    names, reasons = list(with_bars), dict[str, str]()
    for batch in chunks(names, JUDGED_TOGETHER):
        prices = PRICES.conform(pd.concat([with_bars[name].prices for name in batch]))
        actions = pd.concat([ACTIONS.empty(), *(with_bars[name].actions for name in batch)])
        verdict = gate.check_prices(
            prices, ACTIONS.conform(actions), batch, sessions, cutoff, 0, "inspected"
        )
        reasons |= verdict.quarantined
    return reasons
