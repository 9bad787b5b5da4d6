"""What Yahoo knows beforehand: its answers, the real client's requests, and days that use them."""

from __future__ import annotations

import datetime as dt
import json
import time

import numpy as np
import pandas as pd
import pytest

from pipeline.daily import known_events
from pipeline.errors import LookAtTheData, RateLimited, SourceUnavailable
from pipeline.prices.yahoo_events import announced_events, coming_events
from pipeline.tables import CHECKS, EVENT_REVISIONS, FORECASTS, LINEUPS, RUNS
from pipeline.universes import Universe
from tests.daily.quick_days import QuickParts, quick_day
from tests.prices.conftest import EVENING

DAY = dt.timedelta(days=1)
#: After `EVENING`, a Monday.
TUESDAY, FRIDAY = dt.date(2024, 7, 2), dt.date(2024, 7, 5)


def at(day, hour, minute=0):
    """Return a moment of New York's summer as Yahoo stamps it."""
    summer = dt.timezone(-4 * dt.timedelta(hours=1))
    moment = dt.datetime.combine(day, dt.time(hour, minute), summer)
    return int(moment.timestamp())


def midnight(day):
    return int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp())


def reports(*stamps, estimate=False):
    return {"earnings": {"earningsDate": list(stamps), "isEarningsDateEstimate": estimate}}


def read(announced, calendar):
    table = coming_events("IBM", announced, calendar)
    return [(row.kind, row.session.date(), row.value) for row in table.itertuples()]


def test_a_report_after_the_close_is_traded_on_the_next_day(xnys):
    for hour, minute, day in ((7, 0, TUESDAY), (15, 59, TUESDAY), (16, 0, TUESDAY + DAY)):
        answer = reports(at(TUESDAY, hour, minute))
        assert read(answer, xnys) == [("report", day, 1.0)]


def test_an_ex_date_is_that_of_midnight_in_utc_whatever_the_machine(xnys, monkeypatch):
    for zone in ("America/New_York", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        [(kind, day, value)] = read({"exDividendDate": midnight(TUESDAY)}, xnys)
        assert (kind, day) == ("dividend", TUESDAY) and np.isnan(value)
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "announced",
    [
        {},
        {"earnings": None},
        reports(),
        reports(at(TUESDAY, 7), estimate=True),
        reports(at(TUESDAY, 7), at(FRIDAY, 7)),
    ],
    ids=["nothing", "no earnings", "no day", "an estimate", "one of two days"],
)
def test_what_is_not_sure_is_not_known(xnys, announced):
    assert read(announced, xnys) == []


def answer(status, text):
    return status, text if isinstance(text, str) else json.dumps({"quoteSummary": text})


@pytest.mark.parametrize(
    ("received", "error", "message"),
    [
        (None, SourceUnavailable, "gave no answer about the events of IBM"),
        (answer(429, "Too Many Requests"), RateLimited, "asks for fewer requests"),
        (answer(500, "<html>"), SourceUnavailable, "with HTTP 500 and none of them"),
        (answer(200, ""), SourceUnavailable, "with HTTP 200 and none of them"),
        (
            answer(401, {"result": None, "error": {"code": "Unauthorized"}}),
            SourceUnavailable,
            "401",
        ),
        (answer(200, {"result": [{}], "error": None}), SourceUnavailable, "none of them"),
    ],
)
def test_an_answer_that_cannot_be_trusted_is_an_outage(received, error, message):
    with pytest.raises(error, match=message) as caught:
        announced_events("IBM", received)
    assert type(caught.value) is error


def test_an_answer_of_another_shape_is_named(xnys):
    for wrong in ({"exDividendDate": "soon"}, {"earnings": [1]}, reports("2024-07-02")):
        with pytest.raises(LookAtTheData, match="IBM: Yahoo's answer about its events cannot be r"):
            coming_events("IBM", wrong, xnys)


# The real client, and days


@pytest.mark.slow
def test_the_real_client_asks_once_and_with_its_crumb(yahoo, yahoo_server, xnys):
    events = reports(at(FRIDAY, 16, 30)) | {"exDividendDate": midnight(FRIDAY)}
    yahoo_server.market.announced["MSFT"] = [(EVENING - DAY, events)]
    table = yahoo.fetch_events("MSFT", xnys)
    assert dict(zip(table["kind"], table["session"].dt.date, strict=True)) == {
        "dividend": FRIDAY,
        "report": FRIDAY + DAY,
    }
    assert yahoo_server.summaries == ["MSFT"]
    for ticker in ("BTC-USD", "NOPE", "AAPL"):
        assert yahoo.fetch_events(ticker, xnys).empty


UNIVERSE = Universe(name="made", source="yahoo", tickers=("MSFT", "JPM"), start=dt.date(2022, 1, 3))
WEEK = 7 * DAY


@pytest.fixture
def parts(yahoo, tmp_path):
    with QuickParts(tmp_path, yahoo) as made:
        yield made


def evening_of(parts, server, moment, session=None):
    """Do the day of an evening, on which Yahoo and the store have its clock."""
    server.market.now = moment
    parts.store.prices.clock = parts.store.events.clock = lambda: moment
    return quick_day(parts, session or moment.date(), UNIVERSE, now=moment)


def left(parts):
    tables = (FORECASTS, RUNS, CHECKS, LINEUPS)
    return {table.name: parts.store.load(table, cutoff=EVENING.date()) for table in tables}


@pytest.mark.slow
def test_a_date_that_yahoo_knows_later_changes_no_earlier_forecast(parts, yahoo_server):
    """A dividend and a report are announced on a Friday, for days that Monday's forecasts reach."""
    ex_date, report = dt.date(2024, 7, 9), dt.date(2024, 7, 10)
    announced = {"exDividendDate": midnight(ex_date)} | reports(at(report, 7))
    yahoo_server.market.announced["MSFT"] = [(EVENING + 4 * DAY, announced)]
    run = evening_of(parts, yahoo_server, EVENING)
    before = left(parts)
    assert ex_date in run.forecast_sessions
    assert parts.store.load(EVENT_REVISIONS).empty

    later = evening_of(parts, yahoo_server, EVENING + WEEK)
    events = known_events.events_ahead(parts, later, UNIVERSE.tickers)
    assert [(row.kind, row.session.date(), row.value) for row in events.itertuples()] == [
        ("dividend", ex_date, 0.25),  # as the last one was
        ("report", report, 1.0),
    ]
    assert known_events.dividends_ahead(parts, later, ["MSFT"])["MSFT"].tolist() == [
        0.25,
        0,
        0,
        0,
        0,
    ]

    asked = list(yahoo_server.summaries)
    evening_of(parts, yahoo_server, EVENING + WEEK + DAY, session=EVENING.date())
    for name, rows in before.items():
        pd.testing.assert_frame_equal(left(parts)[name], rows, check_exact=True)
    assert asked == yahoo_server.summaries == ["MSFT", "JPM"] * 2, "once a week, and on evenings"


@pytest.mark.slow
def test_a_day_that_yahoo_moves_is_moved_from_then_on(parts, yahoo_server):
    first, second = (reports(at(dt.date(2024, 7, day), 7)) for day in (10, 11))
    yahoo_server.market.announced["MSFT"] = [(EVENING - DAY, first), (EVENING + DAY, second)]
    runs = [evening_of(parts, yahoo_server, EVENING + weeks * WEEK) for weeks in (0, 1)]
    days = [known_events.events_ahead(parts, run, ["MSFT"])["session"].dt.day for run in runs]
    assert [each.tolist() for each in days] == [[], [11]]
    stored = known_events.reports_of(parts, runs[1], ["MSFT"])
    assert stored["known_until"].notna().tolist() == [True, False]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "asked", "line"),
    [
        (429, ["MSFT"], "its events are not known: Yahoo asks for fewer requests"),
        (500, ["MSFT", "JPM"], "its events are not known: Yahoo answered about the events of MSFT"),
    ],
)
def test_without_an_answer_about_events_the_evening_goes_on(
    parts, yahoo_server, status, asked, line
):
    yahoo_server.summary_reply = (status, "text/html", "Too Many Requests"[: 100 * (status == 429)])
    evening_of(parts, yahoo_server, EVENING)
    assert [*dict.fromkeys(yahoo_server.summaries)] == asked
    assert len(parts.store.load(FORECASTS)) == 10
    [text] = [
        text for _, ticker, text in parts.messages if "events are not" in text and ticker == "MSFT"
    ]
    assert text.startswith(line)
    yahoo_server.summary_reply = None
    yahoo_server.summaries.clear()
    evening_of(parts, yahoo_server, EVENING + DAY)
    assert yahoo_server.summaries == ["MSFT", "JPM"], "the next evening asks again"
