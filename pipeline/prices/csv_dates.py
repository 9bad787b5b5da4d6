"""Dates as price files write them: 2006-01-03, 20060103, 01/03/2006, 03.01.2006, 03-Jan-2006 ..."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from pathlib import Path

import pandas as pd

from pipeline.errors import MalformedPrices

YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?P<between>[-/.])(?P<month>\d{1,2})(?P=between)(?P<day>\d{1,2})"
)
DIGITS_ONLY = re.compile(r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})")
YEAR_LAST = re.compile(
    r"(?P<one>\d{1,2})(?P<between>[-/.])(?P<two>\d{1,2})(?P=between)(?P<year>\d{4})"
)
DAY_MONTH_NAME = re.compile(
    r"(?P<day>\d{1,2})[- ](?P<name>[A-Za-z]{3})[a-z]*\.?[- ,]+(?P<year>\d{4})"
)
MONTH_NAME_DAY = re.compile(r"(?P<name>[A-Za-z]{3})[a-z]*\.? (?P<day>\d{1,2}),? (?P<year>\d{4})")
DATE_PATTERNS = (YEAR_FIRST, DIGITS_ONLY, YEAR_LAST, DAY_MONTH_NAME, MONTH_NAME_DAY)
MONTH_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
#: A time of day after a date, perhaps with fractions, perhaps with a zone.
TIME_OF_DAY = re.compile(
    r"[T ]+(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?) ?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?"
)


@lru_cache(maxsize=65536)
def parse_date(text: str, day_first: bool | None) -> pd.Timestamp | None:
    """Return a cell as a day, or as a moment where it has both a time of day and a zone.

    Args:
        day_first: whether 03/01/2006 is in January.

    Returns:
        None when it is neither.
    """
    for pattern in DATE_PATTERNS:
        match = pattern.match(text)
        if match is None:
            continue
        time = TIME_OF_DAY.fullmatch(text, match.end()) if match.end() < len(text) else None
        if time or match.end() == len(text):
            return _moment(_day(match.groupdict(), day_first), time)
    return None


def is_day_first(texts: pd.Series, path: Path) -> bool | None:
    """Return whether 03/01/2006 is in January, decided from the whole column of dates.

    Dots are only used where the day comes first; for slashes and dashes, a number above 12 has to
    show it.

    Returns:
        None when no date is written like that.

    Raises:
        MalformedPrices: the column does not show it, or has dates of both kinds.
    """
    parts = texts.dropna().str.strip().drop_duplicates().str.extract(YEAR_LAST).dropna()
    if parts.empty:
        return None
    one, two = parts["one"].astype(int).max() > 12, parts["two"].astype(int).max() > 12
    if one and two:
        raise MalformedPrices(
            f"{path}: dates are written both day first and month first; one way is expected, best "
            "2006-01-31."
        )
    if not one and not two and not (parts["between"] == ".").all():
        example = texts[parts.index[0]]
        raise MalformedPrices(
            f"{path}: {example!r} could be day or month first, and no date of the file shows "
            "which. Write dates as 2006-01-31."
        )
    return not two


def _day(parts: dict[str, str], day_first: bool | None) -> pd.Timestamp | None:
    """Return the day that the parts of a date name; None: there is no such day."""
    if "one" in parts:
        one, two = int(parts["one"]), int(parts["two"])
        day, month = (one, two) if day_first else (two, one)
    elif "name" in parts:
        name = parts["name"].lower()
        day, month = int(parts["day"]), MONTH_NAMES.index(name) + 1 if name in MONTH_NAMES else 0
    else:
        day, month = int(parts["day"]), int(parts["month"])
    try:
        return pd.Timestamp(dt.date(int(parts["year"]), month, day))
    except ValueError:
        return None


def _moment(day: pd.Timestamp | None, time: re.Match[str] | None) -> pd.Timestamp | None:
    """Return the day itself unless it goes on with a time of day in a zone.

    Midnight is how files write a day, in any zone.
    """
    if day is None or time is None or time["zone"] is None or not time["clock"].strip("0:."):
        return day
    zone = "+00:00" if time["zone"] in ("Z", "UTC") else time["zone"]
    return pd.Timestamp(f"{day.date()}T{time['clock'].zfill(5)}{zone}")
