"""Airflow's timetable of sessions: one run per trading session, shortly after its close.

Why not a list of closes (`EventsTimetable`): such a list ends, and grows the stored DAG by
thousands of dates; with `catchup=False` it also loses a session whose close passed while the
scheduler was down. This timetable keeps the calendar's name only, and reads exchange_calendars when
a date is asked for, never while a DAG file is parsed. Airflow learns of it through the plugin in
`plugin.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, Timetable

from pipeline.scheduling.run_moments import SETTLE, next_session, run_moment, session_at
from pipeline.universes import AMENDING

if TYPE_CHECKING:
    from airflow.timetables.base import TimeRestriction

    from pipeline.sessions import Calendar


class SessionTimetable(Timetable):
    """A run at close + `SETTLE` of every session of an exchange; that moment is its logical date.

    The dates of a backfill, and a DAG's start and end, are read as session dates (their day in
    UTC), both included: from 2013-02-01 to 2013-02-28 means the sessions of February, although the
    last of them closed after midnight of the 28th.

    Args:
        calendar: exchange_calendars name.
        scheduled: whether the scheduler makes runs by itself; backfills work either way.
        closures, extra_sessions: as a universe has them.
    """

    def __init__(
        self,
        calendar: str,
        scheduled: bool = True,
        closures: Iterable[dt.date] = (),
        extra_sessions: Iterable[dt.date] = (),
    ) -> None:
        self.calendar = calendar
        self.scheduled = scheduled
        self.closures = tuple(closures)
        self.extra_sessions = tuple(extra_sessions)
        self.description = self._described()

    @property
    def summary(self) -> str:
        """The schedule in a few words."""
        if self.scheduled:
            return f"After every {self.calendar} session"
        return f"On demand ({self.calendar} sessions)"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the run after the last one; None where there is none.

        Without catchup (the scheduler), sessions that were missed are skipped, except the newest: a
        scheduler that was down at the close runs it when it is back. With catchup (a backfill lists
        its runs so), none is skipped.
        """
        if not (restriction.catchup or self.scheduled):
            return None
        calendar, last = self._calendar(), last_automated_data_interval
        session = next_session(
            calendar,
            last=session_at(calendar, last.end) if last else None,
            earliest=_utc_day(restriction.earliest) if restriction.earliest else None,
            latest=_utc_day(restriction.latest) if restriction.latest else None,
            due=None if restriction.catchup else session_at(calendar, dt.datetime.now(dt.UTC)),
        )
        if session is None:
            return None
        moment = pendulum.instance(run_moment(calendar, session)).in_timezone("UTC")
        return DagRunInfo.exact(moment)

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        """Return the moment of a run that somebody triggers."""
        return DataInterval.exact(run_after)

    def serialize(self) -> dict[str, Any]:
        """Return what is stored of this timetable."""
        days = {
            name: [day.isoformat() for day in getattr(self, name)]
            for name in AMENDING
            if getattr(self, name)
        }
        return {"calendar": self.calendar, "scheduled": self.scheduled, **days}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> SessionTimetable:
        """Return the timetable that was stored."""
        days = {name: map(dt.date.fromisoformat, data.get(name, ())) for name in AMENDING}
        return cls(data["calendar"], data["scheduled"], **days)

    def validate(self) -> None:
        """Do nothing at parse time: the plan of a run checks the calendar."""

    def _described(self) -> str:
        minutes = int(SETTLE.total_seconds() // 60)
        if self.scheduled:
            return (
                f"{minutes} minutes after the close of every {self.calendar} session; no runs on "
                "holidays, earlier after an early close"
            )
        return (
            f"Nothing is scheduled; a backfill makes one run for every {self.calendar} session of "
            "its range"
        )

    def _calendar(self) -> Calendar:
        from pipeline.sessions import amended_calendar

        return amended_calendar(self.calendar, self.closures, self.extra_sessions)


def _utc_day(moment: dt.datetime) -> dt.date:
    return moment.astimezone(dt.UTC).date()
