"""One run per session: checked against exchange_calendars itself and against dates that anyone can look up."""

from __future__ import annotations

import datetime as dt

import exchange_calendars as xcals
import pendulum
import pytest
from airflow.timetables.base import TimeRestriction

from pipeline.scheduling.timetable import SETTLE, SessionTimetable, next_session, run_moment, session_at
from pipeline.sessions import Calendar


def listed(timetable: SessionTimetable, first: str, last: str) -> list[dt.datetime]:
    """As Airflow's backfill lists its runs."""
    restriction = TimeRestriction(pendulum.parse(first), pendulum.parse(last), catchup=True)
    moments, interval = [], None
    while info := timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=restriction):
        moments.append(info.logical_date)
        interval = info.data_interval
    return moments


def test_runs_follow_each_close_over_holidays_early_closes_and_the_change_of_clocks():
    moments = [f"{moment:%Y-%m-%d %H:%M}" for moment in listed(SessionTimetable("XNYS"), "2024-11-27", "2024-12-02")]
    assert moments == [
        "2024-11-27 21:30",  # 16:00 in New York, and half an hour for the bar to settle
        "2024-11-29 18:30",  # Thanksgiving was the 28th; on the day after, trading ends at 13:00
        "2024-12-02 21:30",
    ]
    assert [f"{moment:%m-%d %H:%M}" for moment in listed(SessionTimetable("XNYS"), "2024-03-08", "2024-03-12")] == [
        "03-08 21:30",
        "03-11 20:30",  # clocks went forward on the 10th
        "03-12 20:30",
    ]


def test_a_market_that_never_closes_runs_after_midnight_utc_every_day():
    moments = [f"{moment:%Y-%m-%d %H:%M}" for moment in listed(SessionTimetable("24/7"), "2024-03-09", "2024-03-10")]
    assert moments == ["2024-03-10 00:30", "2024-03-11 00:30"]


@pytest.mark.parametrize("name", ["XNYS", "24/7", "XLON", "XTKS"])
def test_a_backfill_lists_the_sessions_of_its_dates_both_included(name):
    calendar = xcals.get_calendar(name, start="2011-01-01")
    expected = [session.date() for session in calendar.sessions_in_range("2012-12-20", "2014-01-10")]
    moments = listed(SessionTimetable(name), "2012-12-20", "2014-01-10")
    assert [session_at(Calendar(name), moment) for moment in moments] == expected


def test_backfill_dates_at_midnight_in_new_york_mean_the_same_days():
    moments = listed(SessionTimetable("XNYS"), "2013-02-26T00:00:00-05:00", "2013-02-28T00:00:00-05:00")
    assert [moment.date() for moment in moments] == [dt.date(2013, 2, 26), dt.date(2013, 2, 27), dt.date(2013, 2, 28)]


@pytest.mark.parametrize("name", ["XNYS", "24/7", "XTKS"])
def test_a_run_moment_and_its_session_are_each_others_inverse(name):
    calendar = Calendar(name)
    sessions = calendar.sessions(dt.date(2011, 1, 1), dt.date(2013, 12, 31))
    moments = [run_moment(calendar, session) for session in sessions]
    assert [session_at(calendar, moment) for moment in moments] == sessions
    just_before = [session_at(calendar, moment - dt.timedelta(seconds=1)) for moment in moments[1:]]
    assert just_before == sessions[:-1]


def test_the_scheduler_skips_what_it_missed_except_the_newest_session():
    calendar, friday = Calendar("XNYS"), dt.date(2024, 11, 29)
    # never run, unpaused on Sunday: Friday's session, at once
    assert next_session(calendar, last=None, earliest=dt.date(2010, 1, 1), latest=None, due=friday) == friday
    # down from Tuesday's close to Sunday: Friday's session, not Wednesday's
    assert next_session(calendar, last=dt.date(2024, 11, 26), earliest=None, latest=None, due=friday) == friday
    # Friday has run: Monday's
    assert next_session(calendar, last=friday, earliest=None, latest=None, due=friday) == dt.date(2024, 12, 2)
    # a DAG whose end date is Friday is over
    assert next_session(calendar, last=friday, earliest=None, latest=friday, due=friday) is None


def test_a_scheduled_universe_has_a_next_run_after_the_newest_one():
    restriction = TimeRestriction(pendulum.datetime(2010, 1, 1), None, catchup=False)
    first = SessionTimetable("XNYS").next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    second = SessionTimetable("XNYS").next_dagrun_info(last_automated_data_interval=first.data_interval, restriction=restriction)
    now = dt.datetime.now(dt.UTC)
    assert first.run_after <= now < second.run_after + dt.timedelta(seconds=5)
    assert Calendar("XNYS").next_sessions(session_at(Calendar("XNYS"), first.run_after), 1) == [
        session_at(Calendar("XNYS"), second.run_after)
    ]


def test_nothing_schedules_a_universe_on_demand_yet_it_can_be_backfilled():
    timetable = SessionTimetable("XNYS", scheduled=False)
    restriction = TimeRestriction(pendulum.datetime(2010, 1, 1), None, catchup=False)
    assert timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction) is None
    assert timetable.periodic  # or Airflow would refuse backfills
    assert len(listed(timetable, "2013-02-01", "2013-02-28")) == 19


def test_it_is_the_same_after_it_was_stored():
    stored = SessionTimetable("24/7", scheduled=False).serialize()
    assert SessionTimetable.deserialize(stored).serialize() == {"calendar": "24/7", "scheduled": False}


def test_settling_does_not_reach_into_the_next_session():
    assert dt.timedelta(0) < SETTLE < dt.timedelta(hours=6)
