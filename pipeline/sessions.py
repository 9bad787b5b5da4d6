"""The exchange's calendar: which days are sessions, when they close, what comes next.

A session is a plain `datetime.date`, in exchange-local time. `Calendar` is the only reader of exchange_calendars.
"""

from __future__ import annotations

import datetime as dt
from functools import cache

import exchange_calendars as xcals
import pandas as pd

from pipeline.errors import SettingsError

#: Price history begins here at the earliest. (exchange_calendars' own default is 20 years back, which cuts histories short.)
FIRST_DAY = "1990-01-01"


class Calendar:
    """Sessions of one exchange, by its exchange_calendars name ("XNYS"; "24/7" for markets that never close)."""

    def __init__(self, name: str) -> None:
        try:
            self._calendar = _calendar(name)
        except xcals.errors.InvalidCalendarName:
            raise SettingsError(
                f"There is no calendar {name!r}. Use an exchange_calendars name such as XNYS, XLON or 24/7."
            ) from None
        self.name = name

    @property
    def timezone(self) -> dt.tzinfo:
        return self._calendar.tz

    def is_session(self, day: dt.date) -> bool:
        return self._known(day) and self._calendar.is_session(pd.Timestamp(day))

    def close_of(self, session: dt.date) -> dt.datetime:
        """The moment, in UTC, at which a session's bar is final; early closes are known."""
        return self._calendar.session_close(pd.Timestamp(session)).to_pydatetime()

    def sessions(self, first: dt.date, last: dt.date) -> list[dt.date]:
        """All sessions that are known from `first` to `last`, both included; empty when `first` is after `last`."""
        known = self._calendar
        if first > last or pd.Timestamp(last) < known.first_session or pd.Timestamp(first) > known.last_session:
            return []
        return [moment.date() for moment in self._calendar.sessions_in_range(self._clip(first), self._clip(last))]

    def next_sessions(self, session: dt.date, count: int) -> list[dt.date]:
        """The `count` sessions after `session`, which need not be one itself."""
        known = self._calendar.sessions
        begin = int(known.searchsorted(pd.Timestamp(session), side="right"))
        if begin + count > len(known):
            raise SettingsError(
                f"{count} sessions of {self.name} after {session} are asked for; they are known up to {known[-1].date()}. Use an earlier day."
            )
        return [moment.date() for moment in known[begin : begin + count]]

    def first_session_from(self, day: dt.date) -> dt.date:
        return self._calendar.date_to_session(self._clip(day), direction="next").date()

    def last_session_until(self, day: dt.date) -> dt.date:
        return self._calendar.date_to_session(self._clip(day), direction="previous").date()

    def last_complete_session(self, now: dt.datetime) -> dt.date:
        """The newest session whose close is not after `now` (a moment with a zone)."""
        session = self.last_session_until(now.astimezone(self.timezone).date())
        while self.close_of(session) > now:
            session = self.last_session_until(session - dt.timedelta(days=1))
        return session

    def require_session(self, day: dt.date, now: dt.datetime) -> dt.date:
        """`day` itself when it is a finished session; otherwise a `SettingsError` that says why not and names good ones."""
        if not self._known(day):
            raise SettingsError(
                f"{day} is outside {FIRST_DAY} to next year, the sessions of {self.name} that are known. Use one of these."
            )
        newest = self.last_complete_session(now)
        if not self.is_session(day):
            near = [self.last_session_until(day), self.first_session_from(day)]
            finished = " or ".join(str(session) for session in near if session <= newest) or str(newest)
            raise SettingsError(f"{day} is no session of {self.name}: the exchange is closed that day. Use {finished}.")
        if day > newest:
            raise SettingsError(
                f"{day} is not over yet on {self.name}; the last complete session is {newest}. Use that one, or wait."
            )
        return day

    def training_cutoffs(self, session: dt.date, retrain: str) -> tuple[dt.date, dt.date]:
        """The training cutoff that serves `session` and the one before it: (current, previous).

        daily: the session itself; weekly, monthly: the first session of its week or month. Depends on the calendar alone, so
        a backfill finds the same cutoffs in any order.
        """
        current = self._cutoff(session, retrain)
        return current, self._cutoff(self.last_session_until(current - dt.timedelta(days=1)), retrain)

    def pool_cutoff(self, training_cutoff: dt.date, cadence: str) -> dt.date:
        """The last session that the pooled network sees which a stock's own network of `training_cutoff` begins with.

        daily, weekly, monthly, quarterly: the training cutoff itself, or the first session of its week, month or quarter.
        """
        return self._cutoff(training_cutoff, cadence)

    def _cutoff(self, session: dt.date, retrain: str) -> dt.date:
        if retrain == "daily":
            return session
        if retrain == "weekly":
            return self.first_session_from(session - dt.timedelta(days=session.weekday()))
        if retrain == "monthly":
            return self.first_session_from(session.replace(day=1))
        if retrain == "quarterly":
            return self.first_session_from(session.replace(month=(session.month - 1) // 3 * 3 + 1, day=1))
        raise SettingsError(f"retrain is {retrain!r}; daily, weekly, monthly or quarterly is expected.")

    def _known(self, day: dt.date) -> bool:
        return self._calendar.first_session <= pd.Timestamp(day) <= self._calendar.last_session

    def _clip(self, day: dt.date) -> pd.Timestamp:
        return min(max(pd.Timestamp(day), self._calendar.first_session), self._calendar.last_session)


@cache
def _calendar(name: str) -> xcals.ExchangeCalendar:
    try:
        return xcals.get_calendar(name, start=FIRST_DAY)
    except ValueError:  # some are known from a later day on: XTKS from 1997
        return xcals.get_calendar(name, start=xcals.get_calendar(name).bound_min())
