"""The exchange's calendar: its sessions, when they close, and which come next.

A session is a plain `datetime.date`, in exchange-local time. `Calendar` is the only reader of
exchange_calendars.
"""

from __future__ import annotations

import datetime as dt
import textwrap
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import exchange_calendars as xcals
import numpy as np
import pandas as pd
from pandas.tseries.holiday import AbstractHolidayCalendar

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.universes import Universe

#: Price history begins here at the earliest. (exchange_calendars' own default is 20 years back,
#: which cuts histories short.)
EARLIEST_SESSION = "1990-01-01"
#: A calendar is known for about a year ahead of the moment at which it was built, and is built
#: again for days beyond, as in a process that has lived for long. What is asked for further ahead
#: than this is a mistake.
FARTHEST_AHEAD = dt.timedelta(days=3653)
#: Days beyond the one that is asked for, which the next sessions are looked for in.
_AHEAD = dt.timedelta(days=366)
#: A day this close to the end of what is known may ask for sessions beyond it.
_NEAR = dt.timedelta(days=31)


class Calendar:
    """The sessions of one exchange.

    Args:
        name: as exchange_calendars has it: "XNYS"; "24/7" for markets that never close.
        closures: days without a session that exchange_calendars does not know, such as of mourning.
        extra_sessions: days with one; they open and close when the session before them does.

    Raises:
        SettingsError: there is no calendar of that name, or a day is named in vain.
    """

    def __init__(
        self,
        name: str,
        closures: Iterable[dt.date] = (),
        extra_sessions: Iterable[dt.date] = (),
    ) -> None:
        self.name = name
        self._closures = pd.DatetimeIndex(sorted(closures))
        self._extra_sessions = pd.DatetimeIndex(sorted(extra_sessions))
        try:
            built = _calendar_until(name)
        except xcals.errors.InvalidCalendarName:
            raise SettingsError(
                f"There is no calendar {name!r}. Use an exchange_calendars name such as XNYS, XLON "
                "or 24/7."
            ) from None
        self._require_amendments(built)
        self._follow(built)

    @property
    def first_known(self) -> dt.date:
        """The first session that the calendar knows."""
        first: pd.Timestamp = self._sessions[0]
        return first.date()

    def _follow(self, built: xcals.ExchangeCalendar) -> None:
        """Take the sessions, opens and closes (UTC) of a built calendar, with what is amended."""
        self._built = built
        self._sessions, self._opens, self._closes = built.sessions, built.opens, built.closes
        if len(self._closures) or len(self._extra_sessions):
            regular = self._sessions.difference(self._closures)
            self._sessions = regular.union(self._extra_sessions)
            self._opens, self._closes = (
                self._moments_of(moments) for moments in (built.opens, built.closes)
            )

    def _moments_of(self, moments: pd.Series) -> pd.Series:
        """Return opens or closes of all sessions; an extra one has the time of the one before."""
        extra = pd.DatetimeIndex(
            [self._same_time(moments, day) for day in self._extra_sessions], tz="UTC"
        )
        added = pd.Series(extra, index=self._extra_sessions, dtype=moments.dtype)
        kept: pd.Series = moments.drop(self._closures, errors="ignore")
        amended: pd.Series = pd.concat([kept, added]).sort_index()
        return amended

    def _same_time(self, moments: pd.Series, day: pd.Timestamp) -> pd.Timestamp:
        """Return a day's moment at the time, on the exchange's clocks, of the session before."""
        before = moments.index[int(moments.index.searchsorted(day)) - 1]
        local: pd.Timestamp = moments[before].tz_convert(self.timezone)
        later = local.date() - before.date()  # a day that ends at midnight closes on the next
        moment = pd.Timestamp.combine(day.date() + later, local.time())
        return moment.tz_localize(self.timezone).tz_convert("UTC")

    def _require_amendments(self, built: xcals.ExchangeCalendar) -> None:
        for days, expected, word in (
            (self._closures, True, "closures"),
            (self._extra_sessions, False, "extra_sessions"),
        ):
            known = days[(days > built.first_session) & (days <= built.last_session)]
            for day in known[known.isin(built.sessions) != expected]:
                state = "no session" if expected else "a session already"
                raise SettingsError(
                    f"{day.date()} is {state} of {self.name}. Take it out of `{word}`."
                )

    @property
    def timezone(self) -> dt.tzinfo:
        """The exchange's time zone."""
        zone: dt.tzinfo = self._built.tz
        return zone

    def is_session(self, day: dt.date) -> bool:
        """Return whether the exchange trades on a day."""
        self._reach(day)
        return pd.Timestamp(day) in self._sessions

    def close_of(self, session: dt.date) -> dt.datetime:
        """Return the moment (UTC) at which a session's bar is final; early closes are known."""
        self._reach(session)
        close: pd.Timestamp = self._closes[pd.Timestamp(session)]
        return close.to_pydatetime()

    def opens_of(self, days: pd.Series) -> pd.Series:
        """Return the moments (UTC, without a zone) at which sessions open, by row.

        A day that is none in this calendar, as where a universe had another one, counts from its
        midnight at the exchange.
        """
        if len(days):
            self._reach(days.max().date())
        opens = self._opens.reindex(pd.DatetimeIndex(days))
        local = pd.DatetimeIndex(days).tz_localize(self.timezone, nonexistent="shift_forward")
        moments = opens.dt.tz_convert(None).to_numpy("datetime64[us]")
        midnights = local.tz_convert(None).to_numpy("datetime64[us]")
        return pd.Series(np.where(np.isnat(moments), midnights, moments), index=days.index)

    def hours_of(self, days: np.ndarray) -> np.ndarray:
        """Return the length of sessions in hours; NaN for a day that is none.

        Args:
            days: datetime64[D] (n,), in order.
        """
        if len(days):
            self._reach(days[-1].astype(object))
        index = pd.DatetimeIndex(days)
        lengths = self._closes.reindex(index) - self._opens.reindex(index)
        hours: np.ndarray = lengths.dt.total_seconds().to_numpy("float64") / 3600
        return hours

    def sessions(self, first: dt.date, last: dt.date) -> list[dt.date]:
        """Return all known sessions from `first` to `last`, both included.

        Empty when `first` is after `last`.
        """
        self._reach(last)
        known = self._sessions
        begin = known.searchsorted(pd.Timestamp(first))
        end = known.searchsorted(pd.Timestamp(last), side="right")
        return list(known[begin:end].date)

    def start_of_newest(self, first: dt.date, last: dt.date, most: int) -> dt.date:
        """Return the first of the newest `most` sessions from `first` to `last`.

        That is `first` itself where `most` is 0, which is no limit, or there is no session.
        """
        sessions = self.sessions(first, last)[-most:] if most else []
        return sessions[0] if sessions else first

    def next_sessions(self, session: dt.date, count: int) -> list[dt.date]:
        """Return the `count` sessions after `session`, which need not be one itself.

        Raises:
            SettingsError: the calendar does not know so many.
        """
        self._reach(session + dt.timedelta(days=2 * count))
        known = self._sessions
        begin = int(known.searchsorted(pd.Timestamp(session), side="right"))
        if begin + count > len(known):
            raise SettingsError(
                f"{count} sessions of {self.name} after {session} are asked for; they are known "
                f"up to {known[-1].date()}. Use an earlier day or fewer sessions (--horizon), or a "
                "newer exchange_calendars, which knows more once the exchange has fixed them."
            )
        return list(known[begin : begin + count].date)

    def first_session_from(self, day: dt.date) -> dt.date:
        """Return the day itself where it is a session, else the next session."""
        return self._nearest_session(day, "next")

    def last_session_until(self, day: dt.date) -> dt.date:
        """Return the day itself where it is a session, else the session before it."""
        return self._nearest_session(day, "previous")

    def last_complete_session(self, now: dt.datetime) -> dt.date:
        """Return the newest session with a close that is not after `now` (a moment with a zone)."""
        session = self.last_session_until(now.astimezone(self.timezone).date())
        while self.close_of(session) > now:
            session = self.last_session_until(session - dt.timedelta(days=1))
        return session

    def require_session(self, day: dt.date, now: dt.datetime) -> dt.date:
        """Return `day` itself, which has to be a finished session.

        Raises:
            SettingsError: it is none; the message gives the reason and names sessions that are.
        """
        self._reach(day)
        if not self._is_known(day):
            raise SettingsError(
                f"{day} is outside {EARLIEST_SESSION} to next year, the sessions of {self.name} "
                "that are known. Use one of these."
            )
        newest = self.last_complete_session(now)
        if not self.is_session(day):
            nearest = [self.last_session_until(day), self.first_session_from(day)]
            finished = [str(session) for session in nearest if session <= newest] or [str(newest)]
            raise SettingsError(
                f"{day} is no session of {self.name}: the exchange is closed that day. "
                f"Use {' or '.join(finished)}."
            )
        if day > newest:
            raise SettingsError(
                f"{day} is not over yet on {self.name}; the last complete session is {newest}. "
                "Use that one, or wait."
            )
        return day

    def training_cutoffs(self, session: dt.date, retrain: str) -> tuple[dt.date, dt.date]:
        """Return the training cutoff that serves `session`, and the one before it.

        It depends on the calendar alone, so a backfill finds the same cutoffs in any order.

        Args:
            retrain: "daily": the cutoff is the session itself; "weekly", "monthly" or "quarterly":
                the first session of its week, month or quarter.
        """
        current = self._cutoff(session, retrain)
        day_before = self.last_session_until(current - dt.timedelta(days=1))
        return current, self._cutoff(day_before, retrain)

    def pool_cutoff(self, training_cutoff: dt.date, cadence: str) -> dt.date:
        """Return the last session that the pooled network sees.

        A stock's own network of `training_cutoff` begins with that pooled network.

        Args:
            cadence: "daily": the training cutoff itself; "weekly", "monthly" or "quarterly": the
                first session of its week, month or quarter.
        """
        return self._cutoff(training_cutoff, cadence)

    def _cutoff(self, session: dt.date, cadence: str) -> dt.date:
        if cadence == "daily":
            return session
        if cadence == "weekly":
            return self.first_session_from(session - dt.timedelta(days=session.weekday()))
        if cadence == "monthly":
            return self.first_session_from(session.replace(day=1))
        if cadence == "quarterly":
            first_month = (session.month - 1) // 3 * 3 + 1
            return self.first_session_from(session.replace(month=first_month, day=1))
        raise SettingsError(
            f"retrain is {cadence!r}; daily, weekly, monthly or quarterly is expected."
        )

    def _nearest_session(self, day: dt.date, direction: str) -> dt.date:
        self._reach(day)
        known, moment = self._sessions, self._clip(day)
        place = known.searchsorted(moment)
        if direction == "previous":
            place = known.searchsorted(moment, side="right") - 1
        session: pd.Timestamp = known[int(place)]
        return session.date()

    def _reach(self, day: dt.date) -> None:
        """Know the sessions up to a day, and some beyond, where the exchange has fixed them."""
        known = self._built.last_session.date()
        if known - _NEAR < day <= known + FARTHEST_AHEAD:
            built = _calendar_until(self.name, day + _AHEAD)
            if built is not self._built:
                self._follow(built)

    def _is_known(self, day: dt.date) -> bool:
        moment = pd.Timestamp(day)
        return bool(self._sessions[0] <= moment <= self._sessions[-1])

    def _clip(self, day: dt.date) -> pd.Timestamp:
        first: pd.Timestamp = self._sessions[0]
        last: pd.Timestamp = self._sessions[-1]
        return min(max(pd.Timestamp(day), first), last)


def calendar_of(universe: Universe) -> Calendar:
    """Return a universe's calendar: its exchange's, without its closures, with its extra days."""
    return amended_calendar(universe.calendar, universe.closures, universe.extra_sessions)


@cache
def amended_calendar(
    name: str, closures: tuple[dt.date, ...], extra_sessions: tuple[dt.date, ...]
) -> Calendar:
    """Return this process's calendar of these days."""
    return Calendar(name, closures, extra_sessions)


#: The calendars of this process as far as any has been asked for, by name.
_calendars: dict[str, xcals.ExchangeCalendar] = {}
_holidays_in_use = threading.Lock()


def _calendar_until(name: str, until: dt.date | None = None) -> xcals.ExchangeCalendar:
    """Return a calendar that reaches at least until a day, as far as its exchange has fixed it.

    Args:
        until: None: as far as it is known already, or a year ahead.
    """
    known = _calendars.get(name)
    if known is None:
        _calendars[name] = known = _built(name)
    if until is not None and known.last_session.date() < until - _AHEAD / 2:
        fixed = known.bound_max()
        end = pd.Timestamp(until) if fixed is None else min(pd.Timestamp(until), fixed)
        if end > known.last_session:
            _calendars[name] = known = _built(name, end)
    return known


def _built(name: str, end: pd.Timestamp | None = None) -> xcals.ExchangeCalendar:
    """Return a calendar from the earliest session on; `end` None: to a year ahead.

    Raises:
        InvalidCalendarName: there is none of that name.
        SettingsError: exchange_calendars cannot build it; 4.13 has five such (ASEX, XTAE ...).
    """
    try:
        with _holidays_until(end or xcals.exchange_calendar.GLOBAL_DEFAULT_END):
            try:
                return xcals.get_calendar(name, start=EARLIEST_SESSION, end=end)
            except ValueError:  # some are known from a later day on: XTKS from 1997
                first = xcals.get_calendar(name).bound_min()
                return xcals.get_calendar(name, start=first, end=end)
    except xcals.errors.InvalidCalendarName:
        raise
    except (NotImplementedError, ValueError, TypeError) as error:
        reason = textwrap.shorten(str(error), 80, placeholder=" ...")
        raise SettingsError(
            f"The installed exchange_calendars cannot build {name} ({type(error).__name__}: "
            f"{reason}). Use a calendar with the same sessions, and list the days in which they "
            "differ under `closures` and `extra_sessions` of the universe."
        ) from None


@contextmanager
def _holidays_until(end: pd.Timestamp) -> Iterator[None]:
    """Work out the holidays of the years that are needed, and of one more at both ends.

    pandas' default is 1970 to 2200: half of the time that a calendar takes.
    """
    known = AbstractHolidayCalendar
    with _holidays_in_use:
        default = known.start_date, known.end_date
        known.start_date = pd.Timestamp(EARLIEST_SESSION) - _AHEAD
        known.end_date = end + _AHEAD
        try:
            yield
        finally:
            known.start_date, known.end_date = default


def exchange_calendar(exchange: str) -> str:
    """Return the name of an exchange's calendar, XLON of lse; "": none is known by that name."""
    try:
        name: str = xcals.resolve_alias(exchange.strip().upper())
    except xcals.errors.InvalidCalendarName:
        return ""
    return name


def calendar_names() -> list[str]:
    """Return the names of all calendars, each exchange once."""
    return sorted(xcals.get_calendar_names(include_aliases=False))
