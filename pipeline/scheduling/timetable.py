"""One run per trading session, shortly after its close.

Why not a list of closes (`EventsTimetable`): such a list ends, and grows the stored DAG by thousands of dates; with `catchup=False`
it also loses a session whose close passed while the scheduler was down. This timetable keeps the calendar's name only, and
reads exchange_calendars when a date is asked for, never while a DAG file is parsed. Airflow learns of it through the plugin
in `plugin.py`.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, Timetable

if TYPE_CHECKING:
    from airflow.timetables.base import TimeRestriction

    from pipeline.sessions import Calendar

#: A source's daily bar is final some minutes after the close: Yahoo's US quotes lag by up to 20.
SETTLE = dt.timedelta(minutes=30)


class SessionTimetable(Timetable):
    """Runs at close + `SETTLE` of every session of an exchange; that moment is a run's logical date.

    The dates of a backfill, and a DAG's start and end, are read as session dates (their day in UTC), both included: from
    2013-02-01 to 2013-02-28 means the sessions of February, although the last of them closed after midnight of the 28th.

    Args:
        calendar: exchange_calendars name.
        scheduled: whether the scheduler makes runs by itself; backfills work either way.
    """

    def __init__(self, calendar: str, scheduled: bool = True) -> None:
        self.calendar = calendar
        self.scheduled = scheduled

    @property
    def summary(self) -> str:
        return f"After every {self.calendar} session" if self.scheduled else f"On demand ({self.calendar} sessions)"

    @property
    def description(self) -> str:
        minutes = int(SETTLE.total_seconds() // 60)
        if self.scheduled:
            return f"{minutes} minutes after the close of every {self.calendar} session; no runs on holidays, earlier after an early close"
        return f"Nothing is scheduled; a backfill makes one run for every {self.calendar} session of its range"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The run after the last one.

        Without catchup (the scheduler), sessions that were missed are skipped, except the newest: a scheduler that was down
        at the close runs it when it is back. With catchup (a backfill lists its runs so), none is skipped.
        """
        if not (restriction.catchup or self.scheduled):
            return None
        calendar = self._calendar()
        session = next_session(
            calendar,
            last=last_automated_data_interval and session_at(calendar, last_automated_data_interval.end),
            earliest=restriction.earliest and _utc_day(restriction.earliest),
            latest=restriction.latest and _utc_day(restriction.latest),
            due=None if restriction.catchup else session_at(calendar, dt.datetime.now(dt.UTC)),
        )
        return session and DagRunInfo.exact(run_moment(calendar, session))

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        return DataInterval.exact(run_after)

    def serialize(self) -> dict[str, Any]:
        return {"calendar": self.calendar, "scheduled": self.scheduled}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> SessionTimetable:
        return cls(data["calendar"], data["scheduled"])

    def validate(self) -> None:
        """Nothing to do at parse time: `universes.py` checks the name's form, `steps.plan` the calendar."""

    def _calendar(self) -> Calendar:
        from pipeline.sessions import Calendar

        return Calendar(self.calendar)


def next_session(
    calendar: Calendar, last: dt.date | None, earliest: dt.date | None, latest: dt.date | None, due: dt.date | None
) -> dt.date | None:
    """The first session that is after `last`, not before `earliest` or `due`, and not after `latest`; None when there is none."""
    bounds = [bound for bound in (last and last + dt.timedelta(days=1), earliest, due) if bound]
    if not bounds:
        return None
    session = calendar.first_session_from(max(bounds))
    if session < max(bounds) or (latest and session > latest):
        return None
    return session


def run_moment(calendar: Calendar, session: dt.date) -> pendulum.DateTime:
    """When a session's run starts, in UTC."""
    return pendulum.instance(calendar.close_of(session) + SETTLE).in_timezone("UTC")


def session_at(calendar: Calendar, moment: dt.datetime) -> dt.date:
    """The newest session whose run was due at `moment`; the inverse of `run_moment`."""
    return calendar.last_complete_session(moment - SETTLE)


def _utc_day(moment: dt.datetime) -> dt.date:
    return moment.astimezone(dt.UTC).date()
