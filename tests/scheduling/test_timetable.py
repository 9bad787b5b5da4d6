"""One run per session: against exchange_calendars itself and dates that anyone can look up."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import exchange_calendars as xcals
import pytest

from pipeline.scheduling.run_moments import session_at
from pipeline.sessions import Calendar

if TYPE_CHECKING:
    from pipeline.scheduling.timetable import SessionTimetable

pytestmark = pytest.mark.slow


def timetable(calendar: str, scheduled: bool = True) -> SessionTimetable:
    from pipeline.scheduling.timetable import SessionTimetable

    return SessionTimetable(calendar, scheduled)


def moments(timetable: SessionTimetable, first: str, last: str) -> list[dt.datetime]:
    """Return the moments of a backfill's runs, as Airflow lists them."""
    import pendulum
    from airflow.timetables.base import TimeRestriction

    restriction = TimeRestriction(pendulum.parse(first), pendulum.parse(last), catchup=True)
    listed, interval = [], None
    while info := timetable.next_dagrun_info(
        last_automated_data_interval=interval, restriction=restriction
    ):
        listed.append(info.logical_date)
        interval = info.data_interval
    return listed


def test_runs_follow_each_close_over_holidays_early_closes_and_the_change_of_clocks():
    autumn = moments(timetable("XNYS"), "2024-11-27", "2024-12-02")
    assert [f"{moment:%Y-%m-%d %H:%M}" for moment in autumn] == [
        "2024-11-27 21:30",  # 16:00 in New York, and half an hour for the bar to settle
        "2024-11-29 18:30",  # Thanksgiving was the 28th; on the day after, trading ends at 13:00
        "2024-12-02 21:30",
    ]
    spring = moments(timetable("XNYS"), "2024-03-08", "2024-03-12")
    assert [f"{moment:%m-%d %H:%M}" for moment in spring] == [
        "03-08 21:30",
        "03-11 20:30",  # clocks went forward on the 10th
        "03-12 20:30",
    ]


def test_a_market_that_never_closes_runs_after_midnight_utc_every_day():
    runs = moments(timetable("24/7"), "2024-03-09", "2024-03-10")
    assert [f"{moment:%Y-%m-%d %H:%M}" for moment in runs] == [
        "2024-03-10 00:30",
        "2024-03-11 00:30",
    ]


@pytest.mark.parametrize("name", ["XNYS", "24/7", "XLON", "XTKS"])
def test_a_backfill_lists_the_sessions_of_its_dates_both_included(name):
    calendar = xcals.get_calendar(name, start="2011-01-01")
    expected = [
        session.date() for session in calendar.sessions_in_range("2012-12-20", "2014-01-10")
    ]
    runs = moments(timetable(name), "2012-12-20", "2014-01-10")
    assert [session_at(Calendar(name), moment) for moment in runs] == expected


def test_backfill_dates_at_midnight_in_new_york_mean_the_same_days():
    first, last = "2013-02-26T00:00:00-05:00", "2013-02-28T00:00:00-05:00"
    runs = moments(timetable("XNYS"), first, last)
    assert [moment.date() for moment in runs] == [dt.date(2013, 2, day) for day in (26, 27, 28)]


def test_a_scheduled_universe_has_a_next_run_after_the_newest_one():
    import pendulum
    from airflow.timetables.base import TimeRestriction

    restriction = TimeRestriction(pendulum.datetime(2010, 1, 1), None, catchup=False)
    first = timetable("XNYS").next_dagrun_info(
        last_automated_data_interval=None, restriction=restriction
    )
    second = timetable("XNYS").next_dagrun_info(
        last_automated_data_interval=first.data_interval, restriction=restriction
    )
    now, calendar = dt.datetime.now(dt.UTC), Calendar("XNYS")
    assert first.run_after <= now < second.run_after + dt.timedelta(seconds=5)
    sessions = [session_at(calendar, info.run_after) for info in (first, second)]
    assert calendar.next_sessions(sessions[0], 1) == sessions[1:]


def test_nothing_schedules_a_universe_on_demand_yet_it_can_be_backfilled():
    import pendulum
    from airflow.timetables.base import TimeRestriction

    on_demand = timetable("XNYS", scheduled=False)
    restriction = TimeRestriction(pendulum.datetime(2010, 1, 1), None, catchup=False)
    info = on_demand.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    assert info is None
    assert on_demand.periodic  # or Airflow would refuse backfills
    assert len(moments(on_demand, "2013-02-01", "2013-02-28")) == 19


def test_it_is_the_same_after_it_was_stored():
    original = timetable("24/7", scheduled=False)
    restored = type(original).deserialize(original.serialize())
    assert restored.serialize() == {"calendar": "24/7", "scheduled": False}
    assert (restored.summary, restored.description) == (original.summary, original.description)


def test_a_universes_own_days_are_kept_and_have_no_run_or_one():
    from pipeline.scheduling.timetable import SessionTimetable

    mourning, saturday = dt.date(2013, 2, 27), dt.date(2013, 3, 2)
    stored = SessionTimetable("XNYS", False, [mourning], [saturday]).serialize()
    assert stored["closures"] == ["2013-02-27"]
    restored = SessionTimetable.deserialize(stored)
    assert restored.serialize() == stored
    days = [moment.day for moment in moments(restored, "2013-02-26", "2013-03-04")]
    assert days == [26, 28, 1, 2, 4]
