"""The calendar that dates of bars, or the endings of tickers, point to."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from pipeline.errors import MalformedPrices, SettingsError
from pipeline.prices.open_days import likely_calendars
from pipeline.sessions import Calendar, calendar_names

#: The calendars of exchanges by the endings that Yahoo gives their tickers
#: (help.yahoo.com/kb/SLN2310.html), as far as exchange_calendars has them. Mumbai's is the National
#: Stock Exchange's, too.
CALENDARS_BY_ENDING = {
    **dict.fromkeys((".NS", ".BO"), "XBOM"),
    **dict.fromkeys((".L", ".IL"), "XLON"),
    **dict.fromkeys((".SS", ".SZ"), "XSHG"),
    **dict.fromkeys((".KS", ".KQ"), "XKRX"),
    **dict.fromkeys((".TW", ".TWO"), "XTAI"),
    **dict.fromkeys((".TO", ".V"), "XTSE"),
    **{".T": "XTKS", ".HK": "XHKG", ".AX": "XASX", ".NZ": "XNZE", ".SI": "XSES", ".KL": "XKLS"},
    **{".BK": "XBKK", ".JK": "XIDX", ".PS": "XPHS", ".KA": "XKAR", ".SR": "XSAU", ".TA": "XTAE"},
    **{".MX": "XMEX", ".SA": "BVMF", ".BA": "XBUE", ".SN": "XSGO", ".JO": "XJSE", ".IS": "XIST"},
    **{".DE": "XETR", ".F": "XFRA", ".DU": "XDUS", ".HM": "XHAM", ".VI": "XWBO", ".SW": "XSWX"},
    **{".PA": "XPAR", ".AS": "XAMS", ".BR": "XBRU", ".LS": "XLIS", ".MI": "XMIL", ".MC": "XMAD"},
    **{".IR": "XDUB", ".ST": "XSTO", ".OL": "XOSL", ".CO": "XCSE", ".HE": "XHEL", ".IC": "XICE"},
    **{".TL": "XTAL", ".RG": "XRIS", ".VS": "XLIT", ".WA": "XWAR", ".PR": "XPRA", ".BD": "XBUD"},
    **{".RO": "XBSE", ".AT": "ASEX", "=X": "24/5"},
    **dict.fromkeys(("-USD", "-EUR", "-GBP", "-JPY", "-BTC"), "24/7"),
}
#: Bars on days without a session from which another calendar is looked for, and days without a bar
#: on a session: fewer may be the source's, or the calendar's, own.
FEWEST_DAYS = 2
#: The share of the days in dispute between two calendars that the better one must be right about.
NEEDED_SHARE = 0.75
#: Calendars that fit equally well, of which a message names so many.
MOST_ALIKE = 3
#: The days of a week that are not traded at most exchanges.
SATURDAY = 5
#: Bars whose middle gap is this long are no daily ones: a week has at most three days off in a row.
FEWEST_DAYS_APART = 4
#: So few bars may be far apart by chance.
FEWEST_BARS = 10


@dataclass(frozen=True)
class CalendarMisfit:
    """Dates that are not a calendar's, and the one that they are nearer to.

    Attributes:
        extra: days with a bar that are no session.
        lacking: sessions without any bar, from the first bar to the last.
        better: names of calendars that fit equally well and better; none where none does.
        right, disputed: of the days that are a session in one of both, those that the better
            calendar is right about, and all.
    """

    extra: int
    lacking: int
    better: tuple[str, ...]
    right: int
    disputed: int


def require_fitting(
    days: pd.DatetimeIndex, tickers: Sequence[str], calendar: Calendar, source_name: str
) -> None:
    """Require that no other calendar fits the days much better.

    Args:
        days: those with a bar of any ticker; midnights without a zone.

    Raises:
        MalformedPrices: the days are those of weekly or monthly bars.
        SettingsError: one does; the message names it, and how to set it.
    """
    if gap := gap_of(days):
        raise MalformedPrices(
            f"The {source_name} source has bars of {', '.join(tickers[:3])} that are {gap} days "
            "apart; one a session is expected. Give it daily prices."
        )
    misfit = misfit_of(days, tickers, calendar)
    if misfit is None or not misfit.better:
        return
    best, *others = misfit.better
    alike = f" (or of {', '.join(others[:MOST_ALIKE])})" if others else ""
    raise SettingsError(
        f"The {source_name} source has bars on {misfit.extra} days without a session of "
        f"{calendar.name}, and none on {misfit.lacking} with one: its dates are those of {best}"
        f"{alike}, which is right about {misfit.right} of the {misfit.disputed} days in which both "
        f"differ. Set it: --calendar {best}, or `calendar` of the universe."
    )


def gap_of(days: pd.DatetimeIndex) -> int:
    """Return how many days bars are apart, where they are weekly or monthly ones; 0: they are not.

    Args:
        days: those with a bar, in any order.
    """
    if len(days) < FEWEST_BARS:
        return 0
    gap = int(np.median(np.diff(np.sort(days.to_numpy("datetime64[D]"))).astype(int)))
    return gap if gap >= FEWEST_DAYS_APART else 0


@dataclass(frozen=True)
class ForeignDays:
    """The days of one ticker's bars where they are not those of its universe's sessions.

    Attributes:
        calendar: the name of the one that they are of; "": of none, they are weekly or monthly.
        reason, remedy: in words.
    """

    calendar: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason}. {self.remedy}"


def foreign_days(
    days: pd.DatetimeIndex, ticker: str, calendar: Calendar, named: str = ""
) -> ForeignDays | None:
    """Return how one ticker's days are not those of a calendar; None: they are.

    Args:
        named: the calendar that the source names for it, which needs no search; "": it names none.
    """
    if gap := gap_of(days):
        reason = f"its bars are {gap} days apart; one a session is expected"
        return ForeignDays("", reason, "Give it daily prices.")
    if named == calendar.name:
        return None
    if named:
        better = named
        reason = f"its exchange's calendar is {named}, as its file says, and not {calendar.name}"
    else:
        misfit = misfit_of(days, [ticker], calendar)
        if misfit is None or not misfit.better:
            return None
        better = misfit.better[0]
        reason = (
            f"it has bars on {misfit.extra} days without a session of {calendar.name}, and none on "
            f"{misfit.lacking} with one; its dates are those of {better}"
        )
    remedy = f'Forecast it with --calendar {better}, or in a universe with calendar = "{better}".'
    return ForeignDays(better, reason, remedy)


def require_own_days(
    days: pd.DatetimeIndex, ticker: str, calendar: Calendar, named: str = ""
) -> None:
    """Require that one ticker among others has no `foreign_days`; the others go on.

    Raises:
        MalformedPrices: it has.
    """
    if found := foreign_days(days, ticker, calendar, named):
        raise MalformedPrices(f"{ticker}: {found}")


def misfit_of(
    days: pd.DatetimeIndex, tickers: Sequence[str], calendar: Calendar
) -> CalendarMisfit | None:
    """Return how dates depart from a calendar; None: hardly."""
    first = max(days.min().date(), calendar.first_known) if len(days) else calendar.first_known
    days = days[days >= pd.Timestamp(first)]
    if days.empty or gap_of(days):
        return None
    last = days.max().date()
    own = _sessions(calendar, first, last)
    extra, lacking = days.difference(own), own.difference(days)
    is_at_weekends = len(extra) and np.mean(extra.day_of_week >= SATURDAY) > NEEDED_SHARE
    if len(extra) < FEWEST_DAYS or (len(lacking) < FEWEST_DAYS and not is_at_weekends):
        return None
    likely = likely_calendars(days, own, NEEDED_SHARE)
    names = calendar_names() if likely is None else likely
    scores = {
        name: _comparison(days, calendar, other, max(first, other.first_known), last)
        for name in names
        if name != calendar.name and (other := _calendar(name)) is not None
    }
    margins = {
        name: 2 * right - disputed
        for name, (right, disputed) in scores.items()
        if right >= FEWEST_DAYS and right >= NEEDED_SHARE * disputed
    }
    named = ending_calendar(tickers)
    best = [name for name in margins if margins[name] == max(margins.values())]
    usual = {"XNYS", *CALENDARS_BY_ENDING.values()}
    better = tuple(sorted(best, key=lambda name: (name != named, name not in usual, name)))
    right, disputed = scores[better[0]] if better else (0, 0)
    return CalendarMisfit(len(extra), len(lacking), better, right, disputed)


def _comparison(
    days: pd.DatetimeIndex, calendar: Calendar, other: Calendar, first: dt.date, last: dt.date
) -> tuple[int, int]:
    """Return about how many of the days in dispute the other calendar is right, and all."""
    theirs = _sessions(other, first, last)
    disputed = _sessions(calendar, first, last).symmetric_difference(theirs)
    return int((disputed.isin(days) == disputed.isin(theirs)).sum()), len(disputed)


def _sessions(calendar: Calendar, first: dt.date, last: dt.date) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(calendar.sessions(first, last)).as_unit("s")


@cache
def _calendar(name: str) -> Calendar | None:
    """Return a calendar; None: exchange_calendars has some that it cannot build."""
    try:
        return Calendar(name)
    except SettingsError:
        return None


def ending_calendar(tickers: Sequence[str]) -> str | None:
    """Return the calendar that all tickers' endings name; None: they name none, or several."""
    named = Counter(_ending_calendar(ticker) for ticker in tickers)
    [most] = named if len(named) == 1 else [None]
    return most


def require_own_calendar(tickers: Sequence[str], calendar: Calendar, source_name: str) -> None:
    """Require that tickers of one exchange have its calendar, as far as their endings tell.

    Raises:
        SettingsError: their endings name another one.
    """
    named = ending_calendar(tickers)
    if named is not None and named != calendar.name:
        raise SettingsError(
            f"{', '.join(tickers[:3])}{' ...' if len(tickers) > 3 else ''}: the {source_name} "
            f"source's tickers with this ending trade on {named}, and the calendar is "
            f"{calendar.name}. Set it: --calendar {named}, or `calendar` of the universe."
        )


def _ending_calendar(ticker: str) -> str | None:
    endings = (ending for ending in CALENDARS_BY_ENDING if ticker.endswith(ending))
    return next((CALENDARS_BY_ENDING[ending] for ending in endings), None)
