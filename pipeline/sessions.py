"""The exchange's calendar: its sessions, when they close, and which come next.

A session is a plain `datetime.date`, in exchange-local time. `Calendar` is the only reader of
exchange_calendars.
"""

from __future__ import annotations

import datetime as dt

import exchange_calendars as xcals
import numpy as np
import pandas as pd

from pipeline.errors import SettingsError

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

    Raises:
        SettingsError: there is no calendar of that name.
    """

    def __init__(self, name: str) -> None:
        try:
            self._calendar = _calendar_until(name)
        except xcals.errors.InvalidCalendarName:
            raise SettingsError(
                f"There is no calendar {name!r}. Use an exchange_calendars name such as XNYS, XLON "
                "or 24/7."
            ) from None
        self.name = name

    @property
    def timezone(self) -> dt.tzinfo:
        """The exchange's time zone."""
        zone: dt.tzinfo = self._calendar.tz
        return zone

    def is_session(self, day: dt.date) -> bool:
        """Return whether the exchange trades on a day."""
        self._reach(day)
        return self._is_known(day) and bool(self._calendar.is_session(pd.Timestamp(day)))

    def close_of(self, session: dt.date) -> dt.datetime:
        """Return the moment (UTC) at which a session's bar is final; early closes are known."""
        self._reach(session)
        close: pd.Timestamp = self._calendar.session_close(pd.Timestamp(session))
        return close.to_pydatetime()

    def opens_of(self, days: pd.Series) -> pd.Series:
        """Return the moments (UTC, without a zone) at which sessions open, by row.

        A day that is none in this calendar, as where a universe had another one, counts from its
        midnight at the exchange.
        """
        if len(days):
            self._reach(days.max().date())
        opens = self._calendar.opens.reindex(pd.DatetimeIndex(days))
        local = pd.DatetimeIndex(days).tz_localize(self.timezone, nonexistent="shift_forward")
        moments = opens.dt.tz_convert(None).to_numpy("datetime64[us]")
        midnights = local.tz_convert(None).to_numpy("datetime64[us]")
        return pd.Series(np.where(np.isnat(moments), midnights, moments), index=days.index)

    def sessions(self, first: dt.date, last: dt.date) -> list[dt.date]:
        """Return all known sessions from `first` to `last`, both included.

        Empty when `first` is after `last`.
        """
        self._reach(last)
        if (
            first > last
            or pd.Timestamp(last) < self._calendar.first_session
            or pd.Timestamp(first) > self._calendar.last_session
        ):
            return []
        return list(self._calendar.sessions_in_range(self._clip(first), self._clip(last)).date)

    def next_sessions(self, session: dt.date, count: int) -> list[dt.date]:
        """Return the `count` sessions after `session`, which need not be one itself.

        Raises:
            SettingsError: the calendar does not know so many.
        """
        self._reach(session + dt.timedelta(days=2 * count))
        known = self._calendar.sessions
        begin = int(known.searchsorted(pd.Timestamp(session), side="right"))
        if begin + count > len(known):
            raise SettingsError(
                f"{count} sessions of {self.name} after {session} are asked for; they are known "
                f"up to {known[-1].date()}. Use an earlier day."
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
        session: pd.Timestamp = self._calendar.date_to_session(self._clip(day), direction=direction)
        return session.date()

    def _reach(self, day: dt.date) -> None:
        """Know the sessions up to a day, and some beyond, where the exchange has fixed them."""
        known = self._calendar.last_session.date()
        if known - _NEAR < day <= known + FARTHEST_AHEAD:
            self._calendar = _calendar_until(self.name, day + _AHEAD)

    def _is_known(self, day: dt.date) -> bool:
        moment = pd.Timestamp(day)
        return bool(self._calendar.first_session <= moment <= self._calendar.last_session)

    def _clip(self, day: dt.date) -> pd.Timestamp:
        first: pd.Timestamp = self._calendar.first_session
        last: pd.Timestamp = self._calendar.last_session
        return min(max(pd.Timestamp(day), first), last)


#: The calendars of this process as far as any has been asked for, by name.
_calendars: dict[str, xcals.ExchangeCalendar] = {}


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
    """Return a calendar from the earliest session on; `end` None: to a year ahead."""
    try:
        return xcals.get_calendar(name, start=EARLIEST_SESSION, end=end)
    except ValueError:  # some are known from a later day on: XTKS from 1997
        return xcals.get_calendar(name, start=xcals.get_calendar(name).bound_min(), end=end)
