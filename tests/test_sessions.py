"""The calendar of an exchange."""

import datetime as dt

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from pandas.tseries.holiday import AbstractHolidayCalendar

from pipeline import sessions
from pipeline.errors import SettingsError
from pipeline.sessions import Calendar

XNYS, CRYPTO = Calendar("XNYS"), Calendar("24/7")


def day(text):
    return dt.date.fromisoformat(text)


def moment(text):
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("now", "session"),
    [
        ("2013-03-01T20:59:59+00:00", "2013-02-28"),  # a second before four in New York
        ("2013-03-01T21:00:00+00:00", "2013-03-01"),
        ("2012-11-23T18:00:00+00:00", "2012-11-23"),  # the day after Thanksgiving closes at one
        ("2012-10-30T22:00:00+00:00", "2012-10-26"),  # closed by a hurricane
        ("2013-07-05T19:59:00+00:00", "2013-07-03"),  # summer time, after a holiday
    ],
)
def test_a_session_is_complete_at_its_close(now, session):
    assert XNYS.last_complete_session(moment(now)) == day(session)


def test_a_session_is_as_long_as_it_is_open_and_a_day_that_is_none_has_no_length():
    days = np.array(["2012-11-21", "2012-11-22", "2012-11-23", "2150-01-04"], "datetime64[D]")
    assert str(XNYS.hours_of(days)) == "[6.5 nan 3.5 nan]"
    assert CRYPTO.hours_of(days[:2]).tolist() == [24, 24]
    assert XNYS.hours_of(days[:0]).tolist() == []


def test_every_day_is_a_session_of_a_market_that_never_closes():
    assert CRYPTO.last_complete_session(moment("2013-03-03T00:00:00+00:00")) == day("2013-03-02")
    assert CRYPTO.next_sessions(day("2013-03-02"), 2) == [day("2013-03-03"), day("2013-03-04")]


def test_next_sessions_pass_over_weekends_and_holidays():
    after_good_friday = [day("2013-04-01"), day("2013-04-02")]
    assert XNYS.next_sessions(day("2013-03-28"), 2) == after_good_friday


def test_days_that_no_calendar_knows_have_no_sessions():
    assert XNYS.sessions(day("1950-01-01"), day("1951-01-01")) == []
    assert XNYS.sessions(day("2150-01-01"), day("2150-02-01")) == []
    earliest = [day("1990-01-02"), day("1990-01-03")]
    assert XNYS.sessions(day("1950-01-01"), day("1990-01-03")) == earliest
    message = "3 sessions of XNYS after 2150-01-01 are asked for; they are known up to"
    with pytest.raises(SettingsError, match=message):
        XNYS.next_sessions(day("2150-01-01"), 3)


def test_a_process_that_lives_for_years_knows_the_sessions_of_its_day(monkeypatch):
    """A calendar is known for a year from when it was built, which is years ago by then."""
    built = exchange_calendars.get_calendar("XNYS", start="1990-01-01", end="2013-02-28")
    monkeypatch.setitem(sessions._calendars, "XNYS", built)
    calendar = Calendar("XNYS")
    assert calendar.next_sessions(day("2013-02-27"), 3)[1:] == [
        day("2013-03-01"),
        day("2013-03-04"),
    ]
    later = moment("2016-07-05T21:00:00+00:00")
    assert calendar.last_complete_session(later) == day("2016-07-05")
    assert calendar.close_of(day("2017-11-24")).hour == 18
    assert calendar.is_session(day("2018-01-02")) and not calendar.is_session(day("2018-01-01"))
    assert calendar.first_session_from(day("2019-06-01")) == day("2019-06-03")
    assert calendar.opens_of(pd.Series(pd.to_datetime(["2020-01-02"]))).dt.hour.tolist() == [14]


@pytest.mark.parametrize("name", ["XNYS", "XTKS"])
def test_sessions_are_those_of_all_holidays_that_pandas_would_work_out(name, monkeypatch):
    """Only those of the years that are needed are worked out, as long as a calendar is built."""
    ends = AbstractHolidayCalendar.start_date, AbstractHolidayCalendar.end_date
    monkeypatch.setattr(sessions, "_calendars", {})
    calendar = Calendar(name)
    last = calendar.last_session_until(day("2031-12-31"))
    assert (AbstractHolidayCalendar.start_date, AbstractHolidayCalendar.end_date) == ends
    first = max(day("1990-01-01"), calendar.first_known)
    whole = exchange_calendars.get_calendar(name, start=first, end="2032-06-30")
    assert calendar.sessions(first, last) == list(whole.sessions_in_range(first, last).date)
    assert calendar.close_of(last) == whole.session_close(last)


def test_an_exchange_that_has_fixed_its_sessions_up_to_a_day_is_known_up_to_then():
    calendar = Calendar("XSHG")
    fixed = exchange_calendars.get_calendar("XSHG").bound_max().date()
    with pytest.raises(SettingsError, match=r"3 sessions of XSHG after .* known up to"):
        calendar.next_sessions(fixed + dt.timedelta(days=20), 3)
    assert calendar.sessions(fixed - dt.timedelta(days=9), fixed + dt.timedelta(days=9))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("2013-03-02", "no session of XNYS.*Use 2013-03-01.$"),
        ("2013-03-04", "not over yet.*last complete session is 2013-03-01"),
        ("2013-02-18", "no session of XNYS.*Use 2013-02-15 or 2013-02-19.$"),
        ("1980-03-03", "outside 1990-01-01"),
        ("2150-03-03", "outside 1990-01-01"),
    ],
)
def test_a_day_that_is_no_finished_session_is_refused_with_one_that_is(asked, message):
    with pytest.raises(SettingsError, match=message):
        XNYS.require_session(day(asked), moment("2013-03-03T12:00:00+00:00"))


@pytest.mark.parametrize(
    ("retrain", "cutoffs"),
    [
        ("daily", ("2013-03-20", "2013-03-19")),
        ("weekly", ("2013-03-18", "2013-03-11")),
        ("monthly", ("2013-03-01", "2013-02-01")),
        ("quarterly", ("2013-01-02", "2012-10-01")),
    ],
)
def test_training_cutoffs_depend_on_the_calendar_alone(retrain, cutoffs):
    assert XNYS.training_cutoffs(day("2013-03-20"), retrain) == tuple(map(day, cutoffs))


def test_a_training_cutoff_is_never_after_its_session():
    for session in XNYS.sessions(day("2012-10-01"), day("2013-03-01")):
        for retrain in ("daily", "weekly", "monthly", "quarterly"):
            current, previous = XNYS.training_cutoffs(session, retrain)
            assert previous < current <= session
            assert XNYS.is_session(current) and XNYS.is_session(previous)


@pytest.mark.parametrize(
    ("cadence", "cutoffs"),
    [
        ("daily", ["2013-03-11", "2013-04-01", "2013-07-01", "2013-01-02"]),
        ("weekly", ["2013-03-11", "2013-04-01", "2013-07-01", "2012-12-31"]),
        ("monthly", ["2013-03-01", "2013-04-01", "2013-07-01", "2013-01-02"]),
        ("quarterly", ["2013-01-02", "2013-04-01", "2013-07-01", "2013-01-02"]),
    ],
)
def test_the_pool_ends_with_the_first_session_of_the_period_of_the_training_cutoff(
    cadence, cutoffs
):
    cutoff_of = [day(text) for text in ("2013-03-11", "2013-04-01", "2013-07-01", "2013-01-02")]
    assert [XNYS.pool_cutoff(cutoff, cadence) for cutoff in cutoff_of] == list(map(day, cutoffs))


def test_a_pool_never_ends_after_the_training_cutoff_that_it_serves():
    for session in XNYS.sessions(day("2012-10-01"), day("2013-03-01")):
        for cadence in ("daily", "weekly", "monthly", "quarterly"):
            cutoff = XNYS.pool_cutoff(session, cadence)
            assert cutoff <= session and XNYS.is_session(cutoff)


def test_an_unknown_cadence_names_the_good_ones():
    with pytest.raises(SettingsError, match="daily, weekly, monthly or quarterly is expected"):
        XNYS.training_cutoffs(day("2013-03-20"), "yearly")


def test_an_unknown_calendar_names_good_ones():
    with pytest.raises(SettingsError, match=r"no calendar 'XNYZ'.*XNYS"):
        Calendar("XNYZ")


def test_closures_and_extra_sessions_of_a_universe_are_the_calendars_own():
    mourning, saturday = day("2013-02-27"), day("2013-03-02")
    amended = Calendar("XNYS", closures=[mourning], extra_sessions=[saturday])
    assert amended.sessions(day("2013-02-26"), day("2013-03-04")) == [
        *(day("2013-02-26"), day("2013-02-28"), day("2013-03-01")),
        *(saturday, day("2013-03-04")),
    ]
    assert not amended.is_session(mourning) and amended.is_session(saturday)
    assert amended.next_sessions(day("2013-02-26"), 1) == [day("2013-02-28")]
    assert amended.last_session_until(day("2013-03-03")) == saturday
    assert amended.first_session_from(mourning) == day("2013-02-28")
    assert amended.close_of(saturday) == moment("2013-03-02T21:00:00+00:00")
    assert amended.last_complete_session(moment("2013-03-02T21:00:00+00:00")) == saturday
    [opens] = amended.opens_of(pd.Series(pd.to_datetime([saturday])))
    assert opens == pd.Timestamp("2013-03-02 14:30")
    assert amended.require_session(saturday, moment("2013-03-04T00:00:00+00:00")) == saturday
    with pytest.raises(SettingsError, match="2013-02-27 is no session of XNYS"):
        amended.require_session(mourning, moment("2013-03-04T00:00:00+00:00"))
    # By New York's clocks, which summer time has moved since the Friday before.
    assert Calendar("XNYS", extra_sessions=[day("2013-03-10")]).close_of(
        day("2013-03-10")
    ) == moment("2013-03-10T20:00:00+00:00")


@pytest.mark.parametrize(
    ("amendment", "message"),
    [
        ({"closures": [day("2013-03-02")]}, "2013-03-02 is no session of XNYS. Take it out of `c"),
        (
            {"extra_sessions": [day("2013-03-01")]},
            "2013-03-01 is a session already of XNYS. Take it out of `extra_sessions`",
        ),
    ],
)
def test_a_day_that_amends_nothing_is_refused(amendment, message):
    with pytest.raises(SettingsError, match=message):
        Calendar("XNYS", **amendment)
