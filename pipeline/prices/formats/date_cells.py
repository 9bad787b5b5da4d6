"""Dates as price files write them: 2006-01-03, 01/03/2006, 03-Jan-06, 1136246400, 38720 ..."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from pipeline.errors import MalformedPrices

YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?P<between>[-/.])(?P<month>\d{1,2})(?P=between)(?P<day>\d{1,2})"
)
DIGITS_ONLY = re.compile(r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?:\.0)?")
YEAR_LAST = re.compile(
    r"(?P<one>\d{1,2})(?P<between>[-/.])(?P<two>\d{1,2})(?P=between)(?P<year>\d{4})"
)
#: Three numbers of two digits at most: any of the outer two may be the year.
SHORT_YEAR = re.compile(
    r"(?P<one>\d{1,2})(?P<between>[-/.])(?P<two>\d{1,2})(?P=between)(?P<three>\d{2})(?!\d)"
)
DAY_MONTH_NAME = re.compile(
    r"(?P<day>\d{1,2})[- ]?(?P<name>[A-Za-z]{3})[a-z]*\.?[- ,]*(?P<year>\d{4}|\d{2})(?!\d)"
)
MONTH_NAME_DAY = re.compile(r"(?P<name>[A-Za-z]{3})[a-z]*\.? (?P<day>\d{1,2}),? (?P<year>\d{4})")
DATE_PATTERNS = (YEAR_FIRST, DIGITS_ONLY, YEAR_LAST, SHORT_YEAR, DAY_MONTH_NAME, MONTH_NAME_DAY)
MONTH_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
#: A time of day after a date, perhaps with fractions, perhaps with a zone.
TIME_OF_DAY = re.compile(
    r"[T ]+(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(?P<half> ?[AaPp][Mm])?"
    r" ?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?"
)
#: Counted dates, by the size that those of this and the last century have.
COUNTED = re.compile(r"-?\d+(?:\.0+)?")
COUNTS = {
    "days": (2e4, 8e4),
    "seconds": (1e8, 1e10),
    "milliseconds": (1e11, 1e13),
    "microseconds": (1e14, 1e16),
    "nanoseconds": (1e17, 1e19),
}
PER_SECOND = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
#: Excel counts days from here (and believes in a 29 February 1900).
EXCEL_ZERO = dt.datetime(1899, 12, 30)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: Two digits below this are a year of this century.
PIVOT_YEAR = 69
#: Of two orders of day, month and year, the right one has so many times more dates in its span.
MUCH_DENSER = 5


@dataclass(frozen=True)
class DateStyle:
    """A manner of writing dates, where a cell alone does not show it.

    Attributes:
        order: of three numbers, such as "day, month, year"; "": there are none.
        count: one of `COUNTS`; "": dates are not counted.
    """

    order: str = ""
    count: str = ""


@lru_cache(maxsize=65536)
def parse_date(text: str, style: DateStyle) -> pd.Timestamp | None:
    """Return a cell as a day, or as a moment where it has both a time of day and a zone.

    Returns:
        None when it is neither.
    """
    for pattern in DATE_PATTERNS:
        match = pattern.match(text)
        if match is None:
            continue
        time = TIME_OF_DAY.fullmatch(text, match.end()) if match.end() < len(text) else None
        if time or match.end() == len(text):
            return _moment(_day(match.groupdict(), style.order), time)
    return _counted(text, style.count) if style.count and COUNTED.fullmatch(text) else None


def iso_days(texts: pd.Series) -> pd.Series | None:
    """Return dates that are all written 2006-01-03, as most are; None: one is not."""
    if not (texts.str.len() == 10).all():
        return None
    try:
        return pd.to_datetime(texts, format="%Y-%m-%d")
    except ValueError:
        return None


def date_style(texts: pd.Series, place: str) -> DateStyle:
    """Return how a file writes its dates, decided from the whole column.

    Raises:
        MalformedPrices: the column does not show it, or has dates of both kinds.
    """
    cells = texts.dropna().str.strip().drop_duplicates()
    if (count := _count_of(cells)) != "":
        return DateStyle(count=count)
    if (order := _order_of(cells, place)) != "":
        return DateStyle(order)
    return DateStyle(_short_order(cells, place))


def _count_of(cells: pd.Series) -> str:
    """Return what the dates are counted in; "": they are not counted."""
    counted = cells.str.fullmatch(COUNTED)
    if not counted.any() or cells[~counted].str.match(r"\d").any():
        return ""
    largest = cells[counted].astype("float64").abs().max()
    return next((name for name, (low, high) in COUNTS.items() if low <= largest < high), "")


def _order_of(cells: pd.Series, place: str) -> str:
    """Return the order of the numbers in dates such as 01/03/2006.

    Dots are only used where the day comes first; for slashes and dashes, a number above 12 has to
    show it.
    """
    parts = cells.str.extract(YEAR_LAST).dropna()
    if parts.empty:
        return ""
    one, two = parts["one"].astype(int).max() > 12, parts["two"].astype(int).max() > 12
    if one and two:
        raise MalformedPrices(
            f"{place}: dates are written both day first and month first; one way is expected, best "
            "2006-01-31."
        )
    if not one and not two and not (parts["between"] == ".").all():
        raise MalformedPrices(
            f"{place}: {cells[parts.index[0]]!r} could be day or month first, and no date of the "
            "file shows which. Write dates as 2006-01-31."
        )
    return "month, day, year" if two else "day, month, year"


def _short_order(cells: pd.Series, place: str) -> str:
    """Return the order of the numbers in dates such as 03-01-06.

    Among the orders that are possible, daily prices lie denser in the right one.
    """
    matches = [match for text in cells if (match := SHORT_YEAR.match(text)) is not None]
    if not matches:
        return ""
    densities: dict[str, float] = {}
    for order in ("day, month, year", "month, day, year", "year, month, day"):
        days = [_day(match.groupdict(), order) for match in matches]
        if (known := [day for day in days if day is not None]) and len(known) == len(days):
            densities[order] = len(days) / ((max(known) - min(known)).days + 1)
    ranked = sorted(densities, key=lambda order: -densities[order])
    if not ranked:
        return ""
    if len(ranked) > 1 and densities[ranked[0]] < MUCH_DENSER * densities[ranked[1]]:
        raise MalformedPrices(
            f"{place}: {matches[0][0]!r} could be in the order {ranked[0]} or {ranked[1]}, and the "
            "dates of the file do not show which. Write dates as 2006-01-31."
        )
    return ranked[0]


def _day(parts: dict[str, str], order: str) -> pd.Timestamp | None:
    """Return the day that the parts of a date name; None: there is no such day."""
    return next(_days(parts, order), None)


def _days(parts: dict[str, str], order: str) -> Iterator[pd.Timestamp]:
    if "one" in parts:
        names = order.split(", ")
        values = [int(parts[name]) for name in ("one", "two")]
        values.append(int(parts["three"] if "three" in parts else parts["year"]))
        if len(names) != 3:
            return
        by_name = dict(zip(names, values, strict=True))
    else:
        month = int(parts["month"]) if "month" in parts else _month_of(parts["name"])
        by_name = {"year": int(parts["year"]), "month": month, "day": int(parts["day"])}
    year = by_name["year"]
    if len(parts.get("year", parts.get("three", ""))) == 2:
        year += 2000 if year < PIVOT_YEAR else 1900
    try:
        yield pd.Timestamp(dt.date(year, by_name["month"], by_name["day"]))
    except ValueError:
        return


def _month_of(name: str) -> int:
    return MONTH_NAMES.index(name.lower()) + 1 if name.lower() in MONTH_NAMES else 0


def _moment(day: pd.Timestamp | None, time: re.Match[str] | None) -> pd.Timestamp | None:
    """Return the day itself unless it goes on with a time of day in a zone.

    Midnight is how files write a day, in any zone.
    """
    if day is None or time is None or time["zone"] is None or not time["clock"].strip("0:."):
        return day
    zone = "+00:00" if time["zone"] in ("Z", "UTC") else time["zone"]
    return pd.Timestamp(f"{day.date()}T{time['clock'].zfill(5)}{zone}")


def _counted(text: str, count: str) -> pd.Timestamp | None:
    """Return a counted cell as a day, or as a moment in UTC where it is not midnight there."""
    value = int(text.partition(".")[0])
    try:
        if count == "days":
            return pd.Timestamp(EXCEL_ZERO + dt.timedelta(days=value))
        moment = EPOCH + dt.timedelta(seconds=value / PER_SECOND[count])
    except OverflowError:
        return None
    is_midnight = moment.time() == dt.time()
    return pd.Timestamp(moment.replace(tzinfo=None) if is_midnight else moment)
