"""The calendar that dates or tickers point to is named, and a wrong one is refused."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import MalformedPrices, SettingsError
from pipeline.prices import calendar_fit, ending_calendar, newest_session
from pipeline.prices.calendar_fit import (
    CALENDARS_BY_ENDING,
    CalendarMisfit,
    gap_of,
    misfit_of,
    require_own_calendar,
)
from pipeline.prices.open_days import FILE, LAST_DAY, likely_calendars
from pipeline.sessions import Calendar, calendar_names
from tests.made_prices import MadeSource, random_walk
from tests.prices.made_open_days import open_days

FIRST, LAST = dt.date(2016, 1, 4), dt.date(2017, 6, 30)
XNYS = Calendar("XNYS")


@pytest.fixture(autouse=True)
def few_calendars(monkeypatch):
    """Compare with some calendars only: building more of them takes seconds."""
    names = ("XNYS", "XBOM", "XLON", "XPAR", "XAMS", "24/7", "24/5")
    monkeypatch.setattr(calendar_fit, "likely_calendars", lambda *_: names)


def days_of(name: str, last: dt.date = LAST) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(Calendar(name).sessions(FIRST, last))


@pytest.mark.parametrize(
    ("name", "tickers", "expected"),
    [
        ("XNYS", ["IBM"], None),
        ("XBOM", ["INFY"], CalendarMisfit(10, 19, ("XBOM",), 29, 29)),
        ("XLON", ["VOD"], CalendarMisfit(7, 6, ("XLON",), 13, 13)),
        ("24/7", ["BTC"], CalendarMisfit(167, 0, ("24/7",), 167, 167)),
    ],
)
def test_dates_name_their_calendar(name, tickers, expected):
    assert misfit_of(days_of(name), tickers, XNYS) == expected


def test_a_ticker_decides_between_calendars_with_the_same_sessions():
    dates = days_of("XPAR")
    by_ticker = {ticker: misfit_of(dates, [ticker], XNYS).better for ticker in ("MC.PA", "ASML.AS")}
    assert by_ticker["MC.PA"][0] == "XPAR" and by_ticker["ASML.AS"][0] == "XAMS"
    assert {*by_ticker["MC.PA"]} == {*by_ticker["ASML.AS"]}


def test_holidays_that_a_source_fills_are_no_other_calendar():
    """No session lacks a bar: the calendar is right, and the gate judges the bars on days off."""
    weekdays = pd.bdate_range(FIRST, LAST)
    assert len(weekdays.difference(days_of("XNYS"))) == 13
    assert misfit_of(weekdays, ["IBM"], XNYS) is None


def test_two_days_off_among_tickers_that_trade_in_new_york_are_no_other_calendar():
    both = days_of("XNYS").union(days_of("XLON"))
    assert misfit_of(both, ["IBM", "VOD"], XNYS) is None


def test_a_few_bars_name_nothing():
    assert misfit_of(days_of("XBOM", dt.date(2016, 1, 29)), ["INFY"], XNYS) is None
    assert misfit_of(pd.DatetimeIndex([]), [], XNYS) is None


def test_a_source_with_the_dates_of_another_calendar_is_refused_with_the_flag_that_helps():
    bars = random_walk(1, 400).assign(date=days_of("24/7", dt.date(2017, 2, 6)))
    message = (
        r"bars on 124 days without a session of XNYS, and none on 0 with one: its dates are those "
        r"of 24/7, which is right about 124 of the 124 days .* Set it: --calendar 24/7"
    )
    source, now = MadeSource({"COIN": bars}), dt.datetime(2017, 3, 1, tzinfo=dt.UTC)
    with pytest.raises(SettingsError, match=message):
        newest_session(source, ["COIN"], XNYS, now)
    assert newest_session(source, ["COIN"], Calendar("24/7"), now) == dt.date(2017, 2, 6)


@pytest.mark.parametrize(("step", "gap"), [(1, 0), (2, 0), (5, 7), (21, 30)])
def test_weekly_and_monthly_bars_are_no_other_calendar(step, gap):
    days = days_of("XNYS")[::step]
    assert gap_of(days[::-1]) == pytest.approx(gap, abs=1)
    assert misfit_of(days, ["IBM"], XNYS) is None


def test_weekly_bars_are_refused_and_no_calendar_blamed():
    bars = random_walk(1, 70).assign(date=days_of("XBOM")[::5][:70])
    source, now = MadeSource({"IBM": bars}), dt.datetime(2017, 7, 3, tzinfo=dt.UTC)
    expected = "bars of IBM that are 7 days apart; one a session is expected. Give it daily prices"
    with pytest.raises(MalformedPrices, match=expected):
        newest_session(source, ["IBM"], XNYS, now)


def test_tickers_of_one_exchange_name_its_calendar():
    assert ending_calendar(["INFY.NS", "TCS.BO"]) == "XBOM"
    assert ending_calendar(["BTC-USD"]) == "24/7"
    assert ending_calendar(["BRK-B"]) is None
    assert ending_calendar(["INFY.NS", "IBM"]) is None
    message = r"INFY.NS, TCS.NS: the yahoo source's tickers .* trade on XBOM, and the calendar is"
    with pytest.raises(SettingsError, match=message):
        require_own_calendar(["INFY.NS", "TCS.NS"], XNYS, "yahoo")
    require_own_calendar(["INFY.NS", "IBM"], XNYS, "yahoo")


@pytest.mark.slow
def test_the_calendar_is_found_among_all_that_there_are(monkeypatch):
    monkeypatch.undo()
    misfit = misfit_of(days_of("XTKS"), ["7203.T"], XNYS)
    assert misfit.better == ("XTKS",) and misfit.right == misfit.disputed


@pytest.mark.parametrize(
    ("name", "few"),
    [("XBOM", {"XBOM"}), ("24/7", {"24/7"}), ("XTKS", {"XTKS"}), ("XPAR", {"XPAR", "XAMS"})],
)
def test_few_calendars_are_worth_a_look(name, few):
    """Most are ruled out by their open days alone; nothing is where a bar is of later days."""
    days, own = days_of(name), days_of("XNYS")
    likely = likely_calendars(days, own, calendar_fit.NEEDED_SHARE)
    assert few <= set(likely) and len(likely) < 20
    later = LAST_DAY + pd.Timedelta(days=1)
    assert likely_calendars(days.union([later]), own, calendar_fit.NEEDED_SHARE) is None


@pytest.mark.slow
@pytest.mark.parametrize("first", [dt.date(1998, 1, 5), FIRST, dt.date(2017, 1, 2)])
def test_a_look_at_few_calendars_finds_what_a_look_at_all_does(monkeypatch, first):
    monkeypatch.undo()
    for name in ("XBOM", "XLON", "XTKS", "XPAR", "XETR", "XSAU", "XSHG", "24/5", "XTAE", "CMES"):
        calendar = calendar_fit._calendar(name)
        days = pd.DatetimeIndex(calendar.sessions(first, LAST) if calendar else [])
        days = days.delete(range(7, len(days), 60))
        quick = misfit_of(days, [name], XNYS)
        with monkeypatch.context() as patched:
            patched.setattr(calendar_fit, "likely_calendars", lambda *_: None)
            assert misfit_of(days, [name], XNYS) == quick


@pytest.mark.slow
def test_the_file_of_open_days_is_that_of_the_installed_calendars():
    with np.load(FILE) as packed:
        kept = dict(zip(packed["names"], packed["bits"], strict=True))
    known = open_days()
    assert list(kept) == list(known), "python -m tests.prices.made_open_days"
    assert [n for n in known if (kept[n] != known[n]).any()] == [], "made_open_days, as above"


@pytest.mark.slow
def test_every_calendar_works_or_is_refused_in_one_line():
    refused = []
    for name in calendar_names():
        try:
            calendar = Calendar(name)
        except SettingsError as error:
            refused.append(name)
            assert str(error).startswith(f"The installed exchange_calendars cannot build {name} (")
            continue
        session = calendar.last_complete_session(dt.datetime(2026, 6, 1, tzinfo=dt.UTC))
        assert calendar.next_sessions(session, 5)[0] > session
    assert set(CALENDARS_BY_ENDING.values()) <= set(calendar_names())
    assert len(refused) < 6
